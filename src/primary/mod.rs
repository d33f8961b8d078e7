//! One primary.
mod succession;
pub use succession::Succession;
