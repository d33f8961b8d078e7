//! Lock commands where they make no sense: refused, or not run at all, and never a lock that nobody knows of.

use support::{ByteClient, Kind, Value, unique_key};

use super::{Front, LONG, granted, pipeline};

const IN_TRANSACTION: &str = "ERR Command not allowed inside a transaction";
const DISCARDED: &str = "EXECABORT Transaction discarded because of previous errors.";

/// Runs a test on every kind of server, in RESP2 and in RESP3.
async fn in_both_protocols(test: impl AsyncFn(&Front, ByteClient, bool)) {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        for is_resp3 in [false, true] {
            let mut client = front.proxy.connect().await;
            if is_resp3 {
                client.call(&["HELLO", "3"]).await;
            }
            test(&front, client, is_resp3).await;
        }
    }
}

/// Takes and releases a lock: the connection is in its ordinary state, whatever was before.
async fn locks_work(client: &mut ByteClient) {
    let job = unique_key("ordinary");
    let token = granted(&client.call(&["RLOCK", &job, LONG]).await);
    assert_eq!(client.call(&["RUNLOCK", &job, &token]).await, Value::Integer(1));
}

fn errors(replies: &[Value]) -> Vec<String> {
    replies.iter().map(|reply| if reply.is_error() { reply.text() } else { format!("{reply:?}") }).collect()
}

