use super::*;
use crate::client::ByteClient;
use crate::resp::Value;
use crate::servers::{Kind, shared};
use std::io;

const DELAY: Duration = Duration::from_millis(40);

async fn node() -> (ScriptedNode, ByteClient) {
    let node = ScriptedNode::start();
    let client = ByteClient::connect(node.address()).await;
    (node, client)
}

#[tokio::test]
async fn left_alone_it_answers_as_redis_does() {
    let redis = shared(Kind::Redis, 1).await;
    let key = crate::unique_key("scripted");
    let key = key.as_str();
    let (_node, mut scripted) = node().await;
    let mut real = redis[0].connect().await;
    let commands: &[&[&str]] = &[
        &["PING"],
        &["ECHO", "a"],
        &["SELECT", "0"],
        &["CLIENT", "SETNAME", "me"],
        &["CLIENT", "GETNAME"],
        &["CLIENT", "KILL", "ID", "999999"],
        &["ROLE"],
        &["GET", key],
        &["PTTL", key],
        &["SET", key, "one", "NX", "GET", "PX", "60000"],
        &["SET", key, "two", "NX", "GET", "PX", "60000"],
        &["SET", key, "two", "nx", "px", "60000"],
        &["GET", key],
        &["EXISTS", key],
        &["SET", key, "x", "PX", "0"],
        &["SET", key, "x", "IFEQ", "one"],
        &["SET", key],
        &["DELEX", key, "IFEQ", "one"],
        &["DELIFEQ", key, "one"],
        &["EVALSHA", "0000000000000000000000000000000000000000", "1", key, "one"],
        &["SET", key, "three"],
        &["PTTL", key],
        &["PEXPIRE", key, "60000"],
        &["DEL", key],
        &["DEL", key],
        &["HELLO", "4"],
    ];
    for command in commands {
        assert_eq!(scripted.call(command).await, real.call(command).await, "{command:?}");
    }
    for client in [&mut scripted, &mut real] {
        assert_eq!(client.call(&["HELLO", "3"]).await.field("proto"), Some(&Value::Integer(3)));
        assert_eq!(client.call(&["GET", key]).await, Value::Null);
        assert_eq!(client.call(&["TIME"]).await.items().len(), 2);
        let info = client.call(&["INFO"]).await.text();
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).expect("INFO names the run");
        assert_eq!(run.len(), 40);
    }
}

#[tokio::test]
async fn commands_are_recorded_with_their_connection() {
    let (node, mut first) = node().await;
    let mut second = ByteClient::connect(node.address()).await;
    first.call(&["SET", "k", "v"]).await;
    second.call(&["get", "k"]).await;
    let commands = node.commands();
    assert_eq!((commands[0].name(), commands[0].connection, commands[0].argument(2)), ("SET".into(), 1, "v".into()));
    assert_eq!((commands[1].name(), commands[1].connection), ("GET".into(), 2));
    assert!(commands[0].at <= commands[1].at);
    assert_eq!(node.wait_for("GET", 1).await.len(), 1);
    node.forget_commands();
    assert!(node.commands().is_empty());
}

#[tokio::test]
async fn it_says_what_it_is_told_to_say() {
    let (node, mut client) = node().await;
    node.on("set", Action::error("OOM command not allowed when used memory > 'maxmemory'."));
    node.once("SET", Action::error("LOADING Redis is loading the dataset in memory"));
    assert!(client.call(&["SET", "k", "v"]).await.is_error_with("LOADING"));
    assert!(client.call(&["SET", "k", "v"]).await.is_error_with("OOM"));
    assert_eq!(node.get("k"), None);
    node.clear("SET");
    assert_eq!(client.call(&["SET", "k", "v"]).await, Value::ok());
    let mut calls = 0;
    node.on_call("GET", move |command| {
        calls += 1;
        Action::bytes(format!("+{} number {calls}\r\n", command.argument(1)))
    });
    assert_eq!(client.call(&["GET", "k"]).await, Value::simple("k number 1"));
    assert_eq!(client.call(&["GET", "k"]).await, Value::simple("k number 2"));
    node.on("PING", Action::bytes("garbage"));
    client.send(&["PING"]).await;
    client.expect_bytes("garbage").await;
}

