//! Modules that others wrote, and generated ones: the wasmtime host does with them what a real Envoy does.

#![expect(clippy::panic, reason = "a failure shows the module and what it was asked")]

use chancery_sdk_admission::{Capability, Terms, admit};
use chancery_sdk_host::{Host, Limits};
use chancery_tests::foreign::in_envoy::InEnvoy;
use chancery_tests::foreign::in_host::InHost;
use chancery_tests::foreign::{Module, cases, modules, probe};
use std::path::Path;

/// How the names of modules end that have their bounds.
const BOUNDED: &str = "-bounded";
/// The modules of a version that is not admitted begin so.
const FIRST_VERSION: &str = "first_";
/// An example that calls a cluster which is no service of a mesh: with its bounds it may not.
const CALLS_OUTSIDE: &str = "http_auth_random";
/// What an example says at each tick.
const TELLS_THE_TIME: &str = "there is no lucky number";
const SEED: u64 = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_that_others_wrote_do_in_the_host_what_they_do_in_envoy() {
    let plain = modules::build(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let is_left_out = |name: &str| name.starts_with(FIRST_VERSION) || name.ends_with(CALLS_OUTSIDE);
    let admitted = plain.iter().filter(|module| !is_left_out(&module.name)).map(bounded);
    let mut all: Vec<Module> = plain.iter().cloned().chain(admitted).collect();
    let (probe, _) = probe::module(SEED, cases::PROBES).unwrap();
    all.push(probe.clone());
    let host = Host::for_few_calls(Limits::default()).unwrap();
    let mut envoy = InEnvoy::start(&all).await.unwrap();
    let mut differences = Vec::new();
    for module in &all {
        let mut in_host = InHost::start(&host, module).unwrap();
        for (number, case) in cases::of(&module.name, SEED).iter().enumerate() {
            let mut expected = envoy.run(&module.name, case).await.unwrap();
            // It tells the time whenever five seconds of Envoy's have passed.
            expected.log.retain(|line| !line.contains(TELLS_THE_TIME));
            let got = in_host.run(case);
            let got = got.unwrap_or_else(|error| panic!("{} case {number}: {error}: {case:#?}", module.name));
            if got != expected {
                let name = &module.name;
                differences
                    .push(format!("{name} case {number}: {case:#?}\nenvoy {expected:#?}\nhost {got:#?}"));
            }
        }
        if module.name == probe.name {
            let (expected, got) = (envoy.metrics().await.unwrap(), in_host.metrics());
            if got != expected {
                differences.push(format!("metrics\nenvoy {expected:#?}\nhost {got:#?}"));
            }
        }
    }
    envoy.stop().await.unwrap();
    assert!(differences.is_empty(), "seed {SEED}:\n{}", differences.join("\n"));
}

fn bounded(module: &Module) -> Module {
    let terms = Terms { may: Some(Capability::ALL.iter().copied().collect()), ..Terms::default() };
    let admission = admit(&module.bytes, &terms);
    assert!(admission.is_admitted(), "{}: {:?}", module.name, admission.findings);
    let bytes = admission.module.unwrap().bytes;
    Module { name: format!("{}{BOUNDED}", module.name), bytes, ..module.clone() }
}
