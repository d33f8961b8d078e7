import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * What the Java clients share: the list in tests/interop/README.md with its checks on locks. What a
 * library has an interface of its own for, its client writes with that: pipelines, pub/sub and so
 * on.
 */
@SuppressWarnings("try") // That a close may be interrupted, as AutoCloseable allows, does no harm.
abstract class Interop<C extends AutoCloseable> {
  static final String HOST = "127.0.0.1";
  static final long TTL_MS = 30_000;
  static final String TTL = String.valueOf(TTL_MS);
  static final String NO_TOKEN = "0".repeat(40);
  static final String MEGABYTE = "megabyte".repeat(1 << 17);
  static final int WORKERS = 8;
  static final int ROUNDS = 50;

  /** Against hanging only: nothing here depends on how long anything takes. */
  static final int HANG_SECONDS = 60;

  final Object protocol;
  private final Class<? extends Exception> errorReply;

  /** The one on PROXY_PORT. */
  C client;

  /** The type by which the library throws a server's error reply. */
  Interop(Object protocol, Class<? extends Exception> errorReply) {
    this.protocol = protocol;
    this.errorReply = errorReply;
  }

  /** A client, its connections named key("client"), a password null where none is to be sent. */
  abstract C open(int port, String password);

  /** Any command, as the library sends what it does not know. */
  abstract Object call(C client, String... words) throws Exception;

  abstract void relays() throws Exception;

  /** The replies to commands that are sent together, without waiting between them. */
  abstract List<Object> pipeline(C client, List<String[]> commands) throws Exception;

  /** Subscribes on a connection of its own, until the result is closed. */
  abstract AutoCloseable subscribe(String channel, Consumer<String> heard) throws Exception;

  abstract void transacts() throws Exception;

  /** BLPOP of this key, which must give the value. */
  abstract void pops(String key, String value) throws Exception;

  final void run() throws Exception {
    try (C opened = another()) {
      client = opened;
      authenticates();
      ok(1, "authentication");
      speaksTheProtocol();
      relays();
      ok(2, "ordinary commands");
      locks();
      ok(3, "locks");
      pool();
      ok(4, "pool");
      pipelines();
      ok(5, "pipelines");
      subscribes();
      ok(6, "pub/sub");
      transacts();
      ok(7, "transactions");
      inThreads(2, this::blocks);
      ok(8, "blocking command");
      outlivesTheUpstream();
      ok(9, "outage");
    }
  }

  final C another() {
    return open(port("PROXY_PORT"), null);
  }

  private void authenticates() throws Exception {
    try (C friend = open(port("AUTH_PORT"), env("AUTH_PASSWORD"))) {
      lockAndUnlock(friend, key("auth"));
    }
    fails(
        "NOAUTH",
        () -> {
          try (C stranger = open(port("AUTH_PORT"), null)) {
            return call(stranger, "RLOCK", key("auth"), TTL);
          }
        });
  }

  /** A library that fell back to the other version would pass everything else. */
  private void speaksTheProtocol() throws Exception {
    Stream<String> versions =
        ownConnections().map(one -> one.replaceAll(".* resp=(.).*", "RESP$1"));
    equal(List.of(protocol.toString()), versions.distinct().toList());
  }

  private void locks() throws Exception {
    String key = key("lock");
    Lock lock = Lock.of(call(client, "RLOCK", key, TTL));
    int records = 0;
    for (String port : env("PRIMARY_PORTS").split(" ")) {
      try (C primary = open(Integer.parseInt(port), null)) {
        if (text(call(primary, "GET", key)).equals(lock.token)) records++;
      }
    }
    check(records >= 2, records + " of the primaries have the record");
    equal(null, call(client, "RLOCK", key, TTL));
    equal(null, call(client, "REXTEND", key, NO_TOKEN, TTL));
    equal(0L, call(client, "RUNLOCK", key, NO_TOKEN));
    validity(call(client, "REXTEND", key, lock.token, TTL));
    equal(1L, call(client, "RUNLOCK", key, lock.token));
    equal(0L, call(client, "RUNLOCK", key, lock.token));
    Object connection = call(client, "CLIENT", "ID");
    fails("ERR syntax error", () -> call(client, "RLOCK", key, TTL, "NONSENSE"));
    lockAndUnlock(client, key);
    equal(connection, call(client, "CLIENT", "ID"));
  }

