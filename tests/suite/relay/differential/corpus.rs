//! Scripts of what clients do: each data type, each mode of a connection, each way of waiting.
//!
//! Nothing in here may answer differently the second time: no times, no ids, no order that a hash decides. Where servers differ
//! from each other, in what they know or how they say no, a script needs no care: each is compared with itself.

use super::script::{A, B, C, Script};

pub(super) fn all() -> Vec<Script> {
    [data(), transactions(), messages(), waiting(), tracking(), protocols(), scripting(), connection()].concat()
}

/// Every type, in RESP2 and in RESP3, command by command and in one pipeline.
fn data() -> Vec<Script> {
    let types = [
        ("strings", STRINGS),
        ("lists", LISTS),
        ("hashes", HASHES),
        ("sets", SETS),
        ("sorted sets", SORTED_SETS),
        ("streams", STREAMS),
        ("bits and counts", BITS),
        ("keys", KEYS),
    ];
    let mut scripts = Vec::new();
    for (name, commands) in types {
        let mut singly = Script::new(format!("{name}, one by one"));
        for command in commands.split(';').filter(|command| !command.trim().is_empty()) {
            singly = singly.on(A, command);
        }
        scripts.push(singly);
        scripts.push(Script::new(format!("{name}, in a pipeline")).on(A, commands));
        scripts.push(Script::new(format!("{name}, in RESP3")).masked().on(A, "HELLO 3").on(A, commands));
    }
    let binary: Vec<u8> = (0..=255).chain(*b"\r\n$3\r\n*1\r\n-ERR\r\n").collect();
    scripts.push(
        Script::new("any bytes as keys, values and channels")
            .call(A, &[b"SET", &binary[..], &binary[..]])
            .call(A, &[b"GET", &binary[..]])
            .call(A, &[b"HSET", b"h", &binary[..], b""])
            .call(A, &[b"HGETALL", b"h"])
            .call(A, &[b"ECHO", &binary[..]])
            .call(A, &[b"SET", b"", b""])
            .call(A, &[b"GET", b""])
            .call(B, &[b"SUBSCRIBE", &binary[..]])
            .call(A, &[b"PUBLISH", &binary[..], &binary[..]])
            .hear(1, B),
    );
    scripts
}

const STRINGS: &str = "SET s value; GET s; GET none; APPEND s ' and more'; STRLEN s; GETRANGE s 2 5; SETRANGE s 30 x; GET s;
    INCR n; INCRBY n 41; DECRBY n 2; INCRBYFLOAT n 0.5; GET n; INCR s; MSET a 1 b 2 c 3; MGET a none b s c; MSETNX a 9 d 9;
    SET s other NX; SET s other XX GET; GETSET s third; GETDEL s; SET t v EX 1000; TTL t; SET t v KEEPTTL; TTL t; GETEX t PERSIST;
    TTL t; SET t v EX 0; SETEX t nonsense v; LCS a b; LCS a a IDX; GET; SET a; GET a b; set lower CaSe; gEt lower";

const LISTS: &str = "RPUSH l a b c d; LPUSH l z; LRANGE l 0 -1; LRANGE none 0 -1; LLEN l; LINDEX l 1; LINDEX l 99; LPOS l c;
    LPOS l c COUNT 0; LINSERT l BEFORE c x; LSET l 0 y; LSET l 99 y; LREM l 0 x; LTRIM l 0 3; LPOP l; RPOP l 2; LPOP none;
    LPOP none 2; RPOP l 0; RPUSHX none a; LMOVE l m LEFT RIGHT; LMPOP 2 none m LEFT COUNT 3; LMPOP 1 none LEFT; GET l; RPUSH l";

const HASHES: &str =
    "HSET h a 1 b 2 c 3; HGET h a; HGET h none; HMGET h a none c; HGETALL h; HGETALL none; HLEN h; HKEYS h;
    HVALS h; HEXISTS h a; HINCRBY h a 5; HINCRBYFLOAT h b 0.25; HDEL h c none; HSETNX h a 9; HSTRLEN h b; HSCAN h 0;
    HRANDFIELD one; HSET one f v; HRANDFIELD one 1 WITHVALUES; HSET h odd; LPUSH h x";

