//! libFuzzer's entry to [`weald_fuzz::store_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::store_header::run(data));
