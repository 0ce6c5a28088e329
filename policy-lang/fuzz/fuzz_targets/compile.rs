//! All stages on any text, to the module: no panic, no broken invariant, and never long.

#![no_main]
#![expect(dead_code, reason = "the other targets use the other properties")]

#[path = "../../tests/any_text/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| {
    properties::compile(text);
});
