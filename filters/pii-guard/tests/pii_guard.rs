//! The filter natively: its README's example, each refusal, and bodies that are cut anywhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chancery_sdk::testing::{Outcome, Plugin};
use pii_guard::{BYTES_MAX, PiiGuard};
use proptest::prelude::*;
use serde_json::{Value, json};

const JSON: [(&str, &str); 2] = [(":method", "POST"), ("content-type", "application/json")];
const FINDS_ALL: &str =
    r#"{"find": {"card": "mask", "email": "mask", "iban": "mask", "ip": "mask", "phone": "mask"}}"#;

/// What goes on of a request's body that comes in pieces.
fn pieces(plugin: &Plugin<PiiGuard>, body: &[u8], piece_bytes: usize) -> Result<Vec<u8>, u16> {
    let mut exchange = plugin.exchange();
    exchange.request_headers(&JSON, false);
    let mut rest = body;
    loop {
        let (piece, after) = rest.split_at(piece_bytes.min(rest.len()));
        rest = after;
        let outcome = exchange.request_body(piece, rest.is_empty());
        if let Some(status) = outcome.status() {
            return Err(status);
        }
        if rest.is_empty() {
            assert_eq!(outcome, Outcome::WentOn);
            return Ok(exchange.upstream().body);
        }
    }
}

#[track_caller]
fn becomes(config: &str, body: &str, expected: &str) {
    let plugin = Plugin::start(config).unwrap();
    for piece_bytes in 1..=body.len() {
        let out = pieces(&plugin, body.as_bytes(), piece_bytes);
        assert_eq!(out.map(|out| String::from_utf8(out).unwrap()), Ok(expected.to_owned()), "{piece_bytes}");
    }
}

/// The blocks of a language in the README.
fn block(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    include_str!("../README.md").split(&fence).nth(1).unwrap().split("```").next().unwrap().trim_end()
}

#[test]
fn the_example_of_the_readme_goes_on_as_it_says() {
    becomes(block("json"), block("http"), block("text"));
    let plugin = Plugin::<PiiGuard>::start(block("json")).unwrap();
    let mut exchange = plugin.exchange();
    exchange.request(&[(":method", "GET")], "");
    exchange.response(&[(":status", "200"), ("content-type", "application/json")], block("http"));
    assert_eq!(exchange.downstream().body, block("text").as_bytes());
    let counts = ["masked.email", "masked.card", "masked.value", "masked.phone"];
    assert_eq!(counts.map(|name| plugin.metric(&format!("pii-guard.{name}"))), [1, 1, 2, 0]);
    let log = plugin.take_log();
    assert_eq!(log.last().map(|(_, line)| line.as_str()), Some("masked 2 found and 2 stated values"));
}

