//! A document, a target and a body taken from any bytes: each is read to an end.
#![no_main]

use chancery_sdk::testing::Plugin;
use graphql_guard::GraphqlGuard;
use graphql_guard::document::Document;
use libfuzzer_sys::fuzz_target;

const CONFIGURATION: &str = r#"{"paths": ["/"], "batch_max": 4, "cost_max": 100, "bytes_max": 32768, "tokens_max": 10000}"#;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(plugin) = Plugin::<GraphqlGuard>::start(CONFIGURATION) else { return };
    let _read = Document::read(text, 10_000, &["first".to_owned()]);
    let post = [(":method", "POST"), (":path", "/"), ("content-type", "application/json")];
    plugin.exchange().request(&post, text);
    let body = serde_json::json!({"query": text, "variables": {"n": 7}}).to_string();
    plugin.exchange().request(&post, &body);
    let target = format!("/?query={text}");
    plugin.exchange().request(&[(":method", "GET"), (":path", &target)], "");
});
