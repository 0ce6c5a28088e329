//! What instrumented modules may name: attributes of the request, and services of the mesh.

use super::*;
use std::fmt::Write as _;

/// Where the words stand.
const AT: usize = 1024;

/// The status that a call gives which takes words, as the digit that stands for it; a colon and more behind 9.
fn status_of(import: &str, parameters: usize, behind: &str, words: &[u8]) -> String {
    let bytes = admitted(&naming(import, parameters, behind, words), &terms());
    ask(&mut start(&bytes).unwrap()).unwrap().concat()
}

/// A module that calls its host with words and logs the status that the call gives.
fn naming(import: &str, parameters: usize, behind: &str, words: &[u8]) -> Vec<u8> {
    let data = words.iter().fold(String::new(), |mut data, byte| {
        // Writing to a string does not fail.
        let _ = write!(data, "\\{byte:02x}");
        data
    });
    let types = "i32 ".repeat(parameters);
    let text = format!(
        r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "{import}" (func $call (param {types}) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const {AT}) "{data}")
        (func (export "proxy_abi_version_0_2_1")) {ALLOCATOR}
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 8) (i32.add (i32.const 48)
                (call $call (i32.const {AT}) (i32.const {}) {behind})))
            (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1)))
            (i32.const 0)))"#,
        words.len()
    );
    wat::parse_str(text).unwrap()
}

/// The calls of services, with the number of their parameters.
const CALLS: [(&str, usize); 3] =
    [("proxy_http_call", 10), ("proxy_grpc_call", 12), ("proxy_grpc_stream", 9)];

#[test]
fn a_module_reads_attributes_and_no_filter_state() {
    let status =
        |path: &str| status_of("proxy_get_property", 4, "(i32.const 0) (i32.const 4)", path.as_bytes());
    for path in ["request\0path", "request\0path\0", "request\0headers\0x-a", "plugin_name", "plugin_name\0"]
    {
        assert_eq!(status(path), "0", "{path:?}");
    }
    // The root alone is no value.
    assert_eq!(status("request"), "3");
    for path in [
        "",
        "\0",
        "\0request\0path",
        "req",
        "requests\0path",
        "Request\0path",
        "filter_state",
        "filter_state\0wasm.rule",
        "upstream_filter_state\0a",
        "wasm.rule",
        "rule",
        "metadata\0filter_metadata\0a",
        "node\0id",
    ] {
        assert_eq!(status(path), "1", "{path:?}");
    }
}

#[test]
fn a_module_calls_services_of_the_mesh_and_nothing_else() {
    let behind = |count: usize| "(i32.const 0) ".repeat(count);
    for (import, parameters) in CALLS {
        let status = |name: &[u8]| status_of(import, parameters, &behind(parameters - 2), name);
        // This host offers no calls, or finds this one wrong otherwise: the words of the call were passed on.
        let passed = status(b"mesh/pay/vault");
        for name in [
            &b""[..],
            b"mesh",
            b"local_app",
            b"control-plane",
            b"Mesh/pay/vault",
            b"mesh/pay/vault ",
            b"mesh/\x0a\x0b\x0a\x09local_app",
            b"mesh/a\x80",
            b"mesh/a\x7f",
            b"mesh/a\0",
        ] {
            assert_eq!(status(name), "2", "{import} {name:?}");
        }
        if passed == "2" {
            // Whether the host was asked shows in what it costs.
            continue;
        }
        assert_ne!(status(b"mesh/a.b-c_d/e~@v2"), "2", "{import}");
    }
}

#[test]
fn a_module_calls_the_clusters_that_its_user_names_and_no_other() {
    let clusters = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let two = clusters(&["mesh/pay/vault", "mesh/shop/orders"]);
    for (import, parameters) in CALLS {
        let behind = "(i32.const 0) ".repeat(parameters - 2);
        let module = |name: &str| admitted(&naming(import, parameters, &behind, name.as_bytes()), &terms());
        let asked = |module: &[u8]| {
            let mut plugin = start(module).unwrap();
            (ask(&mut plugin).unwrap().concat(), plugin.take_calls().len())
        };
        for allowed in &two {
            let module = module(allowed);
            let limited = limit_calls(&module, &two).unwrap();
            assert_eq!(asked(&limited), asked(&module), "{import} {allowed}");
            assert_eq!(limit_calls(&module, &two).unwrap(), limited, "the same module, of the same bytes");
            // One that is limited can be limited further, and not less.
            let further = limit_calls(&limited, &clusters(&["mesh/other/one"])).unwrap();
            assert_eq!(asked(&further), ("2".to_owned(), 0), "{import}");
            let less = limit_calls(&further, &two).unwrap();
            assert_eq!(asked(&less), ("2".to_owned(), 0), "{import}");
        }
        for other in ["mesh/pay/vaul", "mesh/pay/vault2", "mesh/pay/vault@v2", "mesh/pay/orders", "mesh/", ""]
        {
            let limited = limit_calls(&module(other), &two).unwrap();
            assert_eq!(asked(&limited), ("2".to_owned(), 0), "{import} {other}");
        }
        let none = limit_calls(&module("mesh/pay/vault"), &[]).unwrap();
        assert_eq!(asked(&none), ("2".to_owned(), 0), "{import}");
    }
}

#[test]
fn only_admitted_modules_are_limited() {
    let call = "(i32.const 0) ".repeat(10);
    let text = format!(
        r#"(module
        (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (func (result i32) (call $call {call}))
        (func (result i32) (call $call {call})))"#
    );
    let error = limit_calls(&wat::parse_str(text).unwrap(), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the module calls `proxy_http_call` in several places, and was not admitted"
    );
    let error = limit_calls(b"no module", &[]).unwrap_err();
    assert!(error.to_string().starts_with("this is no valid module: "), "{error}");
    // What calls nobody stays as it is, and so does what was cut off when it was admitted.
    let silent = admitted(
        &module(&format!(
            "{ALLOCATOR} (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) (i32.const 0))"
        )),
        &terms(),
    );
    assert_eq!(limit_calls(&silent, &[]).unwrap(), silent);
    let withheld = Terms { may: Some(std::collections::BTreeSet::new()), ..terms() };
    let behind = "(i32.const 0) ".repeat(8);
    let cut_off = admitted(&naming("proxy_http_call", 10, &behind, b"mesh/pay/vault"), &withheld);
    let limited = limit_calls(&cut_off, &[]).unwrap();
    assert_eq!(ask(&mut start(&limited).unwrap()).unwrap().concat(), ":");
}
