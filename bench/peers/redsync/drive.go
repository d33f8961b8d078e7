package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redsync/redsync/v4"
)

const driveTTL = 30 * time.Second

type result struct {
	Pairs     int   `json:"pairs"`
	HandOvers int64 `json:"hand_overs"`
	ElapsedUS int64 `json:"elapsed_us"`
	P50US     int64 `json:"p50_us"`
	P99US     int64 `json:"p99_us"`
	P999US    int64 `json:"p999_us"`
	Errors    int   `json:"errors"`
	Clients   []int `json:"clients"`
}

// How often a pair was another client's than the one before.
type race struct{ last, handOvers atomic.Int64 }

func (r *race) note(client int) {
	if r.last.Swap(int64(client)) != int64(client) {
		r.handOvers.Add(1)
	}
}

// Each worker locks and unlocks in turn until the time is up, with redsync's own retries in between.
func (d *driver) drive(clients int, span time.Duration, key func(client int) string) string {
	r := result{Clients: make([]int, clients)}
	var latencies []int64
	race := race{}
	race.last.Store(-1)
	var merge sync.Mutex
	var workers sync.WaitGroup
	began := time.Now()
	for client := range clients {
		workers.Go(func() {
			own, errors := d.work(key(client), began.Add(span), func() { race.note(client) })
			merge.Lock()
			defer merge.Unlock()
			r.Clients[client] = len(own)
			r.Errors += errors
			latencies = append(latencies, own...)
		})
	}
	workers.Wait()

	r.Pairs, r.ElapsedUS = len(latencies), time.Since(began).Microseconds()
	r.HandOvers = race.handOvers.Load()
	slices.Sort(latencies)
	percentile := func(perMille int) int64 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[(len(latencies)*perMille+999)/1000-1]
	}
	r.P50US, r.P99US, r.P999US = percentile(500), percentile(990), percentile(999)
	line, _ := json.Marshal(r)
	return string(line)
}

func (d *driver) work(key string, end time.Time, done func()) (latencies []int64, errors int) {
	waiting, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	// redsync's default delay. Given up is only here, between two attempts: a context that ends in the middle of one
	// would also keep redsync from taking back what it has got.
	delay := func(int) time.Duration {
		if time.Now().After(end) {
			giveUp()
		}
		return time.Duration(50+rand.IntN(200)) * time.Millisecond
	}
	for time.Now().Before(end) {
		asked := time.Now()
		mutex := d.locks.NewMutex(
			key, redsync.WithExpiry(driveTTL), redsync.WithTries(1<<30), redsync.WithRetryDelayFunc(delay),
		)
		if mutex.LockContext(waiting) != nil {
			return latencies, errors
		}
		if ok, _ := mutex.Unlock(); ok {
			latencies = append(latencies, time.Since(asked).Microseconds())
			done()
		} else {
			errors++
		}
	}
	return latencies, errors
}
