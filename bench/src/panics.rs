//! A measurement that cannot be made panics with a message that says why. Where the rest is to go on, that is its reason.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is measured, or why it cannot be.
///
/// # Errors
/// The message of the panic.
pub fn caught<T>(measure: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(measure)).map_err(|panic| {
        let reason = panic.downcast_ref::<String>().map(String::as_str);
        reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("see standard error").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_reason() {
        assert_eq!(caught(|| 7), Ok(7));
        let broken = [caught(|| panic!("broken")), caught(|| panic!("no {}", "server"))];
        assert_eq!(broken, [Err::<(), _>("broken".to_owned()), Err("no server".to_owned())]);
    }
}
