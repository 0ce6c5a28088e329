//! Generated policies as text, and requests near them, for tests inside of the crate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::check::CheckOptions;
use crate::checked::{CheckedPolicy, Direction};
use crate::link::link;
use crate::linked::{LinkedProgram, Workload};
use crate::request::Request;
use crate::{SourceSet, analyse};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

const METHODS: &[&str] = &["", "GET", "GET, POST", "GET, PUT, POST, DELETE"];
const PATHS: &[&str] = &[
    "",
    "/a",
    "/a/**",
    "/*/b, /a/*/c/**, /*/*/*/d",
    "/{id}/x",
    "/a/{id}/{what}/**",
    "/averylongsegmentofapath/averylongsegmentofapath, /b/",
    "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/*/r/s/t",
];
const PEERS: &[&str] = &[
    "",
    "from service shop/cart",
    "from service pay/*, namespace edge",
    "from spiffe \"spiffe://elsewhere.example/x\"",
    "from ip 10.0.0.0/8, ip 2001:db8::/32",
    "from service shop/cart, ip 10.0.0.0/8, namespace pay",
];
/// What takes as long for a long request as for a short one, or is counted.
const PLAIN: &[&str] = &[
    r#"headers["x"] == "1""#,
    r#"headers["y"] != "12""#,
    r#"has(headers["x-a-rather-long-name-of-a-header-that-nobody-would-write"])"#,
    r#"headers["z"] in ["1", "averylongvalueofaheader", "3", ""]"#,
    r#"source.service == "shop/cart""#,
    r#"source.namespace != "pay""#,
    r#"source.principal == "spiffe://elsewhere.example/x""#,
    "source.mtls",
    "source.port < 1024",
    "source.namespace == target.namespace",
    r#"cidr("10.0.0.0/8").containsIP(source.ip)"#,
    r#"source.ip == ip("10.1.2.3")"#,
    r#"request.host == "a.example""#,
    "request.size <= 64KiB",
    "request.port == 8080",
    r#"request.scheme == "https""#,
    r#"request.protocol == "HTTP/2""#,
    r#"request.path == "/a/b""#,
    r#"request.id == "x""#,
    r#"headers["x"] < "m""#,
];
/// What takes longer.
const DEAR: &[&str] = &[
    r#"headers["x"].matches("^a.*b{2,5}$")"#,
    r#"headers["x"].contains(headers["y"])"#,
    r#"headers["x"] == headers["y"]"#,
    r#"query["q"] == "1""#,
    r#"headers["groups"].exists(g, g == headers["x"] || headers["groups"].all(h, h != g))"#,
    r#"size(headers["x"]) > 3"#,
    r#"headers["n"] > 7"#,
    r#"headers["x"].startsWith("1")"#,
    r#"headers["x"].lowerAscii() == "a""#,
];

fn rule(dear_percent: u32) -> impl Strategy<Value = String> {
    let long = (1..3_000_usize).prop_map(|length| format!("headers[\"long\"] == \"{}\"", "v".repeat(length)));
    let atom = prop_oneof![
        100 - dear_percent => select(PLAIN).prop_map(str::to_owned),
        1 => long,
        dear_percent => select(DEAR).prop_map(str::to_owned),
    ];
    let condition = prop::collection::vec((any::<bool>(), atom, select(&["&&", "||"][..])), 0..5);
    let guard = (select(METHODS), select(PATHS), select(PEERS), condition);
    (select(&["allow", "deny"][..]), guard).prop_map(|(effect, (methods, paths, peers, atoms))| {
        let mut condition = String::new();
        for (not, atom, operator) in atoms {
            let atom = if not { format!("!({atom})") } else { format!("({atom})") };
            condition = if condition.is_empty() { atom } else { format!("({condition}) {operator} {atom}") };
        }
        let when = if condition.is_empty() { "" } else { "when " };
        format!("{effect} {methods} {paths} {peers} {when}{condition}")
    })
}

/// A few policies of so many rules each, of which so many in a hundred conditions take longer the longer a
/// request is.
pub(crate) fn policies(dear_percent: u32, rules: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let policy = prop::collection::vec(rule(dear_percent), rules);
    prop::collection::vec((policy, select(&["enforce", "shadow"][..])), 1..4).prop_map(|policies| {
        let mut text = "schema { header groups: list<string, 8>  header n: int }\n".to_owned();
        for (number, (rules, mode)) in policies.into_iter().enumerate() {
            let rules: String = rules.into_iter().map(|rule| format!("  {rule}\n")).collect();
            text.push_str(&format!("auth p{number} on mesh {{\n  mode {mode}\n{rules}}}\n"));
        }
        text
    })
}

/// Requests that have what policies ask for, or almost.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    let path = select(
        &["/", "/a", "/a/", "/a/b", "/x/b", "/a/1/c/d", "/1/2/3/d", "/7/x", "/a/1/2/3", "/b/", "/a?q=1"][..],
    );
    let caller = select(&["", "spiffe://elsewhere.example/x", "spiffe://chancery.local/ns/shop/sa/cart"][..]);
    let other_caller =
        select(&["spiffe://chancery.local/ns/pay/sa/a", "spiffe://chancery.local/ns/edge/sa/b", "urn:x"][..]);
    let headers = (
        select(&["x", "y", "z", "groups", "n", "long"][..]),
        select(&["", "1", "12", "3", "9", "a", "1,2", "v"][..]),
    );
    let headers = prop::collection::vec(headers, 0..5);
    let address = select(&["10.1.2.3", "192.0.2.1", "2001:db8::1", "::1"][..]);
    let scheme = select(&["http", "https"][..]);
    let method = select(&["GET", "PUT", "POST", "PATCH"][..]);
    let host = select(&["a.example", "b:8080"][..]);
    (method, path, prop_oneof![caller, other_caller], headers, address, scheme, host).prop_map(
        |(method, path, caller, headers, address, scheme, host)| {
            let mut request = Request {
                method: method.into(),
                path: path.into(),
                scheme: scheme.into(),
                authority: host.into(),
                headers: headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                ..Request::default()
            };
            request.source.principal = (!caller.is_empty()).then(|| caller.into());
            request.source.mtls = !caller.is_empty();
            request.source.ip = address.parse().unwrap();
            request
        },
    )
}

/// The workload that policies are linked for.
pub(crate) fn workload() -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: BTreeMap::new(),
        trust_domain: "chancery.local".to_owned(),
    }
}

/// Checked policies of a text, which must be right, and their program.
pub(crate) fn linked(text: &str) -> (Vec<CheckedPolicy>, LinkedProgram) {
    let mut sources = SourceSet::new();
    sources.add("generated.writ", text);
    let analysis = analyse(&sources, CheckOptions::default());
    let errors: Vec<_> = analysis.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?} in\n{text}");
    let program = link(&analysis.policies, &workload(), Direction::Inbound).unwrap().unwrap();
    (analysis.policies, program)
}