#[tokio::test]
async fn a_command_can_be_done_and_its_reply_withheld() {
    let (node, mut client) = node().await;
    node.once("SET", Action::ExecuteSilently);
    client.send(&["SET", "k", "v"]).await;
    client.send(&["SET", "l", "v"]).await;
    node.wait_for("SET", 2).await;
    eventually(async || node.get("l").is_some(), "the second to be done as well").await;
    assert_eq!(node.get("k").as_deref(), Some("v"));
    assert!(client.is_quiet_for(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_silent_connection_does_nothing_any_more() {
    let (node, mut client) = node().await;
    node.once("PING", Action::Silence);
    client.send(&["PING"]).await;
    client.send(&["SET", "k", "v"]).await;
    node.wait_for("SET", 1).await;
    // Another connection's answer shows that the node has gone on.
    assert_eq!(ByteClient::connect(node.address()).await.call(&["GET", "k"]).await, Value::NullBulk);
    assert!(client.is_quiet_for(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn delays_hold_back_the_command_or_only_its_reply() {
    let (node, mut client) = node().await;
    node.once("SET", Action::delay(DELAY));
    node.once("SET", Action::DelayReply(DELAY));
    let sent = Instant::now();
    assert_eq!(client.call(&["SET", "k", "v"]).await, Value::ok());
    assert!(sent.elapsed() >= DELAY);
    client.send(&["SET", "l", "v"]).await;
    eventually(async || node.get("l").is_some(), "the second to be done").await;
    assert_eq!(client.read_reply().await, Value::ok());
    assert!(sent.elapsed() >= DELAY * 2);
}

#[tokio::test]
async fn connections_are_closed_reset_or_turned_away() {
    let (node, mut client) = node().await;
    node.once("PING", Action::Close);
    client.send(&["PING"]).await;
    client.expect_eof().await;

    let mut client = ByteClient::connect(node.address()).await;
    node.once("SET", Action::ExecuteThenReset);
    client.send(&["SET", "k", "v"]).await;
    let error = client.try_read_reply().await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(node.get("k").as_deref(), Some("v"));

    node.on_connect(Action::error("ERR max number of clients reached"));
    let mut client = ByteClient::connect(node.address()).await;
    assert!(client.read_reply().await.is_error_with("ERR max number of clients"));
    client.expect_eof().await;

    node.on_connect(None);
    let mut client = ByteClient::connect(node.address()).await;
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    node.close_all();
    client.expect_eof().await;
    eventually(async || node.open() == 0, "the connection to be gone").await;
    assert_eq!(node.accepted(), 4);
}

#[tokio::test]
async fn a_client_can_be_killed_by_another_once() {
    let (node, mut victim) = node().await;
    let id = victim.call(&["CLIENT", "ID"]).await.integer().to_string();
    let mut killer = ByteClient::connect(node.address()).await;
    assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]).await, Value::Integer(1));
    assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]).await, Value::Integer(0));
    victim.expect_closed().await;
}

#[tokio::test]
async fn scripts_compare_and_delete_or_extend_when_told_so() {
    let (node, mut client) = node().await;
    node.on("EVALSHA", Action::CompareAndDelete);
    node.on("DELEX", Action::CompareAndDelete);
    node.on("EVAL", Action::CompareAndExtend);
    node.put("k", "token", Some(1000));
    assert_eq!(client.call(&["EVAL", "script", "1", "k", "other", "60000"]).await, Value::Integer(0));
    assert_eq!(client.call(&["EVAL", "script", "1", "k", "token", "60000"]).await, Value::Integer(1));
    assert_eq!(client.call(&["EVAL", "script", "1", "k", "token", "10"]).await, Value::Integer(1));
    assert!(client.call(&["PTTL", "k"]).await.integer() > 50_000);
    assert_eq!(client.call(&["EVALSHA", "sha", "1", "k", "other"]).await, Value::Integer(0));
    assert_eq!(client.call(&["EVALSHA", "sha", "1", "k", "token"]).await, Value::Integer(1));
    node.put("k", "token", None);
    assert_eq!(client.call(&["DELEX", "k", "IFEQ", "token"]).await, Value::Integer(1));
    assert_eq!(node.get("k"), None);
}

#[tokio::test]
async fn an_empty_restart_is_another_run_without_data() {
    let (node, mut client) = node().await;
    let run = node.run_id();
    node.put("k", "v", None);
    node.restart_empty();
    assert_ne!(node.run_id(), run);
    assert_eq!(client.call(&["GET", "k"]).await, Value::NullBulk);
    node.set_info("maxmemory_policy", "allkeys-lru");
    assert!(client.call(&["INFO"]).await.text().contains("maxmemory_policy:allkeys-lru\r\n"));
}
