//! Header maps, local responses and filter state, as a filter sees them.

use super::*;
use chancery_sdk_host::LocalResponse;
use chancery_sdk_host::abi::{Action, MapType};

#[test]
fn the_single_header_call_gives_the_first_value_and_lower_cases_the_key() {
    let mut plugin = start(
        r#"(data (i32.const 100) "X-Twice")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $get (i32.const 0) (i32.const 100) (i32.const 7) (i32.const 0) (i32.const 4)))
            (call $log_result)
            (i32.const 0))"#,
    )
    .unwrap();
    assert_eq!(log_of_request(&mut plugin, Properties::new()), ["0", "one"]);
}

#[test]
fn an_empty_value_is_given_without_allocating_and_a_missing_one_is_not_found() {
    let mut plugin = start(
        r#"(data (i32.const 100) "x-emptyx-none")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (i32.store (i32.const 0) (i32.const 77))
            (i32.store (i32.const 4) (i32.const 77))
            (call $log_status (call $get (i32.const 0) (i32.const 100) (i32.const 7) (i32.const 0) (i32.const 4)))
            (call $log_status (i32.load (i32.const 0)))
            (call $log_status (i32.load (i32.const 4)))
            (call $log_status (i32.eq (global.get $top) (i32.const 4096)))
            (call $log_status (call $get (i32.const 0) (i32.const 107) (i32.const 6) (i32.const 0) (i32.const 4)))
            (i32.const 0))"#,
    )
    .unwrap();
    assert_eq!(log_of_request(&mut plugin, Properties::new()), ["0", "0", "0", "1", "1"]);
}

#[test]
fn the_pairs_call_gives_all_values_in_order() {
    let mut plugin = start(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
            (call $log_result)
            (call $log_status (local.get 1))
            (i32.const 0))"#,
    )
    .unwrap();
    let log = log_of_request(&mut plugin, Properties::new());
    let content = ":method\0GET\0:path\0/a?b=c\0x-twice\0one\0x-twice\0two\0x-empty\0\0";
    assert!(log[1].starts_with("\u{5}\0\0\0\u{7}\0\0\0\u{3}\0\0\0"), "{log:?}");
    assert!(log[1].ends_with(content), "{log:?}");
    assert_eq!(log[2], "5");
}

#[test]
fn headers_can_be_added_replaced_and_removed() {
    let mut plugin = start(
        r#"(data (i32.const 100) "X-Twice" "x-new" "v" "x-empty")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $replace (i32.const 0) (i32.const 100) (i32.const 7) (i32.const 112) (i32.const 1)))
            (drop (call $add (i32.const 0) (i32.const 107) (i32.const 5) (i32.const 112) (i32.const 1)))
            (drop (call $add (i32.const 0) (i32.const 107) (i32.const 5) (i32.const 112) (i32.const 0)))
            (drop (call $remove (i32.const 0) (i32.const 113) (i32.const 7)))
            (i32.const 0))"#,
    )
    .unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    stream.on_request_headers(headers(), true).unwrap();
    let expected: HeaderMap =
        [(":method", "GET"), (":path", "/a?b=c"), ("x-twice", "v"), ("x-new", "v"), ("x-new", "")]
            .into_iter()
            .collect();
    assert_eq!(stream.header_map(MapType::RequestHeaders), Some(&expected));
}

#[test]
fn pairs_that_do_not_parse_clear_the_map() {
    let mut plugin = start(
        r#"(data (i32.const 100) "\01\00\00\00\01\00\00\00\01\00\00\00k\00v\00" "\02\00\00\00")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $set_pairs (i32.const 0) (i32.const 100) (select (i32.const 16) (i32.const 20) (local.get 2))))"#,
    )
    .unwrap();
    let mut left_by = |end_of_stream| {
        let mut stream = plugin.open(Properties::new()).unwrap();
        stream.on_request_headers(headers(), end_of_stream).unwrap();
        stream.close().unwrap().request_headers.unwrap()
    };
    assert_eq!(left_by(true), [("k", "v")].into_iter().collect());
    assert_eq!(left_by(false), HeaderMap::new());
}

#[test]
fn a_local_response_holds_the_stream_and_only_the_first_counts() {
    let mut plugin = start(
        r#"(data (i32.const 100) "rule one" "no\n" "\01\00\00\00\01\00\00\00\01\00\00\00k\00v\00")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $respond (i32.const 403) (i32.const 100) (i32.const 8) (i32.const 108) (i32.const 3)
                (i32.const 111) (i32.const 16) (i32.const -1)))
            (call $log_status (call $respond (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 7)))
            (i32.const 0))"#,
    )
    .unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    let outcome = stream.on_request_headers(headers(), true).unwrap();
    assert_ne!(outcome.action, Action::Continue);
    let expected = LocalResponse {
        status: 403,
        details: b"rule one".to_vec(),
        body: b"no\n".to_vec(),
        headers: [("k", "v")].into_iter().collect(),
        grpc_status: None,
    };
    assert_eq!(outcome.local_response, Some(expected));
    assert_eq!(messages(&mut plugin), ["0", "2"]);
}

