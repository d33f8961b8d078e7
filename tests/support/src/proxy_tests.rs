//! The proxy's own program belongs to another package; a script that understands its flags and execs redis-server, which takes
//! signals and logs as the proxy does, stands in for it.

use super::*;
use crate::servers::Kind;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn stand_in(folder: &TempDir, before: &str) -> PathBuf {
    let file = folder.path().join("stand-in");
    // `$2` is the listening address; redis-server logs to standard output.
    let script = format!(
        "#!/bin/sh\necho \"arguments: $*\" >&2\n{before}\nexec '{}' --port \"${{2##*:}}\" --save '' --dir '{}' >&2\n",
        Kind::Redis.binary().display(),
        folder.path().display()
    );
    fs::write(&file, script).expect("a file can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    file
}

#[tokio::test]
async fn a_proxy_gets_its_flags_logs_and_ends_when_told() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let binary = stand_in(&folder, "");
    let options =
        ProxyOptions::new(["127.0.0.1:1", "127.0.0.1:2"]).set("attempts", 5).argument("--log-level").argument("debug");
    let proxy = Proxy::start(&binary, options).await;
    assert_eq!(proxy.command(&["ECHO", "hi"]).await, Value::bulk("hi"));
    assert_eq!(proxy.info("ready").await, None);
    let line = proxy.wait_for_log("arguments:").await;
    let flags = "--primary 127.0.0.1:1 --primary 127.0.0.1:2 --set new_set=at_once --set attempts=5 --log-level debug";
    assert_eq!(line, format!("arguments: --listen {} {flags}", proxy.address()));
    assert!(proxy.footprint().resident_bytes > 0);

    proxy.terminate();
    assert!(proxy.wait_exit().await.success());
    proxy.wait_for_log("User requested shutdown").await;
}

#[tokio::test]
async fn a_taken_port_is_tried_again_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let refuse_once = format!(
        "if [ ! -e '{0}/tried' ]; then touch '{0}/tried'; echo 'Address already in use' >&2; exit 69; fi",
        folder.path().display()
    );
    let binary = stand_in(&folder, &refuse_once);
    let proxy = Proxy::start(&binary, ProxyOptions::new(["127.0.0.1:1"])).await;
    assert_eq!(proxy.command(&["PING"]).await, Value::simple("PONG"));
    assert!(folder.path().join("tried").exists());
}

#[tokio::test]
#[should_panic(expected = "no such flag")]
async fn a_proxy_that_does_not_start_says_why() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let binary = stand_in(&folder, "echo 'no such flag' >&2; exit 64");
    Proxy::start(&binary, ProxyOptions::new(["127.0.0.1:1"])).await;
}

#[test]
fn a_log_is_bounded_and_says_so() {
    let log = Log(Arc::default());
    for number in 0..=LINES_KEPT {
        log.push(format!("line {number}."));
    }
    assert_eq!(log.find("line 0."), None);
    assert_eq!(log.find("line 1.").as_deref(), Some("line 1."));
    assert!(log.text().starts_with("(1 earlier lines are not kept)\nline 1.\n"));
}
