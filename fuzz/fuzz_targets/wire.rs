//! libFuzzer's entry to [`weald_fuzz::wire`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::wire::run(data));
