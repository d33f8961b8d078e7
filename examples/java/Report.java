import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.List;
import java.util.UUID;
import redis.clients.jedis.CommandArguments;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.commands.ProtocolCommand;

/** Of many workers only one writes the report: a lock is taken, extended and released. */
public final class Report {
  private static final long TTL_MS = 10_000;

  public static void main(String[] args) throws InterruptedException {
    int port = Integer.parseInt(System.getenv().getOrDefault("PROXY_PORT", "6379"));
    String job = System.getenv().getOrDefault("KEY_PREFIX", "") + "report";
    String worker = "worker-" + UUID.randomUUID();

    try (var redis = RedisClient.create("127.0.0.1", port);
        var lock = Lock.take(redis, job, worker)) {
      if (lock == null) {
        System.err.println("another worker is at it");
        System.exit(1);
      }

      try (var others = Lock.take(redis, job, "another worker")) {
        if (others != null) throw new IllegalStateException("two hold the lock");
        System.out.println("another worker is told that somebody does it");
      }
      for (int part = 1; part <= 3; part++) {
        if (!lock.isHeld()) throw new IllegalStateException("the lock may be another's by now");
        System.out.println("writing part " + part + " of 3");
        Thread.sleep(100); // the work
        lock.extend();
      }
    }
    System.out.println("the report is written");
  }

  /** A lock held through redlock-proxy. Ask isHeld before each step that must not be done twice. */
  static final class Lock implements AutoCloseable {
    private enum Command implements ProtocolCommand {
      RLOCK,
      REXTEND,
      RUNLOCK;

      @Override
      public byte[] getRaw() {
        return name().getBytes(UTF_8);
      }
    }

    private final RedisClient redis;
    private final String key;
    private final String token;
    private long end;

    private Lock(RedisClient redis, String key, String token) {
      this.redis = redis;
      this.key = key;
      this.token = token;
    }

    /**
     * Null when another owner holds it. An owner that asks once more, because a connection broke
     * before the answer, gets its lock again.
     */
    static Lock take(RedisClient redis, String key, String owner) {
      long asked = System.nanoTime();
      var command = new CommandArguments(Command.RLOCK).key(key).add(TTL_MS);
      var granted = (List<?>) redis.executeCommand(command.add("OWNER").add(owner));
      if (granted == null) return null;
      var lock = new Lock(redis, key, new String((byte[]) granted.get(0), UTF_8));
      lock.holdUntil(asked, (Long) granted.get(1));
      return lock;
    }

    /** Whether the lock is surely still ours. */
    boolean isHeld() {
      return System.nanoTime() - end < 0;
    }

    /** An error, such as NOQUORUM, is thrown: what was held before is held still. */
    void extend() {
      long asked = System.nanoTime();
      var command = new CommandArguments(Command.REXTEND).key(key).add(token).add(TTL_MS);
      var validity = (Long) redis.executeCommand(command);
      holdUntil(asked, validity == null ? 0 : validity); // null: it is lost
    }

    /** Counted from before asking, since nobody knows how long the answer was on its way. */
    private void holdUntil(long asked, long validityMs) {
      end = asked + validityMs * 1_000_000;
    }

    @Override
    public void close() {
      redis.executeCommand(new CommandArguments(Command.RUNLOCK).key(key).add(token));
    }
  }
}
