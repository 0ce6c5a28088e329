//! What would hang or crash a host, instrumented: each ends in a failed call, quickly.

use super::*;
use chancery_sdk_admission::{Capability, Counting};
use std::collections::BTreeSet;

const USED_UP: &str = "the_callback_used_up_its_budget";

/// The instrumented module with this text, under each way to count.
fn each_counting(text: &str, mut check: impl FnMut(&[u8])) {
    for counting in [Counting::Blocks, Counting::LoopHeads] {
        let terms = Terms { counting, ..terms() };
        check(&admitted(&module(text), &terms));
    }
}

/// What comes of a request to a module whose callback has this body.
fn request_to(body: &str, mut check: impl FnMut(Result<Vec<String>, HostError>)) {
    let callback = r#"(export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;
    each_counting(&format!("{ALLOCATOR} {HELPERS} (func $on {callback} {body} (i32.const 0))"), |bytes| {
        check(ask(&mut start(bytes).unwrap()));
    });
}

const HELPERS: &str = r#"
    (type $plain (func))
    (table funcref (elem $down $round))
    (func $down (call $round))
    (func $round (return_call $round))
    (func $log_status (param $status i32)
        (i32.store8 (i32.const 8) (i32.add (local.get $status) (i32.const 48)))
        (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1))))
"#;

fn is_used_up(result: Result<Vec<String>, HostError>) {
    let error = error_of(result);
    assert!(error.contains("`proxy_on_request_headers` trapped") && error.contains(USED_UP), "{error}");
}

#[test]
fn an_endless_loop_uses_up_the_budget() {
    request_to("(loop $again (br $again))", is_used_up);
    request_to("(loop $again (br_if $again (i32.const 1)))", is_used_up);
    request_to("(loop $again (br_table $again $again (i32.const 1)))", is_used_up);
    request_to("(loop $outer (loop $inner (br_if $inner (i32.const 0))) (br $outer))", is_used_up);
    request_to("(loop $again (if (i32.const 1) (then (br $again))))", is_used_up);
}

#[test]
fn endless_tail_calls_use_up_the_budget_directly_and_through_a_table() {
    request_to("(call $round)", is_used_up);
    request_to("(call_indirect (type $plain) (i32.const 1))", is_used_up);
    request_to("(call_indirect (type $plain) (i32.const 0))", is_used_up);
}

#[test]
fn endless_recursion_is_a_trap() {
    let body = "(drop (call $on (i32.const 0) (i32.const 0) (i32.const 0)))";
    request_to(body, |result| assert!(error_of(result).contains("trapped")));
}

#[test]
fn endless_host_calls_use_up_the_budget_by_number_and_by_bytes() {
    request_to("(loop $again (drop (call $close (i32.const 9))) (br $again))", is_used_up);
    let log = "(drop (call $log (i32.const 9) (i32.const 0) (i32.const 65536)))";
    request_to(&format!("(loop $again {log} (br $again))"), is_used_up);
    // A line of 64 KiB costs 1,000 units and 8,192 for its bytes: ten are within the budget, and eleven are not.
    request_to(&log.repeat(10), |result| drop(result.unwrap()));
    request_to(&log.repeat(11), is_used_up);
}

#[test]
fn vectors_of_a_write_are_paid_each() {
    let vectors = "(i32.store (i32.const 4) (i32.const 8)) (i32.store (i32.const 12) (i32.const 0))";
    let write = |count: u32| {
        format!("(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const {count}) (i32.const 64)))")
    };
    request_to(&format!("{vectors} {}", write(2)), |result| drop(result.unwrap()));
    request_to(&format!("{vectors} {}", write(10_000)), is_used_up);
}

#[test]
fn filling_and_copying_memory_is_paid_by_the_byte() {
    for instruction in ["memory.fill", "memory.copy"] {
        let fill = format!("({instruction} (i32.const 0) (i32.const 0) (i32.const 131072))");
        request_to(&fill.repeat(6), |result| drop(result.unwrap()));
        request_to(&fill.repeat(7), is_used_up);
    }
}

#[test]
fn every_callback_of_the_start_has_a_budget() {
    for (name, ty) in [
        ("_initialize", ""),
        ("_start", ""),
        ("proxy_on_context_create", "(param i32 i32)"),
        ("proxy_on_vm_start", "(param i32 i32) (result i32)"),
        ("proxy_on_configure", "(param i32 i32) (result i32)"),
    ] {
        each_counting(
            &format!(r#"{ALLOCATOR} (func (export "{name}") {ty} (loop $l (br $l)) unreachable)"#),
            |bytes| {
                let error = error_of(start(bytes));
                assert!(error.contains(&format!("`{name}` trapped")) && error.contains(USED_UP), "{error}");
            },
        );
    }
}

#[test]
fn a_budget_is_for_one_callback() {
    let count = "(local $i i32) (loop $again
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))";
    let callback = r#"(export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;
    each_counting(&format!("{ALLOCATOR} (func {callback} {count} (i32.const 0))"), |bytes| {
        let mut plugin = start(bytes).unwrap();
        (0..20).for_each(|_| drop(ask(&mut plugin).unwrap()));
    });
}

