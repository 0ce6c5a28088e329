//! The checker over several files, and requests and targets as people write them.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use chancery_policy_lang::check::{request_of, target_of};
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::eval::evaluate;
use chancery_policy_lang::link::link;
use chancery_policy_lang::request::{Refusal, Request, received};
use chancery_policy_lang::{Analysis, FileId, SourceSet, analyse, path};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

fn files(texts: &[&str]) -> (SourceSet, Analysis) {
    let mut sources = SourceSet::new();
    for (number, text) in texts.iter().enumerate() {
        sources.add(format!("{number}.writ"), *text);
    }
    let analysis = analyse(&sources, Default::default());
    (sources, analysis)
}

/// The codes that are said of files, each with its file.
#[track_caller]
fn check(texts: &[&str], expected: &[&str]) {
    let (sources, analysis) = files(texts);
    let said: Vec<String> = (analysis.diagnostics.iter())
        .map(|found| format!("{} {}", found.code.0, sources.location(found.primary.span)))
        .collect();
    assert_eq!(said, expected, "{}", render::human(&analysis.diagnostics, &sources, false));
}

#[test]
fn names_of_policies_are_unique_over_all_files() {
    check(&["auth a on mesh { allow }", "auth a on mesh { deny }"], &["E201 1.writ:1"]);
    check(&["auth a on mesh { r: allow }", "auth b on service shop/b { r: deny }"], &[]);
    let test = "test \"t\" for a { given GET / expect allow by r }";
    check(&[test, "auth a on mesh { r: allow }"], &[]);
}

#[test]
fn what_a_file_names_holds_in_that_file() {
    let first = "let inside = source.mtls\nschema { header x: int }\nauth a on mesh { allow when inside && headers[\"x\"] > 1 }";
    check(&[first, "auth b on mesh { allow when inside }"], &["E301 1.writ:1"]);
    check(&[first, "auth b on mesh { allow when headers[\"x\"] > 1 }"], &["E305 1.writ:1"]);
    check(&[first, "let inside = true\nauth b on mesh { allow when headers[\"x\"] > \"1\" && inside }"], &[]);
}

#[test]
fn the_id_of_a_rule_depends_on_its_words_alone() {
    let ids = |texts: &[&str]| {
        let (_, analysis) = files(texts);
        let mut ids: Vec<String> = analysis
            .policies
            .iter()
            .flat_map(|policy| policy.rules())
            .map(|rule| rule.id.to_string())
            .collect();
        ids.sort();
        ids
    };
    let one = ids(&["auth a on mesh { allow GET /x when source.mtls  deny /y }"]);
    let two =
        ids(&["# moved\nauth a on mesh {\n  deny /y\n\n  allow GET   /x # why\n    when source.mtls\n}"]);
    assert_eq!(one, two);
    assert_eq!(one.len(), 2);
}

/// What a filter is shown of a request that is written so.
#[track_caller]
fn shown(text: &str) -> Result<Request, Refusal> {
    received(request_of(FileId(0), text, "mesh.example").unwrap())
}

#[test]
fn a_request_is_read_as_it_is_written() {
    let text = "PUT /a/../b?c=1 from service shop/cart with header X-A = \"1\" with header x-a = \" 2\" \
                with header host = \"Shop.example:81\" with ip 10.1.2.3";
    let request = shown(text).unwrap();
    assert_eq!(request.method, b"PUT");
    assert_eq!(request.path, b"/b?c=1");
    assert_eq!(request.header("x-a"), Some(b"1,2".to_vec()));
    assert_eq!((request.host(), request.port()), (b"shop.example".to_vec(), Some(81)));
    assert_eq!(request.source.principal, Some(b"spiffe://mesh.example/ns/shop/sa/cart".to_vec()));
    assert!(request.source.mtls);
    assert_eq!(request.source.ip.to_string(), "10.1.2.3");
}

#[test]
fn any_request_that_a_client_can_send_can_be_written() {
    let path = |text: &str| shown(text).map(|request| String::from_utf8(request.path).unwrap());
    assert_eq!(path("GET /Orders(5)?a=(b)").unwrap(), "/Orders(5)?a=(b)");
    assert_eq!(path("GET \"/Orders(5)/{x}\"").unwrap(), "/Orders(5)/%7Bx%7D");
    assert_eq!(path("GET /café,b from service a/b").unwrap(), "/caf%C3%A9,b");
    assert_eq!(path("GET /a%2Fb/../c"), Err(Refusal::Path(path::Refusal::EscapedSlash)));
    assert_eq!(path("GET /a#b"), Err(Refusal::Path(path::Refusal::Character)));
    assert_eq!(path("GET \"/a b\""), Err(Refusal::Path(path::Refusal::Character)));
    assert_eq!(path("GET /%2e%2e;x").unwrap(), "/..;x", "what the module refuses is shown to it");

    let shown_method = |text: &str| shown(text).map(|request| String::from_utf8(request.method).unwrap());
    for (text, method) in
        [("FOO_BAR /", "FOO_BAR"), ("M-SEARCH /", "M-SEARCH"), ("\"get\" /", "get"), ("'a.b' \"/x\"", "a.b")]
    {
        assert_eq!(shown_method(text).unwrap(), method);
    }
    assert_eq!(shown("\"g t\" /"), Err(Refusal::Method));
    assert_eq!(path("OPTIONS \"*\""), Err(Refusal::Path(path::Refusal::NotAbsolute)));
    assert_eq!(path("GET \"http://shop/a?b\"").unwrap(), "/a?b");
    assert_eq!(shown("CONNECT \"shop:80\"").unwrap().authority, b"shop:80");

    let request = shown("GET / with header \"x!y\" = \"a # b\" with host \"A.example.\"").unwrap();
    assert_eq!(request.header("x!y"), Some(b"a # b".to_vec()));
    assert_eq!(request.host(), b"a.example");
    assert_eq!(shown("GET / with header \"x y\" = \"\""), Err(Refusal::Header));
    let request = shown("GET / with host \"a\" with header host = \"b\"").unwrap();
    assert_eq!((request.authority.clone(), request.refusal()), (b"a,b".to_vec(), Some(Refusal::Host)));
    let request = shown("GET / with header connection = \"x-a\" with header x-a = \"1\"").unwrap();
    assert_eq!((request.protocol.as_slice(), request.header("x-a")), (&b"HTTP/1.1"[..], None));
    let request = shown("POST / with header content-length = \"3\"").unwrap();
    assert_eq!((request.end_of_stream, request.size()), (false, Some(3)));
}

