//! The sums of generated policies beside what is made of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use super::Weight;
use crate::budget::Budget;
use crate::bug::CompileError;
use crate::classify::{ClassLimits, classify_within};
use crate::emit::{ModuleOptions, compile, compile_with};
use crate::generated::{linked, policies, workload};
use crate::lower::lower;
use crate::together::check_together;
use proptest::prelude::*;

fn check(text: &str) {
    let (policies, program) = linked(text);
    let mut weight = Weight::default();
    policies.iter().for_each(|policy| weight.add(&Weight::of(policy)));

    let plan = lower(&program).unwrap();
    let limits =
        ClassLimits { members_max: weight.members_max() as usize, star_depths_max: weight.star_depths_max() };
    assert!(classify_within(&plan, limits).unwrap().is_ok(), "more classes than summed up:\n{text}");
    let options = ModuleOptions { steps_max: u64::MAX, ..ModuleOptions::default() };
    let module = compile_with(&program, options).unwrap();
    let (bytes, steps) = (module.bytes.len(), module.manifest.cost.worst());
    assert!(bytes <= weight.bytes_max(), "{bytes} bytes of {}:\n{text}", weight.bytes_max());
    if let Some(bound) = weight.steps_max() {
        assert!(steps <= bound, "{} are {steps} steps of {bound}:\n{text}", module.manifest.cost);
    }

    let found = check_together(&policies, [&workload()], &mut Budget::new()).unwrap();
    match compile(&program) {
        Ok(_) => assert!(found.is_empty(), "refused in check alone: {found:?}\n{text}"),
        Err(CompileError::Refused(refused)) => assert_eq!(found, refused, "{text}"),
        Err(CompileError::Bug(bug)) => panic!("{bug}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn sums_of_plain_policies_are_bounds(text in policies(0, 1..12)) {
        check(&text);
    }

    #[test]
    fn check_refuses_what_compile_refuses(text in policies(20, 1..8)) {
        check(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn sums_of_large_policies_are_bounds(text in policies(0, 100..300)) {
        check(&text);
    }
}

#[test]
fn sums_are_bounds_where_nearly_all_is_fixed() {
    check(
        r#"schema { header groups: list<string, 8>  header n: int }
auth p0 on mesh {
  mode shadow
  allow when source.port < 1024
  allow from service shop/cart, ip 10.0.0.0/8, namespace pay
      when source.port < 1024 || headers["z"] in ["1", "averylongvalueofaheader", "3", ""]
}"#,
    );
}

#[test]
fn usual_policies_need_no_module_to_be_judged() {
    let rule = |number: usize| {
        format!(
            "  allow GET /api/v{number}/items from service shop/cart when headers[\"x\"] == \"{number}\"\n"
        )
    };
    let rules: String = (0..60).map(rule).collect();
    let (policies, _) = linked(&format!("auth usual on mesh {{\n{rules}}}\n"));
    let weight = Weight::of(policies.first().unwrap());
    assert!(!weight.can_be_refused(), "{weight:?}");
}
