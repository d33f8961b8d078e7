// What go-redis does through redlock-proxy: the list in ../README.md, with RESP2 and again with RESP3. Each connection
// says HELLO first, and with RESP3 `CLIENT MAINT_NOTIFICATIONS` as well, which most servers refuse and go-redis survives.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
)

const ttl = 30_000

var (
	ctx       = context.Background()
	tokenForm = regexp.MustCompile(`^(worker-7:)?[0-9a-f]{40}$`)
)

// Everything that go-redis sends commands with: a client, one of its connections, a pipeline.
type sender interface {
	Do(context.Context, ...any) *redis.Cmd
}

// One pass through the list.
type pass struct {
	*redis.Client
	protocol int
	prefix   string
}

func main() {
	log.SetFlags(log.Lshortfile)
	points := []struct {
		name  string
		check func(*pass)
	}{
		{"greeting and password", (*pass).greeting}, {"ordinary commands", (*pass).ordinary}, {"locks", (*pass).locks},
		{"pool", (*pass).pool}, {"pipelines", (*pass).pipelines}, {"subscriptions", (*pass).subscriptions},
		{"transactions", (*pass).transactions}, {"blocking commands", (*pass).blocking}, {"outage", (*pass).outage},
	}
	time.AfterFunc(5*time.Minute, func() { log.Fatal("this hangs") })
	for _, protocol := range []int{2, 3} {
		p := &pass{protocol: protocol, prefix: fmt.Sprintf("%sresp%d:", os.Getenv("KEY_PREFIX"), protocol)}
		p.Client = p.open("PROXY_PORT")
		for i, point := range points {
			point.check(p)
			fmt.Printf("ok %d RESP%d %s\n", i+1, protocol, point.name)
		}
		expect("closing", p.Close(), nil)
	}
}

func (p *pass) open(port string, change ...func(*redis.Options)) *redis.Client {
	options := &redis.Options{Addr: "127.0.0.1:" + os.Getenv(port), Protocol: p.protocol}
	for _, change := range change {
		change(options)
	}
	return redis.NewClient(options)
}

// tryLock takes the lock and returns its token, or "" when somebody else has it.
func tryLock(c sender, key string, options ...any) string {
	reply, err := c.Do(ctx, append([]any{"RLOCK", key, ttl}, options...)...).Slice()
	if errors.Is(err, redis.Nil) {
		return ""
	}
	return granted(must(reply, err))
}

func lock(c sender, key string, options ...any) string {
	token := tryLock(c, key, options...)
	expect("taken", token != "", true)
	return token
}

// granted looks at RLOCK's reply and returns the token.
func granted(reply []any) string {
	expect("length of the reply", len(reply), 2)
	expect("token", tokenForm.MatchString(reply[0].(string)), true)
	validity := reply[1].(int64)
	expect(fmt.Sprint("validity ", validity), 0 < validity && validity <= ttl, true)
	return reply[0].(string)
}

func release(c sender, key, token string) {
	expect("RUNLOCK", must(c.Do(ctx, "RUNLOCK", key, token).Int()), 1)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

func expect(what string, found, expected any) {
	if !reflect.DeepEqual(found, expected) {
		log.Output(2, fmt.Sprintf("%s: found %.200s, expected %.200s", what, fmt.Sprint(found), fmt.Sprint(expected)))
		os.Exit(1)
	}
}
