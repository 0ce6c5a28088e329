//! Modules written by hand that say one thing, or two that contradict each other.

use super::*;

/// A module that says by these calls what it decides: each names a rule at 100 (`a/b`, 3 bytes).
fn run(calls: &str) -> Result<Ran, String> {
    let text = format!(
        r#"(module
        (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
        (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 100) "a/b")
        (data (i32.const 110) "rule")
        (data (i32.const 120) "shadow")
        (data (i32.const 200) "writ.allowed.a/b")
        (data (i32.const 300) "writ.denied.a/b")
        (data (i32.const 400) "writ.shadow-denied.a/b")
        (data (i32.const 500) "writ.refused.a/b")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func $state (param $name i32) (param $length i32)
            (drop (call $set (local.get $name) (local.get $length) (i32.const 100) (i32.const 3))))
        (func $count (param $name i32) (param $length i32)
            (drop (call $define (i32.const 0) (local.get $name) (local.get $length) (i32.const 0)))
            (drop (call $increment (i32.load (i32.const 0)) (i64.const 1))))
        (func $rule (call $state (i32.const 110) (i32.const 4)))
        (func $shadow (call $state (i32.const 120) (i32.const 6)))
        (func $allowed (call $count (i32.const 200) (i32.const 16)))
        (func $denied (call $count (i32.const 300) (i32.const 15)))
        (func $shadow_denied (call $count (i32.const 400) (i32.const 22)))
        (func $refused (call $count (i32.const 500) (i32.const 16)))
        (func $answer (param $details_length i32)
            (drop (call $respond (i32.const 404) (i32.const 100) (local.get $details_length)
                (i32.const 110) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const -1))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {calls} (i32.const 0)))"#
    );
    let host = Host::new(Limits::default()).unwrap();
    let mut runner = PolicyRunner::on_host(&host, &wat::parse_str(text).unwrap()).unwrap();
    let first = runner.run(&Request::default(), 0).map_err(|error| error.to_string());
    let second = runner.run(&Request::default(), 0).map_err(|error| error.to_string());
    assert_eq!(first, second, "a runner shall not remember");
    first
}

fn contradicts(calls: &str, expected: &str) {
    assert_eq!(run(calls), Err(format!("the module of the policy contradicts itself: {expected}")));
}

#[test]
fn a_decision_is_read_from_all_that_the_module_says() {
    let allowed = Ran {
        outcome: Outcome::Allowed,
        rule: "a/b".to_owned(),
        respond: None,
        shadow: None,
        changed: Changed::default(),
    };
    assert_eq!(run("(call $rule) (call $allowed)"), Ok(allowed.clone()));
    let respond = Some(Respond { status: 404, body: "rule".to_owned() });
    let denied = Ran { outcome: Outcome::Denied, respond, ..allowed.clone() };
    assert_eq!(run("(call $rule) (call $denied) (call $answer (i32.const 3))"), Ok(denied));
    let shadow = Some(RanShadow { allows: false, rule: "a/b".to_owned() });
    let with_shadow = Ran { shadow, ..allowed };
    assert_eq!(run("(call $rule) (call $allowed) (call $shadow) (call $shadow_denied)"), Ok(with_shadow));
}

#[test]
fn a_module_that_contradicts_itself_is_found_out() {
    contradicts("(call $allowed)", "it names no rule");
    contradicts("(call $rule)", "it counted [] for `a/b`");
    contradicts("(call $rule) (call $allowed) (call $denied)", "it counted [Denied, Allowed] for `a/b`");
    contradicts("(call $rule) (call $allowed) (call $shadow_denied)", "it counted 2 times");
    contradicts(
        "(call $rule) (call $allowed) (call $shadow)",
        "it counted no single shadow verdict for `a/b`",
    );
    contradicts("(call $rule) (call $denied)", "it counted `denied` and gave no answer");
    contradicts(
        "(call $rule) (call $allowed) (call $answer (i32.const 3))",
        "it counted `allowed` and gave an answer",
    );
    contradicts(
        "(call $rule) (call $denied) (call $answer (i32.const 2))",
        "its answer is by `a/`, its decision by `a/b`",
    );
}

#[test]
fn a_refusal_is_a_decision_too() {
    let ran = run("(call $rule) (call $refused) (call $answer (i32.const 3))").unwrap();
    assert_eq!((ran.outcome, ran.rule.as_str()), (Outcome::Refused, "a/b"));
}

#[test]
fn the_host_shows_what_envoy_shows() {
    let request = Request { headers: vec![(b"x".to_vec(), b"y".to_vec())], ..Request::default() };
    let headers = headers_of(&request);
    assert_eq!(headers.first(b":path"), Some(&b"/"[..]));
    assert_eq!(headers.first(b"x"), Some(&b"y"[..]));
    let properties = properties_of(&request);
    assert_eq!(properties.find(b"source\0address"), Some(&"127.0.0.1:0".into()));
    assert_eq!(properties.find(b"connection\0uri_san_peer_certificate"), None);
}
