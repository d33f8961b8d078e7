//! `redlock_proxy::session::follow_mode`
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| redlock_proxy::session::follow_mode(data));
