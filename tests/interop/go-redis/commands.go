package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

func (p *pass) greeting() {
	stranger := p.open("AUTH_PORT")
	defer stranger.Close()
	_, err := stranger.Do(ctx, "RLOCK", p.prefix+"job", ttl).Result()
	expect("a lock without the password", fmt.Sprint(err), "NOAUTH Authentication required.")

	known := p.open("AUTH_PORT", func(o *redis.Options) { o.Password = os.Getenv("AUTH_PASSWORD") })
	defer known.Close()
	hello := redis.NewMapStringInterfaceCmd(ctx, "HELLO")
	expect("HELLO", known.Process(ctx, hello), nil)
	expect("protocol", hello.Val()["proto"], int64(p.protocol))
	release(known, p.prefix+"job", lock(known, p.prefix+"job"))
}

func (p *pass) ordinary() {
	expect("SET", must(p.Set(ctx, p.prefix+"n", 41, 0).Result()), "OK")
	expect("INCR", must(p.Incr(ctx, p.prefix+"n").Result()), int64(42))
	expect("GET", must(p.Get(ctx, p.prefix+"n").Int()), 42)
	_, err := p.Get(ctx, p.prefix+"nothing").Result()
	expect("GET of nothing", err, redis.Nil)

	expect("HSET", must(p.HSet(ctx, p.prefix+"hash", "a", "1", "b", "2").Result()), int64(2))
	expect("HGETALL", must(p.HGetAll(ctx, p.prefix+"hash").Result()), map[string]string{"a": "1", "b": "2"})
	expect("RPUSH", must(p.RPush(ctx, p.prefix+"list", "a", "b", "c").Result()), int64(3))
	expect("LRANGE", must(p.LRange(ctx, p.prefix+"list", 0, -1).Result()), []string{"a", "b", "c"})

	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	for name, value := range map[string]string{"bytes": string(everyByte), "large": strings.Repeat("redlock ", 1<<17)} {
		expect("SET "+name, must(p.Set(ctx, p.prefix+name, value, 0).Result()), "OK")
		expect("GET "+name, must(p.Get(ctx, p.prefix+name).Result()) == value, true)
	}
	_, err = p.Incr(ctx, p.prefix+"list").Result()
	expect("INCR of a list", redis.HasErrorPrefix(err, "WRONGTYPE"), true)
	expect("its error", fmt.Sprint(err), "WRONGTYPE Operation against a key holding the wrong kind of value")
}

// A subscription has its connection to itself in go-redis, with RESP3 too: the lock is taken on another.
func (p *pass) subscriptions() {
	subscriber := p.Subscribe(ctx, p.prefix+"news")
	defer subscriber.Close()
	must(subscriber.Receive(ctx)) // the confirmation
	token := lock(p, p.prefix+"job")
	expect("subscribers", must(p.Publish(ctx, p.prefix+"news", "hello").Result()), int64(1))
	expect("message", must(subscriber.ReceiveMessage(ctx)).Payload, "hello")
	release(p, p.prefix+"job", token)
}

func (p *pass) transactions() {
	key := p.prefix + "watched"
	add := func(disturb func()) error {
		return p.Watch(ctx, func(tx *redis.Tx) error {
			disturb()
			_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Incr(ctx, key)
				return nil
			})
			return err
		}, key)
	}
	expect("undisturbed", add(func() {}), nil)
	expect("disturbed", add(func() { must(p.Set(ctx, key, 10, 0).Result()) }), redis.TxFailedErr)
	expect("the value", must(p.Get(ctx, key).Int()), 10)

	conn := p.Conn()
	defer conn.Close()
	id := must(conn.ClientID(ctx).Result())
	_, err := conn.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, key)
		pipe.Do(ctx, "RLOCK", p.prefix+"job", ttl)
		return nil
	})
	expect("a lock in a transaction", fmt.Sprint(err), "EXECABORT Transaction discarded because of previous errors.")
	expect("nothing was run", must(p.Get(ctx, key).Int()), 10)
	release(conn, p.prefix+"job", lock(conn, p.prefix+"job"))
	expect("still the same connection", must(conn.ClientID(ctx).Result()), id)
}

func (p *pass) blocking() {
	waiter := p.Conn()
	defer waiter.Close()
	id := must(waiter.ClientID(ctx).Result())
	popped := make(chan []string)
	go func() { popped <- must(waiter.BLPop(ctx, time.Minute, p.prefix+"queue").Result()) }()
	for !strings.Contains(must(p.Do(ctx, "CLIENT", "LIST", "ID", id).Text()), " flags=b ") {
		time.Sleep(time.Millisecond)
	}
	expect("RPUSH", must(p.RPush(ctx, p.prefix+"queue", "work").Result()), int64(1))
	expect("BLPOP", <-popped, []string{p.prefix + "queue", "work"})
}
