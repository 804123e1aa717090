//! libFuzzer's entry to [`weald_fuzz::log_recovery`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::log_recovery::run(data));