#[test]
fn what_is_no_request_is_said() {
    for (text, code) in [
        ("", "E110"),
        ("GET", "E110"),
        ("GET /a from", "E110"),
        ("GET /{x}", "E222"),
        ("GET / from namespace shop", "E222"),
        ("GET / from service shop/*", "E222"),
        ("GET / from jwt corp", "E904"),
        ("GET / with ip 10.1.2", "E105"),
        ("GET / expect allow", "E110"),
        ("GET /a # not a comment", "E101"),
        ("GET \"/a", "E102"),
        ("get /", "E116"),
        ("get_it /", "E110"),
        ("OPTIONS *", "E110"),
        ("GET http://shop/a from service shop/cart", "E110"),
    ] {
        let said = request_of(FileId(0), text, "mesh").unwrap_err();
        assert!(said.iter().any(|found| found.code.0 == code), "{text}: {said:?}");
    }
}

#[test]
fn a_target_is_one_service() {
    let labels = BTreeMap::from([("version".to_owned(), "v2".to_owned())]);
    let target = target_of(FileId(0), "service shop/orders", labels.clone(), "mesh").unwrap();
    assert_eq!((target.namespace.as_str(), target.service.as_str()), ("shop", "orders"));
    assert_eq!((target.labels, target.trust_domain.as_str()), (labels, "mesh"));
    for text in [
        "",
        "mesh",
        "namespace shop",
        "service shop/*",
        "service shop",
        "gateway a/b",
        "service shop/orders x",
    ] {
        assert!(target_of(FileId(0), text, BTreeMap::new(), "mesh").is_err(), "{text}");
    }
}

/// A part of a condition, of few values and constants, so that parts exclude each other often.
fn part() -> impl Strategy<Value = String> {
    let number = (select(&["<", "<=", ">", ">=", "==", "!="][..]), 79..83)
        .prop_map(|(op, port)| format!("request.port {op} {port}"));
    let count = (select(&["<", "<=", ">", ">=", "==", "!="][..]), 0..3)
        .prop_map(|(op, count)| format!("headers[\"n\"] {op} {count}"));
    let values = || select(&["", "a", "ab", "b", "A"][..]);
    let text = (
        select(&["headers[\"a\"]", "headers[\"a\"].lowerAscii()", "request.method"][..]),
        values(),
        values(),
        0..7,
    )
        .prop_map(|(value, one, two, form)| match form {
            0 => format!("{value} == {one:?}"),
            1 => format!("{value} != {one:?}"),
            2 => format!("{value} in [{one:?}, {two:?}]"),
            3 => format!("{value}.startsWith({one:?})"),
            4 => format!("{value}.endsWith({one:?})"),
            5 => format!("{value}.contains({one:?})"),
            _ => format!("{value}.matches(\"^a*b?$\")"),
        });
    let one = prop_oneof![2 => number, 2 => count, 4 => text, 1 => Just("source.mtls".to_owned())];
    (any::<bool>(), one).prop_map(|(not, part)| if not { format!("!({part})") } else { part })
}

fn any_request() -> impl Strategy<Value = Request> {
    let ports = select(&["h:79", "h:80", "h:81", "h:82", "h"][..]);
    let texts = || proptest::option::of(select(&["", "a", "ab", "b", "A", "aab"][..]));
    let counts = proptest::option::of(select(&["0", "1", "2", "x"][..]));
    let method = select(&["A", "B", "AB"][..]);
    (ports, texts(), counts, method, any::<bool>()).prop_map(|(authority, text, count, method, mtls)| {
        let mut request =
            Request { authority: authority.into(), method: method.into(), ..Request::default() };
        let headers = [("a", text), ("n", count)];
        let there = headers.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into())));
        request.headers.extend(there);
        request.source.mtls = mtls;
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn parts_that_are_said_to_exclude_each_other_never_hold_together(
        parts in prop::collection::vec(part(), 2..5),
        requests in prop::collection::vec(any_request(), 40),
    ) {
        let text = format!("schema {{ header n: int }}\nauth p on mesh {{ r: deny when {}\notherwise allow }}", parts.join(" && "));
        let (_, analysis) = files(&[&text]);
        let is_said = analysis.diagnostics.iter().any(|found| found.message.contains("together with"));
        if is_said {
            let target = target_of(FileId::default(), "service shop/orders", BTreeMap::new(), "chancery.local").unwrap();
            let program = link(&analysis.policies, &target, Direction::Inbound).unwrap().unwrap();
            for request in &requests {
                let rule = evaluate(&program, request).rule;
                prop_assert_ne!(&*rule, "p/r", "{} by {:?}", text, request);
            }
        }
    }
}
