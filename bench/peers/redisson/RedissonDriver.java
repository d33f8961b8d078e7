import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.MILLISECONDS;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.redisson.Redisson;
import org.redisson.RedissonRedLock;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;

/**
 * Redisson's Redlock as bench/peers/README.md asks for it: an RLock of each primary, taken
 * together. An RLock's record is a hash of its holders, and a holder is a thread.
 */
final class RedissonDriver {
  private static final long TTL_MS = 30_000;

  private final List<RedissonClient> primaries =
      Stream.of(System.getenv("PRIMARY_PORTS").split(" ")).map(RedissonDriver::connect).toList();
  private final Map<String, Held> held = new HashMap<>();

  /** A lock and the thread that took it: no other may release it. */
  private record Held(RLock lock, ExecutorService thread) {}

  public static void main(String[] args) throws Exception {
    var driver = new RedissonDriver();
    System.out.println("ready redisson " + Redisson.class.getPackage().getImplementationVersion());
    var orders = new BufferedReader(new InputStreamReader(System.in, UTF_8));
    for (String order; (order = orders.readLine()) != null; ) {
      System.out.println(driver.answer(order.split(" ")));
    }
    // The threads of locks that are still held would keep the program alive.
    System.exit(0);
  }

  private static RedissonClient connect(String port) {
    var config = new Config();
    config.useSingleServer().setAddress("redis://127.0.0.1:" + port);
    return Redisson.create(config);
  }

  private String answer(String[] order) throws Exception {
    try {
      return switch (order[0] + "/" + order.length) {
        case "acquire/3" -> acquire(order[1], Long.parseLong(order[2]));
        // An RLock's lease cannot be extended; only one without an end is, by Redisson itself.
        case "extend/3" -> "unsupported";
        case "release/2" -> release(order[1]);
        case "drive/5" -> drive(order[1], Integer.parseInt(order[2]), order[3], order[4]);
        default -> "error unknown command";
      };
    } catch (NumberFormatException notANumber) {
      return "error unknown command";
    } catch (ExecutionException failure) {
      String reason = failure.getCause().toString().lines().findFirst().orElseThrow();
      return (order[0].equals("acquire") ? "refused " : "failed ") + reason;
    }
  }

  /** It is deprecated, and what Redisson has for independent primaries. */
  @SuppressWarnings("deprecation")
  private RLock redlock(String key) {
    return new RedissonRedLock(
        primaries.stream().map(primary -> primary.getLock(key)).toArray(RLock[]::new));
  }

  private String acquire(String key, long ttlMs) throws Exception {
    var attempt = new Held(redlock(key), Executors.newSingleThreadExecutor());
    if (attempt.thread.submit(() -> attempt.lock.tryLock(0, ttlMs, MILLISECONDS)).get()) {
      held.put(key, attempt);
      return "held";
    }
    attempt.thread.shutdown();
    return "refused tryLock: false";
  }

  /** Redisson's unlock tells nobody what the primaries answered. */
  private String release(String key) throws Exception {
    Held own = held.remove(key);
    if (own == null) return "failed this driver has not taken it";
    own.thread.submit(own.lock::unlock).get();
    own.thread.shutdown();
    return "released";
  }

  private String drive(String how, int clients, String milliseconds, String name) throws Exception {
    boolean contended = how.equals("contended");
    if (!contended && !how.equals("distinct")) return "error unknown command";
    long start = System.nanoTime();
    long end = start + MILLISECONDS.toNanos(Long.parseLong(milliseconds));
    var race = new Race(new AtomicReference<>(), new AtomicLong());
    var tasks = new ArrayList<Callable<Worked>>();
    for (int i = 0; i < clients; i++) {
      var lock = redlock(contended ? name : name + i);
      tasks.add(() -> work(lock, contended, end, race));
    }
    var threads = Executors.newFixedThreadPool(clients);
    var workers = new ArrayList<Worked>();
    for (var task : threads.invokeAll(tasks)) workers.add(task.get());
    threads.shutdown();
    long elapsedUs = (System.nanoTime() - start) / 1000;

    Stream<Long> latencies = workers.stream().flatMap(one -> one.us.stream());
    long[] us = latencies.mapToLong(Long::longValue).sorted().toArray();
    return "{\"pairs\":%d,\"elapsed_us\":%d".formatted(us.length, elapsedUs)
        + ",\"hand_overs\":%d".formatted(race.handOvers.get())
        + ",\"p50_us\":%d,\"p99_us\":%d".formatted(percentile(us, 0.5), percentile(us, 0.99))
        + ",\"p999_us\":%d".formatted(percentile(us, 0.999))
        + ",\"errors\":%d".formatted(workers.stream().mapToLong(Worked::errors).sum())
        + ",\"clients\":%s}".formatted(workers.stream().map(one -> one.us.size()).toList());
  }

  private static long percentile(long[] sorted, double share) {
    return sorted.length == 0 ? 0 : sorted[(int) Math.ceil(share * sorted.length) - 1];
  }

  /** What one worker did: how long each pair of lock and unlock took, and what failed. */
  private record Worked(List<Long> us, long errors) {}

  /** How often a pair was another worker's than the one before. */
  private record Race(AtomicReference<Thread> last, AtomicLong handOvers) {
    void note() {
      if (last.getAndSet(Thread.currentThread()) != Thread.currentThread()) handOvers.incrementAndGet();
    }
  }

  private static Worked work(RLock lock, boolean contended, long end, Race race)
      throws InterruptedException {
    var us = new ArrayList<Long>();
    long errors = 0;
    for (long asked; (asked = System.nanoTime()) < end; ) {
      // Only a contender waits, and as long as there is time; then it gives up, which is no error.
      long waitMs = contended ? (end - asked) / 1_000_000 + 1 : 0;
      try {
        if (lock.tryLock(waitMs, TTL_MS, MILLISECONDS)) {
          lock.unlock();
          us.add((System.nanoTime() - asked) / 1000);
          race.note();
        } else if (!contended) {
          errors++;
        }
      } catch (RuntimeException error) {
        System.err.println(error);
        errors++;
      }
    }
    return new Worked(us, errors);
  }
}