  /** All workers with the one client; a library of single connections has more to try. */
  void pool() throws Exception {
    contend(worker -> contends(worker, client));
  }

  /** Each worker with a connection from a pool. */
  final void pool(Callable<C> pool) throws Exception {
    contend(
        worker -> {
          try (C connection = pool.call()) {
            contends(worker, connection);
          }
        });
  }

  private void contend(Work work) throws Exception {
    call(client, "SET", key("counter"), "0");
    inThreads(WORKERS, work);
    equal(String.valueOf(WORKERS * ROUNDS), text(call(client, "GET", key("counter"))));
  }

  private void contends(int worker, C client) throws Exception {
    for (int round = 0; round < ROUNDS; round++) {
      lockAndUnlock(client, key("own" + worker));
      Object reply;
      while ((reply = call(client, "RLOCK", key("shared"), TTL)) == null) pause();
      long count = Long.parseLong(text(call(client, "GET", key("counter"))));
      call(client, "SET", key("counter"), String.valueOf(count + 1));
      equal(1L, call(client, "RUNLOCK", key("shared"), Lock.of(reply).token));
    }
  }

  private void pipelines() throws Exception {
    String data = key("pipe");
    String one = key("pipe1");
    String two = key("pipe2");
    String[] set = {"SET", data, "1"};
    String[] first = {"RLOCK", one, TTL};
    String[] get = {"GET", data};
    String[] second = {"RLOCK", two, TTL};
    String[] increment = {"INCR", data};
    var replies = pipeline(client, List.of(set, first, get, second, first, increment));
    equal(6, replies.size());
    equal("OK", text(replies.get(0)));
    String tokenOne = Lock.of(replies.get(1)).token;
    equal("1", text(replies.get(2)));
    String tokenTwo = Lock.of(replies.get(3)).token;
    equal(null, replies.get(4));
    equal(2L, replies.get(5));
    String[] extend = {"REXTEND", one, tokenOne, TTL};
    String[] release = {"RUNLOCK", one, tokenOne};
    String[] delete = {"DEL", data};
    String[] releaseTwo = {"RUNLOCK", two, tokenTwo};
    replies = pipeline(client, List.of(extend, release, extend, delete, releaseTwo));
    validity(replies.get(0));
    equal(Arrays.asList(1L, null, 1L, 1L), replies.subList(1, replies.size()));
  }

  private void subscribes() throws Exception {
    var heard = new LinkedBlockingQueue<String>();
    try (var subscription = subscribe(key("channel"), heard::add)) {
      lockAndUnlock(client, key("meanwhile"));
      equal(1L, call(client, "PUBLISH", key("channel"), "hello"));
      equal("hello", heard.poll(HANG_SECONDS, TimeUnit.SECONDS));
    }
  }

  private void blocks(int worker) throws Exception {
    if (worker == 0) {
      pops(key("queue"), "job");
    } else {
      await("a connection that waits in BLPOP", this::someoneBlocks);
      equal(1L, call(client, "RPUSH", key("queue"), "job"));
    }
  }

  private boolean someoneBlocks() throws Exception {
    return ownConnections().anyMatch(one -> one.contains(" cmd=blpop "));
  }

  /** What the upstream tells of this client's connections, a line each. */
  private Stream<String> ownConnections() throws Exception {
    Stream<String> all = text(call(client, "CLIENT", "LIST")).lines();
    return all.filter(one -> one.contains(" name=" + key("client") + " "));
  }

  private void outlivesTheUpstream() throws Exception {
    try (C client = open(port("OUTAGE_PORT"), null)) {
      lockAndUnlock(client, key("down"));
      fails("UPSTREAMDOWN", () -> call(client, "GET", key("text")));
      upstream("up");
      eventually(() -> call(client, "SET", key("text"), "back"));
      lockAndUnlock(client, key("up"));
      upstream("down");
      // Until the proxy and the library have noticed, a call is answered, or fails with its
      // connection.
      await("UPSTREAMDOWN", () -> isUpstreamDown(client));
      lockAndUnlock(client, key("down"));
    }
  }

  private boolean isUpstreamDown(C client) {
    try {
      call(client, "GET", key("text"));
      return false;
    } catch (Exception error) {
      return isErrorReply("UPSTREAMDOWN", error);
    }
  }

