package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

func (p *pass) locks() {
	job := p.prefix + "job"
	conn := p.Conn()
	defer conn.Close()
	id := must(conn.ClientID(ctx).Result())

	token := lock(conn, job)
	records := 0
	for port := range strings.FieldsSeq(os.Getenv("PRIMARY_PORTS")) {
		primary := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port})
		if primary.Get(ctx, job).Val() == token {
			records++
		}
		primary.Close()
	}
	expect(fmt.Sprint("a majority of records, ", records), records >= 2, true)

	expect("RLOCK of a held key", tryLock(p, job), "")
	validity := must(conn.Do(ctx, "REXTEND", job, token, ttl).Int())
	expect(fmt.Sprint("validity ", validity), 0 < validity && validity <= ttl, true)
	wrong := strings.Repeat("0", 40)
	expect("RUNLOCK with a wrong token", must(conn.Do(ctx, "RUNLOCK", job, wrong).Int()), 0)
	expect("REXTEND with a wrong token", conn.Do(ctx, "REXTEND", job, wrong, ttl).Err(), redis.Nil)
	release(conn, job, token)
	release(p, job, lock(p, job))

	for want, command := range map[string][]any{
		"ERR wrong number of arguments for 'rlock' command": {"RLOCK", job},
		"ERR value is not an integer or out of range":       {"RLOCK", job, "soon"},
		"ERR syntax error": {"RLOCK", job, ttl, "NOPE"},
	} {
		expect("the error", fmt.Sprint(conn.Do(ctx, command...).Err()), want)
	}
	expect("still the same connection", must(conn.ClientID(ctx).Result()), id)
}

func (p *pass) pool() {
	own, shared, counter := p.prefix+"own:", p.prefix+"shared", p.prefix+"counter"
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			for range 50 {
				key := fmt.Sprint(own, worker)
				release(p, key, lock(p, key))

				token := tryLock(p, shared)
				for ; token == ""; token = tryLock(p, shared) {
					time.Sleep(rand.N(5 * time.Millisecond))
				}
				n, err := p.Get(ctx, counter).Int()
				if !errors.Is(err, redis.Nil) {
					must(n, err)
				}
				must(p.Set(ctx, counter, n+1, 0).Result())
				release(p, shared, token)
			}
		})
	}
	workers.Wait()
	expect("increments", must(p.Get(ctx, counter).Int()), 8*50)
}

func (p *pass) pipelines() {
	key := func(i int) string { return fmt.Sprint(p.prefix, "pipelined:", i) }
	var locks, extended, released, read []*redis.Cmd
	pipeline := p.Pipeline()
	for i := range 8 {
		pipeline.Set(ctx, p.prefix+"step", i, 0)
		locks = append(locks, pipeline.Do(ctx, "RLOCK", key(i), ttl))
		read = append(read, pipeline.Do(ctx, "GET", p.prefix+"step"))
	}
	must(pipeline.Exec(ctx))

	for i := range locks {
		token := granted(must(locks[i].Slice()))
		expect("GET behind a lock", must(read[i].Text()), fmt.Sprint(i))
		extended = append(extended, pipeline.Do(ctx, "REXTEND", key(i), token, ttl))
		pipeline.Incr(ctx, p.prefix+"step")
		released = append(released, pipeline.Do(ctx, "RUNLOCK", key(i), token))
	}
	must(pipeline.Exec(ctx))
	for i := range locks {
		validity := must(extended[i].Int())
		expect(fmt.Sprint("validity ", validity), 0 < validity && validity <= ttl, true)
		expect("RUNLOCK", must(released[i].Int()), 1)
	}
	expect("INCR between locks", must(p.Get(ctx, p.prefix+"step").Int()), 7+8)
}

// go-redis sends a command once more when its connection broke: OWNER makes that safe for a lock.
func (p *pass) outage() {
	upstream := must(net.Dial("tcp", "127.0.0.1:"+os.Getenv("SWITCH_PORT")))
	defer upstream.Close()
	answers := bufio.NewReader(upstream)
	turn := func(to string) {
		must(fmt.Fprintln(upstream, to))
		expect("the switch", must(answers.ReadString('\n')), "ok\n")
	}
	client := p.open("OUTAGE_PORT", func(o *redis.Options) { o.ClientName = "worker" })
	defer client.Close()
	key := p.prefix + "job"
	lockAndRelease := func() { release(client, key, lock(client, key, "OWNER", "worker-7")) }

	lockAndRelease()
	for range 2 {
		err := client.Set(ctx, p.prefix+"n", 1, 0).Err()
		expect(fmt.Sprint("SET without upstream: ", err), redis.HasErrorPrefix(err, "UPSTREAMDOWN"), true)
		lockAndRelease()
		turn("up")
		for redis.HasErrorPrefix(client.Set(ctx, p.prefix+"n", 1, 0).Err(), "UPSTREAMDOWN") {
			time.Sleep(time.Millisecond)
		}
		expect("INCR", must(client.Incr(ctx, p.prefix+"n").Result()), int64(2))
		expect("a name given while the upstream was away", must(client.ClientGetName(ctx).Result()), "worker")
		lockAndRelease()
		turn("down")
	}
}
