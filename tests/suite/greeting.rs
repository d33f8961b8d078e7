//! What clients say on connecting, and what they are told: the proxy passes for a server of its own.

use support::{ByteClient, Kind, Proxy, Value};

use crate::common::{Rig, resp3};

async fn proxy() -> &'static Proxy {
    &Rig::shared(Kind::any(), 3).await.proxy
}

async fn expect(client: &mut ByteClient, command: &str, expected: &Value) {
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(client.call(&words).await, *expected, "{command}");
}

#[tokio::test]
async fn hello_tells_what_a_redis_would_and_who_answers_in_its_place() {
    for (hello, expected) in [("2", Value::Integer(2)), ("3", Value::Integer(3))] {
        let mut client = proxy().await.connect().await;
        let id = client.call(&["CLIENT", "ID"]).await;
        let greeting = client.call(&["HELLO", hello]).await;
        assert_eq!(matches!(greeting, Value::Map(_)), hello == "3", "{greeting:?}");
        let fields = [
            ("server", Value::bulk("redis")),
            ("version", Value::bulk("7.2.0")),
            ("proto", expected),
            ("id", id),
            ("mode", Value::bulk("standalone")),
            ("role", Value::bulk("master")),
            ("modules", Value::Array(Vec::new())),
            ("redlock_proxy", Value::bulk(env!("CARGO_PKG_VERSION"))),
        ];
        for (field, value) in fields {
            assert_eq!(greeting.field(field), Some(&value), "{field}");
        }
    }
}

/// The first words of redis-py, go-redis, node-redis, ioredis, Jedis and lettuce, more or less.
#[tokio::test]
async fn what_client_libraries_send_on_connecting_is_answered() {
    for mut client in [proxy().await.connect().await, resp3(proxy().await).await] {
        expect(&mut client, "CLIENT SETINFO LIB-NAME redis-py", &Value::ok()).await;
        expect(&mut client, "CLIENT SETINFO lib-ver 8.1.0", &Value::ok()).await;
        expect(&mut client, "CLIENT SETNAME worker-7", &Value::ok()).await;
        expect(&mut client, "CLIENT GETNAME", &Value::bulk("worker-7")).await;
        expect(&mut client, "SELECT 0", &Value::ok()).await;
        expect(&mut client, "CLIENT NO-EVICT ON", &Value::ok()).await;
        expect(&mut client, "CLIENT NO-TOUCH off", &Value::ok()).await;
        expect(&mut client, "PING", &Value::simple("PONG")).await;
        expect(&mut client, "PING hello", &Value::bulk("hello")).await;
        expect(&mut client, "ECHO hello", &Value::bulk("hello")).await;

        let info = client.call(&["CLIENT", "INFO"]).await.text();
        let id = client.call(&["CLIENT", "ID"]).await.integer();
        let address = client.local_address();
        let told =
            [&format!("id={id}"), &format!("addr={address}"), "name=worker-7", "lib-name=redis-py", "lib-ver=8.1.0"];
        for field in told {
            assert!(info.split_whitespace().any(|word| word == field), "{field} in {info}");
        }
        let list = client.call(&["CLIENT", "LIST"]).await.text();
        assert!(list.lines().any(|line| line.starts_with(&format!("id={id} "))), "{list}");
    }
}

#[tokio::test]
async fn null_names_are_told_in_the_protocol_spoken() {
    let mut client = proxy().await.connect().await;
    expect(&mut client, "CLIENT GETNAME", &Value::NullBulk).await;
    client.call(&["HELLO", "3"]).await;
    expect(&mut client, "CLIENT GETNAME", &Value::Null).await;
    client.call(&["HELLO", "2", "SETNAME", "me"]).await;
    expect(&mut client, "CLIENT GETNAME", &Value::bulk("me")).await;
}

#[tokio::test]
async fn reset_takes_the_connection_back_and_quit_ends_it() {
    let mut client = resp3(proxy().await).await;
    client.call(&["CLIENT", "SETNAME", "me"]).await;
    expect(&mut client, "RESET", &Value::simple("RESET")).await;
    expect(&mut client, "CLIENT GETNAME", &Value::NullBulk).await;
    client.send_raw("PING\r\nQUIT\r\nPING\r\n").await;
    client.expect_bytes("+PONG\r\n+OK\r\n").await;
    client.expect_eof().await;
}

#[tokio::test]
async fn config_get_answers_what_tools_look_for() {
    let expected = [
        ("save", ""),
        ("appendonly", "no"),
        ("databases", "1"),
        ("maxclients", "10000"),
        ("timeout", "0"),
        ("proto-max-bulk-len", "1048576"),
    ];
    for mut client in [proxy().await.connect().await, resp3(proxy().await).await] {
        for (name, value) in expected {
            let reply = client.call(&["CONFIG", "GET", name]).await;
            assert_eq!(reply.field(name), Some(&Value::bulk(value)), "{reply:?}");
        }
        let nothing = client.call(&["CONFIG", "GET", "maxmemory"]).await;
        assert!(matches!(&nothing, Value::Map(pairs) if pairs.is_empty()) || nothing == Value::Array(Vec::new()));
    }
}

#[tokio::test]
async fn info_has_the_sections_of_a_server_and_its_own() {
    let mut client = proxy().await.connect().await;
    let all = client.call(&["INFO"]).await.text();
    for title in ["# Server", "# Clients", "# Stats", "# Replication", "# Redlock", "role:master", "mode:lock_only"] {
        assert!(all.lines().any(|line| line == title), "{title} in {all}");
    }
    let redlock = client.call(&["info", "REDLOCK"]).await.text();
    assert!(redlock.starts_with("# Redlock\r\n") && redlock.ends_with("\r\n"), "{redlock}");
    for field in ["ready:1", "primaries:3", "primaries_up:3", "primaries_voting:3", "quorum:2", "upstream:none"] {
        assert!(redlock.lines().any(|line| line == field), "{field} in {redlock}");
    }
    assert!(!redlock.contains("# Server"));
}

/// Not one of the proxy's clients would ever send this, but a web page can make a browser send it.
#[tokio::test]
async fn http_is_closed_without_a_word() {
    for line in ["POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n", "Host: x\r\nPING\r\n"] {
        let mut client = proxy().await.connect().await;
        client.send_raw(line).await;
        client.expect_eof().await;
    }
}
