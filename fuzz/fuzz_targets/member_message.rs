//! libFuzzer's entry to [`weald_fuzz::member_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::member_message::run(data));
