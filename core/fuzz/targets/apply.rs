#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| musterd_fuzz::apply::run(data));
