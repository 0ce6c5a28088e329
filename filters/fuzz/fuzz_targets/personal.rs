//! A body of any bytes: what goes on of it does not depend on how it is cut, and is JSON.
#![no_main]

use chancery_sdk::testing::Plugin;
use libfuzzer_sys::fuzz_target;
use pii_guard::PiiGuard;

const CONFIGURATION: &str = r#"{
    "find": {"card": "mask", "email": "mask", "iban": "mask", "ip": "mask", "phone": "mask"},
    "members": {"pin": "mask"}, "paths": {"/a/*/b": "mask"}
}"#;
const HEADERS: [(&str, &str); 2] = [(":method", "POST"), ("content-type", "application/json")];

/// What goes on of a body in pieces of so many bytes; `None` if it is refused.
fn masked(plugin: &Plugin<PiiGuard>, body: &[u8], piece_bytes: usize) -> Option<Vec<u8>> {
    let mut exchange = plugin.exchange();
    exchange.request_headers(&HEADERS, false);
    let mut pieces = body.chunks(piece_bytes).peekable();
    while let Some(piece) = pieces.next() {
        if exchange.request_body(piece, pieces.peek().is_none()).status().is_some() {
            return None;
        }
    }
    Some(exchange.upstream().body)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, body)) = bytes.split_first() else { return };
    let Ok(plugin) = Plugin::<PiiGuard>::start(CONFIGURATION) else { return };
    let whole = masked(&plugin, body, body.len().max(1));
    assert_eq!(masked(&plugin, body, usize::from(*size).max(1)), whole, "a cut makes a difference");
    if let Some(whole) = whole.filter(|whole| !whole.is_empty()) {
        let json = serde_json::from_slice::<serde_json::Value>(&whole);
        // Others have limits of numbers and depth.
        let is_limit = |words: String| words.contains("out of range") || words.contains("recursion");
        assert!(json.is_ok() || json.is_err_and(|error| is_limit(error.to_string())), "what goes on is not JSON");
    }
});
