//! Answers: what the module asks about them, says of them and makes of their headers is what the evaluator does.

use crate::run::{Pair, headers, properties, request, with};
use chancery_policy_lang::eval::{Response, header_changes};
use chancery_policy_lang::response::{ANSWER_TEXT_BYTES_MAX, FLAGS};
use chancery_sdk_host::PropertyValue;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::TestRunner;
use std::cell::RefCell;

fn header(name: &str, value: impl AsRef<[u8]>) -> (Vec<u8>, Vec<u8>) {
    (name.into(), value.as_ref().to_vec())
}

fn answer(code: u16) -> Response {
    Response {
        code,
        duration_ms: 12,
        size: 345,
        headers: vec![header("x-a", "one"), header("x-a", "two"), header("set-cookie", "s=secret")],
        upstream: Some(b"127.0.0.1:9000".to_vec()),
        attempts: 2,
        ..Response::default()
    }
}

fn line_of(pair: &Pair) -> serde_json::Value {
    let object = [b"{\"time\":\"\"".as_slice(), pair.line().unwrap(), b"}"].concat();
    serde_json::from_slice(&object).unwrap()
}

#[test]
fn lines_say_what_became_of_the_answer() {
    let text = r#"log l on mesh {
        fields response.code as status, response.duration as ms, response.size, response.headers["X-A"], response.flags
        fields response.headers["x-none"] as none, upstream.address, upstream.attempts, upstream.failure as why
        fields "UF" in response.flags as broken, response.code >= 500 as failed, headers["x"] as before
        fields response.headers["set-cookie"], response.headers["set-cookie"].size() as length
        redact response.headers["set-cookie"] with hash
    }"#;
    let mut pair = Pair::of_text(text);
    let broken = 1 << FLAGS.iter().position(|flag| *flag == "UF").unwrap();
    let failed = Response {
        flags: broken | 1,
        upstream: None,
        failure: Some(b"refused \"by\" it".to_vec()),
        ..answer(503)
    };
    for (response, failed) in [(answer(200), false), (failed, true), (Response::default(), false)] {
        pair.answer_with(response.clone());
        pair.agree(&with(request("GET", "/a", None), "x", "y"));
        let line = line_of(&pair);
        assert_eq!((&line["status"], &line["failed"]), (&response.code.into(), &failed.into()), "{line}");
        assert_eq!(line["broken"], failed, "{line}");
        assert_eq!((&line["before"], &line["none"]), (&"y".into(), &serde_json::Value::Null), "{line}");
        if response.code != 0 {
            assert_eq!(
                (&line["response_x-a"], &line["upstream_attempts"]),
                (&"one,two".into(), &2.into()),
                "{line}"
            );
            assert_eq!(line["length"], "***", "{line}");
            assert_eq!(line["response_set-cookie"].as_str().map(str::len), Some(32), "{line}");
        }
    }
    // What is refused before any rule is answered, too.
    pair.agree(&request("GET", "/%zz", None));
    assert_eq!(line_of(&pair)["status"], 400);
}

#[test]
fn a_longer_text_of_an_answer_is_absent() {
    let mut pair = Pair::of_text(
        r#"log l on mesh { fields response.headers["x"] as x, has(response.headers["x"]) as there }"#,
    );
    for (length, there) in
        [(0, true), (ANSWER_TEXT_BYTES_MAX, true), (ANSWER_TEXT_BYTES_MAX + 1, false), (60_000, false)]
    {
        pair.answer_with(Response { headers: vec![header("x", "v".repeat(length))], ..answer(200) });
        pair.agree(&request("GET", "/a", None));
        assert_eq!(line_of(&pair)["there"], there, "{length}");
    }
}

#[test]
fn each_flag_is_known_by_its_name() {
    let fields: Vec<String> =
        FLAGS.iter().map(|flag| format!("\"{flag}\" in response.flags as is-{flag}")).collect();
    let text = format!(
        "log l on mesh {{ fields {}, size(response.flags) as count  sample 100% when size(response.flags) < 40 }}",
        fields.join(", ")
    );
    let mut pair = Pair::of_text(&text);
    for bits in (0..FLAGS.len()).map(|bit| 1 << bit).chain([0, (1 << FLAGS.len()) - 1, u64::MAX >> 1]) {
        pair.answer_with(Response { flags: bits, ..answer(503) });
        pair.agree(&request("GET", "/a", None));
        let line = line_of(&pair);
        for (bit, flag) in FLAGS.iter().enumerate() {
            assert_eq!(line[format!("is-{flag}")], bits >> bit & 1 == 1, "{bits:#x} {line}");
        }
    }
}

