import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import redis.clients.jedis.CommandArguments;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.ReliableTransaction;
import redis.clients.jedis.commands.ProtocolCommand;
import redis.clients.jedis.exceptions.JedisDataException;

/** Jedis with its pooled client; a command that it does not know is a ProtocolCommand. */
final class JedisClient extends Interop<RedisClient> {
  private final RedisProtocol protocol;

  private JedisClient(RedisProtocol protocol) {
    super(protocol, JedisDataException.class);
    this.protocol = protocol;
  }

  public static void main(String[] args) throws Exception {
    new JedisClient(RedisProtocol.RESP2).run();
    new JedisClient(RedisProtocol.RESP3).run();
  }

  @Override
  RedisClient open(int port, String password) {
    var config = DefaultJedisClientConfig.builder().protocol(protocol).password(password);
    config.clientName(key("client")).timeoutMillis(1000 * HANG_SECONDS);
    return RedisClient.builder().hostAndPort(HOST, port).clientConfig(config.build()).build();
  }

  @Override
  Object call(RedisClient client, String... words) {
    return client.executeCommand(command(words));
  }

  private static CommandArguments command(String... words) {
    ProtocolCommand name = () -> words[0].getBytes(UTF_8);
    return new CommandArguments(name).addObjects(List.of(words).subList(1, words.length));
  }

  @Override
  void relays() {
    equal("OK", client.set(key("text"), "grün"));
    equal("grün", client.get(key("text")));
    equal(1L, client.incr(key("number")));
    equal(2L, client.hset(key("hash"), Map.of("a", "1", "b", "2")));
    equal(Map.of("a", "1", "b", "2"), client.hgetAll(key("hash")));
    equal(3L, client.rpush(key("list"), "x", "y", "z"));
    equal(List.of("x", "y", "z"), client.lrange(key("list"), 0, -1));
    byte[] binary = key("binary").getBytes(UTF_8);
    equal("OK", client.set(binary, allBytes()));
    equal(allBytes(), client.get(binary));
    equal("OK", client.set(key("large"), MEGABYTE));
    equal(MEGABYTE, client.get(key("large")));
    fails("ERR value is not an integer or out of range", () -> client.incr(key("text")));
  }

  @Override
  List<Object> pipeline(RedisClient client, List<String[]> commands) {
    try (var pipeline = client.pipelined()) {
      for (var words : commands) pipeline.sendCommand(command(words));
      return pipeline.syncAndReturnAll();
    }
  }

  /**
   * Jedis reads a subscribed connection in a loop and runs nothing else there, with RESP3 either.
   */
  @Override
  AutoCloseable subscribe(String channel, Consumer<String> heard) throws Exception {
    var subscriber =
        new JedisPubSub() {
          @Override
          public void onMessage(String channel, String message) {
            heard.accept(message);
          }
        };
    var ended = CompletableFuture.runAsync(() -> client.subscribe(subscriber, channel));
    await("the subscription", subscriber::isSubscribed);
    return () -> {
      subscriber.unsubscribe();
      ended.get(HANG_SECONDS, TimeUnit.SECONDS);
    };
  }

  @Override
  void transacts() {
    String key = key("watched");
    for (boolean conflict : List.of(true, false)) {
      try (var transaction = client.transaction(false)) {
        transaction.watch(key);
        if (conflict) client.set(key, "1");
        transaction.multi();
        transaction.incr(key);
        transaction.get(key);
        equal(conflict ? null : List.of(2L, "2"), transaction.exec());
      }
    }
    try (var connection = client.getPool().getResource()) {
      var transaction = new ReliableTransaction(connection);
      transaction.incr(key);
      String refusal = "ERR Command not allowed inside a transaction";
      fails(refusal, () -> transaction.sendCommand(command("RLOCK", key, TTL)));
      fails("EXECABORT", transaction::exec);
      Lock lock = Lock.of(connection.executeCommand(command("RLOCK", key, TTL)));
      equal(1L, connection.executeCommand(command("RUNLOCK", key, lock.token())));
    }
    equal("2", client.get(key));
  }

  @Override
  void pops(String key, String value) {
    equal(List.of(key, value), client.blpop(HANG_SECONDS, key));
  }
}
