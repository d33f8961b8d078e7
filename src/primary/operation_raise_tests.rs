//! Fencing counters on the wire: behind a request that can be a vote, and alone.

use std::time::Duration;

use super::*;

const RETENTION: Duration = Duration::from_secs(604_800);

fn raise(look: bool, ticket: Ticket<RaiseVote>) -> Raise {
    let number = FenceNumber::new(1_763_765_000_123_456).expect("in range");
    Raise { number, retention: RETENTION, look, ticket }
}

fn fenced_acquire(look: bool, raises: Ticket<RaiseVote>, ticket: Ticket<AcquireVote>) -> Operation {
    let raise = Some(Box::new(raise(look, raises)));
    Operation::Acquire { resource: resource(), token: token("T1"), ttl: ttl(), raise, asks_ttl: false, ticket }
}

fn fenced_sign(raises: Ticket<RaiseVote>, ticket: Ticket<SignVote>) -> Operation {
    let (found, raise) = (Bytes::from_static(b"T0"), Some(Box::new(raise(true, raises))));
    Operation::Sign { resource: resource(), found, token: token("T1"), ttl: ttl(), raise, ticket }
}

fn raise_alone(ticket: Ticket<RaiseVote>) -> Operation {
    Operation::Raise { resource: resource(), token: token("T1"), raise: Box::new(raise(true, ticket)) }
}

/// The raise as it is sent: behind the key's prefix stands the counters', then the name.
fn raise_sent(call: Call) -> String {
    let (command, script) = match call {
        Call::Digest => ("EVALSHA", RAISE.digest.as_str()),
        Call::Source => ("EVAL", RAISE.source),
    };
    format!(
        "*6\r\n${}\r\n{command}\r\n${}\r\n{script}\r\n$1\r\n1\r\n$25\r\np:redlock-proxy:fence:job\r\n\
         $16\r\n1763765000123456\r\n$9\r\n604800000\r\n",
        command.len(),
        script.len()
    )
}

const GET: &str = "*2\r\n$3\r\nGET\r\n$5\r\np:job\r\n";

fn bulk(bytes: &'static [u8]) -> Answer {
    Answer::Bulk(Bytes::from_static(bytes))
}

fn forgotten() -> Answer {
    error("NOSCRIPT No matching script. Please use EVAL.")
}

#[test]
fn a_raise_goes_directly_behind_the_request_that_can_be_a_vote() {
    let plain = |dialect| sent(&acquire(recorder().1), dialect, Call::Digest);
    for dialect in [MODERN, PLAIN] {
        let without_look = fenced_acquire(false, recorder().1, recorder().1);
        let expected = plain(dialect) + &raise_sent(Call::Digest);
        assert_eq!(sent(&without_look, dialect, Call::Digest), expected);
        let with_look = fenced_acquire(true, recorder().1, recorder().1);
        assert_eq!(sent(&with_look, dialect, Call::Digest), expected + GET);
        let set = replies(&acquire(recorder().1), dialect);
        assert_eq!((replies(&without_look, dialect), replies(&with_look, dialect)), (set + 1, set + 2));
    }
    for call in [Call::Digest, Call::Source] {
        let signing = fenced_sign(recorder().1, recorder().1);
        assert_eq!(sent(&signing, MODERN, call), sent(&sign(recorder().1), MODERN, call) + &raise_sent(call) + GET);
        assert_eq!(replies(&signing, MODERN), 3);
    }
}

#[test]
fn a_number_drawn_anew_is_raised_alone_with_a_look_behind_it() {
    for call in [Call::Digest, Call::Source] {
        assert_eq!(sent(&raise_alone(recorder().1), PLAIN, call), raise_sent(call) + GET);
    }
    assert_eq!(replies(&raise_alone(recorder().1), MODERN), 2);
}

#[test]
fn what_is_not_fenced_sends_nothing_of_it() {
    for operation in [acquire(recorder().1), sign(recorder().1), extend(recorder().1), release(None)] {
        assert!(!sent(&operation, PLAIN, Call::Digest).contains("fence"));
    }
}

#[test]
fn the_answers_to_a_raise_are_the_counter_as_it_was_and_whose_record_it_is() {
    let before = |number| RaiseVote::Raised(FenceNumber::new(number), true);
    for (counter, look, vote) in [
        (Answer::Null, bulk(b"T1"), RaiseVote::Raised(None, true)),
        (bulk(b"1763765000123455"), bulk(b"T1"), before(1_763_765_000_123_455)),
        (bulk(b"9007199254740991"), bulk(b"T1"), before(9_007_199_254_740_991)),
        (Answer::Null, bulk(b"T2"), RaiseVote::Raised(None, false)),
        (Answer::Null, Answer::Null, RaiseVote::Raised(None, false)),
        (Answer::Null, error("WRONGTYPE Operation against a key"), RaiseVote::Raised(None, false)),
    ] {
        let (votes, ticket) = recorder();
        let settled = answered(&mut raise_alone(ticket), MODERN, [counter.clone(), look.clone()]);
        assert!(matches!(settled, Settled::Done));
        assert_eq!(recorded(&votes), (vote, None));

        let (raises, votes) = (recorder(), recorder());
        let mut operation = fenced_acquire(true, raises.1, votes.1);
        assert!(matches!(
            answered(&mut operation, MODERN, [Answer::Null, counter.clone(), look.clone()]),
            Settled::Done
        ));
        assert_eq!((recorded(&raises.0), recorded(&votes.0)), ((vote, None), (AcquireVote::Granted, None)));

        let (raises, votes) = (recorder(), recorder());
        let mut operation = fenced_sign(raises.1, votes.1);
        assert!(matches!(answered(&mut operation, MODERN, [Answer::Integer(1), counter, look]), Settled::Done));
        assert_eq!((recorded(&raises.0), recorded(&votes.0)), ((vote, None), (SignVote::Signed, None)));
    }
}

