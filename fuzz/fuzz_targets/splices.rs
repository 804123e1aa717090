//! libFuzzer's entry to [`weald_fuzz::splices`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::splices::run(data));
