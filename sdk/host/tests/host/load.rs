//! What is a module for this host, and how one that is not is refused.

use super::*;
use chancery_sdk_host::abi::{ENV_MODULE, Function, WASI_MODULES, host_calls};

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const VERSION: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) i32.const 1024)"#;

fn check(parts: &[&str], expected: &str) {
    let bytes = wat::parse_str(format!("(module {})", parts.join(" "))).unwrap();
    assert_eq!(error_of(host().load(&bytes)), expected);
}

#[test]
fn the_smallest_module_loads_and_lets_everything_pass() {
    let bytes = wat::parse_str(format!("(module {MEMORY} {VERSION} {MALLOC})")).unwrap();
    let mut plugin = host().load(&bytes).unwrap().start(PluginConfiguration::default()).unwrap();
    let mut stream = plugin.open(Properties::new()).unwrap();
    let outcome = stream.on_request_headers(headers(), true).unwrap();
    assert_eq!(outcome.local_response, None);
    assert_eq!(stream.close().unwrap().request_headers, Some(headers()));
}

#[test]
fn every_call_of_the_contract_can_be_imported_with_its_signature() {
    let import = |module: &str, function: &Function| {
        let list = |word: &str, types: &[chancery_sdk_host::abi::ValueType]| {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            format!("({word} {})", types.join(" "))
        };
        let (params, results) =
            (list("param", function.signature.params), list("result", function.signature.results));
        format!(r#"(import "{module}" "{}" (func {params} {results}))"#, function.name)
    };
    let mut text: Vec<String> = host_calls::ALL.iter().map(|function| import(ENV_MODULE, function)).collect();
    for module in WASI_MODULES {
        text.extend(host_calls::wasi::ALL.iter().map(|function| import(module, function)));
    }
    let bytes = wat::parse_str(format!("(module {} {MEMORY} {VERSION} {MALLOC})", text.concat())).unwrap();
    host().load(&bytes).unwrap();
}

#[test]
fn a_module_that_breaks_the_contract_is_refused_by_name() {
    check(&[VERSION, MALLOC], "the module does not export its memory as `memory`");
    check(&[MEMORY, MALLOC], "the module does not export the function `proxy_abi_version_0_2_1`");
    check(
        &[MEMORY, MALLOC, r#"(func (export "proxy_abi_version_0_3_0"))"#],
        "the module does not export the function `proxy_abi_version_0_2_1`, but `proxy_abi_version_0_3_0`",
    );
    check(
        &[MEMORY, MALLOC, r#"(global (export "proxy_abi_version_0_2_1") i32 i32.const 0)"#],
        "the module does not export the function `proxy_abi_version_0_2_1`",
    );
    check(
        &[MEMORY, VERSION],
        "the module exports neither `malloc` nor `proxy_on_memory_allocate`: (i32) -> (i32)",
    );
    check(
        &[MEMORY, VERSION, r#"(func (export "malloc") (param i64) (result i32) i32.const 0)"#],
        "the module exports `malloc` as (i64) -> (i32); it must be (i32) -> (i32)",
    );
    check(
        &[MEMORY, VERSION, MALLOC, r#"(func (export "proxy_on_request_headers") (param i32 i32))"#],
        "the module exports `proxy_on_request_headers` as (i32 i32) -> (); it must be (i32 i32 i32) -> (i32)",
    );
    check(
        &[r#"(import "env" "proxy_clear_route_cache" (func (result i32)))"#, MEMORY, VERSION, MALLOC],
        "the module imports `env.proxy_clear_route_cache`, which no host offers to modules of its version",
    );
    check(
        &[r#"(import "env" "proxy_log" (func (param i32)))"#, MEMORY, VERSION, MALLOC],
        "the module imports `env.proxy_log` as (i32) -> (); it is (i32 i32 i32) -> (i32)",
    );
    check(
        &[r#"(import "env" "proxy_log" (global i32))"#, MEMORY, VERSION, MALLOC],
        "the module imports `env.proxy_log` as something that is not a function; it is (i32 i32 i32) -> (i32)",
    );
    check(
        &[MEMORY, VERSION, MALLOC, "(func $start) (start $start)"],
        "the module has a start section; put its work into `_initialize`",
    );
}

#[test]
fn a_memory_that_the_contract_cannot_address_is_refused() {
    check(
        &[r#"(memory (export "memory") i64 1)"#, VERSION, MALLOC],
        "the module's memory cannot be used: it has 64-bit addresses; the contract's pointers have 32",
    );
    check(
        &[r#"(memory (export "memory") 300)"#, VERSION, MALLOC],
        "the module's memory cannot be used: it begins with 300 pages; at most 256 are given",
    );
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    for bytes in [&b""[..], b"hello", b"\0asm\x01\0\0\0\x01", b"\0asm\x0d\0\x01\0", b"(module)"] {
        assert!(error_of(host().load(bytes)).starts_with("not a valid WebAssembly module: "));
    }
    let host = Host::new(Limits { module_bytes_max: 10, ..Limits::default() }).unwrap();
    assert_eq!(error_of(host.load(&[0; 11])), "the module has 11 bytes; at most 10 are accepted");
}

#[test]
fn every_prefix_of_a_module_is_refused_without_a_panic() {
    let bytes = module("");
    let host = host();
    for end in 0..bytes.len() {
        // A cut behind the last section that matters may leave a valid module.
        let _outcome = host.load(bytes.get(..end).unwrap());
    }
    host.load(&bytes).unwrap();
}
