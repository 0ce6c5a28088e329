//! The order of files, policies and statements does not matter: the bytes are the same.

use crate::run::link_texts;
use chancery_policy_lang::emit::compile;
use proptest::prelude::*;

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
