//! The mode of a connection, step by step.

use super::model::reply;
use super::*;
use crate::command::Class;

fn send(mode: &mut Mode, effects: &[Effect]) {
    for effect in effects {
        mode.sent(*effect);
    }
}

#[test]
fn a_transaction_begins_with_the_servers_word_and_not_with_the_clients() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::None, Effect::Multi]);
    assert_eq!(mode.standing(), Standing::Normal);
    reply(&mut mode, b"+OK\r\n");
    assert_eq!(mode.standing(), Standing::Normal);
    reply(&mut mode, b"+OK\r\n");
    assert_eq!((mode.standing(), mode.owes()), (Standing::Transaction, false));

    let mut refused = Mode::default();
    send(&mut refused, &[Effect::Multi]);
    reply(&mut refused, b"-NOAUTH Authentication required.\r\n");
    assert_eq!(refused.standing(), Standing::Normal);
}

#[test]
fn a_transaction_ends_with_exec_and_discard_unless_they_were_written_wrongly() {
    for (effect, answer, standing) in [
        (Effect::Exec, &b"*1\r\n+OK\r\n"[..], Standing::Normal),
        (Effect::Exec, b"*-1\r\n", Standing::Normal),
        (Effect::Exec, b"$-1\r\n", Standing::Normal),
        (Effect::Exec, b"_\r\n", Standing::Normal),
        (Effect::Exec, b"-EXECABORT Transaction discarded because of previous errors.\r\n", Standing::Normal),
        (Effect::Exec, b"-ERR wrong number of arguments for 'exec' command\r\n", Standing::Transaction),
        (
            Effect::Exec,
            b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n",
            Standing::Normal,
        ),
        (Effect::Discard, b"+OK\r\n", Standing::Normal),
        (Effect::Reset, b"+RESET\r\n", Standing::Normal),
        (Effect::None, b"+QUEUED\r\n", Standing::Transaction),
    ] {
        let mut mode = Mode::default();
        send(&mut mode, &[Effect::Multi]);
        reply(&mut mode, b"+OK\r\n");
        mode.poison();
        send(&mut mode, &[effect]);
        reply(&mut mode, answer);
        assert_eq!(mode.standing(), standing, "{effect:?} {:?}", answer.escape_ascii().to_string());
        assert_eq!(mode.is_poisoned(), standing == Standing::Transaction);
    }
}

#[test]
fn the_protocol_changes_with_the_answer_and_in_a_transaction_with_exec() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::Hello(Some(Version::Resp3)), Effect::Hello(Some(Version::Resp3))]);
    reply(&mut mode, b"-NOAUTH HELLO must be called\r\n");
    assert_eq!(mode.version(), Version::Resp2);
    reply(&mut mode, b"%0\r\n");
    assert_eq!(mode.version(), Version::Resp3);
    send(&mut mode, &[Effect::Multi, Effect::Hello(Some(Version::Resp2)), Effect::Exec]);
    reply(&mut mode, b"+OK\r\n");
    reply(&mut mode, b"+QUEUED\r\n");
    assert_eq!(mode.version(), Version::Resp3);
    reply(&mut mode, b"*1\r\n*0\r\n");
    assert_eq!(mode.version(), Version::Resp2);
}

