//! The filters that the benchmarks compare, and the ready ones, as modules.

use crate::programs::{linked, workload};
use crate::toolchains::rust;
use anyhow::{Error, Result};
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The module of policies for a workload of the benchmark.
///
/// # Errors
/// What is wrong with the policies.
pub fn compiled(text: &str, options: ModuleOptions) -> Result<Vec<u8>> {
    let program = linked(text, &workload("bench", "bench")).map_err(Error::msg)?;
    Ok(compile_with(&program, options)?.bytes.to_vec())
}

/// A module that is called for each request and does nothing.
///
/// # Errors
/// Never: the text is valid.
pub fn empty() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )?)
}

/// A module that makes a host call for each request, or for each answer if it is to be called for them, and nothing else.
/// `ADDED` stands for the places of a header's name and value, `REMOVED` for that of the name of one that requests of the
/// benchmarks have.
///
/// # Errors
/// When a call is no text of Wasm.
pub fn bare(of_request: &str, of_answer: Option<&str>) -> Result<Vec<u8>> {
    let export = |name: &str, call: &str| {
        let call = call
            .replace("ADDED", "(i32.const 16) (i32.const 6) (i32.const 32) (i32.const 4)")
            .replace("REMOVED", "(i32.const 48) (i32.const 9)");
        format!("(func (export \"{name}\") (param i32 i32 i32) (result i32) {call} (i32.const 0))")
    };
    let of_request = export("proxy_on_request_headers", of_request);
    let of_answer = of_answer.map(|call| export("proxy_on_response_headers", call)).unwrap_or_default();
    Ok(wat::parse_str(format!(
        r#"(module
            (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "x-tier") (data (i32.const 32) "gold") (data (i32.const 48) "x-other-1")
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            {of_request}
            {of_answer})"#
    ))?)
}

/// Native RBAC that allows what one of these permissions allows.
#[must_use]
pub fn rbac(policies: serde_json::Map<String, Value>) -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": policies},
        },
    })
}

/// A policy of RBAC for everybody: a path prefix, and headers with exact values.
#[must_use]
pub fn rbac_policy(prefix: &str, headers: &[(&str, &str)]) -> Value {
    let path = json!({"url_path": {"path": {"prefix": prefix}}});
    let headers = headers
        .iter()
        .map(|(name, value)| json!({"header": {"name": name, "string_match": {"exact": value}}}));
    let rules: Vec<Value> = std::iter::once(path).chain(headers).collect();
    json!({"permissions": [{"and_rules": {"rules": rules}}], "principals": [{"any": true}]})
}

/// A Lua filter of this source.
#[must_use]
pub fn lua(source: &str) -> Value {
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": source},
        },
    })
}

/// Builds the filter of `benches/filters/hand-written` for wasm32, under `target`: on the bare `proxy-wasm` crate.
///
/// # Errors
/// When no compiler for wasm32 can be had, or the filter does not build.
pub fn hand_written(target: &Path) -> Result<PathBuf> {
    rust::build("tests/benches/filters/hand-written", "release", "hand_written", target)
}

/// Builds the filter of `benches/filters/with-sdk` for wasm32, under `target`: its twin on the SDK.
///
/// # Errors
/// When no compiler for wasm32 can be had, or the filter does not build.
pub fn with_sdk(target: &Path) -> Result<PathBuf> {
    rust::build("tests/benches/filters/with-sdk", "release", "with_sdk", target)
}

/// Builds the ready filter `filters/<name>` for wasm32, under `target`, as it ships.
///
/// # Errors
/// When no compiler for wasm32 can be had, or the filter does not build.
pub fn ready(name: &str, target: &Path) -> Result<PathBuf> {
    rust::build(&format!("filters/{name}"), "filter", &name.replace('-', "_"), target)
}