#[test]
fn a_line_that_goes_on_has_a_bound() {
    let fields: Vec<String> =
        (0..30).map(|at| format!("headers[\"h{at}\"], response.headers[\"h{at}\"]")).collect();
    let mut pair = Pair::of_text(&format!("log l on mesh {{ fields {} }}", fields.join(", ")));
    let mut asked = request("GET", "/a", None);
    let mut response = answer(200);
    for at in 0..30 {
        let value = format!("x{}x", "\u{1}".repeat(400));
        asked = with(asked, &format!("h{at}"), &value);
        response.headers.push(header(&format!("h{at}"), value));
    }
    pair.answer_with(response);
    pair.agree(&asked);
    let line = line_of(&pair);
    assert!(line["h0"].is_string() && line["response_h9"].is_null(), "{line}");
    assert!(pair.line().unwrap().len() < 48 << 10);
}

#[test]
fn what_is_asked_of_request_and_answer_is_kept() {
    let text = r#"schema { header x-list: list<string, 4>  header x-number: int }
    log l on mesh {
        sample 0%
        sample 100% when response.code >= 500 && request.path.startsWith("/api") || headers["x"] == "log"
        sample 100% denied when response.code == 403 || decision == "limited"
        sample 100% when response.headers["x-a"] in headers["x-list"] unless query["q"] == "no" && response.code == 404
        fields response.code >= 500 ? headers["x"] : "fine" as text, response.code == 200 ? source.ip : ip("::1") as from
        fields response.code + headers["x-number"] as sum, response.headers["set-cookie"] == headers["x"] as same
        fields headers["x-list"].exists(e, e == response.headers["x-b"] || e == headers["x"]) as listed
        fields response.flags.all(f, f != headers["x"] && !request.path.contains(f)) as flagged
        fields response.code < 300 ? rule : decision as how, response.duration > 5 && source.mtls as quick
        fields response.code == 200 && headers["x-list"].exists(e, e.startsWith("a")) as begins
        fields headers["secret"] == response.headers["x-a"] as told  redact headers["secret"] with mask
    }
    auth a on mesh { allow /api/** deny from ip 10.9.9.9/32 otherwise deny }"#;
    let mut pair = Pair::of_text(text);
    let long = "l".repeat(5_000);
    let mut shown = 0;
    for code in [200, 404, 503, 0] {
        for path in ["/api/UF?q=no", "/api?q=1", "/b", "/%zz"] {
            for x in ["", "log", "s=secret", "UF", &long] {
                for list in ["", "a,b", "one,two, b", "b,log,ac", "1,2,3,4,5"] {
                    let mut asked = with(request("GET", path, None), "x-list", list);
                    if !x.is_empty() {
                        asked = with(with(asked, "x", x), "x-number", "17");
                    }
                    // Where there is no answer, there is no header of it.
                    let headers =
                        if code == 0 { Vec::new() } else { vec![header("x-a", "one"), header("x-b", "b")] };
                    pair.answer_with(Response { headers, flags: u64::from(code) & 6, ..answer(code) });
                    pair.agree(&asked);
                    shown += usize::from(pair.line().is_some());
                }
            }
        }
    }
    assert!(shown > 100, "{shown}");
    pair.answer_with(answer(503));
    pair.agree(&with(with(request("GET", "/api", None), "x", "why"), "x-number", "-3"));
    let line = line_of(&pair);
    assert_eq!(
        (&line["text"], &line["sum"], &line["told"]),
        (&"why".into(), &500.into(), &"***".into()),
        "{line}"
    );
    assert_eq!((&line["how"], &line["same"]), (&"allowed".into(), &false.into()), "{line}");
}

#[test]
fn headers_are_changed_by_request_and_answer_together() {
    let text = r#"schema { header x-number: int }
    traffic t on mesh {
        set response header x-a = "both" when response.code == 404 || request.path == "/b"
        remove response header x-a unless response.code == 404 || request.path == "/b"
        set response header x-c = response.code >= 500 ? headers["x-key"] : "fine"
        set response header x-d = response.code - headers["x-number"]
        add response header x-e = response.headers["x-b"] when response.headers["x-b"] == headers["x-key"]
        set response header x-f = response.headers["x-b"].contains(headers["x-key"]) for /b
    }"#;
    let mut pair = Pair::of_text(text);
    for code in [200, 404, 503, 0] {
        for path in ["/a", "/b"] {
            for key in ["", "key", &"k".repeat(3_000)] {
                let asked = with(with(request("GET", path, None), "x-key", key), "x-number", key);
                let headers = [answer(code).headers, vec![header("x-b", "key")]].concat();
                let given = Response { headers, ..answer(code) };
                pair.answer_with(given.clone());
                pair.agree(&asked);
                let mut wanted = given.headers.clone();
                let changes = header_changes(pair.program(), &asked, &given);
                changes.response.iter().for_each(|change| change.apply(&mut wanted));
                let mut found = pair.answered().map(|map| map.entries().to_vec()).unwrap_or_default();
                found.retain(|(name, _)| name != b":status");
                if code != 0 {
                    wanted.sort();
                    found.sort();
                    assert_eq!(found, wanted, "{code} {path} {key:?}");
                    let value = |name: &str| found.iter().find(|(known, _)| known == name.as_bytes());
                    let value = |name: &str| value(name).map(|(_, value)| String::from_utf8_lossy(value));
                    assert_eq!(value("x-a").is_some(), code == 404 || path == "/b");
                    assert_eq!(value("x-c").unwrap(), if code >= 500 { key } else { "fine" });
                    assert_eq!(value("x-e").is_some(), key == "key");
                    assert_eq!(value("x-f").is_some(), path == "/b");
                }
            }
        }
    }
}

const OPERATIONS: &str = r#"traffic wide on mesh {
        set response header x-status = response.code
        set response header x-copy = response.headers["x-a"] when response.code >= 500
        remove response header server when response.code < 500
        add response header x-b = headers["x-key"] when response.headers["x-a"].contains("two") && request.path == "/b"
        set response header x-c = "plain"
        set response header x-d = response.headers["x-a"] == headers["x-key"] ? headers["x-key"] : "other"
    }
    traffic narrow on namespace shop {
        set response header x-c = "missing" when response.code == 404
        set response header x-c = headers["x-key"] when response.code == 503
        remove response header x-c when response.code == 500
        set response header x-c = "teapot" for /tea when response.code == 418
    }"#;

#[test]
fn values_are_those_of_the_answer_as_it_came() {
    let text = r#"traffic t on mesh {
        remove response header x-a
        set response header set-cookie = response.headers["x-a"]
        set response header x-b = response.headers["set-cookie"].substring(0, 3)
    }"#;
    let mut pair = Pair::of_text(text);
    pair.answer_with(answer(200));
    pair.agree(&request("GET", "/a", None));
    let map = pair.answered().unwrap();
    assert_eq!(map.first(b"x-a"), None);
    assert_eq!(map.first(b"set-cookie"), Some(b"one,two".as_slice()));
    assert_eq!(map.first(b"x-b"), Some(b"s=s".as_slice()));
}

#[test]
fn headers_are_changed_by_what_the_answer_is() {
    let mut pair = Pair::of_text(OPERATIONS);
    for code in [200, 404, 418, 500, 503, 0] {
        for path in ["/a", "/b", "/tea"] {
            for key in ["", "key", &"k".repeat(300)] {
                let asked = with(request("GET", path, None), "x-key", key);
                let given = Response {
                    headers: [answer(code).headers, vec![header("server", "own")]].concat(),
                    ..answer(code)
                };
                pair.answer_with(given.clone());
                pair.agree(&asked);
                let mut wanted = given.headers.clone();
                let changes = header_changes(pair.program(), &asked, &given);
                changes.response.iter().for_each(|change| change.apply(&mut wanted));
                let mut found = pair.answered().map(|map| map.entries().to_vec()).unwrap_or_default();
                found.retain(|(name, _)| name != b":status");
                if code != 0 {
                    wanted.sort();
                    found.sort();
                    assert_eq!(found, wanted, "{code} {path} {key:?}");
                    let values =
                        |name: &str| found.iter().filter(|(known, _)| known == name.as_bytes()).count();
                    assert_eq!(values("x-copy"), usize::from(code >= 500));
                    assert_eq!(values("server"), usize::from(code >= 500));
                    assert_eq!(values("x-b"), usize::from(path == "/b"));
                    assert_eq!(values("x-c"), usize::from(code != 500));
                }
            }
        }
    }
}

#[test]
fn nothing_that_was_kept_makes_a_module_trap() {
    let text = format!(
        "{OPERATIONS} log l on mesh {{ fields response.code as c, response.flags.exists(f, f == \"UF\") as f \
         sample 50% when response.code > 1 || request.path == \"/a\" \
         fields response.code == 1 ? headers[\"a\"] : headers[\"b\"] as k }}"
    );
    let pair = RefCell::new(Pair::of_text(&text));
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (
        proptest::collection::vec((0_u32..4096, 0_u32..64), 0..8),
        proptest::collection::vec(any::<u8>(), 0..64),
        any::<i64>(),
    );
    let run = |(words, rest, flags): (Vec<(u32, u32)>, Vec<u8>, i64)| {
        let word = |(operation, length): (u32, u32)| [operation.to_le_bytes(), length.to_le_bytes()].concat();
        let kept = [words.into_iter().flat_map(word).collect(), rest].concat();
        let asked = request("GET", "/", None);
        let mut properties = properties(&asked);
        properties.set(&["response-headers"], PropertyValue::Bytes(kept.clone()));
        properties.set(&["kept-for-headers"], PropertyValue::Bytes(kept.clone()));
        properties.set(&["kept-for-line"], PropertyValue::Bytes(kept.clone()));
        properties.set(&["held"], PropertyValue::Bytes(kept));
        properties.set(&["response", "flags"], PropertyValue::Int(flags));
        pair.borrow_mut().run_raw(headers(&asked), properties, true);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, run).unwrap();
}
