//! libFuzzer's door to the harness of the same name.

#![no_main]
#![allow(unsafe_code, missing_docs, reason = "the macro makes the C function that libFuzzer calls")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdfast_fuzz::manifest(data));
