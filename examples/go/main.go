// Three workers go through the same jobs. Whoever holds a job's lock does it; the others go on to the next one.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var jobs = []string{"invoices", "reminders", "statistics", "backup"}

func main() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + cmp.Or(os.Getenv("PROXY_PORT"), "6379")})
	defer client.Close()
	key := func(job string) string { return os.Getenv("KEY_PREFIX") + job }
	for _, job := range jobs {
		must(client.Del(ctx, key(job)+":done").Err())
	}

	var workers sync.WaitGroup
	for worker := range 3 {
		workers.Go(func() {
			for _, job := range jobs {
				err := Hold(ctx, client, key(job), 10*time.Second, func(ctx context.Context) error {
					return doOnce(ctx, client, key(job), func() { fmt.Printf("worker %d: %s\n", worker, job) })
				})
				if !errors.Is(err, ErrHeld) {
					must(err)
				}
			}
		})
	}
	workers.Wait()

	for _, job := range jobs {
		if done := client.Get(ctx, key(job)+":done").Val(); done != "1" {
			log.Fatalf("%s was done %q times", job, done)
		}
	}
	fmt.Println("each job was done once")
}

// doOnce is called under the job's lock, so that nobody else can do it between the look and the note.
func doOnce(ctx context.Context, client *redis.Client, key string, do func()) error {
	if done, err := client.Exists(ctx, key+":done").Result(); err != nil || done == 1 {
		return err
	}
	do()
	select {
	case <-time.After(100 * time.Millisecond): // the work
	case <-ctx.Done(): // the lock is lost: somebody else may be at it
		return ctx.Err()
	}
	return client.Incr(ctx, key+":done").Err()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
