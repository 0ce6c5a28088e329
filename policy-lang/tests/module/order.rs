//! The order of files, policies and statements does not matter: the bytes are the same.

use crate::run::link_texts;
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::link::link_calls;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::{SourceSet, analyse, routes};
use proptest::prelude::*;
use std::collections::BTreeMap;

const POLICIES: &[(&str, &[&str])] = &[
    (
        "auth a on mesh {",
        &[
            "exempt GET /healthz, /readyz",
            "plain: deny unless source.mtls",
            r#"x: allow GET /api/** when headers["x"] == "1""#,
            r#"deny /*/secret/** from namespace legacy respond 451 "gone""#,
            "otherwise deny respond 403",
        ],
    ),
    (
        "auth b on service shop/orders {",
        &[
            "allow /a/*, /b, /**  from ip 10.0.0.0/8, service shop/cart",
            r#"allow when headers["x"] == "1" && request.size < 10"#,
            r#"allow when request.size < 10 && headers["x"] == "1""#,
            "same: deny DELETE",
            "allow POST, PUT /api/{id}/items from namespace shop",
        ],
    ),
    ("auth c on namespace shop {", &["mode shadow", "deny GET /api/**", "allow GET", "otherwise allow"]),
];

fn texts(policies: &[usize], statements: &[Vec<usize>], split: bool) -> Vec<String> {
    let policy = |at: &usize| {
        let (head, lines) = POLICIES[*at];
        let body: Vec<&str> = statements[*at].iter().map(|line| lines[*line]).collect();
        format!("{head}\n{}\n}}\n", body.join("\n"))
    };
    let all: Vec<String> = policies.iter().map(policy).collect();
    if split { all } else { vec![all.concat()] }
}

fn permutation(count: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..count).collect::<Vec<usize>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn permuted_sources_give_the_same_module(
        policies in permutation(3),
        first in permutation(5),
        second in permutation(5),
        third in permutation(4),
        split in any::<bool>(),
    ) {
        let straight = texts(&[0, 1, 2], &[(0..5).collect(), (0..5).collect(), (0..4).collect()], false);
        let permuted = texts(&policies, &[first, second, third], split);
        let bytes = |texts: &[String]| {
            compile(&link_texts(&texts.iter().map(String::as_str).collect::<Vec<_>>())).unwrap().bytes
        };
        prop_assert!(bytes(&straight) == bytes(&permuted));
    }
}

/// Policies of what callers do; of each the statements whose order says something come first, and stay there.
const OF_CALLERS: [(&str, &[&str], &[&str]); 5] = [
    (
        "traffic one on service shop/orders {",
        &[
            "route /a/** -> service shop/a",
            "redirect /b/{id} -> \"/c/{id}\"",
            "route /** -> service shop/orders@v1",
        ],
        &[
            "timeout 2s",
            "timeout 3s for POST",
            "timeout 4s for POST, PUT",
            "retry 2 on 5xx for GET",
            "retry 1 on 5xx for GET",
        ],
    ),
    (
        "traffic two on service shop/orders {",
        &["rewrite /v1/** -> /v2/**"],
        &[
            "x: fault 1% delay 10ms for /a",
            "y: fault 2% abort 503 for /a",
            "retry 3 on connect",
            "timeout 5s",
        ],
    ),
    (
        "traffic three on mesh {",
        &["mirror 5% -> service shop/shadow for GET"],
        &["timeout at_most 9s", "timeout at_most 1s for /a", "timeout 8s", "z: fault 3% abort 500"],
    ),
    (
        "traffic four on service shop/web outbound {",
        &["route /d/** -> service shop/d", "route /d/e -> service shop/e"],
        &[
            "timeout 1s for GET",
            "w: limit 5/s per source",
            "set request header x-a = target.service",
            "set response header x-b = \"1\" for POST",
        ],
    ),
    (
        "auth five on namespace shop outbound, service shop/nobody {",
        &[],
        &[
            "allow GET when target.service == \"shop/orders\"",
            "v: deny /d/** from service shop/web when headers[\"x\"] == \"1\"",
            "u: allow POST from service shop/batch",
            "otherwise deny respond 451",
        ],
    ),
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn permuted_sources_of_what_callers_do_give_the_same_module(
        policies in permutation(5),
        first in permutation(5),
        others in [permutation(4), permutation(4), permutation(4), permutation(4)],
        before in any::<bool>(),
    ) {
        let [second, third, fourth, fifth] = others;
        let text = |policies: &[usize], statements: &[Vec<usize>], before: bool| -> String {
            let policy = |at: &usize| {
                let (head, ordered, others) = OF_CALLERS[*at];
                let others: Vec<&str> = statements[*at].iter().map(|line| others[*line]).collect();
                let body = if before { [ordered, &others].concat() } else { [others.as_slice(), ordered].concat() };
                format!("{head}\n{}\n}}\n", body.join("\n"))
            };
            policies.iter().map(policy).collect()
        };
        let made = |text: &str| {
            let mut sources = SourceSet::new();
            sources.add("case", text);
            let analysis = analyse(&sources, CheckOptions::default());
            assert!(analysis.is_ok(), "{:?}\n{text}", analysis.diagnostics);
            let target = Workload {
                namespace: "shop".to_owned(),
                service: "orders".to_owned(),
                labels: BTreeMap::new(),
                trust_domain: "mesh.test".to_owned(),
            };
            let web = Workload { service: "web".to_owned(), ..target.clone() };
            [None, Some(&web)].map(|caller| {
                let linked = link_calls(&analysis.policies, &target, caller, &mut Budget::new());
                let program = linked.unwrap().unwrap();
                (compile(&program).unwrap().bytes, routes::table(&program.calls).unwrap())
            })
        };
        let in_order = || (0..4).collect::<Vec<usize>>();
        let straight = [(0..5).collect(), in_order(), in_order(), in_order(), in_order()];
        let straight = made(&text(&[0, 1, 2, 3, 4], &straight, true));
        let permuted = made(&text(&policies, &[first, second, third, fourth, fifth], before));
        prop_assert!(straight == permuted);
    }
}
