//! libFuzzer's entry to [`weald_fuzz::tree_node`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::tree_node::run(data));
