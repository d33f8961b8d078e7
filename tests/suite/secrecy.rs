//! Tokens are what locks are held by. They are told to whoever took the lock, and appear nowhere else: in no line of the log,
//! however talkative it is, not in INFO, not in CLIENT LIST, in no error.

use std::collections::BTreeSet;

use support::{Action, Proxy, ScriptedNode, Value};

use crate::common::{granted, patient, start};

/// Every token that the nodes were ever sent, those of attempts that failed too.
fn tokens(nodes: &[ScriptedNode]) -> BTreeSet<String> {
    let sets = nodes.iter().flat_map(|node| node.commands_named("SET"));
    sets.map(|command| command.argument(2)).filter(|value| value.len() >= 40).collect()
}

/// Every run of exactly 40 lower-case hex digits: what a token looks like.
fn hex_runs(text: &str) -> BTreeSet<String> {
    let is_hex = |byte: char| matches!(byte, '0'..='9' | 'a'..='f');
    text.split(|byte| !is_hex(byte)).filter(|run| run.len() >= 40).map(str::to_owned).collect()
}

/// A server that quotes what it was sent, as servers do, each in its own words.
fn quoting(recorded: &support::scripted::Recorded, words: &str) -> Action {
    let arguments: Vec<String> = (1..recorded.arguments.len()).map(|index| recorded.argument(index)).collect();
    Action::error(&words.replace("NAME", &recorded.argument(0)).replace("ARGUMENTS", &arguments.join("' '")))
}

/// Takes, extends, releases, fails in every way there is; gives all that clients were told except granted tokens.
async fn busy_mix(proxy: &Proxy, nodes: &[ScriptedNode]) -> String {
    let mut told = Vec::new();
    let mut client = proxy.connect().await;
    client.call(&["CLIENT", "SETNAME", "worker"]).await;
    let errors = [
        "ERR unknown command 'NAME', with args beginning with: 'ARGUMENTS' ",
        "ERR syntax error in NAME 'ARGUMENTS'",
        "NOSCRIPT No matching script for 'ARGUMENTS'. Please use EVAL.",
        "OOM command not allowed: NAME 'ARGUMENTS'",
        "ERR Error running script (call to f_NAME): @user_script:1: 'ARGUMENTS'",
    ];
    for (round, words) in errors.into_iter().enumerate() {
        let key = format!("job{round}");
        for owner in [&[][..], &["OWNER", "me"]] {
            let lock = granted(&client.call(&[&["RLOCK", &key, "30000"], owner].concat()).await);
            for command in [
                &["RLOCK", &key, "30000", "OWNER", "other"][..],
                &["RLOCK", &key, "30000", "WAIT", "5"],
                &["RMLOCK", "2", &key, "further", "30000"],
                &["RINSPECT", &key],
                &["RPRIMARIES"],
            ] {
                told.push(format!("{:?}", client.call(command).await));
            }
            // Then nobody can do anything any more: the server says why, and quotes.
            for node in nodes {
                for command in ["SET", "EVAL", "EVALSHA"] {
                    node.on_call(command, move |recorded| quoting(recorded, words));
                }
            }
            for command in [
                &["RLOCK", "another", "1000"][..],
                &["REXTEND", &key, &lock.token, "30000"],
                &["RUNLOCK", &key, &lock.token],
                // Not arguments that are fine, and nothing that must be repeated to who sent it.
                &["RUNLOCK", &key, &lock.token, "more"],
                &["REXTEND", &key, &lock.token, "x"],
            ] {
                told.push(format!("{:?}", client.call(command).await));
            }
            for node in nodes {
                node.clear("SET");
                node.on("EVAL", Action::CompareAndDelete);
                node.on("EVALSHA", Action::CompareAndDelete);
            }
            client.call(&["RUNLOCK", &key, &lock.token]).await;
        }
    }
    // Left without an answer, lost on the way, refused by the connection's end.
    nodes[0].once("SET", Action::Silence);
    nodes[1].once("SET", Action::ExecuteThenReset);
    nodes[2].once("SET", Action::Reset);
    told.push(format!("{:?}", client.call(&["RLOCK", "lost", "1000", "OWNER", "me"]).await));
    let mut leaver = proxy.connect().await;
    leaver.send(&["RLOCK", "left", "1000"]).await;
    leaver.reset();
    told.push(client.call(&["INFO"]).await.text());
    told.push(client.call(&["CLIENT", "LIST"]).await.text());
    told.join("\n")
}

#[tokio::test]
async fn tokens_appear_in_no_log_line_no_state_and_no_error() {
    for format in ["text", "json"] {
        let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
        for node in &nodes {
            node.on("EVAL", Action::CompareAndDelete);
            node.on("EVALSHA", Action::CompareAndDelete);
        }
        // The end waits for a node that is left silent until its link is given up.
        let options = patient(nodes.iter().map(ScriptedNode::address)).set("silence_timeout_ms", 10_000);
        // The nodes take every script for a release, also one that marks them.
        let options = options.set("log.level", "trace").set("log.format", format).set("quarantine", "off");
        let proxy = start(options).await;
        let told = busy_mix(&proxy, &nodes).await;
        let run_id = proxy.info("run_id").await.expect("INFO tells it");
        proxy.terminate();
        proxy.wait_exit().await;
        let log = proxy.log();
        assert!(log.lines().count() > 20 && !log.contains("lines were dropped"), "{log}");

        let tokens = tokens(&nodes);
        assert!(tokens.len() > 20, "{tokens:?}");
        for (place, text) in [("the log", &log), ("a client's replies", &told)] {
            for token in &tokens {
                let digits = &token[token.len() - 40..];
                let line = text.lines().find(|line| line.contains(digits));
                assert_eq!(line, None, "{place} ({format}) tells {token}");
            }
            // Nor anything that looks like one; what names a process or a script does.
            let mut alike = hex_runs(text);
            alike.remove(&run_id);
            for node in &nodes {
                alike.remove(&node.run_id());
                for command in node.commands_named("EVALSHA") {
                    alike.remove(&command.argument(1));
                }
            }
            assert!(alike.is_empty(), "{place} ({format}): {alike:?}");
        }
    }
}

#[tokio::test]
async fn tokens_that_clients_make_up_are_not_told_either() {
    let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
    let options = patient(nodes.iter().map(ScriptedNode::address)).set("log.level", "trace");
    let proxy = start(options).await;
    let mut client = proxy.connect().await;
    for node in &nodes {
        node.on_call("EVALSHA", |recorded| {
            quoting(recorded, "ERR unknown command 'NAME', with args beginning with: 'ARGUMENTS' ")
        });
    }
    let secret = "a-library's-own-secret";
    let mut told = String::new();
    for command in [&["RUNLOCK", "job", secret][..], &["REXTEND", "job", secret, "1000"]] {
        let reply = client.call(command).await;
        assert!(matches!(reply, Value::Error(_)), "{reply:?}");
        told += &reply.text();
    }
    told += &client.call(&["INFO"]).await.text();
    told += &proxy.log();
    assert!(!told.contains(secret), "{told}");
}
