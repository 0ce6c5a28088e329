//! The filter natively: its README's example, each refusal, what documents cost, and any bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chancery_sdk::testing::{Outcome, Plugin};
use graphql_guard::document::Document;
use graphql_guard::json::Json;
use graphql_guard::lexer::What;
use graphql_guard::measure::{Measure, Prices, Unmeasured, measure};
use graphql_guard::{BYTES_MAX, GraphqlGuard};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const POST: [(&str, &str); 3] =
    [(":method", "POST"), (":path", "/graphql"), ("content-type", "application/json")];

/// The status and the code with which a request is answered; 200 and nothing if it goes on.
fn send(config: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let plugin = Plugin::<GraphqlGuard>::start(config).unwrap();
    let mut exchange = plugin.exchange();
    match exchange.request(headers, body) {
        Outcome::Answered(answer) => {
            assert!(exchange.upstream().headers.is_none(), "nothing of what is refused goes on");
            let told: Value = serde_json::from_slice(answer.bytes()).unwrap();
            let code = told.pointer("/errors/0/extensions/code").unwrap().as_str().unwrap().to_owned();
            assert_eq!(plugin.metric(&format!("graphql-guard.refused.{code}")), 1);
            (answer.status(), code)
        }
        Outcome::WentOn => (200, String::new()),
        Outcome::Held => unreachable!("{body}"),
    }
}

#[track_caller]
fn check(config: &str, query: &str, expected: &str) {
    let body = json!({"query": query}).to_string();
    assert_eq!(send(config, &POST, &body).1, expected, "{query}");
}

fn get(config: &str, target: &str) -> String {
    send(config, &[(":method", "GET"), (":path", target)], "").1
}

/// The block of a language in the README.
fn block(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    include_str!("../README.md").split(&fence).nth(1).unwrap().split("```").next().unwrap()
}

fn prices() -> Prices {
    let sizes = ["first", "limit"].map(str::to_owned).to_vec();
    let weights = BTreeMap::from([("search".to_owned(), 20)]);
    let list_sizes = BTreeMap::from([("friends".to_owned(), 50)]);
    Prices { weight: 1, weights, list_sizes, sizes }
}

/// Depth and cost of a document's first operation.
fn measured(text: &str, variables: &Value) -> Result<(usize, u64), Unmeasured> {
    let document = Document::read(text, 1_000, &prices().sizes).unwrap();
    let Json::Object(variables) = serde_json::from_value(variables.clone()).unwrap() else { unreachable!() };
    let operation = document.operations.first().unwrap();
    measure(&document, operation, &variables, &prices()).map(|Measure { depth, cost }| (depth, cost))
}

