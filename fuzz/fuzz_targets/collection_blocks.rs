//! libFuzzer's entry to [`weald_fuzz::collection_blocks`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::collection_blocks::run(data));
