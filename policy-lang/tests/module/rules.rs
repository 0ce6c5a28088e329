//! Rules: methods, paths, callers, effects, answers.

use crate::run::{Pair, headers, link_text, properties, request, with};
use chancery_policy_lang::emit::{ModuleOptions, compile, compile_with};
use chancery_sdk_host::{Host, Limits, PluginConfiguration};

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
fn what_excludes_itself_says_no_and_leaves_other_rules_alone() {
    let mut pair = Pair::of_text(
        r#"auth p on mesh {
          never:   allow unless source.ip == ip("127.0.0.1") when source.ip == ip("127.0.0.1")
          neither: deny when request.path == "/a" && request.path == "/b"
          caller:  deny from service shop/cart unless source.service == "shop/cart"
          head:    deny GET unless request.method == "GET" || request.method == "PUT"
          path:    allow /caf%C3%A9/**
          rest:    allow
        }"#,
    );
    for caller in [None, Some("shop/cart")] {
        for path in ["/a", "/b", "/"] {
            assert_eq!(pair.agree(&request("GET", path, caller)).rule(), "p/rest", "{path} {caller:?}");
        }
        assert_eq!(pair.agree(&request("GET", "/caf%C3%A9/x", caller)).rule(), "p/path");
    }
}

#[test]
fn the_sample_policy_is_small() {
    let module = compile(&link_text(SAMPLE)).unwrap();
    let bytes = module.bytes.len();
    assert!(bytes <= 4096, "{bytes} bytes");
    assert_eq!(module.manifest.policies, ["orders"]);
    let reads = [
        ":authority",
        ":method",
        ":path",
        "connection.uri_san_peer_certificate",
        "content-length",
        "x-group",
    ];
    assert_eq!(module.manifest.reads, reads);
}

#[test]
fn without_filter_state_it_decides_and_counts_alike() {
    let text = format!("{SAMPLE} auth stricter on mesh {{ mode shadow\n no-get: deny GET }}");
    let options = ModuleOptions { rule_in_filter_state: false, ..ModuleOptions::default() };
    let module = compile_with(&link_text(&text), options).unwrap();
    assert!(!module.bytes.windows(18).any(|bytes| bytes == b"proxy_set_property"));
    let loaded = Host::new(Limits::default()).unwrap().load(&module.bytes).unwrap();
    let mut plugin = loaded.start(PluginConfiguration::default()).unwrap();
    for (caller, details, counters) in [
        ("shop/frontend", None, ["writ.allowed.orders/read", "writ.shadow-denied.stricter/no-get"]),
        (
            "shop/cart",
            Some("orders/otherwise"),
            ["writ.otherwise-denied.orders/otherwise", "writ.shadow-denied.stricter/no-get"],
        ),
    ] {
        let request = request("GET", "/api/items/7", Some(caller));
        plugin.reset_metrics();
        let mut stream = plugin.open(properties(&request)).unwrap();
        let reply = stream.on_request_headers(headers(&request), true).unwrap().local_response;
        assert_eq!(reply.map(|reply| reply.details), details.map(|rule: &str| rule.as_bytes().to_vec()));
        assert!(stream.close().unwrap().filter_state.is_empty());
        let mut counted: Vec<&str> =
            plugin.metrics().iter().filter(|(_, _, value)| *value > 0).map(|(_, name, _)| name).collect();
        counted.sort_unstable();
        assert_eq!(counted, counters);
    }
}

#[test]
fn without_rules_the_otherwise_decides() {
    for (text, rule) in [
        ("auth p on mesh { otherwise allow }", "p/otherwise"),
        ("auth p on mesh { otherwise deny respond 410 \"gone\" }", "p/otherwise"),
        ("auth p on namespace shop { allow when target.version == \"v9\" }", "default-deny"),
        ("auth p on mesh { mode shadow\n otherwise deny }", "unrestricted"),
    ] {
        let mut pair = Pair::of_text(text);
        assert_eq!(pair.agree(&request("GET", "/", None)).rule(), rule, "{text}");
        assert_eq!(pair.agree(&request("GET", "/.", None)).rule(), "bad-path", "{text}");
    }
}

#[test]
fn of_several_rules_the_first_in_decision_order_is_named() {
    let mut pair = Pair::of_text(
        r#"auth p on mesh {
          z: allow /a/**
          y: allow /a/b
          x: allow GET
          v: deny /a/** when headers["x"] == "1" respond 404
          u: deny GET respond 451 "no"
          t: allow /a/*, /b, /**
        }"#,
    );
    for (method, path) in
        [("GET", "/a/b"), ("PUT", "/a/b"), ("PUT", "/a/c"), ("PUT", "/b"), ("PUT", "/c/d"), ("GET", "/c")]
    {
        pair.agree(&request(method, path, None));
        pair.agree(&with(request(method, path, None), "x", "1"));
    }
}

#[test]
fn a_shadow_policy_reports_what_it_would_change_and_decides_nothing() {
    let mut pair = Pair::of_text(
        r#"auth p on mesh { read: allow GET
          otherwise deny }
        auth s on mesh { mode shadow
          a: deny GET /a
          b: allow PUT /b from ip 10.0.0.0/8
          exempt GET /c }"#,
    );
    for (method, path) in
        [("GET", "/a"), ("GET", "/b"), ("PUT", "/b"), ("PUT", "/a"), ("GET", "/c"), ("PUT", "/c")]
    {
        let mut made = request(method, path, None);
        pair.agree(&made);
        made.source.ip = "10.0.0.1".parse().unwrap();
        pair.agree(&made);
        // Twice, for a counter is defined only once.
        pair.agree(&made);
    }
}
