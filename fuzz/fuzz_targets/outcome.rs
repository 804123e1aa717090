//! libFuzzer's entry to [`weald_fuzz::outcome`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::outcome::run(data));