const SETS: &str = "SADD i 3 1 2; SMEMBERS i; SMEMBERS none; SISMEMBER i 1; SMISMEMBER i 1 9; SCARD i; SADD j 2 3 4; SINTER i j;
    SUNION i j; SDIFF i j; SINTERCARD 2 i j; SINTERSTORE k i j; SUNIONSTORE k i j; SMOVE i j 1; SREM j 4 9; SADD lone member;
    SPOP lone; SPOP lone; SPOP lone 3; SSCAN i 0; SRANDMEMBER none; SRANDMEMBER none 3; SADD i";

const SORTED_SETS: &str = "ZADD z 1 a 2.5 b inf c -inf d; ZSCORE z b; ZSCORE z c; ZSCORE z none; ZMSCORE z a none b; ZRANGE z 0 -1;
    ZRANGE z 0 -1 WITHSCORES; ZRANGE z 0 -1 REV; ZRANGEBYSCORE z (1 +inf WITHSCORES LIMIT 0 1; ZRANK z b; ZRANK z none;
    ZREVRANK z a; ZCARD z; ZCOUNT z 1 3; ZINCRBY z 0.1 a; ZADD z NX 9 a; ZADD z XX CH 9 a; ZADD z INCR 1 a; ZADD z NX INCR 1 a;
    ZPOPMIN z; ZPOPMAX z 2; ZPOPMIN none; ZADD y 1 a 2 q; ZINTER 2 z y WITHSCORES; ZUNION 2 z y; ZDIFF 2 y z WITHSCORES;
    ZRANGESTORE w y 0 -1; ZMPOP 1 w MIN; ZMPOP 1 none MIN; ZRANDMEMBER none; ZRANDMEMBER w 5 WITHSCORES; ZSCAN y 0;
    GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania; GEODIST g Palermo Catania km; GEOPOS g Palermo none;
    GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHCOORD WITHDIST; GEOHASH g Palermo; ZADD z nan a; ZADD z";

const STREAMS: &str =
    "XADD x 1-1 a 1; XADD x 2-1 b 2 c 3; XADD x 1-1 a 1; XADD x 3-* d 4; XLEN x; XRANGE x - +; XREVRANGE x + - COUNT 1;
    XREAD COUNT 2 STREAMS x 0; XREAD STREAMS x 9; XREAD STREAMS none 0; XGROUP CREATE x g 0; XGROUP CREATE x g 0;
    XGROUP CREATE none g 0; XREADGROUP GROUP g me COUNT 2 STREAMS x >; XREADGROUP GROUP g me STREAMS x 0; XACK x g 1-1;
    XREADGROUP GROUP none me STREAMS x >; XCLAIM x g other 0 2-1 IDLE 0 JUSTID; XAUTOCLAIM x g me 100000 0; XDEL x 3-0;
    XTRIM x MAXLEN 1; XRANGE x - +; XINFO GROUPS none; XSETID x 9-9; XADD x 9-8 a 1; XADD x *";

const BITS: &str = "SETBIT b 7 1; SETBIT b 100 1; GETBIT b 7; BITCOUNT b; BITPOS b 1; BITOP NOT c b; BITFIELD b SET u8 0 200 INCRBY i5 100 1;
    BITFIELD b OVERFLOW FAIL INCRBY u2 102 9; GET c; PFADD p a b c; PFCOUNT p; PFMERGE q p; PFCOUNT p q; SETBIT b -1 1";

const KEYS: &str = "SET k v; EXISTS k k none; TYPE k; TYPE none; RENAME k l; RENAME none k; RENAMENX l l; COPY l m; COPY l m; DEL l m none;
    UNLINK none; SET k v; EXPIRE k 1000 GT; EXPIRE k 1000; TTL k; PERSIST k; TTL none; EXPIREAT k 1; EXISTS k; KEYS *;
    SET only here; KEYS *; RANDOMKEY; DBSIZE; SCAN 0; SCAN 0 COUNT 100 MATCH o* TYPE string; OBJECT ENCODING only; OBJECT NONSENSE only;
    OBJECT FREQ only; DUMP none; RESTORE only 0 garbage; SORT none; RPUSH l 3 1 2; SORT l DESC; SORT l BY nosort GET # GET w_*;
    TOUCH l none; MOVE only 1; SELECT 1; GET only; SELECT 99; SELECT x; SWAPDB 0 1; GET l;
    FLUSHDB; DBSIZE; SELECT 0; WAIT 0 0; NONSENSE a 'b c'; NONSENSE; CONFIG GET maxmemory; CONFIG SET nonsense 1; DEBUG NONSENSE;
    LATENCY RESET; SLOWLOG RESET; SLOWLOG LEN; MEMORY USAGE none; ACL WHOAMI; ACL CAT nonsense; CLUSTER INFO; REPLICAOF NO ONE";

fn transactions() -> Vec<Script> {
    vec![
        Script::new("a transaction, one by one")
            .on(A, "MULTI")
            .on(A, "SET k v")
            .on(A, "LRANGE none 0 -1")
            .on(A, "EXEC")
            .on(A, "GET k"),
        Script::new("a transaction in a pipeline").on(A, "MULTI; SET k 1; INCR k; LPUSH k x; GET k; EXEC; GET k"),
        Script::new("an empty transaction").on(A, "MULTI; EXEC; PING"),
        Script::new("a transaction in RESP3")
            .masked()
            .on(A, "HELLO 3")
            .on(A, "MULTI; HSET h a 1; HGETALL h; ZADD z 1 a; ZSCORE z a; EXEC"),
        Script::new("a transaction poisoned by an unknown command").on(A, "MULTI; SET k 1; NONSENSE; EXEC; GET k"),
        Script::new("a transaction poisoned by an arity").on(A, "MULTI; GET; SET k 1; EXEC; GET k"),
        Script::new("a discarded transaction").on(A, "SET k 0; MULTI; SET k 1; DISCARD; GET k; EXEC; DISCARD"),
        Script::new("a poisoned and discarded transaction").on(A, "MULTI; NONSENSE; DISCARD; SET k 1; GET k"),
        Script::new("MULTI in a transaction").on(A, "MULTI; MULTI; SET k 1; EXEC; MULTI x; EXEC"),
        Script::new("a watched key that changes")
            .on(A, "WATCH k")
            .on(B, "SET k 2")
            .on(A, "MULTI; SET k 1; EXEC")
            .on(A, "GET k; MULTI; SET k 3; EXEC"),
        Script::new("a watched key that changes, in RESP3")
            .masked()
            .on(A, "HELLO 3; WATCH k")
            .on(B, "SET k 2")
            .on(A, "MULTI; SET k 1; EXEC; GET k"),
        Script::new("a watched key that stays")
            .on(A, "WATCH k other")
            .on(B, "SET third 2")
            .on(A, "MULTI; SET k 1; EXEC"),
        Script::new("a watch given up").on(A, "WATCH k; UNWATCH").on(B, "SET k 2").on(A, "MULTI; SET k 1; EXEC"),
        Script::new("WATCH in a transaction").on(A, "MULTI; WATCH k; SET k 1; EXEC; WATCH"),
        Script::new("a watch that DISCARD ends")
            .on(A, "WATCH k; MULTI; DISCARD")
            .on(B, "SET k 2")
            .on(A, "MULTI; GET k; EXEC"),
        Script::new("SELECT, HELLO and RESET in transactions")
            .masked()
            .on(A, "MULTI; SELECT 1; SET k 1; HELLO 3; EXEC; GET k; MULTI; RESET; GET k; EXEC"),
        Script::new("SUBSCRIBE in a transaction")
            .expecting(6, A, "MULTI; SUBSCRIBE c d; PING; EXEC; UNSUBSCRIBE c")
            .on(B, "PUBLISH d x")
            .hear(1, A),
        Script::new("a blocking command in a transaction")
            .on(A, "MULTI; BLPOP none 0; XREAD BLOCK 0 STREAMS none 0; WAIT 0 0; EXEC"),
        Script::new("a script's flush between MULTI and EXEC")
            .on(A, "MULTI; EVAL 'return redis.call(\"SET\", KEYS[1], 1)' 1 k; GET k; EXEC"),
    ]
}

fn messages() -> Vec<Script> {
    let sharded = |script: Script| {
        script.expecting(2, A, "SSUBSCRIBE s t").on(B, "SPUBLISH s one; SPUBLISH none x").hear(1, A).expecting(
            2,
            A,
            "SUNSUBSCRIBE s t",
        )
    };
    vec![
        Script::new("a subscription")
            .expecting(2, A, "SUBSCRIBE c d")
            .on(B, "PUBLISH c one; PUBLISH d two; PUBLISH e three; PUBLISH c ''")
            .hear(3, A)
            .on(A, "PING; PING text; GET k; UNSUBSCRIBE c")
            .on(B, "PUBLISH c four; PUBLISH d five")
            .hear(1, A)
            .on(A, "UNSUBSCRIBE; GET k; UNSUBSCRIBE; PUNSUBSCRIBE"),
        Script::new("a subscription to patterns")
            .expecting(3, A, "PSUBSCRIBE a* *z; SUBSCRIBE q")
            // One pattern for each: which of two is first, a hash decides.
            .on(B, "PUBLISH ax one; PUBLISH bz two; PUBLISH q three")
            .hear(3, A)
            .on(A, "PUNSUBSCRIBE a*; PUNSUBSCRIBE none; PUNSUBSCRIBE *z; UNSUBSCRIBE q; SET k v"),
        sharded(Script::new("a sharded subscription")),
        sharded(Script::new("a sharded subscription in RESP3").masked().on(A, "HELLO 3")),
        Script::new("a subscription in RESP3 beside commands")
            .masked()
            .on(A, "HELLO 3")
            .expecting(4, A, "SUBSCRIBE c d; PSUBSCRIBE c*; GET k")
            .on(B, "PUBLISH c one")
            .hear(2, A)
            .on(A, "SET k v; PUBLISH none x; PING; GET k; UNSUBSCRIBE d; PUNSUBSCRIBE; UNSUBSCRIBE; UNSUBSCRIBE")
            .expecting(3, A, "SUBSCRIBE e; PUBLISH e own"),
        Script::new("a subscriber that resets")
            .masked()
            .on(A, "SUBSCRIBE c")
            .on(A, "RESET; SET k v; GET k")
            .on(B, "PUBLISH c x"),
        Script::new("a subscriber that says HELLO")
            .masked()
            .on(A, "SUBSCRIBE c; HELLO 3; GET k")
            .on(B, "PUBLISH c x")
            .hear(1, A),
        Script::new("a subscriber that quits").on(A, "SUBSCRIBE c; QUIT").closed(A).on(B, "PUBLISH c x"),
        Script::new("a subscriber that is killed")
            .on(A, "SUBSCRIBE c")
            .on(B, "CLIENT KILL TYPE pubsub")
            .closed(A)
            .on(B, "PUBLISH c x"),
        Script::new("the same channel again").on(A, "SUBSCRIBE c; SUBSCRIBE c; UNSUBSCRIBE c; UNSUBSCRIBE c; PING"),
        Script::new("many messages").on(A, "SUBSCRIBE c").on(B, &"PUBLISH c message;".repeat(300)).hear(300, A),
        Script::new("what PUBSUB says")
            .on(A, "SUBSCRIBE c")
            .on(B, "PUBSUB CHANNELS; PUBSUB NUMSUB c none; PUBSUB NUMPAT; PUBSUB NONSENSE"),
        Script::new("wrong subscriptions").on(A, "SUBSCRIBE; PSUBSCRIBE; PING").on(A, "SSUBSCRIBE; PING"),
    ]
}

/// Whoever waits is seen to wait before it gets what it waits for: two connections have no order of their own.
fn waiting() -> Vec<Script> {
    vec![
        Script::new("BLPOP that is served at once").on(B, "RPUSH l a b").on(A, "BLPOP none l 0; BRPOP l 0"),
        Script::new("BLPOP that waits")
            .expecting(0, A, "BLPOP k l 0")
            .blocked(1)
            .on(B, "RPUSH l a b")
            .hear(1, A)
            .on(A, "LPOP l"),
        Script::new("BLPOP with commands behind it")
            .expecting(0, A, "SET k v; BLPOP l 0; GET k; RPUSH l b")
            .blocked(1)
            .on(B, "RPUSH l a")
            .hear(4, A),
        Script::new("BLPOP whose time is up")
            .on(A, "BLPOP none 0.02; BLMOVE none m LEFT LEFT 0.02; BZPOPMIN none 0.02; PING"),
        Script::new("BLPOP whose time is up, in RESP3")
            .masked()
            .on(A, "HELLO 3; BLPOP none 0.02; BZMPOP 0.02 1 none MIN"),
        Script::new("a wrong BLPOP").on(A, "SET k v; BLPOP k 0; BLPOP none -1; BLPOP none x; BLPOP none"),
        Script::new("BLMOVE, BLMPOP and BZPOPMAX that wait")
            .expecting(0, A, "BLMOVE l m LEFT RIGHT 0; BLMPOP 0 1 m LEFT; BZPOPMAX z 0")
            .blocked(1)
            .on(B, "RPUSH l a; ZADD z 1 a 2 b")
            .hear(3, A),
        Script::new("two that wait in line")
            .expecting(0, A, "BLPOP l 0")
            .blocked(1)
            .expecting(0, B, "BLPOP l 0")
            .blocked(2)
            .on(C, "RPUSH l a")
            .hear(1, A)
            .on(C, "RPUSH l b")
            .hear(1, B),
        Script::new("XREAD BLOCK that waits")
            .expecting(0, A, "XREAD BLOCK 0 STREAMS x $")
            .blocked(1)
            .on(B, "XADD x 1-1 a 1; XADD x 1-2 b 2")
            .hear(1, A)
            .on(A, "XREAD BLOCK 10 STREAMS x 1-1; XREAD BLOCK 10 STREAMS x $"),
        Script::new("XREADGROUP that waits, in RESP3")
            .masked()
            .on(A, "HELLO 3; XGROUP CREATE x g $ MKSTREAM")
            .expecting(0, A, "XREADGROUP GROUP g me BLOCK 0 STREAMS x >")
            .blocked(1)
            .on(B, "XADD x 1-1 a 1")
            .hear(1, A),
        Script::new("a waiter whose key is of another type then")
            .expecting(0, A, "XREADGROUP GROUP g me BLOCK 0 STREAMS x >")
            .hear(1, A)
            .expecting(0, A, "BLPOP l 0")
            .blocked(1)
            .on(B, "SET l v; DEL l; RPUSH l a")
            .hear(1, A),
        Script::new("WAIT").on(A, "SET k v; WAIT 0 10; WAIT 1 10; WAIT x 10; WAIT 1 -1; GET k"),
    ]
}

fn tracking() -> Vec<Script> {
    let three = |name: &str| Script::new(name).masked().on(A, "HELLO 3");
    vec![
        three("tracking")
            .on(A, "CLIENT TRACKING ON; GET k; MGET l m")
            .on(B, "SET k v")
            .hear(1, A)
            .on(B, "SET k w; DEL none; MSET l 1 m 2")
            .hear(2, A)
            .on(A, "GET k; CLIENT TRACKINGINFO; CLIENT GETREDIR; CLIENT TRACKING OFF; GET k")
            .on(B, "SET k x")
            .on(A, "PING"),
        three("tracking by prefixes")
            .on(A, "CLIENT TRACKING ON BCAST PREFIX a: PREFIX b:")
            .on(B, "SET a:1 v; SET c:1 v")
            .hear(1, A)
            .on(B, "SET b:1 v")
            .hear(1, A)
            .on(A, "CLIENT TRACKING ON BCAST PREFIX a:x"),
        three("tracking of what is asked for")
            .on(A, "CLIENT TRACKING ON OPTIN; GET k; CLIENT CACHING YES; GET l")
            .on(B, "SET k v; SET l v")
            .hear(1, A)
            .on(A, "CLIENT CACHING NO; CLIENT NONSENSE"),
        three("tracking without one's own changes")
            .on(A, "CLIENT TRACKING ON NOLOOP; GET k; SET k v; GET k")
            .on(B, "SET k w")
            .hear(1, A),
        three("tracking of one's own changes").on(A, "CLIENT TRACKING ON; GET k").expecting(3, A, "SET k v; GET k"),
        three("tracking when everything is flushed")
            .on(A, "CLIENT TRACKING ON; GET k")
            .on(B, "SET k v; GET k")
            .hear(1, A)
            .on(A, "GET k")
            .on(B, "FLUSHALL")
            .hear(1, A),
        three("tracking in a transaction")
            .on(A, "CLIENT TRACKING ON; GET k; MULTI; GET k")
            .on(B, "SET k v")
            .hear(1, A)
            .on(A, "EXEC")
            .on(B, "SET k w")
            .hear(1, A),
        Script::new("tracking in RESP2")
            .on(A, "CLIENT TRACKING ON; GET k")
            .on(B, "SET k v")
            .on(A, "GET k; CLIENT TRACKING ON BCAST OPTIN"),
    ]
}

fn protocols() -> Vec<Script> {
    let types = "DEBUG PROTOCOL string; DEBUG PROTOCOL integer; DEBUG PROTOCOL double; DEBUG PROTOCOL null; DEBUG PROTOCOL array;
        DEBUG PROTOCOL set; DEBUG PROTOCOL map; DEBUG PROTOCOL bignum; DEBUG PROTOCOL verbatim; DEBUG PROTOCOL true; DEBUG PROTOCOL false;
        DEBUG PROTOCOL attrib; DEBUG PROTOCOL nonsense";
    vec![
        Script::new("HELLO back and forth").masked().on(A, "HELLO; HELLO 3; HGETALL h; HELLO 2; HGETALL h; HELLO 3; GET none; HELLO; BLPOP none 0.01; HELLO 2; GET none; BLPOP none 0.01"),
        Script::new("HELLO with a name").masked().on(A, "HELLO 3 SETNAME me; CLIENT GETNAME; HELLO 2 AUTH default any SETNAME you; CLIENT GETNAME"),
        Script::new("wrong HELLOs").masked().on(A, "HELLO 4; HELLO 1; HELLO x; HELLO 3 NONSENSE; HELLO 3 AUTH me; HELLO 3 AUTH nobody wrong; HELLO 3 SETNAME 'a b'; GET none; HELLO 02; PING"),
        Script::new("every type, in RESP2").on(A, types),
        Script::new("every type, in RESP3").masked().on(A, "HELLO 3").on(A, types).expecting(3, A, "DEBUG PROTOCOL push; PING"),
        Script::new("RESET").masked().on(A, "HELLO 3 SETNAME me; SELECT 3; SET k v; RESET; CLIENT GETNAME; GET k; HGETALL none").on(A, "MULTI; SET k v; RESET; GET k; EXEC; RESET x"),
        Script::new("RESET under tracking").masked().on(A, "HELLO 3; CLIENT TRACKING ON; GET k; RESET").on(B, "SET k v").on(A, "CLIENT TRACKINGINFO; GET k"),
        Script::new("QUIT").on(A, "SET k v; QUIT").closed(A).on(B, "GET k"),
        Script::new("QUIT with commands behind it").behind_the_end().expecting(2, A, "SET k v; QUIT; SET k w; GET k; PING").closed(A).on(B, "GET k"),
        Script::new("QUIT in a transaction").on(A, "MULTI; SET k v; QUIT").closed(A).on(B, "GET k"),
        Script::new("the stream ends behind a command").expecting(0, A, "SET k v; INCR n; GET k").half_close(A).hear(3, A).closed(A).on(B, "GET n"),
        Script::new("the stream ends in a command").raw(A, *b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r", 1).half_close(A).closed(A).on(B, "PING"),
        Script::new("the stream ends in a transaction").on(A, "MULTI; SET k v").half_close(A).closed(A).on(B, "GET k"),
        Script::new("a connection on which nothing is said"),
        Script::new("replies switched off and on").expecting(1, A, "SET k v; CLIENT REPLY OFF; SET k w; GET k; NONSENSE; CLIENT REPLY ON; GET k").hear(2, A),
        Script::new("one reply skipped").expecting(3, A, "CLIENT REPLY SKIP; SET k v; GET k; CLIENT REPLY SKIP; CLIENT REPLY SKIP; PING; GET k; CLIENT REPLY; CLIENT REPLY x").hear(1, A),
        Script::new("replies switched off to the end").expecting(0, A, "CLIENT REPLY OFF; SET k v; CLIENT REPLY SKIP; SET l v; QUIT").half_close(A).closed(A).on(B, "GET k; GET l"),
        Script::new("replies off, messages come").masked().on(A, "HELLO 3").on(A, "SUBSCRIBE c").expecting(0, A, "CLIENT REPLY OFF; SET k v").expecting(1, A, "CLIENT REPLY ON").on(B, "PUBLISH c x").hear(1, A),
        Script::new("MONITOR").masked().on(A, "MONITOR").on(B, "SET k 'a \"b\"'; SELECT 2; EVAL 'return redis.call(\"GET\", KEYS[1])' 1 k; NONSENSE").hear(4, A),
        Script::new("MONITOR in RESP3, then commands").masked().on(A, "HELLO 3; SET k v").expecting(2, A, "MONITOR; PING").hear(1, A).on(B, "SET k w").hear(1, A),
        Script::new("MONITOR, then RESET").masked().on(A, "MONITOR").on(B, "SET k v").hear(1, A).on(A, "RESET; GET k"),
        Script::new("MONITOR, then QUIT").masked().on(A, "MONITOR").on(B, "SET k v").hear(1, A).expecting(1, A, "QUIT").closed(A),
    ]
}

fn scripting() -> Vec<Script> {
    // LIBRARY is one word: its lines are parted by what Lua takes for a space.
    const LIBRARY: &str = "'#!lua name=lib\nredis.register_function(\"add\", function(keys, args) return redis.call(\"INCRBY\", keys[1], args[1]) end)'";
    let nested = "local t = {1} for i = 1, tonumber(ARGV[1]) do t = {t, i} end return t";
    vec![
        Script::new("what scripts return").on(A, "EVAL 'return {1, 2.9, \"a\", true, false, {}, {{{\"deep\"}}}, {ok=\"fine\"}, {err=\"MY own\"}, nil, 3}' 0; EVAL 'return redis.error_reply(\"NO way\")' 0; EVAL 'return redis.status_reply(\"YES\")' 0; EVAL 'nonsense' 0; EVAL 'error(\"x\")' 0; EVAL 'return 1' x; EVAL 'return 1' 9"),
        Script::new("what scripts return in RESP3").masked().on(A, "HELLO 3; HSET h a 1; EVAL 'redis.setresp(3) return redis.call(\"HGETALL\", \"h\")' 1 h; EVAL 'return {double=1.5}' 0; EVAL 'return {map={a=1}}' 0; EVAL 'return {big_number=\"123456789012345678901234567890\"}' 0; EVAL 'return {set={x=true}}' 0; EVAL 'redis.setresp(3) return true' 0; EVAL 'return {verbatim_string={format=\"txt\", string=\"hi\"}}' 0; EVAL 'return nil' 0"),
        Script::new("scripts by their digest").on(A, "SCRIPT LOAD 'return ARGV[1]'; EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 0 x; EVALSHA 0000000000000000000000000000000000000000 0; SCRIPT EXISTS 098e0f0d1448c0a81dafe820f66d460eb09263da x; SCRIPT FLUSH; EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 0 x; SCRIPT KILL; SCRIPT NONSENSE; EVAL_RO 'return redis.call(\"SET\", KEYS[1], 1)' 1 k"),
        Script::new("functions").on(A, &format!("FUNCTION LOAD {LIBRARY}; FUNCTION LOAD {LIBRARY}; FUNCTION LOAD REPLACE {LIBRARY}; FCALL add 1 n 5; FCALL add 1 n 5; FCALL none 0; FCALL_RO add 1 n 1; FUNCTION LIST; FUNCTION LIST WITHCODE LIBRARYNAME lib; FUNCTION DELETE lib; FUNCTION DELETE lib; FUNCTION STATS; FUNCTION LOAD nonsense")),
        Script::new("functions in RESP3").masked().on(A, &format!("HELLO 3; FUNCTION LOAD {LIBRARY}; FUNCTION LIST; FUNCTION STATS; FCALL add 1 n 5")),
        Script::new("nested replies").on(A, &format!("EVAL '{nested}' 0 5; EVAL '{nested}' 0 30; PING")),
        Script::new("a reply nested as deep as the proxy counts").on(A, &format!("EVAL '{nested}' 0 120; PING; MULTI; EVAL '{nested}' 0 120; PING; EXEC; PING")),
        Script::new("a reply nested deeper than the proxy counts").on(A, &format!("EVAL '{nested}' 0 1000; PING; SET k v; GET k")),
        Script::new("a wide reply").on(A, "EVAL 'local t = {} for i = 1, 5000 do t[i] = i end return t' 0; EVAL 'local t = {} for i = 1, 5000 do t[i] = {} end return t' 0; PING"),
    ]
}

fn connection() -> Vec<Script> {
    vec![
        Script::new("names").on(A, "CLIENT GETNAME; CLIENT SETNAME me; CLIENT GETNAME; CLIENT SETNAME 'a b'; CLIENT SETNAME ''; CLIENT GETNAME; CLIENT SETINFO LIB-NAME lib; CLIENT SETINFO nonsense x"),
        Script::new("what CLIENT knows").on(A, "CLIENT NO-EVICT ON; CLIENT NO-TOUCH ON; CLIENT UNBLOCK 0; CLIENT KILL 1.2.3.4:5; CLIENT KILL ID 0; CLIENT HELP; CLIENT; CLIENT PAUSE 0; CLIENT UNPAUSE; CLIENT MAINT_NOTIFICATIONS ON; CLIENT CAPA redirect"),
        Script::new("users").on(A, "ACL SETUSER u on >p ~u:* +@all -@dangerous").on(B, "AUTH u wrong; AUTH u p; ACL WHOAMI; SET u:k v; SET k v; KEYS *; RESET; ACL WHOAMI; AUTH x; AUTH u p; MULTI; SET k v; SET u:k w; EXEC").on(A, "ACL DELUSER u").closed(B).on(A, "GET u:k"),
        Script::new("what INFO tells of all else").on(A, "SET k v; INFO keyspace; INFO nosuchsection; INFO redlocks; INFO redlock keyspace"),
        Script::new("databases").on(A, "SELECT 1; SET k one; SELECT 0; GET k; SELECT 1; GET k").on(B, "GET k; SELECT 1; GET k"),
        Script::new("inline commands").raw(A, *b"SET k v\r\nGET k\nPING\r\nSET 'a b' \"c\\x41\\n\"\r\nGET \"a b\"\r\n  PING  \r\n", 6),
        Script::new("inline commands among others").raw(A, *b"PING\r\n*1\r\n$4\r\nPING\r\n\r\n\n*0\r\n*-10\r\nECHO 'x'\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", 4),
        Script::new("an inline transaction").raw(A, *b"MULTI\r\nSET k v\r\nEXEC\r\nGET k\r\n", 4),
        Script::new("an inline subscription").raw(A, *b"SUBSCRIBE c\r\n", 1).on(B, "PUBLISH c x").hear(1, A),
        Script::new("a long pipeline").on(A, &"SET k v; GET k; INCR n;".repeat(1000)),
        Script::new("a pipeline with long replies").on(A, "SETRANGE s 99999 x").on(A, &"GET s; PING;".repeat(40)),
        Script::new("names that only look like a lock's").on(A, "RLOCKS k 1; RUNLOC k t; XRLOCK; REXTENDED k t 1; RLOC; 'RLOCK ' k; ' RLOCK'"),
    ]
}
