//! libFuzzer's entry to [`weald_fuzz::pulse_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weald_fuzz::pulse_frame::run(data));
