//! The parser and the printer on any text: lossless trees, stable layout, and no panic.

#![no_main]
#![expect(dead_code, reason = "the other targets use the other properties")]

#[path = "../../tests/any_text/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| {
    properties::parse(text);
});
