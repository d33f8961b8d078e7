//! The lock as its users see it: through redis-cli and client libraries, and in bytes.

use support::{Fleet, Kind, Proxy, Value, eventually, redis_cli, run_program, shared, unique_key};

use crate::common::{Rig, every_primary_holds, every_rig, granted, no_primary_holds, patient, resp3, start};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/clients");

async fn printed(proxy: &Proxy, arguments: &[&str]) -> String {
    let output = redis_cli(proxy.port(), &[&["-e"], arguments].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn redis_cli_takes_extends_and_releases_a_lock() {
    for rig in every_rig().await {
        let (fleet, proxy) = (rig.fleet, &rig.proxy);
        let key = unique_key("cli");
        let granted = printed(proxy, &["RLOCK", &key, "30000"]).await;
        let [token, validity] = granted.lines().collect::<Vec<_>>()[..] else { panic!("two lines, not {granted:?}") };
        assert_eq!(token.len(), 40);
        assert!(token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{token}");
        let validity: i64 = validity.parse().expect("a number");
        // The drift allowance is a hundredth and 2 ms.
        assert!((1..=30_000 - 302).contains(&validity), "{validity}");
        every_primary_holds(fleet, &key, token).await;
        for server in fleet.iter() {
            assert!((1..=30_000).contains(&server.pttl(&key).await));
        }
        assert_eq!(printed(proxy, &["RLOCK", &key, "30000"]).await, "\n", "a null, on a pipe");

        let extended: i64 = printed(proxy, &["REXTEND", &key, token, "50000"]).await.trim().parse().expect("a number");
        assert!((30_001..=50_000 - 502).contains(&extended), "{extended}");
        let everywhere = async || {
            let mut extended = true;
            for server in fleet.iter() {
                extended &= (30_001..=50_000).contains(&server.pttl(&key).await);
            }
            extended
        };
        eventually(everywhere, "every primary to have extended").await;

        assert_eq!(printed(proxy, &["RUNLOCK", &key, token]).await, "1\n");
        assert_eq!(printed(proxy, &["RUNLOCK", &key, token]).await, "0\n");
        assert_eq!(printed(proxy, &["REXTEND", &key, token, "50000"]).await, "\n");
        no_primary_holds(fleet, &key).await;
    }
}

#[tokio::test]
async fn redis_cli_says_errors_by_its_exit_code() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let output = redis_cli(proxy.port(), &["-e", "RLOCK", "job", "soon"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ERR value is not an integer or out of range"), "{said}");
}

/// Runs one of the client scripts against every fleet; `arguments` come before the ports and the key.
async fn run_script(program: &str, script: &str, arguments: &[&str], environment: &[(&str, &str)]) {
    for rig in every_rig().await {
        let (fleet, proxy) = (rig.fleet, &rig.proxy);
        let mut all = vec![format!("{CLIENTS}/{script}")];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        all.extend([proxy.port().to_string(), unique_key("library")]);
        all.extend(fleet.iter().map(|server| server.port().to_string()));
        let output = run_program(program, &all, environment).await;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.ends_with("done\n"), "{script} {arguments:?}: {said}");
    }
}

#[tokio::test]
async fn redis_py_takes_extends_and_releases_a_lock_in_either_protocol() {
    for protocol in ["2", "3"] {
        run_script("python3", "lock.py", &[protocol], &[]).await;
    }
}

#[tokio::test]
async fn ioredis_takes_extends_and_releases_a_lock() {
    run_script("node", "lock.js", &[], &[]).await;
}

#[tokio::test]
async fn replies_in_bytes_are_those_of_the_protocol_that_is_spoken() {
    for &kind in Kind::all() {
        let proxy = &Rig::shared(kind, 3).await.proxy;
        for (version, null_array, null) in [(2, "*-1\r\n", "$-1\r\n"), (3, "_\r\n", "_\r\n")] {
            let mut client = if version == 2 { proxy.connect().await } else { resp3(proxy).await };
            let key = unique_key("bytes");
            for (owner, prefix) in [(None, ""), (Some("a:b"), "a:b:")] {
                let mut command = vec!["RLOCK", &key, "30000"];
                command.extend(owner.iter().flat_map(|&name| ["OWNER", name]));
                client.send(&command).await;
                client.expect_bytes(format!("*2\r\n${}\r\n{prefix}", prefix.len() + 40)).await;
                let digits = String::from_utf8(client.read_exact_bytes(40).await).expect("hex digits");
                client.expect_bytes("\r\n:29").await;
                let rest = client.read_exact_bytes(5).await;
                assert!(rest[..3].iter().all(u8::is_ascii_digit) && rest.ends_with(b"\r\n"), "{rest:?}");
                let token = format!("{prefix}{digits}");

                client.send(&["RLOCK", &key, "30000"]).await;
                client.expect_bytes(null_array).await;
                client.send(&["REXTEND", &key, &token, "30000"]).await;
                client.expect_bytes(":29").await;
                client.read_exact_bytes(5).await;
                client.send(&["REXTEND", &key, "another", "30000"]).await;
                client.expect_bytes(null).await;
                client.send(&["RUNLOCK", &key, &token]).await;
                client.expect_bytes(":1\r\n").await;
                client.send(&["RUNLOCK", &key, &token]).await;
                client.expect_bytes(":0\r\n").await;
            }
            client.send(&["INFO", "redlock"]).await;
            let kind = client.read_exact_bytes(1).await;
            assert_eq!(kind, if version == 2 { b"$" } else { b"=" });
        }
    }
}

#[tokio::test]
async fn without_a_quorum_the_error_names_each_primary_and_what_is_wrong_with_it() {
    let mut fleet = Fleet::start(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses())).await;
    let addresses = fleet.addresses();
    for server in fleet.iter_mut() {
        server.kill();
    }
    let expected = format!(
        "-NOQUORUM 0 of 3 primaries answered, 2 needed: {} connection refused; {} connection refused; {} connection refused\r\n",
        addresses[0], addresses[1], addresses[2]
    );
    let all_refuse = async || {
        let mut client = proxy.connect().await;
        let reply = client.call(&["RLOCK", "job", "1000"]).await;
        format!("{reply:?}\r\n") == expected
    };
    eventually(all_refuse, &expected).await;
    for mut client in [proxy.connect().await, resp3(&proxy).await] {
        for command in [&["RLOCK", "job", "1000"][..], &["REXTEND", "job", "t", "1000"], &["RUNLOCK", "job", "t"]] {
            client.send(command).await;
            client.expect_bytes(&expected).await;
        }
    }
}

#[tokio::test]
async fn records_carry_the_key_prefix_and_clients_never_see_it() {
    let fleet = shared(Kind::any(), 3).await;
    let options = patient(fleet.addresses()).set("key_prefix", "some:app/");
    let proxy = start(options).await;
    let mut client = proxy.connect().await;
    let key = unique_key("prefixed");
    let lock = granted(&client.call(&["RLOCK", &key, "30000"]).await);
    every_primary_holds(fleet, &format!("some:app/{key}"), &lock.token).await;
    assert_eq!(fleet.holding(&key).await, 0);
    // A proxy without the prefix, or with another one, has locks of its own.
    let other = &Rig::shared(Kind::any(), 3).await.proxy;
    let others = granted(&other.command(&["RLOCK", &key, "30000"]).await);
    assert_eq!(client.call(&["RUNLOCK", &key, &others.token]).await, Value::Integer(0));
    assert_eq!(other.command(&["RUNLOCK", &key, &others.token]).await, Value::Integer(1));

    assert!(client.call(&["REXTEND", &key, &lock.token, "30000"]).await.integer() > 0);
    let keys = client.call(&["COMMAND", "GETKEYS", "RLOCK", &key, "30000"]).await;
    assert_eq!(keys, Value::Array(vec![Value::bulk(&key)]));
    assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    no_primary_holds(fleet, &format!("some:app/{key}")).await;

    // What is reserved is the name that the client gives, with a prefix as without.
    let reserved = Value::error("ERR names beginning with 'redlock-proxy:' are reserved");
    assert_eq!(client.call(&["RLOCK", "redlock-proxy:x", "1000"]).await, reserved);
    assert_eq!(other.command(&["RLOCK", "redlock-proxy:x", "1000"]).await, reserved);
}

#[tokio::test]
async fn any_bytes_are_a_name_the_empty_one_too() {
    let fleet = shared(Kind::any(), 3).await;
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let unique = unique_key("binary");
    let binary = [unique.as_bytes(), b"\0\r\n\xff *$ \"'"].concat();
    let longest = format!("{unique}{}", "k".repeat(4096 - unique.len()));
    for key in [&binary[..], longest.as_bytes(), b""] {
        let mut client = proxy.connect().await;
        let granted = client.call(&[&b"RLOCK"[..], key, b"30000", b"OWNER", &[0xff; 200]]).await;
        let Value::Array(parts) = granted else { panic!("{granted:?}") };
        let token = parts[0].bytes().to_vec();
        assert_eq!(&token[..201], [&[0xff; 200][..], b":"].concat());
        for server in fleet.iter() {
            let held = async || server.command(&[&b"GET"[..], key]).await == Value::bulk(&token);
            eventually(held, "every primary to hold the binary token").await;
        }
        assert_eq!(client.call(&[&b"RUNLOCK"[..], key, &token]).await, Value::Integer(1));
    }
}
