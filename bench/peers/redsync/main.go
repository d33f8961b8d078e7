// redsync on the primaries themselves, driven line by line from standard input: whether it and the proxy exclude each
// other, and how fast it is. One go-redis pool per primary, as redsync's own documentation shows.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

type driver struct {
	locks *redsync.Redsync
	held  map[string]*redsync.Mutex
}

func main() {
	var pools []redsyncredis.Pool
	for port := range strings.FieldsSeq(os.Getenv("PRIMARY_PORTS")) {
		pools = append(pools, goredis.NewPool(redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port})))
	}
	d := driver{redsync.New(pools...), map[string]*redsync.Mutex{}}
	fmt.Println("ready redsync", version())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(d.answer(strings.Fields(lines.Text())))
	}
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/go-redsync/redsync/v4" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

func (d *driver) answer(words []string) string {
	number := func(at int) int { n, _ := strconv.Atoi(words[at]); return n }
	milliseconds := func(at int) time.Duration { return time.Duration(number(at)) * time.Millisecond }
	switch {
	case len(words) == 3 && words[0] == "acquire" && number(2) > 0:
		return d.acquire(words[1], milliseconds(2))
	case len(words) == 3 && words[0] == "extend" && number(2) > 0:
		return d.extend(words[1], milliseconds(2))
	case len(words) == 2 && words[0] == "release":
		return d.release(words[1])
	case len(words) == 5 && words[0] == "drive" && number(2) > 0 && number(3) > 0:
		switch words[1] {
		case "distinct":
			return d.drive(number(2), milliseconds(3), func(i int) string { return words[4] + strconv.Itoa(i) })
		case "contended":
			return d.drive(number(2), milliseconds(3), func(int) string { return words[4] })
		}
	}
	return "error unknown command"
}

func (d *driver) acquire(key string, ttl time.Duration) string {
	mutex := d.locks.NewMutex(key, redsync.WithExpiry(ttl))
	if err := mutex.TryLock(); err != nil {
		return "refused " + oneLine(err)
	}
	d.held[key] = mutex
	return "held " + hex.EncodeToString([]byte(mutex.Value()))
}

// A mutex extends by the expiry that it was made with: another one of the same value extends by another.
func (d *driver) extend(key string, ttl time.Duration) string {
	mutex, ok := d.held[key]
	if !ok {
		return "failed not taken here"
	}
	mutex = d.locks.NewMutex(key, redsync.WithExpiry(ttl), redsync.WithValue(mutex.Value()))
	if ok, err := mutex.Extend(); !ok {
		return "failed " + oneLine(err)
	}
	return "extended"
}

func (d *driver) release(key string) string {
	mutex, ok := d.held[key]
	if !ok {
		return "failed not taken here"
	}
	delete(d.held, key)
	if ok, err := mutex.Unlock(); !ok {
		return "failed " + oneLine(err)
	}
	return "released"
}

func oneLine(err error) string {
	return strings.ReplaceAll(fmt.Sprint(err), "\n", "; ")
}
