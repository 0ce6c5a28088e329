//! Modules grow with their rules and no faster, and their code does not run longer.

use crate::run::{Pair, link_text, request, with};
use chancery_policy_lang::classify::{AttributeKind, classify};
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::lower::lower;
use std::fmt::Write as _;

/// `count` rules of one header each.
fn many(count: usize) -> String {
    let mut text = String::from("auth p on mesh {\n");
    for at in 0..count {
        let _ = writeln!(text, "  r{at}: allow GET /api/svc{at}/** when headers[\"x-user\"] == \"user{at}\"");
    }
    text.push('}');
    text
}

#[test]
fn a_module_is_linear_in_its_rules() {
    let bytes = |count| compile(&link_text(&many(count))).unwrap().bytes.len();
    let (hundred, thousand) = (bytes(100), bytes(1000));
    assert!(thousand < 12 * hundred, "{hundred} {thousand}");
}

#[test]
fn many_rules_decide_and_cost_what_few_cost() {
    let mut fuel = Vec::new();
    for count in [1, 64, 65, 1000] {
        let mut pair = Pair::of_text(&many(count));
        let last = count - 1;
        let hit = with(request("GET", &format!("/api/svc{last}/x"), None), "x-user", format!("user{last}"));
        assert_eq!(pair.agree(&hit).rule(), format!("p/r{last}"));
        fuel.push(pair.fuel());
        let miss = with(request("GET", "/api/svc0/x", None), "x-user", format!("user{count}"));
        assert_eq!(pair.agree(&miss).rule(), "default-deny");
        pair.agree(&request("GET", "/api/svc0/x", None));
        pair.agree(&with(request("POST", "/api/svc0/x", None), "x-user", "user0"));
        pair.agree(&with(with(request("GET", "/api/svc0/x", None), "x-user", "user0"), "x-user", "user0"));
    }
    assert!(fuel[3] < 2 * fuel[0], "fuel at 1, 64, 65 and 1,000 rules: {fuel:?}");
}

#[test]
fn stars_at_all_depths_do_not_multiply_states() {
    let mut text = String::from("auth p on mesh {\n");
    for at in 0..200 {
        let (a, b) = (at % 7, at % 11);
        let _ = writeln!(
            text,
            "  allow /a{a}/*/b{at}/**\n  deny /*/c{b}/*/d{at}/**\n  allow /a{a}/c{b}/*/*/e{at}\n  deny /*/*/x{at}, /y{at}/*, /z{at}"
        );
    }
    text.push('}');
    let mut pair = Pair::of_text(&text);
    assert!(pair.module.bytes.len() < 400_000, "{} bytes", pair.module.bytes.len());
    let attributes = classify(&lower(&pair.program).unwrap()).unwrap().attributes;
    let groups =
        attributes.iter().filter(|attribute| matches!(attribute.kind, AttributeKind::Path(_))).count();
    assert!(groups > 1, "the patterns share one automaton, and show nothing of groups");
    for at in [0, 1, 77, 199] {
        let (a, b) = (at % 7, at % 11);
        for path in [
            format!("/a{a}/q/b{at}"),
            format!("/a{a}/q/b{at}/r/s"),
            format!("/q/c{b}/r/d{at}/s"),
            format!("/a{a}/c{b}/q/r/e{at}"),
            format!("/a{a}/c{b}/b{at}/d{at}"),
            format!("/q/r/x{at}"),
            format!("/y{at}/x"),
            format!("/y{at}/"),
            format!("/z{at}"),
            format!("/a{a}/c{b}/x{at}"),
            "/".to_owned(),
            "/a0".to_owned(),
        ] {
            pair.agree(&request("GET", &path, None));
        }
    }
}
