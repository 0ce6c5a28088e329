//! The lexer on any text: tokens without gaps, and no panic.

#![no_main]
#![expect(dead_code, reason = "the other targets use the other properties")]

#[path = "../../tests/any_text/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| {
    properties::lex(text);
});