#[test]
fn an_allocator_that_gives_no_memory_ends_the_callback() {
    for pointer in ["0", "-1", "131072", "131060"] {
        let allocator = format!(r#"(func (export "malloc") (param i32) (result i32) (i32.const {pointer}))"#);
        let callback = r#"(export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;
        let body = "(drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4))) (i32.const 0)";
        each_counting(&format!("{allocator} (func {callback} {body})"), |bytes| {
            let error = error_of(ask(&mut start(bytes).unwrap()));
            assert!(error.contains("the_allocator_gave_no_memory"), "{pointer}: {error}");
        });
    }
}

#[test]
fn a_stream_ends_once_in_a_callback() {
    let respond = "(call $log_status (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))";
    let close = |half: u32| format!("(call $log_status (call $close (i32.const {half})))");
    request_to(respond, |result| assert_eq!(result.unwrap(), ["0"]));
    request_to(&close(1), |result| assert_eq!(result.unwrap(), ["0"]));
    request_to(&format!("{respond} {respond}"), |result| assert_eq!(result.unwrap(), ["0", "2"]));
    request_to(&format!("{} {}", close(0), close(1)), |result| assert_eq!(result.unwrap(), ["0", "2"]));
    request_to(&format!("{} {respond}", close(0)), |result| assert_eq!(result.unwrap(), ["0", "2"]));
    request_to(&format!("{respond} {}", close(1)), |result| assert_eq!(result.unwrap(), ["0", "2"]));
}

#[test]
fn a_stream_that_is_over_is_not_ended_again() {
    for (name, result) in [("proxy_on_log", ""), ("proxy_on_done", "(result i32)"), ("proxy_on_delete", "")] {
        let value = if result.is_empty() { "" } else { "(i32.const 1)" };
        let body = "(call $log_status (call $close (i32.const 0)))";
        let text =
            format!(r#"{ALLOCATOR} {HELPERS} (func (export "{name}") (param i32) {result} {body} {value})"#);
        each_counting(&text, |bytes| {
            let mut plugin = start(bytes).unwrap();
            plugin.open(Properties::new()).unwrap().close().unwrap();
            let log: Vec<String> = plugin.take_log().into_iter().map(|line| line.message).collect();
            assert_eq!(log, ["2"], "{name}");
        });
    }
}

#[test]
fn a_memory_grows_to_the_maximum_of_the_terms_or_its_own() {
    for (memory, pages) in [("2", 3), ("2 9", 3), ("2 2", 2)] {
        let text = format!(
            r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (memory (export "memory") {memory})
            (func (export "proxy_abi_version_0_2_1")) {ALLOCATOR}
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                (i32.store8 (i32.const 8) (i32.add (memory.size) (i32.const 48)))
                (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1)))
                (i32.const 0)))"#
        );
        let terms = Terms { memory_pages_max: 3, ..terms() };
        let bytes = admitted(&wat::parse_str(text).unwrap(), &terms);
        assert_eq!(ask(&mut start(&bytes).unwrap()).unwrap(), [pages.to_string()], "{memory}");
    }
}

#[test]
fn what_was_not_declared_is_cut_off() {
    let text = format!(
        r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1")) {ALLOCATOR}
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 8)
                (i32.add (call $set (i32.const 16) (i32.const 1) (i32.const 16) (i32.const 1)) (i32.const 48)))
            (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1)))
            (i32.const 0))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (unreachable)))"#
    );
    let bytes = wat::parse_str(text).unwrap();
    let all = Capability::ALL.iter().copied().collect();
    for (may, status, sees_body) in
        [(Some(BTreeSet::new()), ":", false), (None, ":", true), (Some(all), "0", true)]
    {
        let mut plugin = start(&admitted(&bytes, &Terms { may, ..terms() })).unwrap();
        let mut stream = plugin.open(Properties::new()).unwrap();
        stream.on_request_headers(headers(), false).unwrap();
        assert_eq!(stream.on_request_body(vec![0], true).is_err(), sees_body);
        let log: Vec<String> = plugin.take_log().into_iter().map(|line| line.message).collect();
        // A digit behind 9 is a colon: `INTERNAL_FAILURE` is 10.
        assert_eq!(log, [status]);
    }
}
