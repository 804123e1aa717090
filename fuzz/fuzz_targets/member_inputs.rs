//! libFuzzer's entry to [`weald_fuzz::member_inputs`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::member_inputs::run(data));
