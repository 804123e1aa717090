//! libFuzzer's entry to [`weald_fuzz::topic_subscriber`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::topic_subscriber::run(data));
