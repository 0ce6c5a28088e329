//! Logs: which requests the module logs, and every byte of what it says of them, are the evaluator's.

use crate::run::{Pair, request, with};
use chancery_policy_lang::request::Request;

fn get(path: &str) -> Request {
    request("GET", path, Some("shop/frontend"))
}

/// What the module said of a request, as an object of JSON.
fn line_of(pair: &Pair) -> Option<serde_json::Value> {
    let line = pair.line()?;
    let object = [b"{\"time\":\"\"".as_slice(), line, b"}"].concat();
    Some(serde_json::from_slice(&object).unwrap())
}

#[test]
fn samples_speak_of_what_matches_them() {
    let text = r#"auth a on mesh { read: allow GET  no: deny /no }
        log l on mesh {
            sample 100% denied
            sample 100% for /all/**
            sample 100% allowed when headers["x-debug"] == "1"
            sample 0% for /all/none
            sample 100% when decision == "allowed" && rule == "a/read" && request.path == "/by-rule"
        }"#;
    let mut pair = Pair::of_text(text);
    for (path, expected) in
        [("/a", false), ("/no", true), ("/all/x", true), ("/all/none", true), ("/by-rule", true)]
    {
        pair.agree(&get(path));
        assert_eq!(pair.line().is_some(), expected, "{path}");
    }
    pair.agree(&with(get("/a"), "x-debug", "1"));
    assert!(pair.line().is_some());
    // A request without a meaning has no path that a sample could ask.
    pair.agree(&get("/all/%zz?secret=1"));
    let line = line_of(&pair).unwrap();
    assert_eq!(
        (&line["path"], &line["decision"], &line["rule"]),
        (&"/all/%zz".into(), &"refused".into(), &"bad-path".into())
    );
}

#[test]
fn answers_decide_when_they_are_over() {
    let text = r#"log l on mesh {
        sample 100% when response.code >= 500
        sample 100% for /slow when response.duration > 1000 && headers["x"] == "1"
        sample 100% allowed for /both, /*/both unless response.code < 400 || request.method == "PUT"
    }"#;
    let mut pair = Pair::of_text(text);
    for (code, duration_ms) in
        [(200, 0), (200, 1_000), (200, 1_001), (404, 0), (500, 3), (0, 0), (503, 60_000)]
    {
        pair.answer(code, duration_ms);
        for path in ["/a", "/slow", "/both", "/x/both"] {
            for method in ["GET", "PUT"] {
                for value in ["", "1"] {
                    pair.agree(&with(request(method, path, None), "x", value));
                    let expected = code >= 500
                        || (path == "/slow" && duration_ms > 1_000 && value == "1")
                        || (path.ends_with("both") && method == "GET" && code >= 400);
                    assert_eq!(
                        pair.line().is_some(),
                        expected,
                        "{code} {duration_ms} {method} {path} {value}"
                    );
                }
            }
        }
    }
}

#[test]
fn shares_are_drawn() {
    let mut pair = Pair::of_text(
        "log l on mesh { sample 25% for /some  sample 0.1% for /few  sample 50% for /late when response.code == 200 }",
    );
    let mut count = |path: &str, times: usize| {
        (0..times)
            .filter(|_| {
                pair.agree(&get(path));
                pair.line().is_some()
            })
            .count()
    };
    // Six deviations to each side.
    let (some, few, late) = (count("/some", 4_000), count("/few", 20_000), count("/late", 1_000));
    assert!((835..=1_165).contains(&some), "{some}");
    assert!((1..=47).contains(&few), "{few}");
    assert!((405..=595).contains(&late), "{late}");
    assert_eq!(count("/none", 100), 0);
}

