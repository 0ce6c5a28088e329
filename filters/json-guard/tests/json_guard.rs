//! The filter natively: its README's example, each refusal, schemas, and bodies beside `serde_json`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chancery_sdk::json::Limits;
use chancery_sdk::testing::{Outcome, Plugin};
use json_guard::schema::compile;
use json_guard::validate::{Problem, validate};
use json_guard::{BYTES_MAX, JsonGuard};
use proptest::prelude::*;
use serde_json::{Value, json};

const POST: [(&str, &str); 3] =
    [(":method", "POST"), (":path", "/orders"), ("content-type", "application/json")];

/// Sends a body, and gives the status and the answer's body, empty if it went on.
fn send(config: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let plugin = Plugin::<JsonGuard>::start(config).unwrap();
    let mut exchange = plugin.exchange();
    match exchange.request(headers, body) {
        Outcome::Answered(answer) => {
            assert!(exchange.upstream().headers.is_none(), "nothing of what is refused goes on");
            (answer.status(), String::from_utf8(answer.bytes().to_vec()).unwrap())
        }
        Outcome::WentOn => {
            assert_eq!(exchange.upstream().body, body.as_bytes());
            (200, String::new())
        }
        Outcome::Held => unreachable!("{body}"),
    }
}

#[track_caller]
fn refused(config: &str, body: &str, status: u16, part: &str) {
    let (found, words) = send(config, &POST, body);
    assert_eq!(found, status, "{words}");
    assert!(words.contains(part), "{words}");
}

/// The block of a language in the README.
fn block(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    include_str!("../README.md").split(&fence).nth(1).unwrap().split("```").next().unwrap()
}

