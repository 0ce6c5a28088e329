//! What the tools believe of Envoy is what Envoy does, on odd requests over HTTP/1 and HTTP/2.
//!
//! `CHANCERY_ENVOY_REQUESTS` sets how many generated requests are compared, and `CHANCERY_ENVOY_SEED`
//! which ones; a failure shows each request as a Rust expression that can be put among the fixed ones.

#![expect(clippy::panic, reason = "a wish that is no number ends the test")]
#![expect(clippy::print_stdout, reason = "the seed is shown with what was decided")]

mod fixed;

use chancery_tests::envoy_model::{self, POLICY, Proxy, program};

/// Generated requests that are compared without a wish for more.
const REQUESTS: usize = 3_000;
/// Their seed without another wish.
const SEED: u64 = 1;
/// Differences after which a run ends: each is made small, which takes a while.
const DIFFERENCES_MAX: usize = 10;
/// So many of a hundred requests are seen by a filter at least; the others test refusals alone.
const SEEN_PERCENT_MIN: usize = 40;
/// What must have been decided, lest a comparison proves nothing about it.
const REACHED: [&str; 6] =
    ["(refused by Envoy)", "bad-path", "bad-method", "bad-host", "desk/a", "desk/otherwise"];

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is not a number")))
}

#[test]
fn envoy_does_as_the_model_says() {
    let requests =
        number_from_environment("CHANCERY_ENVOY_REQUESTS").map_or(REQUESTS, |count| count as usize);
    let seed = number_from_environment("CHANCERY_ENVOY_SEED").unwrap_or(SEED);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut proxy = runtime.block_on(Proxy::start(program(POLICY).unwrap())).unwrap();
    check_fixed(&mut proxy);
    let summary = envoy_model::compare(&mut proxy, seed, requests, DIFFERENCES_MAX).unwrap();
    let differences: Vec<String> = summary.differences.iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "with CHANCERY_ENVOY_SEED={seed}:\n{}", differences.join("\n"));
    println!("CHANCERY_ENVOY_SEED={seed}: {requests} requests, {:#?}", summary.verdicts);
    let count = |name: &str| summary.verdicts.get(name).copied().unwrap_or(0);
    let seen = requests - count("(refused by Envoy)");
    assert!(seen * 100 >= requests * SEEN_PERCENT_MIN, "a filter saw only {seen} of {requests} requests");
    for name in REACHED {
        assert!(count(name) > 0, "no request was decided `{name}`: {:#?}", summary.verdicts);
    }
    runtime.block_on(proxy.stop()).unwrap();
}

fn check_fixed(proxy: &mut Proxy) {
    for fixed in fixed::requests() {
        let opinions = proxy.ask(&fixed.request).unwrap();
        let request = envoy_model::literal(&fixed.request);
        assert!(!opinions.differ(), "opinions differ on\n{request}\n{opinions}");
        assert_eq!(opinions.envoy.name(), fixed.verdict, "{request}\n{opinions}");
    }
}
