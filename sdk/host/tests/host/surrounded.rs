//! A module with its surroundings: services that answer by a script, ticks, queues, connections, and older contracts.

use super::*;
use chancery_sdk_host::abi::StreamType;
use chancery_sdk_host::{
    Clusters, Exchange, Exchanged, Failure, HttpAnswer, Message, Peer, Proxy, Script, ScriptedAnswer,
};

/// Calls `there` about each request and goes on when it says 200; answers 403 with what it says otherwise.
const ASKS: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (global $stream (mut i32) (i32.const 0))
    (data (i32.const 100) "there")
    (data (i32.const 200) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
    (data (i32.const 300) ":status")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32)
        (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $stream (local.get 0))
        (drop (call $call (i32.const 100) (i32.const 5) (i32.const 200) (i32.const 61) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 50) (i32.const 0)))
        (i32.const 1))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
        (drop (call $get (i32.const 6) (i32.const 300) (i32.const 7) (i32.const 0) (i32.const 4)))
        (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
        (drop (call $effective (global.get $stream)))
        (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 50))
            (then (drop (call $continue (i32.const 0))))
            (else (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.load (i32.const 0))
                (i32.load (i32.const 4)) (i32.const 0) (i32.const 0) (i32.const -1))))))
"#;

fn proxy_of(text: &str, clusters: Clusters) -> Proxy {
    let bytes = wat::parse_str(format!("(module {text})")).unwrap();
    let configuration = PluginConfiguration { clusters, ..PluginConfiguration::default() };
    Proxy::new(host().load(&bytes).unwrap().start(configuration).unwrap(), Script::new())
}

fn exchange(proxy: &mut Proxy) -> Exchanged {
    let response = [(":status", "200")].into_iter().collect();
    let request = Message::new(headers(), b"body");
    let exchange =
        Exchange { properties: Properties::new(), request, response: Message::new(response, b"hello") };
    proxy.exchange(exchange).unwrap()
}

fn answered(after_ms: u64, answer: Result<u16, Failure>) -> Exchanged {
    let mut script = Script::new();
    let answer = answer.map(|status| HttpAnswer {
        headers: [(":status", status.to_string())].into_iter().collect(),
        ..HttpAnswer::default()
    });
    script.add("there", ScriptedAnswer { after_ms, answer });
    let mut proxy = proxy_of(ASKS, Clusters::Only(["there".to_owned()].into()));
    proxy.set_script(script);
    exchange(&mut proxy)
}

fn status(exchanged: &Exchanged) -> Vec<u8> {
    exchanged.reply.as_ref().unwrap().headers.first(b":status").unwrap().to_vec()
}

#[test]
fn a_held_stream_goes_on_when_the_called_service_agrees() {
    let exchanged = answered(20, Ok(200));
    assert_eq!(status(&exchanged), b"200");
    assert_eq!(exchanged.forwarded.unwrap().body(), b"body");
    assert_eq!(exchanged.calls.len(), 1);
}

#[test]
fn a_service_that_refuses_fails_or_is_late_leads_to_the_modules_answer() {
    let cases = [
        (0, Ok(403), &b"403"[..]),
        (0, Err(Failure::Refused), b"503"),
        (0, Err(Failure::Reset), b"503"),
        (60, Ok(200), b"504"),
        (0, Err(Failure::Silent), b"504"),
    ];
    for (after_ms, answer, words) in cases {
        let exchanged = answered(after_ms, answer);
        assert_eq!(exchanged.forwarded, None, "{answer:?}");
        assert_eq!(status(&exchanged), b"403", "{answer:?}");
        assert_eq!(exchanged.reply.unwrap().body(), words, "{answer:?}");
    }
}

#[test]
fn a_stream_that_nobody_lets_go_on_ends_with_a_timeout() {
    let mut proxy = proxy_of(ASKS, Clusters::Only(std::collections::BTreeSet::new()));
    let exchanged = exchange(&mut proxy);
    assert_eq!(status(&exchanged), b"408");
    assert!(exchanged.calls.is_empty(), "{:?}", exchanged.calls);
}

#[test]
fn ticks_come_in_their_time_and_queues_tell_of_each_item() {
    let text = r#"
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_set_tick_period_milliseconds" (func $period (param i32) (result i32)))
        (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
        (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
        (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 100) "queueitem")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $period (i32.const 10)))
            (drop (call $register (i32.const 100) (i32.const 5) (i32.const 16)))
            (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
            (drop (call $enqueue (i32.load (i32.const 16)) (i32.const 105) (i32.const 4))))
        (func (export "proxy_on_queue_ready") (param i32 i32)
            (drop (call $dequeue (local.get 1) (i32.const 0) (i32.const 4)))
            (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))"#;
    let mut proxy = proxy_of(text, Clusters::All);
    proxy.pass_ms(35).unwrap();
    assert_eq!(messages(proxy.plugin()), ["item"; 3]);
    proxy.pass_ms(5).unwrap();
    assert_eq!(messages(proxy.plugin()), ["item"]);
}

#[test]
fn a_connection_is_held_changed_and_closed() {
    let bytes = wat::parse_str(
        r#"(module
        (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 100) "new ")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
            (drop (call $set (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 4)))
            (i32.lt_u (local.get 1) (i32.const 5)))
        (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
            (drop (call $close (i32.const 2))) (i32.const 0)))"#,
    )
    .unwrap();
    let mut plugin = host().load(&bytes).unwrap().start(PluginConfiguration::default()).unwrap();
    let mut connection = plugin.connect(Properties::new()).unwrap();
    assert!(connection.on_new_connection().unwrap());
    assert_eq!(connection.on_downstream_data(b"one".to_vec(), false).unwrap(), None);
    assert_eq!(
        connection.on_downstream_data(b"two".to_vec(), false).unwrap(),
        Some(b"new new onetwo".to_vec())
    );
    assert_eq!(connection.on_upstream_data(b"x".to_vec(), true).unwrap(), Some(b"x".to_vec()));
    assert_eq!(connection.closed().unwrap(), [StreamType::Downstream].into());
    connection.close(Peer::Remote).unwrap();
}
