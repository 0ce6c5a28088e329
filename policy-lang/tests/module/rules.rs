//! Rules: methods, paths, callers, effects, answers.

use crate::run::{Pair, link_text, request, with};
use chancery_policy_lang::emit::compile;

/// The policy whose size is promised.
pub(crate) const SAMPLE: &str = r#"
auth orders on service shop/orders {
  read:      allow GET /api/** from service shop/frontend
  no-delete: deny DELETE unless headers["x-group"] == "admin"
  otherwise deny respond 403
}
"#;

#[test]
fn the_sample_policy_decides() {
    let mut pair = Pair::of_text(SAMPLE);
    for (method, path, caller, rule) in [
        ("GET", "/api/items/7", Some("shop/frontend"), "orders/read"),
        ("GET", "/api", Some("shop/frontend"), "orders/read"),
        ("GET", "/apis", Some("shop/frontend"), "orders/otherwise"),
        ("GET", "/api/items/7", Some("shop/cart"), "orders/otherwise"),
        ("GET", "/api/items/7", None, "orders/otherwise"),
        ("DELETE", "/api/items/7", Some("shop/frontend"), "orders/no-delete"),
        ("GET", "/api//items", Some("shop/frontend"), "bad-path"),
    ] {
        assert_eq!(pair.agree(&request(method, path, caller)).rule(), rule, "{method} {path} {caller:?}");
    }
    let admin = with(request("DELETE", "/api/x", Some("shop/frontend")), "x-group", "admin");
    assert_eq!(pair.agree(&admin).rule(), "orders/otherwise");
}

#[test]
fn the_sample_policy_is_small() {
    let module = compile(&link_text(SAMPLE));
    let bytes = module.bytes.len();
    assert!(bytes <= 4096, "{bytes} bytes");
    assert_eq!(module.manifest.policies, ["orders"]);
    assert_eq!(module.manifest.reads, [":method", ":path", "connection.uri_san_peer_certificate", "x-group"]);
}
