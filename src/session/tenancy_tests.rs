use super::super::tests_support::{Client, Proxy, eventually};

/// A lock that was held by its owner already, and is taken over for the session of a client whose stream has ended
/// meanwhile: on two of three primaries its record was signed anew. Returns when the client has been answered.
async fn taken_over(proxy: &Proxy) -> Client {
    let mut former = proxy.connect().await;
    former.send("RLOCK a 60000 OWNER me\r\n").await;
    former.expect("*2\r\n$43\r\nme:").await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 60000 OWNER me SESSION\r\n").await;
    eventually("it is asked for", || proxy.script.log().len() == 2).await;
    proxy.script.answer();
    proxy.script.hold();
    proxy.script.asked("sign a").await;
    client.half_close().await;
    proxy.notice().await;
    proxy.script.answer();
    eventually("it is answered", || proxy.service.counters.session_locks.value() == 1).await;
    client
}

/// What the owner was told by another proxy, before this one signed, may rest on those records.
#[tokio::test]
async fn a_take_over_of_which_its_client_has_not_read_is_not_released_where_it_signed() {
    let proxy = Proxy::start(|_| {}).await;
    let client = taken_over(&proxy).await;
    drop(client);
    eventually("the session is over", || proxy.service.counters.session_released_on_close.value() == 1).await;
    proxy.deserted().await;
    let records = proxy.script.records("a");
    assert_eq!(records.len(), 3, "the third bears another token");
    assert_eq!(records[0], records[1]);
    assert_ne!(records[0], records[2]);
}

#[tokio::test]
async fn a_take_over_of_which_its_client_has_read_is_released_everywhere() {
    let proxy = Proxy::start(|_| {}).await;
    let mut client = taken_over(&proxy).await;
    client.expect("*2\r\n$43\r\nme:").await;
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client.0, &mut rest).await.expect("the end of the stream");
    drop(client);
    eventually("the session is over", || proxy.service.counters.session_released_on_close.value() == 1).await;
    assert_eq!(proxy.script.records("a").len(), 1, "the third bears another token");
}
