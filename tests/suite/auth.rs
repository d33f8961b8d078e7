//! Passwords: the one that clients tell the proxy, and those that the proxy tells its primaries.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::{ByteClient, Fleet, Kind, Proxy, ProxyOptions, Server, ServerOptions, Value, shared};
use tempfile::TempDir;

use crate::common::{PROXY, granted, patient, start};

const PASSWORD: &str = "open sesame";
const NO_AUTH: &str = "NOAUTH Authentication required.";
const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

async fn guarded() -> Proxy {
    let fleet = shared(Kind::any(), 3).await;
    start(patient(fleet.addresses()).password(PASSWORD)).await
}

/// A connection that has not authenticated.
async fn stranger(proxy: &Proxy) -> ByteClient {
    ByteClient::connect(proxy.address()).await
}

#[tokio::test]
async fn only_what_sets_a_connection_up_is_answered_before_it_has_authenticated() {
    let proxy = guarded().await;
    let listed = proxy.command(&["COMMAND"]).await;
    let mut refused = Vec::new();
    for entry in listed.items() {
        let (name, arity) = (entry.items()[0].text(), entry.items()[1].integer().unsigned_abs());
        if ["auth", "hello", "quit", "reset"].contains(&name.as_str()) {
            continue;
        }
        let mut words = vec![name.clone()];
        let subcommands: &[&str] = match name.as_str() {
            "client" => &["id", "list", "getname"],
            "command" => &["count", "docs"],
            "config" => &["help"],
            _ => &[],
        };
        if subcommands.is_empty() {
            words.resize(usize::try_from(arity).expect("few"), "1000".into());
            refused.push(words);
        } else {
            refused.extend(subcommands.iter().map(|&subcommand| vec![name.clone(), subcommand.to_owned()]));
        }
    }
    refused.push(vec!["COMMAND".into()]);
    assert!(refused.len() > 10, "{refused:?}");
    let mut client = stranger(&proxy).await;
    for words in &refused {
        assert_eq!(client.call(words).await, Value::error(NO_AUTH), "{words:?}");
    }
    assert_eq!(client.call(&["RESET"]).await, Value::simple("RESET"));
    assert_eq!(client.call(&["QUIT"]).await, Value::ok());
    client.expect_eof().await;
    assert_eq!(proxy.counter("errors_auth").await, refused.len() as u64);
}

#[tokio::test]
async fn unknown_commands_and_wrong_arity_are_told_before_the_password_is_asked_for() {
    let proxy = guarded().await;
    let mut client = stranger(&proxy).await;
    for (line, error) in [
        ("NOPE", "ERR unknown command 'NOPE', with args beginning with: "),
        ("RLOCK k", "ERR wrong number of arguments for 'rlock' command"),
        ("RLOCK k x", NO_AUTH),
        ("RUNLOCK redlock-proxy:x t", NO_AUTH),
    ] {
        assert_eq!(client.call(&line.split(' ').collect::<Vec<_>>()).await, Value::error(error), "{line}");
    }
}

/// What Redis with `requirepass` answers, to the byte.
#[tokio::test]
async fn the_password_is_asked_for_as_redis_does() {
    let options = ServerOptions { password: Some(PASSWORD.into()), ..ServerOptions::default() };
    let redis = Server::start(Kind::Redis, options).await;
    let proxy = guarded().await;
    let questions: [&[&str]; 22] = [
        &["PING"],
        &["AUTH"],
        &["AUTH", "wrong"],
        &["AUTH", "default", "wrong"],
        &["AUTH", "nobody", PASSWORD],
        &["AUTH", "a", "b", "c"],
        &["HELLO"],
        &["HELLO", "3"],
        &["HELLO", "4"],
        &["HELLO", "x"],
        &["HELLO", "3", "AUTH", "default", "wrong"],
        &["HELLO", "3", "AUTH", "default"],
        &["HELLO", "3", "SETNAME", "me"],
        &["PING", "a", "b"],
        &["ECHO", "a"],
        &["RESET"],
        &["AUTH", PASSWORD],
        &["PING"],
        &["AUTH", "wrong"],
        &["PING"],
        &["RESET"],
        &["PING"],
    ];
    let mut reference = ByteClient::connect(redis.address()).await;
    let mut client = stranger(&proxy).await;
    for question in questions {
        // One error has a word more since Redis 7.2, which the proxy says it is.
        let expected = format!("{:?}", reference.call(question).await).replace("HELLO AUTH", "HELLO <proto> AUTH");
        let found = format!("{:?}", client.call(question).await);
        assert_eq!(found, expected, "{question:?}");
    }
}