#[tokio::test]
async fn a_lock_command_poisons_the_transaction_it_stands_in() {
    in_both_protocols(async |front, mut client, _| {
        let [job, before, behind] = ["job", "before", "behind"].map(unique_key);
        for lock in [&["RLOCK", &job, LONG][..], &["RUNLOCK", &job, "t"], &["REXTEND", &job, "t", LONG]] {
            let commands: [&[&str]; 5] = [&["MULTI"], &["SET", &before, "v"], lock, &["SET", &behind, "v"], &["EXEC"]];
            let expected = ["+OK", "+QUEUED", IN_TRANSACTION, "+QUEUED", DISCARDED];
            client.send_raw(pipeline(&commands)).await;
            assert_eq!(errors(&client.read_replies(5).await), expected, "in a pipeline: {lock:?}");
            for (command, expected) in commands.iter().zip(expected) {
                assert_eq!(errors(&[client.call(command).await]), [expected], "one by one: {command:?} of {lock:?}");
            }
            assert!(!front.upstream.exists(&before).await && !front.upstream.exists(&behind).await, "nothing has run");
            assert_eq!(front.primaries.holding(&job).await, 0);
            locks_work(&mut client).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_lock_command_poisons_a_transaction_too() {
    in_both_protocols(async |front, mut client, _| {
        let data = unique_key("data");
        client
            .send_raw(pipeline(&[&["MULTI"], &["RLOCK", "k"], &["SET", &data, "v"], &["EXEC"], &["EXISTS", &data]]))
            .await;
        let arity = "ERR wrong number of arguments for 'rlock' command";
        assert_eq!(errors(&client.read_replies(5).await), ["+OK", arity, "+QUEUED", DISCARDED, ":0"]);
        assert!(!front.upstream.exists(&data).await);
        locks_work(&mut client).await;
    })
    .await;
}

#[tokio::test]
async fn after_a_poisoned_transaction_the_next_one_runs() {
    in_both_protocols(async |front, mut client, _| {
        let data = unique_key("data");
        client
            .send_raw(pipeline(&[
                &["MULTI"],
                &["RLOCK", "k", LONG],
                &["EXEC"],
                &["MULTI"],
                &["SET", &data, "v"],
                &["EXEC"],
            ]))
            .await;
        let replies = client.read_replies(6).await;
        assert_eq!(errors(&replies), ["+OK", IN_TRANSACTION, DISCARDED, "+OK", "+QUEUED", "[+OK]"]);
        client.send_raw(pipeline(&[&["MULTI"], &["RLOCK", "k", LONG], &["DISCARD"], &["GET", &data], &["EXEC"]])).await;
        let replies = client.read_replies(5).await;
        assert_eq!(errors(&replies), ["+OK", IN_TRANSACTION, "+OK", "$\"v\"", "ERR EXEC without MULTI"]);
        assert!(front.upstream.exists(&data).await);
        locks_work(&mut client).await;
    })
    .await;
}

/// What a client says is not what the server makes of it.
#[tokio::test]
async fn whether_a_connection_is_in_a_transaction_is_what_the_upstream_says() {
    in_both_protocols(async |front, mut client, is_resp3| {
        let watched = unique_key("watched");
        // Refused: no transaction begins.
        assert!(client.call(&["MULTI", "x"]).await.is_error());
        locks_work(&mut client).await;
        assert!(client.call(&["EXEC"]).await.is_error());
        locks_work(&mut client).await;
        // A conflict ends it with a null.
        assert_eq!(client.call(&["WATCH", &watched]).await, Value::ok());
        locks_work(&mut client).await;
        assert_eq!(front.upstream.command(&["SET", &watched, "v"]).await, Value::ok());
        client.send_raw(pipeline(&[&["MULTI"], &["PING"], &["EXEC"]])).await;
        let conflict = client.read_replies(3).await.pop().expect("three of them");
        assert!(conflict.is_null(), "{conflict:?}");
        assert_eq!(conflict == Value::Null, is_resp3);
        locks_work(&mut client).await;
        // So does RESET, and QUEUED commands that look like ends do not.
        client.send_raw(pipeline(&[&["MULTI"], &["ECHO", "EXEC"], &["RESET"]])).await;
        assert_eq!(client.read_replies(3).await.pop(), Some(Value::simple("RESET")));
        locks_work(&mut client).await;
        // MULTI in a transaction is an error, and the transaction goes on.
        client.send_raw(pipeline(&[&["MULTI"], &["MULTI"], &["RLOCK", "k", LONG], &["DISCARD"]])).await;
        assert_eq!(errors(&client.read_replies(4).await)[2], IN_TRANSACTION);
        locks_work(&mut client).await;
    })
    .await;
}

#[tokio::test]
async fn a_resp2_subscription_refuses_lock_commands_in_the_servers_own_words() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let [job, channel] = ["job", "channel"].map(unique_key);
        for (subscribe, unsubscribe) in [("SUBSCRIBE", "UNSUBSCRIBE"), ("PSUBSCRIBE", "PUNSUBSCRIBE")] {
            let mut client = front.proxy.connect().await;
            client.send_raw(pipeline(&[&[subscribe, &channel, "other"], &["RLOCK", &job, LONG], &["PING", "x"]])).await;
            let replies = client.read_replies(4).await;
            let only = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
            assert_eq!(replies[2], Value::error(format!("ERR Can't execute 'rlock': {only}")), "{kind}");
            assert_eq!(replies[3], Value::Array(vec![Value::bulk("pong"), Value::bulk("x")]));
            assert_eq!(front.primaries.holding(&job).await, 0, "{kind}");
            client.send_raw(pipeline(&[&[unsubscribe, &channel, "other"]])).await;
            client.read_replies(2).await;
            locks_work(&mut client).await;
        }
    }
}

#[tokio::test]
async fn a_resp3_subscription_and_locks_do_not_disturb_each_other() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let channel = unique_key("channel");
        let mut client = front.proxy.connect().await;
        client.call(&["HELLO", "3"]).await;
        assert!(matches!(client.call(&["SUBSCRIBE", &channel]).await, Value::Push(_)));
        for number in 0..50 {
            let job = unique_key("job");
            client.send_raw(pipeline(&[&["RLOCK", &job, LONG], &["ECHO", &job]])).await;
            let text = number.to_string();
            assert_eq!(front.upstream.command(&["PUBLISH", &channel, &text]).await, Value::Integer(1));
            let (messages, replies): (Vec<_>, Vec<_>) =
                client.read_replies(3).await.into_iter().partition(|reply| matches!(reply, Value::Push(_)));
            assert_eq!(
                messages,
                [Value::Push(vec![Value::bulk("message"), Value::bulk(&channel), Value::bulk(&text)])]
            );
            granted(&replies[0]);
            assert_eq!(replies[1], Value::bulk(&job));
        }
    }
}

