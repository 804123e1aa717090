//! libFuzzer's entry to [`weald_fuzz::name`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::name::run(data));
