use super::*;

fn question(line: &str) -> Question {
    let mut words: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    let entry = table::find(&words).expect("a command of the table");
    let Action::Local(command) = entry.action else { panic!("{line}") };
    words.drain(..entry.name_words().min(words.len()));
    Question::of(&LocalRequest { command, arguments: words }).expect("of the COMMAND family")
}

fn asked(line: &str) -> (String, Merge) {
    match question(line) {
        Question::Ask(merge) => {
            let words: Vec<_> = merge.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            (words.join(" "), merge)
        }
        Question::Known(reply) => panic!("{line}: {reply:?}"),
    }
}

fn merge(line: &str, answer: &str, version: Version) -> String {
    String::from_utf8(asked(line).1.merge(answer.as_bytes(), version).to_vec()).expect("text")
}

#[test]
fn what_concerns_the_upstream_alone_is_asked_and_answered_as_it_is() {
    for line in
        ["COMMAND INFO get nope", "COMMAND GETKEYS get a", "COMMAND GETKEYSANDFLAGS set a b", "COMMAND LIST FILTERBY"]
    {
        let (words, merge) = asked(line);
        assert_eq!(words, line);
        assert_eq!(&merge.merge(b"*1\r\n*-1\r\n", Version::Resp2)[..], b"*1\r\n*-1\r\n");
    }
}

#[test]
fn what_concerns_lock_commands_alone_is_known() {
    for line in
        ["COMMAND INFO rlock RUNLOCK", "COMMAND DOCS rextend", "COMMAND GETKEYS rlock a 100", "COMMAND GETKEYS rlock"]
    {
        assert!(matches!(question(line), Question::Known(_)), "{line}");
    }
}

#[test]
fn lock_commands_are_counted_and_listed_behind_the_upstreams() {
    assert_eq!(merge("COMMAND COUNT", ":240\r\n", Version::Resp2), ":248\r\n");
    let listed = "*9\r\n$3\r\nget\r\n$5\r\nrlock\r\n$7\r\nrunlock\r\n$7\r\nrextend\r\n$6\r\nrmlock\r\n\
                  $8\r\nrmunlock\r\n$8\r\nrmextend\r\n$8\r\nrinspect\r\n$10\r\nrprimaries\r\n";
    assert_eq!(merge("COMMAND LIST", "*1\r\n$3\r\nget\r\n", Version::Resp2), listed);
    let filtered = "~2\r\n$3\r\nget\r\n$5\r\nrlock\r\n";
    assert_eq!(merge("COMMAND LIST FILTERBY PATTERN rl*", "~1\r\n$3\r\nget\r\n", Version::Resp3), filtered);
    let all = merge("COMMAND", "*1\r\n*1\r\n$3\r\nget\r\n", Version::Resp2);
    assert!(all.starts_with("*9\r\n*1\r\n$3\r\nget\r\n*10\r\n$5\r\nrlock\r\n:-3\r\n"), "{all}");
}

#[test]
fn entries_asked_for_by_name_come_in_the_order_of_the_names() {
    let (words, _) = asked("COMMAND INFO get rlock nope");
    assert_eq!(words, "COMMAND INFO get nope");
    let merged = merge("COMMAND INFO get rlock nope", "*2\r\n*1\r\n$3\r\nget\r\n*-1\r\n", Version::Resp2);
    assert!(merged.starts_with("*3\r\n*1\r\n$3\r\nget\r\n*10\r\n$5\r\nrlock\r\n"), "{merged}");
    assert!(merged.ends_with("*-1\r\n"), "{merged}");
}

#[test]
fn documentation_is_a_map_of_both_in_either_protocol() {
    let flat = merge("COMMAND DOCS get rlock", "*2\r\n$3\r\nget\r\n*0\r\n", Version::Resp2);
    assert!(flat.starts_with("*4\r\n$3\r\nget\r\n*0\r\n$5\r\nrlock\r\n*"), "{flat}");
    let map = merge("COMMAND DOCS", "%1\r\n$3\r\nget\r\n%0\r\n", Version::Resp3);
    assert!(map.starts_with("%9\r\n$3\r\nget\r\n%0\r\n$5\r\nrlock\r\n%"), "{map}");
}

#[test]
fn lock_commands_are_told_of_though_the_upstream_does_not_know_the_question_unless_nobody_may_ask() {
    let loss = "-ERR syntax error\r\n";
    let alone = merge("COMMAND DOCS", loss, Version::Resp2);
    assert!(alone.starts_with("*16\r\n$5\r\nrlock\r\n"), "{alone}");
    let alone = merge("COMMAND DOCS get rlock", loss, Version::Resp3);
    assert!(alone.starts_with("%1\r\n$5\r\nrlock\r\n"), "{alone}");
    for line in ["COMMAND", "COMMAND INFO"] {
        let alone = merge(line, loss, Version::Resp2);
        assert!(alone.starts_with("*8\r\n*10\r\n$5\r\nrlock\r\n"), "{line}: {alone}");
    }
    assert_eq!(merge("COMMAND LIST FILTERBY PATTERN rl*", loss, Version::Resp2), "*1\r\n$5\r\nrlock\r\n");
    // What the upstream has is its own to tell.
    for line in ["COMMAND COUNT", "COMMAND INFO get rlock", "COMMAND LIST FILTERBY PATTERN g*", "COMMAND GETKEYS get a"]
    {
        assert_eq!(merge(line, loss, Version::Resp2), loss, "{line}");
    }
    let refused = "-NOAUTH Authentication required.\r\n";
    assert_eq!(merge("COMMAND DOCS", refused, Version::Resp2), refused);
    assert_eq!(merge("COMMAND COUNT", refused, Version::Resp2), refused);
    assert!(asked("COMMAND DOCS get rlock").1.alone().is_some());
    assert!(asked("COMMAND COUNT").1.alone().is_none());
}

#[test]
fn an_answer_that_does_not_fit_is_left_as_it_is() {
    for answer in ["+OK\r\n", "*x\r\n", "$3\r\nabc\r\n", "*2\r\n*1\r\n$3\r\nget\r\n", ""] {
        assert_eq!(merge("COMMAND INFO get rlock nope", answer, Version::Resp2), answer);
    }
}