#[test]
fn lines_are_json_whatever_the_bytes() {
    let text = r#"log l on mesh {
        fields headers["x"], headers["x"].substring(0, 2) as two, size(headers["x"]) as length, has(headers["x"]) as there
        fields headers["n"].size() * -7 as negative, source.ip as ip, source.port as port, query["q"], path-free as free
        let path-free = request.path.startsWith("/free")
    }"#;
    let mut pair = Pair::of_text(text);
    let long = "\"".repeat(3_000);
    let values: [&[u8]; 12] = [
        b"",
        b"plain",
        b"\"quoted\" \\ and / more",
        b"\x01\x02\t\x1f\x7f",
        "\u{e9}\u{6f22}\u{1f600}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
        b"\xff\xfe\x80\xbf",
        b"\xc0\x80\xc1\xbf\xe0\x80\x80\xed\xa0\x80\xf0\x80\x80\x80\xf4\x90\x80\x80\xf5\x80\x80\x80",
        b"cut \xe2\x82",
        b"cut \xf0\x9f\x98",
        b"\xe2\x82\xac\xe2\x82",
        b"}\n{\"rule\":\"x\"}",
        long.as_bytes(),
    ];
    for value in values {
        for address in ["10.1.2.3", "2001:db8::1", "::1", "::ffff:1.2.3.4", "0.0.0.0"] {
            let mut asked = with(with(get("/a%20b/%22?q=%0a1"), "x", value), "n", "nine");
            asked.source.ip = address.parse().unwrap();
            asked.source.port = 65_535;
            pair.agree(&asked);
            let line = line_of(&pair).unwrap();
            assert_eq!(line["negative"], -28);
            assert_eq!((&line["path"], &line["q"]), (&"/a b/\"".into(), &"\n1".into()), "{line}");
        }
    }
    pair.agree(&get("/a"));
    let line = line_of(&pair).unwrap();
    assert_eq!(
        (&line["x"], &line["there"], &line["length"]),
        (&serde_json::Value::Null, &false.into(), &serde_json::Value::Null)
    );
}

#[test]
fn any_two_bytes_are_escaped() {
    let mut pair = Pair::of_text(r#"log l on mesh { fields headers["x"] }"#);
    for first in 0x21..=0xff_u8 {
        for second in [b'a', b'"', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xff] {
            pair.agree(&with(get("/a"), "x", [first, second, 0x80, 0xbf, b'z']));
        }
    }
}

#[test]
fn a_line_has_a_bound() {
    let fields: Vec<String> = (0..60).map(|number| format!("headers[\"h{number}\"]")).collect();
    let mut pair = Pair::of_text(&format!("log l on mesh {{ fields {} }}", fields.join(", ")));
    let mut asked = get("/a");
    for number in 0..60 {
        asked = with(asked, &format!("h{number}"), format!("x{}x", "\u{1}".repeat(200)));
    }
    pair.agree(&asked);
    let line = line_of(&pair).unwrap();
    assert!(line["h0"].is_string() && line["h9"].is_null(), "{line}");
    assert!(pair.line().unwrap().len() < 48 << 10);
}

#[test]
fn what_is_redacted_is_not_there() {
    let text = r#"schema { header n: int  header b: bool }
        log l on mesh {
            fields headers["a"], headers["b"] as b, headers["n"] as n, headers["m"].upperAscii() as m
            fields headers["h"] as h, source.ip as ip, source.service, query["q"], request.host
            fields headers["a"] == "secret" as same, headers["m"] == headers["h"] as both
            redact headers["a"], query["q"] with drop
            redact headers["m"], request.path with mask
            redact headers["h"], headers["b"], headers["n"], source.ip, source.principal with hash
            redact request.method with hash
        }"#;
    let mut pair = Pair::of_text(text);
    for length in [0, 1, 7, 8, 9, 16, 63, 2_000] {
        let secret = "s".repeat(length);
        let mut asked = get("/secret?q=secret");
        for name in ["a", "m", "h"] {
            asked = with(asked, name, &secret);
        }
        asked = with(with(asked, "b", "true"), "n", "-5");
        pair.agree(&asked);
        let line = line_of(&pair).unwrap();
        for gone in ["a", "q", "same"] {
            assert!(line.get(gone).is_none(), "{gone}: {line}");
        }
        for masked in ["m", "path", "both"] {
            assert_eq!(line[masked], "***", "{masked}: {line}");
        }
        for hashed in ["h", "b", "n", "ip", "principal", "source_service", "method"] {
            assert_eq!(line[hashed].as_str().map(str::len), Some(32), "{hashed}: {line}");
        }
    }
    pair.agree(&request("GET", "/%zz", None));
    assert_eq!(line_of(&pair).unwrap()["path"], "***");
}
