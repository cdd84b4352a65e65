#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| caddis_fuzz::packs::directory(data));
