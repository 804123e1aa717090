//! libFuzzer's entry to [`weald_fuzz::key`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::key::run(data));
