//! libFuzzer's entry to [`weald_fuzz::routing`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::routing::run(data));