#[test]
fn the_example_of_the_readme_is_answered_as_it_says() {
    let config = block("json");
    let (head, body) = block("http").split_once("\n\n").unwrap();
    assert_eq!(head, "POST /orders HTTP/1.1\ncontent-type: application/json");
    let (status, words) = send(config, &POST, body.trim_end());
    assert_eq!(format!("{status} {words}\n"), block("text"));
    assert_eq!(send(config, &POST, r#"{"item": "tea", "amount": 999}"#).0, 200);
    assert_eq!(send("{}", &POST, "[1]").0, 200);
}

#[test]
fn the_configuration_of_the_readme_is_what_holds_if_left_out() {
    let mut stated: Value = serde_json::from_str(block("json")).unwrap();
    stated.as_object_mut().unwrap().remove("schemas");
    let stated = serde_json::from_value::<json_guard::Config>(stated).unwrap();
    assert_eq!(format!("{stated:?}"), format!("{:?}", json_guard::Config::default()));
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    refused("{}", "", 200, "");
    refused("{}", " ", 400, "\"byte\":1");
    refused("{}", r#"{"a": [1, 2,]}"#, 400, r#""pointer":"/a/1","byte":12"#);
    refused("{}", "{} {}", 400, "more follows");
    refused("{}", r#"{"a/b": {"~": "\ud800"}}"#, 400, r#""pointer":"/a~1b/~0""#);
    refused("{}", "NaN", 400, "not JSON\",\"status\":400".split("\",").last().unwrap());
}

#[test]
fn a_name_that_stands_there_twice_is_refused_however_it_is_written() {
    refused("{}", r#"{"a": 1, "b": {"a": 1}, "c": 2}"#, 200, "");
    refused("{}", r#"{"x": {"a": 1, "b": 2, "\u0061": 3}}"#, 400, r#""pointer":"/x/a""#);
    refused(r#"{"repeated_members": "pass"}"#, r#"{"a": 1, "a": 3}"#, 200, "");
}

#[test]
fn each_limit_is_kept() {
    for (limit, body, title) in [
        ("values_max", "[[1]]", "too many values"),
        ("depth_max", "[[[1]]]", "too many containers"),
        ("members_max", r#"{"a":1,"b":2,"c":3}"#, "too many members"),
        ("items_max", "[1,2,3]", "too many items"),
        ("name_bytes_max", r#"{"abc":1}"#, "name of a member is too long"),
        ("text_bytes_max", r#"["abc"]"#, "a text is too long"),
        ("number_bytes_max", "100", "a number is too long"),
    ] {
        refused(&format!(r#"{{"{limit}": 2}}"#), body, 413, title);
        refused(&format!(r#"{{"{limit}": 3}}"#), body, 200, "");
    }
}

#[test]
fn a_body_that_is_too_long_is_refused_and_counted_whenever_it_shows() {
    let plugin = Plugin::<JsonGuard>::start(r#"{"bytes_max": 4}"#).unwrap();
    let stated = [&POST[..], &[("content-length", "5")]].concat();
    assert_eq!(plugin.exchange().request_headers(&stated, false).status(), Some(413));
    assert_eq!(plugin.metric("json-guard.refused.too-long"), 1);
    let mut exchange = plugin.exchange();
    assert_eq!(exchange.request(&POST, "[1,2]").status(), Some(413));
    exchange.response_headers(&[(":status", "413")], true);
    assert_eq!(plugin.metric("json-guard.refused.too-long"), 2);
}

#[test]
fn what_is_no_json_by_its_headers_passes_only_if_stated() {
    let typed =
        |content_type: &'static str| [(":method", "POST"), (":path", "/a"), ("content-type", content_type)];
    assert_eq!(send("{}", &typed("text/plain"), "x").0, 415);
    assert_eq!(send("{}", &POST[..2], "x").0, 415);
    assert_eq!(send(r#"{"other_content_types": "pass"}"#, &typed("text/plain"), "x").0, 200);
    let gzip = [&POST[..], &[("content-encoding", "gzip")]].concat();
    assert_eq!(send("{}", &gzip, "x").0, 415);
    assert_eq!(send(r#"{"compressed": "pass"}"#, &gzip, "x").0, 200);
    let with_schema = r#"{"compressed": "pass", "other_content_types": "pass",
        "schemas": [{"path": "/orders", "schema": true}]}"#;
    assert_eq!(send(with_schema, &gzip, "x").0, 415);
    assert_eq!(send(with_schema, &POST[..2], "x").0, 415);
    assert_eq!(send(with_schema, &POST, "").0, 400);
}

#[test]
fn a_schema_is_found_by_method_and_path() {
    let config = r#"{"without_schema": "refuse", "schemas": [
        {"path": "/orders/*/lines", "schema": {"type": "array"}},
        {"path": "/orders/**", "methods": ["POST", "DELETE"], "schema": {"type": "object"}},
        {"path": "/ä b", "schema": {"type": "null"}}
    ]}"#;
    let status = |method: &str, path: &str, body: &str| {
        let json = ("content-type", "application/json");
        send(config, &[(":method", method), (":path", path), json], body).0
    };
    assert_eq!(status("POST", "/orders/7/lines?x=/", "[]"), 200);
    assert_eq!(status("POST", "/orders/7/%6Cines", "{}"), 422);
    assert_eq!(status("POST", "/orders/7/lines/", "{}"), 200);
    assert_eq!(status("DELETE", "/orders", "[]"), 422);
    assert_eq!(status("PUT", "/orders", "{}"), 403);
    assert_eq!(status("GET", "/orders", ""), 200);
    assert_eq!(status("POST", "/%C3%A4%20b", "null"), 200);
    assert_eq!(status("POST", "/elsewhere", "{}"), 403);
}

/// Whether a body is as a schema says; if not, which keyword it breaks, and where.
#[track_caller]
fn against(schema: &Value, body: &str) -> String {
    let schema = compile("schema", schema).unwrap();
    match validate(body.as_bytes(), Limits::of_depth(50), false, Some(&schema)) {
        Ok(()) => "ok".to_owned(),
        Err(finding) => match finding.problem {
            Problem::Keyword(keyword) => format!("{keyword} {}", finding.pointer),
            problem => format!("{problem:?}"),
        },
    }
}

#[test]
fn each_keyword_means_what_json_schema_says() {
    for (schema, body, expected) in [
        (json!({"type": "integer"}), "1.0", "ok"),
        (json!({"type": "integer"}), "1.5", "type "),
        (json!({"type": ["string", "null"]}), "null", "ok"),
        (json!({"type": ["string", "null"]}), "false", "type "),
        (json!({"type": "number"}), "-1e3", "ok"),
        (json!({"type": "number"}), "{}", "type "),
        (json!({"type": "boolean"}), "[]", "type "),
        (json!({"enum": [1, "a", {"b": [null]}]}), "1.0", "ok"),
        (json!({"enum": [1, "a", {"b": [null]}]}), r#""\u0061""#, "ok"),
        (json!({"enum": [1, "a", {"b": [null]}]}), r#"{"b": [ null ]}"#, "ok"),
        (json!({"enum": [1, "a", {"b": [null]}]}), r#"{"b": [0]}"#, "enum "),
        (json!({"items": {"const": true}}), "[true, false]", "const /1"),
        (json!({"minimum": 1, "maximum": 2}), "0.9", "minimum "),
        (json!({"minimum": 1, "maximum": 2}), "2", "ok"),
        (json!({"exclusiveMaximum": 2}), "2", "exclusiveMaximum "),
        (json!({"exclusiveMinimum": 2}), "2.0", "exclusiveMinimum "),
        (json!({"maximum": 9_007_199_254_740_992_u64}), "9007199254740993", "maximum "),
        (json!({"minLength": 2, "maxLength": 3}), r#""ä""#, "minLength "),
        (json!({"minLength": 2, "maxLength": 3}), r#""\ud83d\ude00ä😀""#, "ok"),
        (json!({"minLength": 2, "maxLength": 3}), r#""abcd""#, "maxLength "),
        (json!({"minLength": 2}), "1", "ok"),
        (json!({"pattern": "^a+$"}), r#""a\u0061a""#, "ok"),
        (json!({"pattern": "^a+$"}), r#""ab""#, "pattern "),
        (json!({"minItems": 1, "maxItems": 1}), "[]", "minItems "),
        (json!({"minItems": 1, "maxItems": 1}), "[1,2]", "maxItems "),
        (json!({"minProperties": 1, "maxProperties": 1}), "{}", "minProperties "),
        (json!({"minProperties": 1, "maxProperties": 1}), r#"{"a":1,"b":2}"#, "maxProperties "),
        (json!({"required": ["a"]}), r#"{"b": 1}"#, "required "),
        (json!({"required": ["a"]}), r#"{"\u0061": 1}"#, "ok"),
        (json!({"required": ["a"], "additionalProperties": false}), r#"{"a": 1}"#, "additionalProperties /a"),
        (json!({"additionalProperties": {"type": "null"}}), r#"{"x": {"y": 1}}"#, "type /x"),
        (json!({"properties": {"a": false}}), r#"{"a": 1}"#, "type /a"),
        (
            json!({"properties": {"a": {"items": {"required": ["b"]}}}}),
            r#"{"a": [{"b": 1}, {}]}"#,
            "required /a/1",
        ),
        (json!(true), "[1, [2]]", "ok"),
        (json!(false), "1", "type "),
    ] {
        assert_eq!(against(&schema, body), expected, "{body} against {schema}");
    }
}

#[test]
fn a_schema_can_refer_to_itself() {
    let tree = json!({
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "size": {"$ref": "#/$defs/size"}},
        "additionalProperties": false,
        "$defs": {"size": {"type": "integer", "title": "how large"}},
    });
    assert_eq!(against(&tree, r#"{"children": [{"children": [{"size": 1}]}]}"#), "ok");
    let wrong = r#"{"children": [{}, {"children": [{"size": "1"}]}]}"#;
    assert_eq!(against(&tree, wrong), "type /children/1/children/0/size");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    let words = |text: &str| Plugin::<JsonGuard>::start(text).unwrap_err().to_string();
    assert_eq!(words(r#"{"bytes_max": 0}"#), format!("`bytes_max`: must be from 1 to {BYTES_MAX}"));
    assert_eq!(words(r#"{"depth_max": 101}"#), "`depth_max`: must be from 1 to 100");
    assert_eq!(
        words(r#"{"content_types": ["json"]}"#),
        "`content_types[0]`: `json` is none of the forms `a/b`, `a/*` and `a/*+b`"
    );
    let of_path = |path: &str| words(&json!({"schemas": [{"path": path, "schema": true}]}).to_string());
    assert_eq!(of_path("a"), "`schemas[0].path`: must begin with `/`");
    assert_eq!(of_path("/a**"), "`schemas[0].path`: has `**` that is no segment of its own");
    assert_eq!(of_path("/a?b"), "`schemas[0].path`: must be a path alone, without a query");
    let of = |schema: Value| words(&json!({"schemas": [{"path": "/", "schema": schema}]}).to_string());
    let unknown = of(json!({"properties": {"a": {"format": "email"}}}));
    let begins =
        "`schemas[0].schema.properties.a.format`: the keyword `format` is not supported here; there are type";
    assert!(unknown.starts_with(begins), "{unknown}");
    for (schema, expected) in [
        (
            json!({"pattern": "(?=a)"}),
            "pattern`: has a group that is not `(…)` or `(?:…)`; look-around is not supported",
        ),
        (
            json!({"type": "text"}),
            "type`: \"text\" is none of \"null\", \"boolean\", \"object\", \"array\", \"number\", \"integer\" and \"string\"",
        ),
        (json!({"minLength": -1}), "minLength`: must be a whole number, and not less than 0"),
        (json!({"required": ["a", "a"]}), "required`: names `a` twice"),
        (
            json!({"items": {"$ref": "#/$defs/b"}}),
            "items.$ref`: \"#/$defs/b\" is neither `#` nor `#/$defs/` and a name that is there",
        ),
        (
            json!({"items": {"$ref": "#", "type": "null"}}),
            "items.type`: stands beside `$ref`, which must be alone",
        ),
        (json!({"$defs": {"a": {"$ref": "#"}}}), "$defs.a`: is a reference itself; state the schema here"),
    ] {
        assert_eq!(of(schema), format!("`schemas[0].schema.{expected}"));
    }
}

/// Any JSON, not too large.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A document is accepted, is the same as itself, and is refused once a byte of it is lost or changed as `serde_json` refuses it.
    #[test]
    fn a_body_is_json_here_if_it_is_elsewhere(value in any_json(), at in any::<usize>(), byte in any::<u8>()) {
        let text = serde_json::to_string(&value).unwrap();
        // What is read of a number may differ from what was written in its last bit.
        let value: Value = serde_json::from_str(&text).unwrap();
        let limits = Limits::of_depth(50);
        let schema = compile("schema", &json!({"const": value})).unwrap();
        prop_assert_eq!(validate(text.as_bytes(), limits, false, Some(&schema)), Ok(()));
        let mut changed = text.into_bytes();
        let at = at % changed.len();
        changed.splice(at..=at, [byte]);
        let elsewhere = serde_json::from_slice::<Value>(&changed);
        match validate(&changed, limits, true, None) {
            Ok(()) => prop_assert!(elsewhere.is_ok() || elsewhere.unwrap_err().to_string().contains("out of range")),
            Err(_) => prop_assert!(elsewhere.is_err()),
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let schema = compile("schema", &json!({"items": {"enum": [1]}, "properties": {"a": {"pattern": "a|b"}}})).unwrap();
        let is_json = serde_json::from_slice::<Value>(&body).is_ok();
        let read = validate(&body, Limits::of_depth(50), true, Some(&schema));
        prop_assert!(is_json || read.is_err());
    }
}