#[test]
fn without_an_owner_nobody_has_to_look() {
    for (dialect, answers) in [
        (MODERN, vec![Answer::Null, Answer::Null]),
        (PLAIN, vec![Answer::Status(Bytes::from_static(b"OK")), bulk(b"T1"), Answer::Null]),
    ] {
        let (raises, votes) = (recorder(), recorder());
        let mut operation = fenced_acquire(false, raises.1, votes.1);
        assert!(matches!(answered(&mut operation, dialect, answers), Settled::Done));
        let expected = ((RaiseVote::Raised(None, true), None), (AcquireVote::Granted, None));
        assert_eq!((recorded(&raises.0), recorded(&votes.0)), expected);
    }
}

#[test]
fn a_counter_that_is_none_and_an_error_tell_nothing_of_the_counter() {
    let oversized = Answer::Bulk(vec![b'9'; 40].into());
    let no_number = "a fencing counter that is no number below 2^53";
    for (answer, reason) in [
        (bulk(b"soon"), no_number),
        (bulk(b"-1"), no_number),
        (bulk(b"0"), no_number),
        (bulk(b"1.5"), no_number),
        (bulk(b"9007199254740992"), no_number),
        (oversized, no_number),
        (Answer::Integer(7), "an answer of an unexpected type"),
        (error("OOM command not allowed"), "out of memory"),
        (error("ERR Error running script (call to f_1): @user_script:1: attempt to compare nil"), ""),
    ] {
        let (votes, ticket) = recorder();
        let mut operation = raise_alone(ticket);
        assert!(matches!(answered(&mut operation, MODERN, [answer.clone(), bulk(b"T1")]), Settled::Done));
        let (vote, trouble) = recorded(&votes);
        assert_eq!(vote, RaiseVote::Silent);
        assert!(trouble.is_some_and(|trouble| trouble.to_string().contains(reason)));

        // The vote in front of it stands for itself.
        let (raises, votes) = (recorder(), recorder());
        let mut operation = fenced_acquire(false, raises.1, votes.1);
        assert!(matches!(answered(&mut operation, MODERN, [Answer::Null, answer]), Settled::Done));
        assert_eq!((recorded(&raises.0).0, recorded(&votes.0).0), (RaiseVote::Silent, AcquireVote::Granted));
    }
}

#[test]
fn a_raise_whose_script_the_server_forgot_is_sent_again_when_it_stands_alone() {
    let (votes, ticket) = recorder();
    let mut operation = raise_alone(ticket);
    assert!(matches!(answered(&mut operation, MODERN, [forgotten(), bulk(b"T1")]), Settled::SendSource));
    assert!(matches!(answered(&mut operation, MODERN, [Answer::Null, bulk(b"T1")]), Settled::Done));
    assert_eq!(recorded(&votes), (RaiseVote::Raised(None, true), None));
}

#[test]
fn a_raise_behind_a_set_is_not_sent_again_since_the_set_was_run() {
    let (raises, votes) = (recorder(), recorder());
    let mut operation = fenced_acquire(false, raises.1, votes.1);
    assert!(matches!(answered(&mut operation, MODERN, [Answer::Null, forgotten()]), Settled::Done));
    assert_eq!((recorded(&raises.0).0, recorded(&votes.0).0), (RaiseVote::Silent, AcquireVote::Granted));
}

#[test]
fn a_signing_whose_script_the_server_forgot_is_sent_again_with_its_raise() {
    let (raises, votes) = (recorder(), recorder());
    let mut operation = fenced_sign(raises.1, votes.1);
    let answers = [forgotten(), forgotten(), bulk(b"T0")];
    assert!(matches!(answered(&mut operation, MODERN, answers), Settled::SendSource));
    let answers = [Answer::Integer(1), Answer::Null, bulk(b"T1")];
    assert!(matches!(answered(&mut operation, MODERN, answers), Settled::Done));
    let expected = ((RaiseVote::Raised(None, true), None), (SignVote::Signed, None));
    assert_eq!((recorded(&raises.0), recorded(&votes.0)), expected);
}

#[test]
fn silence_and_what_never_left_are_told_of_the_raise_and_of_what_it_stands_behind() {
    for (is_silent, raise_vote, vote) in
        [(true, RaiseVote::Silent, AcquireVote::Silent), (false, RaiseVote::Unsent, AcquireVote::Unsent)]
    {
        let (raises, votes, alone) = (recorder(), recorder(), recorder());
        let mut operation = fenced_acquire(true, raises.1, votes.1);
        let mut raise = raise_alone(alone.1);
        for operation in [&mut operation, &mut raise] {
            if is_silent {
                assert!(silent(operation, Trouble::ConnectionLost));
            } else {
                unsent(operation, Trouble::ConnectionLost);
            }
        }
        let trouble = || Some(Trouble::ConnectionLost);
        assert_eq!((recorded(&raises.0), recorded(&votes.0)), ((raise_vote, trouble()), (vote, trouble())));
        assert_eq!(recorded(&alone.0), (raise_vote, trouble()));
        // What comes after that changes nothing.
        answered(&mut operation, MODERN, [Answer::Null, Answer::Null, bulk(b"T1")]);
        answered(&mut raise, MODERN, [Answer::Null, bulk(b"T1")]);
        assert!(raises.0.0.lock().expect("no test panics in here").is_none());
        assert!(alone.0.0.lock().expect("no test panics in here").is_none());
    }
}
