//! libFuzzer's entry to [`weald_fuzz::actions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::actions::run(data));
