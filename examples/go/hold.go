package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	ErrHeld = errors.New("somebody else has the lock")
	ErrLost = errors.New("the lock is lost")
)

// Hold runs work under the lock on key and renews it meanwhile. When it could not be renewed in time, the context that
// work was given ends: pass it on to whatever must not be done twice. When somebody else has the lock, it is ErrHeld.
func Hold(
	ctx context.Context, client *redis.Client, key string, ttl time.Duration, work func(context.Context) error,
) error {
	// The validity counts from before asking: nobody knows how long the answer travelled.
	asked := time.Now()
	// go-redis asks again by itself when a connection broke. By its OWNER the second question gets the lock of the first.
	grant, err := client.Do(ctx, "RLOCK", key, ttl.Milliseconds(), "OWNER", rand.Text()).Slice()
	if errors.Is(err, redis.Nil) {
		return ErrHeld
	} else if err != nil {
		return err
	}
	token, validity := grant[0].(string), grant[1].(int64)
	// Also when ctx has ended. Should it fail, the lock ends with its ttl.
	defer client.Do(context.WithoutCancel(ctx), "RUNLOCK", key, token)

	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	until := func(asked time.Time, validity int64) time.Duration {
		return time.Until(asked.Add(time.Duration(validity) * time.Millisecond))
	}
	expiry := time.AfterFunc(until(asked, validity), func() { end(ErrLost) })
	defer expiry.Stop()

	go func() {
		for renewal := time.NewTicker(ttl / 3); ; {
			select {
			case <-ctx.Done():
				return
			case <-renewal.C:
			}
			asked := time.Now()
			validity, err := client.Do(ctx, "REXTEND", key, token, ttl.Milliseconds()).Int64()
			switch {
			case err == nil:
				expiry.Reset(until(asked, validity))
			case errors.Is(err, redis.Nil):
				end(ErrLost)
			} // NOQUORUM, or no connection: the validity told before stands, and the next renewal may do better.
		}
	}()

	err = work(ctx)
	if errors.Is(context.Cause(ctx), ErrLost) {
		return ErrLost
	}
	return err
}
