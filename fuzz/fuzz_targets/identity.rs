//! libFuzzer's entry to [`weald_fuzz::identity`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::identity::run(data));