#[tokio::test]
async fn auth_and_hello_open_the_connection_and_reset_closes_it_again() {
    let proxy = guarded().await;
    let opening: [&[&str]; 4] = [
        &["AUTH", PASSWORD],
        &["AUTH", "default", PASSWORD],
        &["HELLO", "2", "AUTH", "default", PASSWORD],
        &["HELLO", "3", "SETNAME", "me", "AUTH", "default", PASSWORD],
    ];
    for words in opening {
        let mut client = stranger(&proxy).await;
        let lock = ["RLOCK", &support::unique_key("guarded"), "30000"];
        assert_eq!(client.call(&lock).await, Value::error(NO_AUTH));
        assert!(!client.call(words).await.is_error(), "{words:?}");
        let token = granted(&client.call(&lock).await).token;
        assert_eq!(client.call(&["RESET"]).await, Value::simple("RESET"));
        for refused in [&["RUNLOCK", lock[1], &token][..], &["PING"], &["INFO", "redlock"]] {
            assert_eq!(client.call(refused).await, Value::error(NO_AUTH), "after {words:?}");
        }
        client.call(&["AUTH", PASSWORD]).await;
        assert_eq!(client.call(&["RUNLOCK", lock[1], &token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn a_password_may_come_from_a_file() {
    let folder = TempDir::new().expect("a folder");
    let file = secret(&folder, "password", &format!("{PASSWORD}\nand a second line\n"));
    let fleet = shared(Kind::any(), 3).await;
    let options = patient(fleet.addresses()).set("auth.password_file", &file);
    let proxy = start(options.known_password(PASSWORD)).await;
    let mut client = stranger(&proxy).await;
    assert_eq!(client.call(&["AUTH", "and a second line"]).await, Value::error(WRONG));
    assert_eq!(client.call(&["PING"]).await, Value::error(NO_AUTH));
    assert_eq!(client.call(&["AUTH", PASSWORD]).await, Value::ok());
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
}

/// A file that nobody else may read; its path.
fn secret(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner may");
    path.display().to_string()
}

async fn fleet_with_password() -> Fleet {
    let options = ServerOptions { password: Some("p:a s/s".into()), ..ServerOptions::default() };
    Fleet::start_with(Kind::any(), 3, options).await
}

async fn locks(proxy: &Proxy) {
    let key = support::unique_key("behind");
    let mut client = proxy.connect().await;
    let lock = granted(&client.call(&["RLOCK", &key, "30000"]).await);
    assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
}

#[tokio::test]
async fn primaries_are_told_the_password_of_their_address_or_of_a_file() {
    let fleet = fleet_with_password().await;
    let [encoded, with_user] = ["redis://:p%3Aa%20s%2Fs@", "redis://default:p%3Aa%20s%2Fs@"]
        .map(|scheme| fleet.addresses().into_iter().map(move |address| format!("{scheme}{address}")));
    locks(&start(patient(encoded)).await).await;
    locks(&start(patient(with_user)).await).await;

    let folder = TempDir::new().expect("a folder");
    let password_file = secret(&folder, "password", "p:a s/s\n");
    let primary = |address: String| format!("  - address: {address}\n    password_file: {password_file}\n");
    let primaries: Vec<String> = fleet.addresses().into_iter().map(primary).collect();
    let config = secret(&folder, "redlock-proxy.yaml", &format!("primaries:\n{}", primaries.concat()));
    let options = ProxyOptions::default().argument("--config").argument(config);
    locks(&start(options).await).await;
}

#[tokio::test]
async fn a_primary_that_refuses_the_password_does_not_vote_and_says_why() {
    let fleet = fleet_with_password().await;
    for password in [":wrong@", "nobody:p%3Aa%20s%2Fs@", ""] {
        let addresses = fleet.addresses();
        let primaries = addresses.iter().map(|address| format!("redis://{password}{address}"));
        let proxy = Proxy::start(PROXY, patient(primaries)).await;
        let reply = proxy.command(&["RLOCK", "job", "1000"]).await;
        let reasons: Vec<String> = addresses.iter().map(|address| format!("{address} authentication failed")).collect();
        let expected = format!("NOQUORUM 0 of 3 primaries answered, 2 needed: {}", reasons.join("; "));
        assert_eq!(reply, Value::error(expected), "{password:?}");
        // The password is told to nobody.
        let told = format!("{}{}", proxy.log(), proxy.command(&["INFO"]).await.text());
        for secret in ["wrong", "p:a s/s", "p%3Aa"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}
