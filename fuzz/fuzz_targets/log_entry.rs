//! libFuzzer's entry to [`weald_fuzz::log_entry`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::log_entry::run(data));
