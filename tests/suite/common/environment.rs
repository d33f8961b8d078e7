//! Numbers by which whoever runs the tests asks for more of them, or for the same again.

/// The number in this variable; `None` when it is not set. Panics when it is none.
pub(crate) fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}
