//! libFuzzer's entry to [`weald_fuzz::chain_operations`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::chain_operations::run(data));
