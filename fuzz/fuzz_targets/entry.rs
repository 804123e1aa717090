//! libFuzzer's entry to [`weald_fuzz::entry`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::entry::run(data));
