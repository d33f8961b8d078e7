//! `AUTH [username] password`: one password, and the one user that Redis calls `default`.

use std::hint::black_box;

use bytes::Bytes;

use super::{Connection, Refusal};
use crate::command::CommandError;
use crate::config::Secret;
use crate::protocol::Reply;

/// The only user.
const USER: &[u8] = b"default";

/// `AUTH [username] password`. A failure leaves the connection as it was, authenticated or not.
pub(super) fn auth(
    arguments: &[Bytes],
    connection: &mut Connection,
    password: Option<&Secret>,
) -> Result<Reply, Refusal> {
    match arguments {
        [_] if password.is_none() => {
            return Err(Refusal::authentication(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        [told] => check(USER, told, password)?,
        [user, told] => check(user, told, password)?,
        _ => return Err(CommandError::Syntax.into()),
    }
    connection.authenticate();
    Ok(Reply::OK)
}

/// Whether this user with this password may come in. Without a configured password the user may, with any.
pub(super) fn check(user: &[u8], told: &[u8], password: Option<&Secret>) -> Result<(), Refusal> {
    let is_right = password.is_none_or(|password| same(told, password.expose().as_bytes()));
    if is_right && user == USER {
        Ok(())
    } else {
        Err(Refusal::authentication("WRONGPASS invalid username-password pair or user is disabled."))
    }
}

/// Equality in a time that depends on what was told alone: neither where the two differ nor how long the password is
/// can be learnt from it.
fn same(told: &[u8], password: &[u8]) -> bool {
    let mut difference = u8::from(told.len() != password.len());
    for (told, right) in told.iter().zip(password.iter().cycle()) {
        difference |= black_box(told ^ right);
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::local::tests_support::{Fixture, error};

    const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

    #[test]
    fn the_password_opens_the_connection_with_or_without_the_user() {
        for line in ["AUTH secret", "AUTH default secret"] {
            let mut fixture = Fixture::with_password("secret");
            assert_eq!(fixture.reply("RLOCK job 1000"), error("NOAUTH Authentication required."));
            assert_eq!(fixture.reply(line), Reply::OK);
            assert_eq!(fixture.reply("PING"), Reply::Status("PONG".into()));
        }
    }

    #[test]
    fn a_wrong_password_or_user_is_refused_and_changes_nothing() {
        let mut fixture = Fixture::with_password("secret");
        for line in ["AUTH Secret", "AUTH ", "AUTH secre", "AUTH secretsecret", "AUTH root secret", "AUTH default x"] {
            assert_eq!(fixture.reply(line), error(WRONG), "{line}");
        }
        assert_eq!(fixture.reply("AUTH a b c"), error("ERR syntax error"));
        assert_eq!(fixture.reply("PING"), error("NOAUTH Authentication required."));
        assert_eq!(fixture.reply("AUTH secret"), Reply::OK);
        assert_eq!(fixture.reply("AUTH wrong"), error(WRONG));
        assert_eq!(fixture.reply("PING"), Reply::Status("PONG".into()));
        assert_eq!(fixture.counters.errors_auth.value(), 6 + 1 + 1);
        assert_eq!(fixture.counters.errors_syntax.value(), 1);
    }

    #[test]
    fn without_a_password_auth_says_so() {
        let mut fixture = Fixture::new();
        let unset = "ERR AUTH <password> called without any password configured for the default user. \
                     Are you sure your configuration is correct?";
        assert_eq!(fixture.reply("AUTH x"), error(unset));
        assert_eq!(fixture.reply("AUTH default x"), Reply::OK);
        assert_eq!(fixture.reply("AUTH root x"), error(WRONG));
    }

    proptest! {
        #[test]
        fn only_equal_bytes_are_the_same(a in prop::collection::vec(0_u8..3, 0..6), b in prop::collection::vec(0_u8..3, 0..6)) {
            prop_assert_eq!(same(&a, &b), a == b);
        }
    }
}
