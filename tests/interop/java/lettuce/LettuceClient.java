import static java.nio.charset.StandardCharsets.UTF_8;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.KeyValue;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.ArrayOutput;
import io.lettuce.core.protocol.CommandArgs;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.support.ConnectionPoolSupport;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.apache.commons.pool2.impl.GenericObjectPoolConfig;

/** Lettuce: one connection for all threads, or a pool, and dispatch for what it does not know. */
final class LettuceClient extends Interop<StatefulRedisConnection<String, String>> {
  private final RedisClient redis = RedisClient.create();

  private LettuceClient(ProtocolVersion protocol) {
    super(protocol, RedisCommandExecutionException.class);
    redis.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
  }

  public static void main(String[] args) throws Exception {
    for (var protocol : ProtocolVersion.values()) new LettuceClient(protocol).run();
  }

  private RedisURI uri(int port, String password) {
    var uri = RedisURI.builder().withHost(HOST).withPort(port).withClientName(key("client"));
    if (password != null) uri.withPassword(password.toCharArray());
    return uri.build();
  }

  @Override
  StatefulRedisConnection<String, String> open(int port, String password) {
    return redis.connect(uri(port, password));
  }

  @Override
  Object call(StatefulRedisConnection<String, String> client, String... words) throws Exception {
    return send(client, words).get();
  }

  private static CompletableFuture<Object> send(
      StatefulRedisConnection<String, String> client, String... words) {
    var arguments = new CommandArgs<>(StringCodec.UTF8);
    for (int i = 1; i < words.length; i++) arguments.add(words[i]);
    var output = new ArrayOutput<>(StringCodec.UTF8);
    var reply = client.async().dispatch(() -> words[0].getBytes(UTF_8), output, arguments);
    return reply.toCompletableFuture().thenApply(LettuceClient::unwrapped);
  }

  /** ArrayOutput makes RESP2's null array an empty list, and what is no array a list of one. */
  private static Object unwrapped(List<Object> list) {
    if (list.isEmpty()) return null;
    return list.size() == 1 ? list.get(0) : list;
  }

  @Override
  void relays() {
    var commands = client.sync();
    equal("OK", commands.set(key("text"), "grün"));
    equal("grün", commands.get(key("text")));
    equal(1L, commands.incr(key("number")));
    equal(2L, commands.hset(key("hash"), Map.of("a", "1", "b", "2")));
    equal(Map.of("a", "1", "b", "2"), commands.hgetall(key("hash")));
    equal(3L, commands.rpush(key("list"), "x", "y", "z"));
    equal(List.of("x", "y", "z"), commands.lrange(key("list"), 0, -1));
    equal("OK", commands.set(key("large"), MEGABYTE));
    equal(MEGABYTE, commands.get(key("large")));
    fails("ERR value is not an integer or out of range", () -> commands.incr(key("text")));
    try (var bytes = redis.connect(ByteArrayCodec.INSTANCE, uri(port("PROXY_PORT"), null))) {
      equal("OK", bytes.sync().set(key("binary").getBytes(UTF_8), allBytes()));
      equal(allBytes(), bytes.sync().get(key("binary").getBytes(UTF_8)));
    }
  }

  @Override
  void pool() throws Exception {
    super.pool();
    var config = new GenericObjectPoolConfig<StatefulRedisConnection<String, String>>();
    try (var pool = ConnectionPoolSupport.createGenericObjectPool(this::another, config)) {
      pool(pool::borrowObject);
    }
  }

  @Override
  List<Object> pipeline(StatefulRedisConnection<String, String> client, List<String[]> commands) {
    client.setAutoFlushCommands(false);
    var replies = commands.stream().map(words -> send(client, words)).toList();
    client.flushCommands();
    client.setAutoFlushCommands(true);
    return replies.stream().map(CompletableFuture::join).toList();
  }

  /** With RESP3 the library runs other commands on a subscribed connection too. */
  @Override
  AutoCloseable subscribe(String channel, Consumer<String> heard) throws Exception {
    var subscriber = redis.connectPubSub(uri(port("PROXY_PORT"), null));
    subscriber.addListener(
        new RedisPubSubAdapter<>() {
          @Override
          public void message(String channel, String message) {
            heard.accept(message);
          }
        });
    subscriber.sync().subscribe(channel);
    if (protocol == ProtocolVersion.RESP3) lockAndUnlock(subscriber, key("same"));
    return subscriber;
  }

  @Override
  void transacts() throws Exception {
    String key = key("watched");
    try (var connection = another()) {
      var commands = connection.sync();
      for (boolean conflict : List.of(true, false)) {
        commands.watch(key);
        if (conflict) client.sync().set(key, "1");
        commands.multi();
        commands.incr(key);
        commands.get(key);
        var result = commands.exec();
        equal(conflict, result.wasDiscarded());
        equal(conflict ? List.of() : List.of(2L, "2"), result.stream().toList());
      }
      commands.multi();
      commands.incr(key);
      var refused = send(connection, "RLOCK", key, TTL);
      fails("EXECABORT", commands::exec);
      fails("ERR Command not allowed inside a transaction", refused::get);
      lockAndUnlock(connection, key);
      equal("2", commands.get(key));
    }
  }

  @Override
  void pops(String key, String value) {
    try (var connection = another()) {
      equal(KeyValue.just(key, value), connection.sync().blpop(HANG_SECONDS, key));
    }
  }
}