#[tokio::test]
async fn a_subscription_behind_a_reply_that_is_skipped_is_one() {
    in_both_protocols(async |front, mut client, is_resp3| {
        if front.upstream.kind() == Kind::Dragonfly {
            // It does not switch replies off.
            return;
        }
        let [job, channel] = ["job", "channel"].map(unique_key);
        client.send_raw(pipeline(&[&["CLIENT", "REPLY", "SKIP"], &["PING"], &["SUBSCRIBE", &channel]])).await;
        client.read_reply().await;
        let locked = client.call(&["RLOCK", &job, LONG]).await;
        if is_resp3 {
            granted(&locked);
        } else {
            assert!(
                matches!(&locked, Value::Error(text) if text.starts_with("ERR Can't execute 'rlock'")),
                "{locked:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn without_replies_a_lock_command_is_neither_run_nor_answered() {
    in_both_protocols(async |front, mut client, _| {
        if front.upstream.kind() == Kind::Dragonfly {
            // It does not switch replies off.
            return;
        }
        let [job, other] = ["job", "other"].map(unique_key);
        let rlock: &[&str] = &["RLOCK", &job, LONG];
        client
            .send_raw(pipeline(&[
                &["CLIENT", "REPLY", "OFF"],
                rlock,
                &["RLOCK"],
                &["CLIENT", "REPLY", "ON"],
                &["ECHO", "on"],
            ]))
            .await;
        assert_eq!(client.read_replies(2).await, [Value::ok(), Value::bulk("on")]);
        assert_eq!(front.primaries.holding(&job).await, 0);
        // SKIP swallows the next reply only.
        client.send_raw(pipeline(&[&["CLIENT", "REPLY", "SKIP"], rlock, &["ECHO", "skipped one"]])).await;
        assert_eq!(client.read_reply().await, Value::bulk("skipped one"));
        assert_eq!(front.primaries.holding(&job).await, 0);
        client.send_raw(pipeline(&[&["CLIENT", "REPLY", "SKIP"], rlock, &["RLOCK", &other, LONG]])).await;
        granted(&client.read_reply().await);
        client
            .send_raw(pipeline(&[
                &["CLIENT", "REPLY", "SKIP"],
                &["SET", &other, "v"],
                &["RUNLOCK", &other, "t"],
                &["GET", &other],
            ]))
            .await;
        assert_eq!(client.read_replies(2).await, [Value::Integer(0), Value::bulk("v")]);
        assert_eq!(front.primaries.holding(&job).await, 0);
        locks_work(&mut client).await;
    })
    .await;
}

#[tokio::test]
async fn a_monitoring_connection_is_raw() {
    in_both_protocols(async |front, mut client, _| {
        let job = unique_key("job");
        assert_eq!(client.call(&["MONITOR"]).await, Value::ok());
        client.send(&["RLOCK", &job, LONG]).await;
        // What others do is seen meanwhile.
        let answer = loop {
            let reply = client.read_reply().await;
            if reply.is_error() {
                break reply;
            }
        };
        assert!(answer.is_error_with("ERR unknown command 'RLOCK'"), "{answer:?}");
        assert_eq!(front.primaries.holding(&job).await, 0);
    })
    .await;
}

#[tokio::test]
async fn behind_bytes_that_are_no_command_nothing_is_run() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let job = unique_key("job");
        let mut client = front.proxy.connect().await;
        let mut bytes = b"*x\r\n".to_vec();
        bytes.extend(pipeline(&[&["RLOCK", &job, LONG]]));
        client.send_raw(bytes).await;
        assert_eq!(client.read_reply().await, Value::error("ERR Protocol error: invalid multibulk length"));
        client.expect_closed().await;
        assert_eq!(front.primaries.holding(&job).await, 0, "{kind}");
    }
}

#[tokio::test]
async fn quit_ends_a_connection_with_lock_commands_behind_it() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let [first, second] = ["first", "second"].map(unique_key);
        let mut client = front.proxy.connect().await;
        client.send_raw(pipeline(&[&["RLOCK", &first, LONG], &["QUIT"], &["RLOCK", &second, LONG]])).await;
        let token = granted(&client.read_reply().await);
        assert_eq!(client.read_reply().await, Value::ok());
        client.expect_eof().await;
        assert_eq!(front.primaries.holding(&second).await, 0, "{kind}");
        // The one before it stands.
        assert_eq!(front.proxy.command(&["RUNLOCK", &first, &token]).await, Value::Integer(1));
    }
}
