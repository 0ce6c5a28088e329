//! Operations on headers: a callback only where answers are changed, and what is kept for an answer is looked at as
//! if anybody could have written it.

use crate::run::{headers, link_text, properties, request, validate, with};
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use chancery_policy_lang::eval::{Response, header_changes};
use chancery_sdk_host::abi::{Action, guest_exports};
use chancery_sdk_host::{HeaderMap, Host, Limits, Plugin, PluginConfiguration, PropertyValue};
use proptest::prelude::*;

const ANSWERS: &str = r#"traffic t on mesh {
  set response header x-a = headers["x-k"]
  add response header x-b = "b"
  remove response header server
  set request header x-c = request.path
}"#;

fn compiled(text: &str) -> Vec<u8> {
    let options = ModuleOptions { rule_in_filter_state: false, ..ModuleOptions::default() };
    let bytes = compile_with(&link_text(text), options).unwrap().bytes.to_vec();
    validate(&bytes);
    bytes
}

fn started(text: &str) -> Plugin {
    let host = Host::new(Limits::default()).unwrap();
    host.load(&compiled(text)).unwrap().start(PluginConfiguration::default()).unwrap()
}

fn answered() -> HeaderMap {
    [(":status", "200"), ("server", "s"), ("x-a", "own"), ("x-b", "own")].into_iter().collect()
}

fn has_callback(text: &str) -> bool {
    let name = guest_exports::ON_RESPONSE_HEADERS.name.as_bytes();
    compiled(text).windows(name.len()).any(|window| window == name)
}

#[test]
fn only_who_changes_answers_is_told_of_them() {
    assert!(has_callback(ANSWERS));
    assert!(!has_callback(r#"traffic t on mesh { set request header x-a = "1" }"#));
    assert!(!has_callback("traffic t on mesh { limit 1/s }"));
    let shadow = ANSWERS.replace("on mesh {", "on mesh {\n  mode shadow");
    assert!(!has_callback(&shadow), "what a shadow policy says is never done");
}

#[test]
fn each_answer_gets_what_was_kept_for_it() {
    let mut plugin = started(ANSWERS);
    let mut streams = Vec::new();
    for key in ["1", "2", "3"] {
        let request = with(request("GET", "/a", None), "x-k", key);
        let mut stream = plugin.open(properties(&request)).unwrap();
        assert_eq!(stream.on_request_headers(headers(&request), true).unwrap().action, Action::Continue);
        streams.push((key, stream.context()));
    }
    // They are answered in another order than they were made in.
    for (key, context) in streams.into_iter().rev() {
        let mut stream = plugin.stream(context).unwrap();
        assert_eq!(stream.on_response_headers(answered(), false).unwrap().action, Action::Continue);
        let closed = plugin.stream(context).unwrap().close().unwrap();
        let map = closed.response_headers.unwrap();
        assert_eq!(map.all(b"x-a").collect::<Vec<_>>(), [key.as_bytes()]);
        assert_eq!(map.all(b"x-b").collect::<Vec<_>>(), [b"own".as_slice(), b"b"]);
        assert_eq!(map.first(b"server"), None);
        assert_eq!(closed.request_headers.unwrap().first(b"x-c"), Some(b"/a".as_slice()));
    }
}

#[test]
fn a_value_has_no_byte_that_no_header_can_have() {
    let text = r#"traffic t on mesh { set request header x-a = headers["x-k"] }"#;
    let (program, mut plugin) = (link_text(text), started(text));
    for byte in 0..=u8::MAX {
        for (length, at) in [(1, 0), (3, 1), (7, 6), (8, 0), (8, 7), (9, 8), (15, 9), (17, 3), (23, 22)] {
            let mut value = vec![b'v'; length];
            value[at] = byte;
            let request = with(request("GET", "/", None), "x-k", &value);
            let mut wanted = request.headers.clone();
            let changes = header_changes(&program, &request, &Response::default());
            changes.request.iter().for_each(|change| change.apply(&mut wanted));
            let mut stream = plugin.open(properties(&request)).unwrap();
            stream.on_request_headers(headers(&request), true).unwrap();
            let map = stream.close().unwrap().request_headers.unwrap();
            let got: Vec<_> = map.all(b"x-a").map(<[u8]>::to_vec).collect();
            let wanted: Vec<_> =
                wanted.into_iter().filter(|(name, _)| name == b"x-a").map(|(_, value)| value).collect();
            assert_eq!(got, wanted, "{byte:#x} at {at} of {length}");
            let is_control = byte == 0x7f || (byte < b' ' && byte != b'\t');
            assert!(!is_control || got.is_empty() || got.iter().all(|value| !value.contains(&byte)));
        }
    }
}

#[test]
fn an_answer_without_a_request_is_left_alone() {
    let mut plugin = started(ANSWERS);
    let mut stream = plugin.open(properties(&request("GET", "/", None))).unwrap();
    stream.on_response_headers(answered(), false).unwrap();
    assert_eq!(stream.close().unwrap().response_headers, Some(answered()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_stands_where_it_was_kept_makes_a_module_trap(
        kept in proptest::collection::vec(any::<u8>(), 0..64),
        words in proptest::collection::vec((0_u32..4096, 0_u32..64), 0..6),
    ) {
        let mut plugin = started(ANSWERS);
        let mut bytes: Vec<u8> = words.iter().flat_map(|(operation, length)| {
            operation.to_le_bytes().into_iter().chain(length.to_le_bytes())
        }).collect();
        bytes.extend(kept);
        let mut properties = properties(&request("GET", "/", None));
        properties.set(&["response-headers"], PropertyValue::Bytes(bytes));
        let mut stream = plugin.open(properties).unwrap();
        prop_assert_eq!(stream.on_response_headers(answered(), false).unwrap().action, Action::Continue);
    }
}