#[test]
fn messages_are_nobodys_replies() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::Subscribe(Class::Channel, 2)]);
    reply(&mut mode, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!((mode.standing(), mode.owes()), (Standing::Subscribed, true));
    reply(&mut mode, b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    assert!(mode.owes());
    reply(&mut mode, b"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    send(&mut mode, &[Effect::None]);
    reply(&mut mode, b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nhi\r\n");
    assert!(mode.owes());
    reply(&mut mode, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert!(!mode.owes());
    send(&mut mode, &[Effect::Unsubscribe(Class::Channel, 0)]);
    reply(&mut mode, b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert!(mode.owes());
    reply(&mut mode, b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n");
    assert_eq!((mode.standing(), mode.owes()), (Standing::Normal, false));
    send(&mut mode, &[Effect::Unsubscribe(Class::Channel, 0)]);
    reply(&mut mode, b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    assert!(!mode.owes());
}

#[test]
fn a_list_that_looks_like_a_message_is_a_reply_to_who_is_not_subscribed() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::None]);
    reply(&mut mode, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!((mode.standing(), mode.owes()), (Standing::Normal, false));
}

#[test]
fn a_subscription_behind_a_silence_is_seen() {
    for (hello, kind) in [(Effect::None, '*'), (Effect::Hello(Some(Version::Resp3)), '>')] {
        let mut mode = Mode::default();
        send(&mut mode, &[hello]);
        reply(&mut mode, b"+OK\r\n");
        send(&mut mode, &[Effect::SkipNext, Effect::None, Effect::Subscribe(Class::Channel, 1)]);
        reply(&mut mode, format!("{kind}3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n").as_bytes());
        assert!(mode.is_subscribed() && !mode.owes() && !mode.is_in_doubt());
        assert_eq!(mode.standing(), if kind == '*' { Standing::Subscribed } else { Standing::Normal });
    }
}

#[test]
fn silence_is_told_from_its_refusal() {
    let mut off = Mode::default();
    send(&mut off, &[Effect::RepliesOff, Effect::None, Effect::None]);
    assert_eq!((off.standing(), off.owes(), off.is_in_doubt()), (Standing::Muted, false, true));
    send(&mut off, &[Effect::RepliesOn]);
    assert_eq!((off.standing(), off.owes()), (Standing::Normal, true));
    reply(&mut off, b"+OK\r\n");
    assert_eq!((off.owes(), off.is_in_doubt()), (false, false));

    let mut unknown = Mode::default();
    send(&mut unknown, &[Effect::RepliesOff, Effect::None, Effect::None]);
    reply(&mut unknown, b"-ERR Unknown subcommand or wrong number of arguments for 'REPLY'. Try CLIENT HELP.\r\n");
    assert_eq!((unknown.standing(), unknown.owes()), (Standing::Normal, true));
    reply(&mut unknown, b"+OK\r\n");
    reply(&mut unknown, b"+OK\r\n");
    assert!(!unknown.owes() && unknown.is_in_doubt());
    unknown.asked(true);
    unknown.passed_fence();
    assert!(!unknown.is_in_doubt());
}

#[test]
fn a_fence_behind_silence_is_answered_by_its_own_word() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::SkipNext]);
    assert!(mode.skips_next());
    send(&mut mode, &[Effect::None]);
    assert_eq!((mode.standing(), mode.owes(), mode.is_in_doubt()), (Standing::Normal, false, true));
    mode.asked(true);
    assert!(mode.owes());
    mode.passed_fence();
    assert_eq!((mode.owes(), mode.is_in_doubt()), (false, false));
}

#[test]
fn what_is_no_fence_does_not_answer_it_and_an_error_does() {
    let mut mode = Mode::default();
    mode.asked(true);
    assert_eq!(reply(&mut mode, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"), Fate::Deliver);
    assert_eq!(reply(&mut mode, b">2\r\n+a\r\n+b\r\n"), Fate::Deliver);
    assert!(mode.owes());
    assert_eq!(reply(&mut mode, b"-NOAUTH Authentication required.\r\n"), Fate::Answer);
    assert!(!mode.owes());
    mode.asked(false);
    assert!(mode.expects_answer());
    assert_eq!(reply(&mut mode, b">2\r\n+a\r\n+b\r\n"), Fate::Deliver);
    assert_eq!(reply(&mut mode, b"*0\r\n"), Fate::Answer);
}

#[test]
fn monitoring_replicating_and_leaving_end_it_all() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::Monitor]);
    assert_eq!(mode.standing(), Standing::Normal);
    reply(&mut mode, b"+OK\r\n");
    assert_eq!(mode.standing(), Standing::Raw);
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::Replicate]);
    assert_eq!(mode.standing(), Standing::Raw);
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::Quit]);
    reply(&mut mode, b"+OK\r\n");
    assert_eq!(mode.standing(), Standing::Closing);
}

#[test]
fn what_was_taken_for_done_behind_a_silence_that_is_refused_is_not_gone_on_from() {
    for effect in [Effect::RepliesOff, Effect::SkipNext] {
        let mut mode = Mode::default();
        send(&mut mode, &[effect]);
        mode.swallow();
        assert!(!mode.is_out_of_step());
        reply(&mut mode, b"-NOPERM User few has no permissions to run the 'client|reply' command\r\n");
        assert!(mode.is_out_of_step(), "{effect:?}");
        let mut mode = Mode::default();
        send(&mut mode, &[effect, Effect::None]);
        mode.swallow();
        send(&mut mode, &[Effect::RepliesOn]);
        reply(&mut mode, b"+OK\r\n");
        assert!(!mode.is_out_of_step(), "{effect:?}");
    }
}

#[test]
fn an_error_about_another_subcommand_is_no_refusal_of_silence() {
    let mut mode = Mode::default();
    send(&mut mode, &[Effect::SkipNext, Effect::None, Effect::None]);
    reply(&mut mode, b"-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n");
    assert!(!mode.owes() && !mode.is_in_doubt());
}