  void lockAndUnlock(C client, String key) throws Exception {
    Lock lock = Lock.of(call(client, "RLOCK", key, TTL));
    equal(1L, call(client, "RUNLOCK", key, lock.token));
  }

  /** What RLOCK answered: it looks as the contract wants it, or is an error. */
  record Lock(String token, long validity) {
    static Lock of(Object reply) {
      check(reply instanceof List<?> two && two.size() == 2, "RLOCK answered " + reply);
      String token = text(((List<?>) reply).get(0));
      check(token.matches("[0-9a-f]{40}"), "the token is " + token);
      return new Lock(token, Interop.validity(((List<?>) reply).get(1)));
    }
  }

  static long validity(Object reply) {
    check(reply instanceof Long, "the validity is " + text(reply));
    long validity = (Long) reply;
    check(0 < validity && validity <= TTL_MS, "the validity is " + validity);
    return validity;
  }

  private void ok(int point, String what) {
    System.out.println("ok " + point + " " + protocol + " " + what);
  }

  String key(String name) {
    return env("KEY_PREFIX") + protocol + ":" + name;
  }

  static String env(String name) {
    String value = System.getenv(name);
    check(value != null, name + " is not set: `make interop` starts the servers and sets it");
    return value;
  }

  static int port(String name) {
    return Integer.parseInt(env(name));
  }

  static byte[] allBytes() {
    var bytes = new byte[256];
    for (int i = 0; i < bytes.length; i++) bytes[i] = (byte) i;
    return bytes;
  }

  static void check(boolean holds, String otherwise) {
    if (!holds) throw new AssertionError(otherwise);
  }

  static void equal(Object expected, Object actual) {
    boolean same = Objects.deepEquals(expected, actual);
    check(same, "expected " + text(expected) + ", got " + text(actual));
  }

  /** The call must throw the library's error reply with these words. */
  void fails(String words, Callable<?> call) {
    Object answer;
    try {
      answer = call.call();
    } catch (Exception error) {
      if (isErrorReply(words, error)) return;
      throw new AssertionError("expected the error reply " + words, error);
    }
    throw new AssertionError("expected the error reply " + words + ", got " + text(answer));
  }

  /** Whether this or what caused it is an error reply that begins so. */
  private boolean isErrorReply(String words, Throwable error) {
    if (error == null) return false;
    boolean told = String.valueOf(error.getMessage()).startsWith(words);
    return told && errorReply.isInstance(error) || isErrorReply(words, error.getCause());
  }

  /** Repeats the call until it throws nothing, as a program does after an outage. */
  private static void eventually(Callable<?> call) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(HANG_SECONDS);
    while (true) {
      try {
        call.call();
        return;
      } catch (Exception error) {
        if (System.nanoTime() > end) throw error;
        pause();
      }
    }
  }

  static void await(String what, Callable<Boolean> holds) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(HANG_SECONDS);
    while (!holds.call()) {
      check(System.nanoTime() < end, "waited in vain for " + what);
      pause();
    }
  }

  private static void pause() throws InterruptedException {
    Thread.sleep(ThreadLocalRandom.current().nextInt(1, 10));
  }

  interface Work {
    void run(int worker) throws Exception;
  }

  /** Runs the work in so many threads at once, and fails when one of them does. */
  private static void inThreads(int workers, Work work) throws Exception {
    var threads = Executors.newFixedThreadPool(workers);
    try {
      var running = new ArrayList<Future<?>>();
      for (int i = 0; i < workers; i++) {
        int worker = i;
        Callable<?> task =
            () -> {
              work.run(worker);
              return null;
            };
        running.add(threads.submit(task));
      }
      for (var one : running) one.get(2 * HANG_SECONDS, TimeUnit.SECONDS);
    } finally {
      threads.shutdownNow();
    }
  }

  /** Makes the upstream behind OUTAGE_PORT reachable ("up") or unreachable ("down"). */
  private static void upstream(String state) throws IOException {
    try (var socket = new Socket(HOST, port("SWITCH_PORT"))) {
      socket.getOutputStream().write((state + "\n").getBytes(StandardCharsets.UTF_8));
      var answer = new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8);
      equal("ok", new BufferedReader(answer).readLine());
    }
  }

  /** A library that does not know a command gives the strings in its reply as bytes. */
  static String text(Object value) {
    return value instanceof byte[] bytes
        ? new String(bytes, StandardCharsets.UTF_8)
        : String.valueOf(value);
  }
}