#[test]
fn what_is_personal_is_found_however_it_is_written() {
    becomes(FINDS_ALL, r#"["\u0034111 1111 1111 111\u0031\n"]"#, r#"["***\n"]"#);
    becomes(FINDS_ALL, r#"{"anna\u0040example.org": ["a\/b@c.de", 1]}"#, r#"{"***": ["***", 1]}"#);
    becomes(
        FINDS_ALL,
        "[4111111111111111, 4111111111111112, 378282246310005.0]",
        r#"["***", 4111111111111112, "***"]"#,
    );
    becomes(FINDS_ALL, r#""fe80::1 😀 +4930 1234567""#, r#""*** 😀 ***""#);
    becomes(FINDS_ALL, " 4111111111111111", r#" "***""#);
    becomes(r#"{"find": {"email": "mask"}}"#, "[4111111111111111]", "[4111111111111111]");
}

#[test]
fn members_and_paths_are_replaced_whole() {
    let config = json!({
        "members": {"pin": "mask"},
        "paths": {"/a/*/b": "mask", "/l/0": "mask", "/~1~0": "mask", "/*/deep": "mask"},
    });
    let config = config.to_string();
    becomes(
        &config,
        r#"{"PIN": [1, {"x": "y"}], "p": {"p\u0069n": -1.5}}"#,
        r#"{"PIN": "***", "p": {"pin": "***"}}"#.replace("\"pin\"", "\"p\\u0069n\"").as_str(),
    );
    becomes(
        &config,
        r#"{"a": [{"b": true}, {"b": null, "c": 1}], "b": 2}"#,
        r#"{"a": [{"b": "***"}, {"b": null, "c": 1}], "b": 2}"#,
    );
    becomes(
        &config,
        r#"{"l": [ {"x": [[]]} , "y"], "/~": "", "l0": 1}"#,
        r#"{"l": [ "***" , "y"], "/~": "***", "l0": 1}"#,
    );
    let long = "n".repeat(300);
    becomes(
        &config,
        &format!(r#"{{"{long}": {{"deep": 1}}}}"#),
        &format!(r#"{{"{long}": {{"deep": "***"}}}}"#),
    );
}

#[test]
fn nothing_of_what_is_blocked_goes_on() {
    let plugin = Plugin::<PiiGuard>::start(
        r#"{"find": {"iban": "block", "ip": "mask"}, "members": {"pin": "block"}}"#,
    )
    .unwrap();
    assert_eq!(pieces(&plugin, br#"["10.0.0.1"]"#, 3), Ok(br#"["***"]"#.to_vec()));
    for (body, counter) in [(r#"["1", "DE89370400440532013000"]"#, "iban"), (r#"{"a": {"pin": 1}}"#, "value")]
    {
        let mut exchange = plugin.exchange();
        exchange.request_headers(&JSON, false);
        exchange.request_body(body, false);
        assert_eq!(exchange.request_body("", true).status(), Some(422));
        assert!(exchange.upstream().headers.is_none());
        assert_eq!(plugin.metric(&format!("pii-guard.blocked.{counter}")), 1);
    }
    let mut exchange = plugin.exchange();
    exchange.request(&[(":method", "GET")], "");
    let outcome =
        exchange.response(&[(":status", "200"), ("content-type", "application/json")], r#"{"pin": 1}"#);
    assert_eq!(outcome.status(), Some(502));
    assert!(exchange.downstream().headers.is_none());
}

#[test]
fn a_held_message_says_its_new_length() {
    let plugin = Plugin::<PiiGuard>::start(r#"{"find": {"ip": "mask", "iban": "block"}}"#).unwrap();
    let mut exchange = plugin.exchange();
    exchange.request(&[JSON[0], JSON[1], ("content-length", "12"), ("etag", "\"a\"")], r#"["10.0.0.1"]"#);
    let headers = exchange.upstream().headers.unwrap();
    assert_eq!(headers.only("content-length"), Ok(Some(&b"7"[..])));
    assert_eq!(headers.only("etag"), Ok(None));
}

#[test]
fn what_is_not_json_does_not_go_on() {
    let plugin = Plugin::<PiiGuard>::start(FINDS_ALL).unwrap();
    for body in [r#"{"a": 1,}"#, "{", "[1] x", "\"\u{1}\""] {
        assert_eq!(pieces(&plugin, body.as_bytes(), 1), Err(400), "{body}");
    }
    assert_eq!(pieces(&plugin, b"", 1), Ok(Vec::new()));
    assert_eq!(plugin.metric("pii-guard.refused.not-json"), 4);

    let mut exchange = plugin.exchange();
    exchange.request(&[(":method", "GET")], "");
    exchange.response_headers(&[(":status", "200"), ("content-type", "application/json")], false);
    exchange.response_body(r#"{"a": "10.0.0.1", "#, false);
    assert_eq!(exchange.response_body(r#"oh, "4111111111111111"}"#, true).status(), Some(502));
    assert_eq!(exchange.downstream().body, br#"{"a": "***", "#);
}

#[test]
fn a_body_may_end_with_trailers() {
    let plugin = Plugin::<PiiGuard>::start(FINDS_ALL).unwrap();
    for (body, status) in [(r#"["10.0.0.1"]"#, None), ("[1", Some(400)), ("4111111111111111", Some(400))] {
        let mut exchange = plugin.exchange();
        exchange.request_headers(&JSON, false);
        exchange.request_body(body, false);
        assert_eq!(exchange.request_trailers(&[("a", "b")]).status(), status, "{body}");
    }
}

#[test]
fn only_bodies_that_can_be_read_are_asked_for() {
    let plugin = Plugin::<PiiGuard>::start(FINDS_ALL).unwrap();
    let mut exchange = plugin.exchange();
    exchange.request(&[(":method", "GET"), ("accept-encoding", "gzip"), ("range", "bytes=1-")], "");
    let headers = exchange.upstream().headers.unwrap();
    assert_eq!(headers.only("accept-encoding"), Ok(Some(&b"identity"[..])));
    assert_eq!(headers.only("range"), Ok(None));
    let gzip = [(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(exchange.response(&gzip, "x").status(), Some(502));
    let gzip = [JSON[0], JSON[1], ("content-encoding", "gzip")];
    assert_eq!(plugin.exchange().request(&gzip, "x").status(), Some(415));
    let passing =
        Plugin::<PiiGuard>::start(&FINDS_ALL.replacen('{', r#"{"compressed": "pass", "#, 1)).unwrap();
    assert_eq!(passing.exchange().request(&gzip, "x"), Outcome::WentOn);
    let other = [(":method", "POST"), ("content-type", "image/png")];
    assert_eq!(plugin.exchange().request(&other, "10.0.0.1"), Outcome::WentOn);
}

#[test]
fn texts_of_stated_types_are_looked_through_whole() {
    let config = FINDS_ALL.replacen('{', r#"{"text_types": ["text/*"], "directions": ["request"], "#, 1);
    let plugin = Plugin::<PiiGuard>::start(&config).unwrap();
    let mut exchange = plugin.exchange();
    exchange.request_headers(
        &[(":method", "POST"), ("content-type", "text/plain"), ("content-length", "9")],
        false,
    );
    exchange.request_body("at 10.0", false);
    exchange.request_body(".0.1, \"", true);
    assert_eq!(exchange.upstream().body, b"at ***, \"");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    let words = |text: &str| Plugin::<PiiGuard>::start(text).unwrap_err().to_string();
    assert_eq!(words("{}"), "nothing is looked for; state `find`, `members` or `paths`");
    assert_eq!(words(r#"{"members": {"": "mask"}}"#), "`members`: a name must have from 1 to 256 bytes");
    assert_eq!(words(r#"{"paths": {"a": "mask"}}"#), "`paths.a`: must begin with `/`");
    let with = |more: &str| words(&format!(r#"{{"find": {{"ip": "mask"}}, {more}}}"#));
    assert_eq!(
        with(r#""mask": "\"""#),
        "`mask`: must be at most 64 visible ASCII letters, without `\"` and `\\`"
    );
    assert_eq!(with(r#""card_digits_kept": 5"#), "`card_digits_kept`: must be from 0 to 4");
    assert_eq!(with(r#""directions": []"#), "`directions`: must have `request`, `response` or both");
    assert_eq!(with(r#""bytes_max": 0"#), format!("`bytes_max`: must be from 1 to {BYTES_MAX}"));
    assert_eq!(
        words(r#"{"find": {"tax": "mask"}}"#),
        "`find.tax`: is no kind; there are `card`, `email`, `iban`, `ip`, `phone`"
    );
    assert_eq!(
        words(r#"{"find": {"iban": "hide"}}"#),
        "`find.iban`: unknown variant `hide`, expected `mask` or `block` at line 1 column 24"
    );
}

/// Texts in which something is found, something nearly, and something long.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("4111111111111111".to_owned()),
        Just("4111-1111-1111-1111".to_owned()),
        Just("anna@example.org".to_owned()),
        Just("DE89 3704 0044 0532 0130 00".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("+49 30 1234567".to_owned()),
        "[0-9 .:@+a-z-]{0,12}",
        "\\PC{0,6}",
        (0_usize..1500).prop_map(|count| "1".repeat(count)),
        (0_usize..1500).prop_map(|count| "ä.".repeat(count)),
        (0_usize..600).prop_map(|count| "\"\u{7f}\n\u{1F600}".repeat(count)),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// What the filter does with one text, said without windows: everything that is found, from left to right.
fn masked(text: &str) -> String {
    use pii_guard::find::{Kind, Kinds, Text, next};
    let kinds = Kind::ALL.into_iter().fold(Kinds::default(), Kinds::with);
    let (mut out, mut from) = (Vec::new(), 0);
    let part = |from: usize, to: usize| text.as_bytes().get(from..to).unwrap();
    while let Some(found) = next(Text { bytes: text.as_bytes(), before: None }, from, kinds, &mut 0) {
        out.extend_from_slice(part(from, found.start));
        out.extend_from_slice(b"***");
        from = found.end;
    }
    out.extend_from_slice(part(from, text.len()));
    String::from_utf8(out).unwrap()
}

/// The same text as JSON with each character escaped of which a bit says so.
fn escaped(text: &str, bits: u64) -> String {
    let mut out = String::from("\"");
    for (at, char) in text.chars().enumerate() {
        if bits.rotate_left(at as u32 % 64) & 1 == 1 || char < ' ' || char == '"' || char == '\\' {
            char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(char);
        }
    }
    out + "\""
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Wherever a body is cut, and however its texts are escaped, the same goes on; it is JSON, and nothing is found in it.
    #[test]
    fn a_body_goes_on_the_same_however_it_comes(text in any_text(), bits in any::<u64>(), piece_bytes in 1_usize..5_000) {
        let plugin = Plugin::<PiiGuard>::start(FINDS_ALL).unwrap();
        let body = format!("{{\"text\": [{}, 1]}}", escaped(&text, bits));
        let whole = pieces(&plugin, body.as_bytes(), body.len()).unwrap();
        let cut = pieces(&plugin, body.as_bytes(), piece_bytes).unwrap();
        prop_assert_eq!(&whole, &cut);
        let out: Value = serde_json::from_slice(&whole).unwrap();
        prop_assert_eq!(out.pointer("/text/0").and_then(Value::as_str).unwrap(), masked(&text));
    }

    #[test]
    fn any_bytes_are_read_to_an_end(body in prop::collection::vec(any::<u8>(), 0..64), piece_bytes in 1_usize..9) {
        let plugin = Plugin::<PiiGuard>::start(FINDS_ALL).unwrap();
        prop_assert_eq!(pieces(&plugin, &body, piece_bytes).is_ok(), pieces(&plugin, &body, 64).is_ok());
    }
}
