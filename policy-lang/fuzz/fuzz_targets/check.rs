//! The checker on any text: no policy of a right text is lost, and no panic.

#![no_main]
#![expect(dead_code, reason = "another target uses the other property")]

#[path = "../../tests/any_text/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| {
    properties::check(text);
});
