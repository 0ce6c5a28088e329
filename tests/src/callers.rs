//! What a caller's sidecar does by policies in text, with routes that answer by themselves, for benchmarks.

use crate::programs::workload;
use anyhow::{Context, Error, Result};
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::link::link_calls;
use chancery_policy_lang::routes::{self, RouteTable};
use chancery_policy_lang::{Diagnostic, SourceSet, analyse};
use serde_json::{Value, json};

/// The module of any caller of a service, and the table of the routes that it tells by key.
///
/// # Errors
/// What is wrong with the policies; also if they say nothing of callers.
pub fn calling(text: &str) -> Result<(Vec<u8>, RouteTable)> {
    let mut sources = SourceSet::new();
    sources.add("bench.writ", text);
    let analysis = analyse(&sources, CheckOptions::default());
    let words = |found: Vec<Diagnostic>| {
        Error::msg(found.first().map(|found| found.message.clone()).unwrap_or_default())
    };
    let target = workload("shop", "all");
    let program = link_calls(&analysis.policies, &target, None, &mut Budget::new()).map_err(words)?;
    let program = program.context("the policy says something")?;
    let table = routes::table(&program.calls).map_err(|found| words(vec![*found]))?;
    Ok((compile(&program)?.bytes.to_vec(), table))
}

/// The configuration of routes that are found by the key that the module writes: each answers 200 by itself, and
/// what has no key of the table is answered 404.
#[must_use]
pub fn answering_by_key(table: &RouteTable) -> Value {
    let route = |name: &str, status: u16| {
        json!({"name": name, "typed_config": {
            "@type": "type.googleapis.com/envoy.config.route.v3.Route",
            "match": {"prefix": "/"}, "direct_response": {"status": status},
        }})
    };
    let map: serde_json::Map<String, Value> =
        table.entries.keys().map(|key| (key.clone(), json!({"action": route("route", 200)}))).collect();
    json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "matcher": {
        "matcher_tree": {
            "input": {"name": "key", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
                "key": "wasm.route",
            }},
            "exact_match_map": {"map": map},
        },
        "on_no_match": {"action": route("none", 404)},
    }}]})
}