#[test]
fn the_example_of_the_readme_costs_what_it_says() {
    assert_eq!(measured(block("graphql"), &json!({})), Ok((3, 130)));
    let body = json!({"query": block("graphql")}).to_string();
    let plugin = Plugin::<GraphqlGuard>::start(r#"{"cost_max": 100}"#).unwrap();
    let Outcome::Answered(answer) = plugin.exchange().request(&POST, &body) else { unreachable!() };
    let words = String::from_utf8(answer.bytes().to_vec()).unwrap();
    assert_eq!(format!("{} {words}\n", answer.status()), block("text"));
    assert_eq!(send(r#"{"cost_max": 130, "aliases_max": 2, "depth_max": 3}"#, &POST, &body).0, 200);
    assert_eq!(send(block("json"), &POST, &body).1, "not-allowed");
    assert_eq!(send(block("json"), &POST, r#"{"query": "query Basket { items }"}"#).0, 200);
}

#[test]
fn the_configuration_of_the_readme_is_what_holds_if_left_out() {
    let mut stated: Value = serde_json::from_str(block("json")).unwrap();
    for field in ["weights", "list_sizes", "allowed"] {
        stated.as_object_mut().unwrap().remove(field);
    }
    let stated = serde_json::from_value::<graphql_guard::Config>(stated).unwrap();
    assert_eq!(format!("{stated:?}"), format!("{:?}", graphql_guard::Config::default()));
}

#[test]
fn a_field_costs_what_is_selected_in_it_times_its_list() {
    for (text, variables, expected) in [
        ("{ a b { c } }", json!({}), (2, 3)),
        ("{ search(text: \"x\", first: 3) { a } }", json!({}), (2, 63)),
        ("{ friends { a } }", json!({}), (2, 100)),
        ("{ friends(first: 2) { a } }", json!({}), (2, 4)),
        ("{ a(page: {limit: 7}) }", json!({}), (1, 7)),
        ("query ($p: P) { a(page: $p) }", json!({"p": {"limit": 7, "id": 99}}), (1, 7)),
        ("query ($p: P = {limit: 8}) { a(page: $p) }", json!({}), (1, 8)),
        ("query ($id: Int = 9) { a(id: $id) }", json!({"id": 99}), (1, 1)),
        ("query ($n: Int = 4) { a(first: $n) }", json!({}), (1, 4)),
        ("query ($n: Int = 4) { a(first: $n) }", json!({"n": 2.0}), (1, 2)),
        ("query ($n: Int) { a(first: $n) }", json!({"n": null}), (1, 1)),
        ("query ($n: Int) { a(first: $n) }", json!({"n": "2"}), (1, u64::MAX)),
        ("{ a(first: -1) }", json!({}), (1, u64::MAX)),
        ("{ a(first: 99999999999999999999) }", json!({}), (1, u64::MAX)),
        ("{ a(first: 0) }", json!({}), (1, 1)),
        ("{ ... on T { a { b } } ... @include(if: true) { c } }", json!({}), (2, 3)),
        ("{ ...f ...f } fragment f on T { a(first: 5) { b } }", json!({}), (2, 20)),
        (
            "{ a(first: 4000000000) { b(first: 4000000000) { c(first: 4000000000) } } }",
            json!({}),
            (3, u64::MAX),
        ),
    ] {
        assert_eq!(measured(text, &variables), Ok(expected), "{text}");
    }
}

#[test]
fn fragments_that_are_in_themselves_are_refused_and_long_chains_do_not_end_the_filter() {
    check("{}", "{ ...a } fragment a on T { b { ...a } }", "fragments");
    check("{}", "{ ...a } fragment a on T { ...b } fragment b on T { ...a }", "fragments");
    check("{}", "{ ...a }", "fragments");
    let chain: String = (0..500).map(|at| format!("fragment f{at} on T {{ ...f{} }} ", at + 1)).collect();
    let chain = format!("{{ ...f0 }} {chain} fragment f500 on T {{ a }}");
    check(r#"{"fragments_max": 1000, "tokens_max": 10000, "bytes_max": 32768}"#, &chain, "depth");
    // Each unfolds to twice the one before.
    let doubled: String =
        (0..18).map(|at| format!("fragment f{at} on T {{ ...f{0} ...f{0} }} ", at + 1)).collect();
    check("{}", &format!("{{ ...f0 }} {doubled} fragment f18 on T {{ a }}"), "cost");
}

#[test]
fn each_limit_is_kept() {
    check(r#"{"depth_max": 2}"#, "{ a { b } }", "");
    check(r#"{"depth_max": 2}"#, "{ a { b { c } } }", "depth");
    check(r#"{"depth_max": 2}"#, "{ a } query { a { ...f } } fragment f on T { b { c } }", "malformed");
    check(r#"{"aliases_max": 1}"#, "{ x: a y: a }", "aliases");
    check(r#"{"directives_max": 1}"#, "{ a @skip(if: true) @skip(if: false) }", "directives");
    check(r#"{"fragments_max": 0}"#, "{ ...f } fragment f on T { a }", "fragments");
    check(r#"{"tokens_max": 3}"#, "{ a, }", "");
    check(r#"{"tokens_max": 3}"#, "{ a b }", "tokens");
    check("{}", &format!("{}a{}", "{ a ".repeat(200), "}".repeat(200)), "depth");
    check("{}", &format!("{{ a(x: {}{}) }}", "[".repeat(200), "]".repeat(200)), "depth");
}

#[test]
fn the_schema_is_not_shown() {
    check("{}", "{ __schema { types { name } } }", "introspection");
    check("{}", "{ a { ... { x: __type(name: \"T\") { name } } } }", "introspection");
    check("{}", "{ a { __typename } }", "");
    check(r#"{"introspection": "pass"}"#, "{ __schema { types { name } } }", "");
}

#[test]
fn a_document_is_read_as_the_specification_says() {
    for good in [
        "query Q($a: [Int!]! = [1, 2] @d, $b: T) @d(x: {y: $b}) { a(b: -1.5e3, c: ENUM, d: null) }",
        "\u{feff}{ a # comment }\n b(t: \"\\\"}\", u: \"\"\"}\\\"\"\" \"\"\") }",
        "subscription { a }",
        "mutation { query fragment on mutation }",
    ] {
        assert!(Document::read(good, 100, &[]).is_ok(), "{good}");
    }
    for (wrong, at) in [
        ("", 0),
        ("{ }", 2),
        ("{ a", 3),
        ("{ a } type T { a: Int }", 6),
        ("{ a(b: 01) }", 9),
        ("{ a(b: 1a) }", 8),
        ("{ a(b: \"\n\") }", 8),
        ("{ a() }", 4),
        ("{ ... }", 6),
        ("fragment on on T { a }", 9),
        ("{ a } fragment f on T { a } fragment f on T { b }", 37),
        ("{ a\u{a0}}", 3),
        ("query ($a: ) { a }", 11),
    ] {
        let wrong_at = Document::read(wrong, 100, &[]).map_err(|wrong| (wrong.what, wrong.at));
        assert_eq!(wrong_at, Err((What::Syntax, at)), "{wrong}");
    }
    let plugin = Plugin::<GraphqlGuard>::start("{}").unwrap();
    let Outcome::Answered(answer) = plugin.exchange().request(&POST, r#"{"query": "{\n  ä ? }"}"#) else {
        unreachable!()
    };
    let told: Value = serde_json::from_slice(answer.bytes()).unwrap();
    assert_eq!(told.pointer("/errors/0/locations/0"), Some(&json!({"line": 2, "column": 3})));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for body in [
        r#"{"query": "{a}", "query": "{b}"}"#,
        r#"{"query": "{a}", "Query": "{b}"}"#,
        r#"{"query": "{a}", "variables": {"n": 1, "n": 2}}"#,
        r#"{"query": ["{a}"]}"#,
        r#"{"query": "{a}", "variables": "{}"}"#,
        r#"{"query": "query A {a} query B {b}"}"#,
        r#"{"query": "query A {a} query A {b}", "operationName": "A"}"#,
        r#"{"query": "query A {a}", "operationName": "B"}"#,
        r#"{"query": "fragment f on T {a}"}"#,
        "[]",
        "[1]",
        "",
        "1",
        "{",
    ] {
        assert_eq!(send("{}", &POST, body).1, "malformed", "{body}");
    }
    let named = r#"{"query": "query A {a} query B {b}", "operationName": "B", "variables": null, "id": 1}"#;
    assert_eq!(send("{}", &POST, named).0, 200);
    let in_target = [POST[0], (":path", "/graphql?a=b&QUERY={c}"), POST[2]];
    assert_eq!(send("{}", &in_target, r#"{"query": "{a}"}"#).1, "malformed");
}

#[test]
fn the_dearest_of_several_operations_counts() {
    let body = json!({"query": "query A { a } query B { b(first: 2000) }", "operationName": "A"}).to_string();
    assert_eq!(send("{}", &POST, &body).1, "cost");
}

#[test]
fn a_batch_costs_all_of_its_requests() {
    let batch = r#"[{"query": "{a(first: 600)}"}, {"query": "{a(first: 600)}"}]"#;
    assert_eq!(send("{}", &POST, batch).1, "batch");
    assert_eq!(send(r#"{"batch_max": 2}"#, &POST, batch).1, "cost");
    assert_eq!(send(r#"{"batch_max": 2, "cost_max": 1200}"#, &POST, batch).0, 200);
}

#[test]
fn queries_come_by_get_too() {
    assert_eq!(get("{}", "/graphql?query=%7B+a%7D&x=y"), "");
    assert_eq!(get("{}", "/graphql?query={a(first:2000)}"), "cost");
    assert_eq!(get("{}", "/graphql?query=query($n:Int){a(first:$n)}&variables={%22n%22:2000}"), "cost");
    assert_eq!(get("{}", "/graphql?query=mutation{a}"), "method");
    assert_eq!(get("{}", "/graphql?query={a}&query={b}"), "malformed");
    assert_eq!(get("{}", "/graphql?query={a}%23;b"), "malformed");
    assert_eq!(get("{}", "/graphql?query={a}#b"), "malformed");
    assert_eq!(get("{}", "/graphql?query=%ff"), "malformed");
    assert_eq!(get("{}", "/graphql?variables={}"), "no-document");
    assert_eq!(get("{}", "/graphql"), "");
    assert_eq!(get(r#"{"bytes_max": 5}"#, "/graphql?query={a}"), "too-long");
}

#[test]
fn no_spelling_of_a_path_gets_past() {
    for target in ["/graphql", "/GraphQL/", "//graphql", "/a/../graphql", "/%67raphql;v=1", "/./graphql?a"] {
        let headers = [POST[0], (":path", target), POST[2]];
        assert_eq!(send("{}", &headers, r#"{"query": "{a(first: 2000)}"}"#).1, "cost", "{target}");
    }
    assert_eq!(send("{}", &[POST[0], (":path", "/graphqls"), POST[2]], "x").0, 200);
}

#[test]
fn only_what_can_be_read_is_read() {
    let typed = |content_type: &'static str| [POST[0], POST[1], ("content-type", content_type)];
    for other in ["application/graphql", "text/plain", "application/json; charset=utf-16"] {
        assert_eq!(send("{}", &typed(other), "{a}").1, "content-type");
    }
    let gzip = [&POST[..], &[("content-encoding", "gzip")]].concat();
    assert_eq!(send("{}", &gzip, "x").1, "content-type");
    assert_eq!(send("{}", &[&POST[..], &[("content-length", "20000")]].concat(), "x").1, "too-long");
    let socket = [(":method", "GET"), (":path", "/graphql"), ("upgrade", "websocket")];
    assert_eq!(send("{}", &socket, "").1, "upgrade");
    assert_eq!(send(r#"{"upgrades": "pass"}"#, &socket, "").0, 200);
    assert_eq!(send("{}", &[(":method", "PUT"), POST[1], POST[2]], r#"{"query": "{a}"}"#).1, "method");
    assert_eq!(send("{}", &[(":method", "OPTIONS"), POST[1]], "").0, 200);
}

#[test]
fn only_allowed_operations_pass_by_name_or_hash() {
    let of_text = {
        use sha2::{Digest, Sha256};
        Sha256::digest("{ a }").iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let config = json!({"allowed": ["A", format!("sha256:{of_text}")]}).to_string();
    check(&config, "{ a }", "");
    check(&config, "{ b }", "not-allowed");
    check(&config, "query A { b }", "");
    check(&config, "query B { b }", "not-allowed");
    let persisted = |hash: &str| json!({"extensions": {"persistedQuery": {"sha256Hash": hash}}}).to_string();
    assert_eq!(send(&config, &POST, &persisted(&of_text)).0, 200);
    assert_eq!(send(&config, &POST, &persisted(&"0".repeat(64))).1, "no-document");
    assert_eq!(send("{}", &POST, &persisted(&of_text)).1, "no-document");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    let words = |text: &str| Plugin::<GraphqlGuard>::start(text).unwrap_err().to_string();
    assert_eq!(words(r#"{"bytes_max": 0}"#), format!("`bytes_max`: must be from 1 to {BYTES_MAX}"));
    assert_eq!(words(r#"{"depth_max": 91}"#), "`depth_max`: must be from 1 to 90");
    assert_eq!(words(r#"{"weights": {"a": 1000000001}}"#), "`weights.a`: must be from 0 to 1000000000");
    assert_eq!(words(r#"{"paths": []}"#), "`paths`: must have a path; nothing is looked at");
    assert_eq!(words(r#"{"paths": ["a"]}"#), "`paths[0]`: must be a path that begins with `/`");
    assert_eq!(
        words(r#"{"allowed": ["a b"]}"#),
        "`allowed[0]`: `a b` is neither the name of an operation nor `sha256:` and 64 digits"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Tokens in any order are read to an end, and what is read does not depend on what separates them.
    #[test]
    fn any_tokens_are_read_to_an_end(tokens in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "(", ")", "[", "]", ":", "$", "@", "!", "=", "...", "a", "on", "query", "fragment", "first", "1", "-2.5",
        "\"t\"", "\"\"\"b\"\"\"", "null", "#c\n", "\u{feff}", "é",
    ]), 0..40)) {
        let spaced = Document::read(&tokens.join(" "), 100, &prices().sizes).map(|document| (document.aliases, document.directives));
        let lined = Document::read(&tokens.join(" ,\n"), 100, &prices().sizes).map(|document| (document.aliases, document.directives));
        prop_assert_eq!(spaced.ok(), lined.ok());
    }

    #[test]
    fn any_body_and_any_target_are_read_to_an_end(body in "\\PC{0,40}", target in "/graphql\\?[a-z=&%{}+;]{0,30}") {
        let (status, _) = send("{}", &POST, &json!({"query": body}).to_string());
        prop_assert!(status == 200 || status == 400 || status == 403);
        send("{}", &POST, &body);
        get("{}", &target);
    }
}
