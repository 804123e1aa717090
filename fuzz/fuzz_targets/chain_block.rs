//! libFuzzer's entry to [`weald_fuzz::chain_block`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::chain_block::run(data));
