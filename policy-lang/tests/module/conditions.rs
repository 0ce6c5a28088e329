//! Conditions: every attribute, operator and function, on requests chosen to tell them apart.

use crate::run::{Pair, request, with};
use chancery_policy_lang::request::Request;

/// Conditions in the language's syntax. Each becomes a rule, so that a request is judged by all of
/// them; conditions on one header are literals, the others functions.
const CONDITIONS: &[&str] = &[
    r#"headers["x"] == "a""#,
    r#"headers["x"] != "a""#,
    r#"headers["x"] in ["a", "b", ""]"#,
    r#"!(headers["x"] in ["a", "b"])"#,
    r#"headers["x"].startsWith("a")"#,
    r#"!headers["x"].startsWith("ab")"#,
    r#"headers["x"].startsWith("ab") && headers["x"] != "abc""#,
    r#"has(headers["x"])"#,
    r#"!has(headers["x"])"#,
    r#"has(headers["x"]) && headers["x"] != "a""#,
    r#"headers["x"] == "a" || headers["x"] == "b" || headers["x"].startsWith("abc")"#,
    r#"headers["x"] == "a" || headers["y"] == "b""#,
    r#"headers["x"] == headers["y"]"#,
    r#"headers["x"] != headers["y"]"#,
    r#"headers["x"] < headers["y"]"#,
    r#"headers["x"] >= "ab""#,
    r#"headers["x"].endsWith("c")"#,
    r#"headers["x"].contains(headers["y"])"#,
    r#"headers["x"].contains("")"#,
    r#"headers["x"].lowerAscii() == "abc""#,
    r#"headers["x"].upperAscii().startsWith("AB")"#,
    r#"headers["x"].trim() == "a""#,
    r#"headers["x"].trim().size() == 0"#,
    r#"headers["x"].size() > 2"#,
    r#"size(headers["x"]) == 3"#,
    r#"headers["x"].indexOf("b") == 1"#,
    r#"headers["x"].indexOf("é") == 1"#,
    r#"headers["x"].substring(1, 2) == "b""#,
    r#"headers["x"].substring(1, 3) == "éb""#,
    r#"headers["x"].matches("^a+b?$")"#,
    r#"headers["x"].matches("b.")"#,
    r#"request.method == "GET" || request.method == "PUT""#,
    r#"request.path == "/a/b""#,
    r#"request.path.startsWith("/a")"#,
    r#"request.path.matches("/[0-9]+$")"#,
    r#"request.host == "shop.example""#,
    r#"request.host.endsWith(".example")"#,
    r#"request.scheme == "https""#,
    r#"request.id == "r1""#,
    r#"has(request.id)"#,
    r#"request.protocol == "HTTP/2""#,
    r#"request.size > 100"#,
    r#"request.size == 0"#,
    r#"has(request.size)"#,
    r#"request.size * 9223372036854775807 > 0"#,
    r#"request.size - 5 < -4"#,
    r#"request.size + 9223372036854775807 == 9223372036854775807"#,
    r#"request.size / 3 == 33"#,
    r#"request.size % 7 == 2"#,
    r#"-request.size < 0"#,
    r#"query["q"] == "a b""#,
    r#"query["q"] in ["1,2", "é"]"#,
    r#"has(query["q"])"#,
    r#"query["q"] != "1""#,
    r#"query["q"].size() == 1"#,
    r#"source.service == "shop/cart""#,
    r#"source.service != "shop/cart""#,
    r#"source.service.startsWith("shop/")"#,
    r#"source.namespace == "shop""#,
    r#"source.namespace in ["pay", "shop"]"#,
    r#"source.namespace == target.namespace"#,
    r#"source.service == target.service"#,
    r#"has(source.service)"#,
    r#"has(source.principal)"#,
    r#"source.principal == "spiffe://other/ns/shop/sa/cart""#,
    r#"source.principal.contains("/sa/c")"#,
    r#"source.mtls"#,
    r#"!source.mtls"#,
    r#"source.port > 1024"#,
    r#"source.ip == ip("10.1.2.3")"#,
    r#"cidr("10.0.0.0/8").containsIP(source.ip)"#,
    r#"!cidr("2001:db8::/32").containsIP(source.ip)"#,
    r#"target.version == "v2" && headers["x"] == "a""#,
    r#"target.labels["none"] == "x" || headers["x"] == "b""#,
    r#"target.labels["none"] != "x" && headers["x"] == "b""#,
    r#"source.mtls ? headers["x"] == "a" : headers["y"] == "a""#,
    r#"(source.mtls ? headers["x"] : headers["y"]) == "a""#,
];

const VALUES: &[Option<&[u8]>] = &[
    None,
    Some(b""),
    Some(b"a"),
    Some(b"b"),
    Some(b"ab"),
    Some(b"abc"),
    Some(b"abcd"),
    Some(b"ABC"),
    Some(b" a\t"),
    Some(b"   "),
    Some("aéb".as_bytes()),
    Some(b"aaab"),
    Some(b"a\x80\xffb"),
    Some(b"abcdefghijklmnopqrstuvwxyz0123456789"),
];

fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    for (at, x) in VALUES.iter().enumerate() {
        for y in VALUES {
            let mut made = request("GET", "/a/b", None);
            if let Some(x) = x {
                made = with(made, "x", x);
            }
            if let Some(y) = y {
                made = with(made, "y", y);
            }
            made.source.mtls = at % 2 == 0;
            all.push(made);
        }
    }
    for path in [
        "/",
        "/a",
        "/a/b",
        "/a/12",
        "/a?q=a+b",
        "/a?q=1&q=2",
        "/?q=%C3%A9",
        "/?q",
        "/?q=1",
        "/x?p=1&q=%zz",
        "/?&&=&q==",
    ] {
        all.push(request("PUT", path, Some("shop/cart")));
    }
    for caller in ["shop/cart", "shop/orders", "pay/x", "other/x"] {
        all.push(request("POST", "/a", Some(caller)));
    }
    for principal in [
        "spiffe://other/ns/shop/sa/cart",
        "spiffe://chancery.local/ns/shop/sa/",
        "spiffe://chancery.local/ns/shop/sa/cart/x",
        "",
        "x",
    ] {
        let mut made = request("GET", "/a", None);
        made.source.principal = Some(principal.into());
        all.push(made);
    }
    for authority in ["shop.example", "Shop.Example:8080", "x:", ":1", "8080", "", "[::1]:80"] {
        all.push(Request { authority: authority.into(), scheme: "https".into(), ..Request::default() });
    }
    for (protocol, id) in [("HTTP/1.1", Some("r1")), ("HTTP/2", Some("")), ("", None)] {
        let made = Request { protocol: protocol.into(), ..Request::default() };
        all.push(id.iter().fold(made, |made, id| with(made, "x-request-id", id)));
    }
    for length in
        ["0", "100", "101", "-5", "+5", "", "x", "9223372036854775807", "9223372036854775808", "007", "1,1"]
    {
        all.push(Request { end_of_stream: false, ..with(Request::default(), "content-length", length) });
    }
    all.push(Request { end_of_stream: false, ..Request::default() });
    for (ip, port) in [
        ("10.1.2.3", 80),
        ("10.255.0.1", 65535),
        ("11.0.0.0", 1024),
        ("2001:db8::1", 1025),
        ("::ffff:10.1.2.3", 0),
        ("::1", 1),
    ] {
        let mut made = Request::default();
        made.source.ip = ip.parse().unwrap();
        made.source.port = port;
        all.push(made);
    }
    all
}

/// One module a condition: which rule decides then says whether the condition held.
#[test]
fn each_condition_holds_where_the_evaluator_says() {
    let requests = requests();
    for condition in CONDITIONS {
        let text = format!("auth p on mesh {{ c: allow when {condition} }}");
        let mut pair = Pair::of_text(&text);
        let mut held = 0;
        for request in &requests {
            held += usize::from(pair.agree(request).rule() == "p/c");
        }
        assert!(held > 0 || condition.contains("9223372036854775807 > 0"), "{condition} never held");
        assert!(held < requests.len(), "{condition} always held");
    }
}

/// All in one module, which is one of many words.
#[test]
fn all_conditions_together_decide_as_the_evaluator_does() {
    let mut text = String::from("auth p on mesh {\n");
    for (at, condition) in CONDITIONS.iter().enumerate() {
        let effect = ["allow", "deny", "deny", "allow"][at % 4];
        let method = ["GET", "GET, PUT", "", "POST"][at / 3 % 4];
        let response = if effect == "deny" && at % 3 == 0 { "respond 451 \"no\"" } else { "" };
        text.push_str(&format!("  c{at}: {effect} {method} when {condition} {response}\n"));
    }
    text.push_str("}\n");
    let shadow = text.replace("auth p on mesh {", "auth s on mesh { mode shadow").replace("allow", "deny");
    let shadow = shadow.lines().filter(|line| !line.contains("respond")).collect::<Vec<_>>().join("\n");
    for text in [text.clone(), format!("{text}\n{shadow}")] {
        let mut pair = Pair::of_text(&text);
        for request in requests() {
            pair.agree(&request);
        }
    }
}

#[test]
fn schema_types_are_read_from_headers() {
    let schema = r#"schema {
        header x-n: int
        header x-b: bool
        header x-s: string(3)
        header x-e: enum("one", "two")
        header x-l: list<string, 3>
    }"#;
    let values: &[&str] = &[
        "",
        "0",
        "-7",
        "12",
        "true",
        "false",
        "abc",
        "abcd",
        "one",
        "two",
        "a,b",
        " a , b,c ",
        "a,b,c,d",
        ",,",
        "TRUE",
    ];
    for condition in [
        r#"headers["x-n"] > 5"#,
        r#"headers["x-n"] != 12"#,
        r#"has(headers["x-n"])"#,
        r#"-headers["x-n"] == 7"#,
        r#"headers["x-b"]"#,
        r#"!headers["x-b"]"#,
        r#"has(headers["x-b"])"#,
        r#"headers["x-b"] == false"#,
        r#"headers["x-s"] == "abc""#,
        r#"has(headers["x-s"])"#,
        r#"headers["x-e"] == "one""#,
        r#"headers["x-e"] != "one""#,
        r#""b" in headers["x-l"]"#,
        r#"headers["x-l"].exists(e, e == "c")"#,
        r#"headers["x-l"].all(e, e != "")"#,
        r#"headers["x-l"].exists_one(e, e.startsWith("a"))"#,
        r#"size(headers["x-l"]) == 3"#,
        r#"has(headers["x-l"])"#,
        r#"["a", "b"].exists(e, e == headers["x-s"])"#,
        r#"headers["x-l"].exists(e, headers["x-l"].all(f, e == f))"#,
    ] {
        let mut pair = Pair::of_text(&format!("{schema}\nauth p on mesh {{ c: allow when {condition} }}"));
        pair.agree(&Request::default());
        for value in values {
            let made = ["x-n", "x-b", "x-s", "x-e", "x-l"]
                .iter()
                .fold(Request::default(), |made, name| with(made, name, value));
            pair.agree(&made);
            pair.agree(&with(made, "x-l", "z"));
        }
    }
}