#[test]
fn filter_state_is_kept_per_stream_and_readable_as_a_property() {
    let mut plugin = start(
        r#"(data (i32.const 100) "rule" "a/b")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $log_status (call $get_property (i32.const 100) (i32.const 4) (i32.const 0) (i32.const 4)))
            (call $log_status (call $set_property (i32.const 100) (i32.const 4) (i32.const 104) (i32.const 3)))
            (call $log_status (call $get_property (i32.const 100) (i32.const 4) (i32.const 0) (i32.const 4)))
            (call $log_result)
            (i32.const 0))"#,
    )
    .unwrap();
    for _ in 0..2 {
        assert_eq!(log_of_request(&mut plugin, Properties::new()), ["1", "0", "0", "a/b"]);
    }
    let mut stream = plugin.open(Properties::new()).unwrap();
    stream.on_request_headers(headers(), true).unwrap();
    assert_eq!(stream.filter_state(b"rule"), Some(&b"a/b"[..]));
    assert_eq!(stream.close().unwrap().filter_state, [(b"rule".to_vec(), b"a/b".to_vec())].into());
}

#[test]
fn request_headers_are_gone_in_a_response_callback_and_back_in_the_log() {
    const ASK: &str = r#"
        (call $log_status (call $get (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 0) (i32.const 4)))
        (call $log_status (call $get_property (i32.const 105) (i32.const 12) (i32.const 0) (i32.const 4)))
        (call $log_status (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
        (call $log_status (i32.ne (i32.load (i32.const 0)) (i32.const 0)))"#;
    let mut plugin = start(&format!(
        r#"(data (i32.const 100) ":path" "request\00path")
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) {ASK} (i32.const 0))
        (func (export "proxy_on_log") (param i32) {ASK})"#
    ))
    .unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    stream.on_request_headers(headers(), true).unwrap();
    stream.on_response_headers([(":status", "200")].into_iter().collect(), true).unwrap();
    let context = stream.context();
    assert_eq!(messages(&mut plugin), ["2", "1", "0", "0"]);
    plugin.stream(context).unwrap().close().unwrap();
    assert_eq!(messages(&mut plugin), ["0", "0", "0", "1"]);
    assert_eq!(error_of(plugin.stream(context)), format!("stream {context} is not open"));
}

#[test]
fn the_numbers_of_actions_mean_what_envoy_makes_of_them() {
    let mut plugin = start(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local.get 1))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (local.get 1))"#,
    )
    .unwrap();
    let expected = [
        (Action::Continue, Action::Continue),
        (Action::StopIteration, Action::StopAllIterationAndBuffer),
        (Action::Continue, Action::StopAllIterationAndWatermark),
        (Action::StopAllIterationAndBuffer, Action::StopIteration),
        (Action::StopAllIterationAndWatermark, Action::StopIteration),
        (Action::StopAllIterationAndWatermark, Action::StopIteration),
    ];
    for (number, (for_headers, for_body)) in expected.into_iter().enumerate() {
        let mut stream = plugin.open(Properties::new()).unwrap();
        let headers = (0..number).map(|_| ("a", "b")).collect();
        assert_eq!(stream.on_request_headers(headers, false).unwrap().action, for_headers);
        assert_eq!(stream.on_request_body(vec![0; number], false).unwrap().action, for_body);
    }
}

#[test]
fn a_body_can_be_read_and_replaced() {
    let mut plugin = start(
        r#"(data (i32.const 100) "new")
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (call $log_status (call $buffer (i32.const 0) (i32.const 1) (i32.const 100) (i32.const 0) (i32.const 4)))
            (call $log_result)
            (call $log_status (call $buffer (i32.const 0) (i32.const -1) (i32.const 2) (i32.const 0) (i32.const 4)))
            (call $log_status (call $buffer (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 4)))
            (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 99) (i32.const 100) (i32.const 3)))"#,
    )
    .unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    stream.on_request_headers(headers(), false).unwrap();
    stream.on_request_body(b"body".to_vec(), true).unwrap();
    assert_eq!(stream.request_body(), Some(&b"new"[..]));
    assert_eq!(messages(&mut plugin), ["0", "ody", "0", "0"]);
}

#[test]
fn a_module_that_has_the_proxy_collect_a_body_sees_all_of_it() {
    let mut plugin = start(
        r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (drop (call $buffer (i32.const 0) (i32.const 0) (local.get 1) (i32.const 0) (i32.const 4)))
            (call $log_result)
            (i32.eqz (local.get 2)))"#,
    )
    .unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    stream.on_request_headers(headers(), false).unwrap();
    stream.on_request_body(b"one,".to_vec(), false).unwrap();
    stream.on_request_body(b"two,".to_vec(), false).unwrap();
    stream.on_request_body(b"three".to_vec(), true).unwrap();
    assert_eq!(stream.request_body(), Some(&b"one,two,three"[..]));
    stream.on_request_body(b"new".to_vec(), true).unwrap();
    assert_eq!(messages(&mut plugin), ["one,", "one,two,", "one,two,three", "new"]);
}

#[test]
fn streams_can_be_interleaved() {
    let mut plugin = start(
        r#"(data (i32.const 100) ":path")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (drop (call $get (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 0) (i32.const 4)))
            (call $log_result)
            (i32.const 0))"#,
    )
    .unwrap();
    let mut open = |path: &str| {
        let mut stream = plugin.open(Properties::new()).unwrap();
        stream.on_request_headers([(":path", path)].into_iter().collect(), false).unwrap();
        stream.context()
    };
    let contexts = [open("/first"), open("/second")];
    for context in contexts {
        plugin.stream(context).unwrap().on_request_body(Vec::new(), true).unwrap();
    }
    assert_eq!(messages(&mut plugin), ["/first", "/second"]);
}
