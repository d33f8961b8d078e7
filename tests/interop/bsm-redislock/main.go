// A program that locks with bsm/redislock on its ordinary server goes on doing so through redlock-proxy: the same steps
// against the upstream itself and against the relay in front of it must let it observe the same, line by line.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

// What the library promises, whatever stands between it and the server.
const promised = `record is token and metadata: true
ttl is 0 to 30 s: <nil> true
obtain, held by another: redislock: not obtained
obtain with the holder's token: <nil>
refresh: <nil>
ttl is 30 to 60 s: <nil> true
obtain, three retries: redislock: not obtained, asked to wait 4 times
obtain, until the context ends: context deadline exceeded
obtain, released at the second retry: asked to wait 2 times
ttl of a lock released: <nil> 0s
refresh of a lock released: redislock: not obtained
release of a lock that is another's by now: redislock: lock not held
the other has it still: true
release: <nil>
record is gone: true
release once more: redislock: lock not held
release when it has expired: redislock: lock not held
`

var ctx = context.Background()

// waits is a retry strategy that counts how often it is asked for a delay, and does something meanwhile.
type waits struct {
	redislock.RetryStrategy
	count     int
	meanwhile func(count int)
}

func (w *waits) NextBackoff() time.Duration {
	w.count++
	if w.meanwhile != nil {
		w.meanwhile(w.count)
	}
	return w.RetryStrategy.NextBackoff()
}

func main() {
	for _, protocol := range []int{2, 3} {
		for _, port := range []string{"UPSTREAM_PORT", "PROXY_PORT"} {
			if observed := observe(port, protocol); observed != promised {
				log.Fatalf("%s, RESP%d: observed\n%s\nexpected\n%s", port, protocol, observed, promised)
			}
		}
		fmt.Printf("ok RESP%d as with the server itself\n", protocol)
	}
}

func observe(port string, protocol int) string {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + os.Getenv(port), Protocol: protocol})
	defer client.Close()
	locker := redislock.New(client)
	key := fmt.Sprintf("%s%s:%d", os.Getenv("KEY_PREFIX"), port, protocol)
	var seen strings.Builder
	see := func(format string, values ...any) { fmt.Fprintf(&seen, format+"\n", values...) }
	obtain := func(ttl time.Duration, options *redislock.Options) (*redislock.Lock, error) {
		return locker.Obtain(ctx, key, ttl, options)
	}
	mustObtain := func(ttl time.Duration, options *redislock.Options) *redislock.Lock {
		lock, err := obtain(ttl, options)
		if err != nil {
			log.Fatalf("%s, RESP%d: obtain: %v, after\n%s", port, protocol, err, seen.String())
		}
		return lock
	}

	first := mustObtain(30*time.Second, &redislock.Options{Metadata: " by the first"})
	see("record is token and metadata: %v", client.Get(ctx, key).Val() == first.Token()+" by the first")
	ttl, err := first.TTL(ctx)
	see("ttl is 0 to 30 s: %v %v", err, 0 < ttl && ttl <= 30*time.Second)
	_, err = obtain(time.Second, nil)
	see("obtain, held by another: %v", err)
	_, err = obtain(30*time.Second, &redislock.Options{Token: first.Token(), Metadata: first.Metadata()})
	see("obtain with the holder's token: %v", err)
	see("refresh: %v", first.Refresh(ctx, time.Minute, nil))
	ttl, err = first.TTL(ctx)
	see("ttl is 30 to 60 s: %v %v", err, 30*time.Second < ttl && ttl <= time.Minute)

	limited := &waits{RetryStrategy: redislock.LimitRetry(redislock.LinearBackoff(time.Millisecond), 3)}
	_, err = obtain(time.Minute, &redislock.Options{RetryStrategy: limited})
	see("obtain, three retries: %v, asked to wait %d times", err, limited.count)
	soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	endless := redislock.ExponentialBackoff(16*time.Millisecond, 32*time.Millisecond)
	_, err = locker.Obtain(soon, key, time.Minute, &redislock.Options{RetryStrategy: endless})
	cancel()
	see("obtain, until the context ends: %v", err)
	patient := &waits{RetryStrategy: redislock.LinearBackoff(time.Millisecond), meanwhile: func(count int) {
		if count == 2 {
			first.Release(ctx)
		}
	}}
	second := mustObtain(time.Minute, &redislock.Options{RetryStrategy: patient})
	see("obtain, released at the second retry: asked to wait %d times", patient.count)

	ttl, err = first.TTL(ctx)
	see("ttl of a lock released: %v %v", err, ttl)
	see("refresh of a lock released: %v", first.Refresh(ctx, time.Minute, nil))
	see("release of a lock that is another's by now: %v", first.Release(ctx))
	see("the other has it still: %v", client.Get(ctx, key).Val() == second.Token())
	see("release: %v", second.Release(ctx))
	see("record is gone: %v", client.Exists(ctx, key).Val() == 0)
	see("release once more: %v", second.Release(ctx))

	brief := mustObtain(time.Millisecond, nil)
	for client.Exists(ctx, key).Val() == 1 {
		time.Sleep(time.Millisecond)
	}
	see("release when it has expired: %v", brief.Release(ctx))
	return seen.String()
}
