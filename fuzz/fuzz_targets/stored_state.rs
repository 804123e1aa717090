//! libFuzzer's entry to [`weald_fuzz::stored_state`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::stored_state::run(data));
