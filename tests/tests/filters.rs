//! Uploaded modules in a real Envoy: what crashes or hangs it as it is does neither with its bounds.

use anyhow::Result;
use chancery_control::policies::policy_runner::{PolicyRunner, Ran};
use chancery_control::sidecar::envoy_binary::Search;
use chancery_control::sidecar::envoy_binary::trial::{Trial, Verdict};
use chancery_policy_lang::testing::BEGINNING_NS;
use chancery_sdk_admission::{Capability, Counting, Terms, admit};
use chancery_sdk_host::{Host, Limits};
use chancery_tests::differential::{module_of, program_of, requests_of, sketches};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::random::Random;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long Envoy may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Whatever a module needs for the shapes below; the path of a request chooses one.
const PRELUDE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 16) ":path")
    (data (i32.const 32) "compress")
    (global $gives (mut i32) (i32.const 4096))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (global.get $gives))
"#;

/// `/loop` never ends, `/calls` makes host calls without end, `/empty` has an allocator that gives nothing, `/far` one that
/// gives what is beyond the memory, `/null` one that gives nothing to a function that Envoy has beside the contract, `/shut`
/// answers on a stream that it closed.
const HOSTILE: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $letter i32)
        (global.set $gives (i32.const 4096))
        (call $get_path)
        (local.set $letter (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const 1))))
        (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $again (br $again))))
        (if (i32.eq (local.get $letter) (i32.const 99)) (then
            (loop $again (drop (call $log (i32.const 0) (i32.const 0) (i32.const 100))) (br $again))))
        (if (i32.eq (local.get $letter) (i32.const 110)) (then
            (global.set $gives (i32.const 0)) (call $compress)))
        (if (i32.eq (local.get $letter) (i32.const 102)) (then
            (global.set $gives (i32.const 131070)) (call $get_path)))
        (if (i32.eq (local.get $letter) (i32.const 101)) (then
            (global.set $gives (i32.const 0)) (call $get_path)))
        (if (i32.eq (local.get $letter) (i32.const 115)) (then
            (drop (call $close (i32.const 0)))
            (drop (call $close (i32.const 1)))
            (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))))
        (i32.const 0))
    (func $get_path
        (drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 4))))
    (func $compress
        (drop (call $foreign (i32.const 32) (i32.const 8) (i32.const 0) (i32.const 64) (i32.const 8) (i32.const 12))))
"#;

/// Hangs whoever configures it.
const ENDLESS_START: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (loop $again (br $again)) (unreachable))
"#;

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {PRELUDE} {text})")).unwrap()
}

/// The module with its bounds; it may do everything that a policy can allow.
fn bounded(bytes: &[u8]) -> Vec<u8> {
    bounded_on(bytes, &Terms::default())
}

fn bounded_on(bytes: &[u8], terms: &Terms) -> Vec<u8> {
    let admission = admit(bytes, terms);
    assert!(admission.is_admitted(), "{:?}", admission.findings);
    admission.module.unwrap().bytes
}

async fn start(bytes: &[u8]) -> (Envoy, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.wasm");
    fs::write(&file, bytes).unwrap();
    let listener = answering_listener("in", vec![wasm_filter("hostile", &file, "")], json!({}));
    let envoy = Envoy::start(folder, json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("in").await.unwrap();
    (envoy, address)
}

/// The status of an answer, or why there is none.
async fn get(address: SocketAddr, path: &str) -> Result<u16> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = timeout(PATIENCE, client.get(format!("http://{address}{path}").parse()?)).await??;
    Ok(answer.status().as_u16())
}

/// Waits until ordinary requests are served: a VM that failed is made anew after a moment.
async fn until_served(address: SocketAddr) {
    let begun = Instant::now();
    while get(address, "/ok").await.unwrap_or_default() != 200 {
        assert!(begun.elapsed() < PATIENCE, "Envoy does not serve any more");
        sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_fail_alone_once_a_module_has_its_bounds() {
    let (envoy, address) = start(&bounded(&module(HOSTILE))).await;
    until_served(address).await;
    for path in ["/loop", "/calls", "/empty", "/far"] {
        assert_eq!(get(address, path).await.unwrap(), 503, "{path}");
        until_served(address).await;
    }
    // A trap of the allocator would crash Envoy there as well: the module is cut off from it.
    assert_eq!(get(address, "/null").await.unwrap(), 200);
    // The stream is closed without an answer, and the module runs on.
    assert!(get(address, "/shut").await.is_err(), "a closed stream was answered");
    assert_eq!(get(address, "/ok").await.unwrap(), 200);
    envoy.pid().unwrap();
    envoy.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_bounds_the_same_requests_end_envoy() {
    for path in ["/null", "/shut"] {
        let (envoy, address) = start(&module(HOSTILE)).await;
        until_served(address).await;
        assert!(get(address, path).await.is_err(), "{path} was answered");
        let begun = Instant::now();
        while envoy.admin("/ready").await.is_ok() {
            assert!(
                begun.elapsed() < PATIENCE,
                "Envoy lives on after {path}: it crashes no more, say so in the documents"
            );
            sleep(LOOK_AGAIN).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_never_ends_its_start_is_refused_while_the_old_one_serves() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.wasm");
    fs::write(&good, bounded(&module(HOSTILE))).unwrap();
    let endless = folder.path().join("endless.wasm");
    fs::write(&endless, bounded(&module(ENDLESS_START))).unwrap();
    let resource = folder.path().join("filter.json");
    fs::write(&resource, discovered(&good).to_string()).unwrap();
    let filter = json!({
        "name": "uploaded",
        "config_discovery": {
            "config_source": {"path_config_source": {"path": resource}, "resource_api_version": "V3"},
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
        },
    });
    let listener = answering_listener("in", vec![filter], json!({}));
    let envoy = Envoy::start(folder, json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("in").await.unwrap();
    until_served(address).await;

    let next = envoy.folder().join("next.json");
    fs::write(&next, discovered(&endless).to_string()).unwrap();
    fs::rename(&next, envoy.folder().join("filter.json")).unwrap();
    let begun = Instant::now();
    loop {
        let refused = envoy.stats("extension_config_discovery.").await.unwrap();
        let count =
            |name: &str| refused.iter().filter(|(stat, _)| stat.ends_with(name)).map(|(_, n)| n).sum::<u64>();
        if count(".config_fail") + count(".update_rejected") > 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the module was not refused: {refused:?}");
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(get(address, "/ok").await.unwrap(), 200);
    envoy.stop().await.unwrap();
}

/// The answer of a discovery service that has one filter.
fn discovered(module: &Path) -> Value {
    let mut filter = wasm_filter("uploaded", module, "").get("typed_config").unwrap().clone();
    // Each version is a VM of its own.
    let vm = filter.pointer_mut("/config/vm_config").unwrap().as_object_mut().unwrap();
    vm.insert("vm_id".to_owned(), json!(module.file_name().unwrap().to_str().unwrap()));
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "uploaded",
        "typed_config": filter,
    });
    json!({"version_info": "1", "resources": [resource]})
}

#[test]
fn a_trial_in_envoy_tells_what_loads_from_what_is_refused_and_what_crashes() {
    let envoy = Search::from_environment(None).find_or_install(&mut |_| {}).unwrap();
    let allowed: Vec<String> = ["proxy_log", "proxy_on_configure"].map(str::to_owned).into();
    let verdict =
        |module: &[u8]| envoy.try_module(&Trial { module, configuration: b"{}", allowed: &allowed }).unwrap();
    assert_eq!(verdict(&bounded(&module(""))), Verdict::Accepted);
    match verdict(&bounded(&module(ENDLESS_START))) {
        Verdict::Refused(words) => assert!(words.contains("the_callback_used_up_its_budget"), "{words}"),
        other => unreachable!("{other:?}"),
    }
    // Two shapes that are refused before, for they end Envoy when it loads them.
    let no_memory = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0))) (i32.const 1)))"#;
    let starts =
        module("(func $start (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0)))) (start $start)");
    for bytes in [wat::parse_str(no_memory).unwrap(), starts] {
        let admission = admit(&bytes, &Terms::default());
        assert!(!admission.is_admitted());
        assert!(
            matches!(verdict(&bytes), Verdict::Crashed(_)),
            "it crashes no more: say so in the documents"
        );
    }
}

/// Modules that nobody wrote for this: those of generated policies. What they keep for the answer is in filter state, of which a
/// module of others reads nothing, so what becomes of answers is not compared.
#[test]
fn modules_of_policies_decide_the_same_with_their_bounds() {
    const SEED: u64 = 9;
    const POLICIES: usize = 60;
    const REQUESTS_OF_EACH: usize = 8;
    let host = Host::for_few_calls(Limits::default()).unwrap();
    let mut random = Random::new(SEED);
    let mut compared = 0;
    for sketch in sketches(SEED, POLICIES) {
        let Ok(program) = program_of(&sketch) else { continue };
        let Ok(module) = module_of(&program) else { continue };
        let mut original = PolicyRunner::on_host(&host, &module.bytes).unwrap();
        let requests = requests_of(&sketch, REQUESTS_OF_EACH, &mut random);
        let expected: Vec<_> =
            requests.iter().map(|request| decided(original.run(request, BEGINNING_NS).unwrap())).collect();
        for counting in [Counting::Blocks, Counting::LoopHeads] {
            let may = Some(Capability::ALL.iter().copied().collect());
            let bounded = bounded_on(&module.bytes, &Terms { may, counting, ..Terms::default() });
            let mut runner = PolicyRunner::on_host(&host, &bounded).unwrap();
            let got: Vec<_> =
                requests.iter().map(|request| decided(runner.run(request, BEGINNING_NS).unwrap())).collect();
            assert_eq!(got, expected, "seed {SEED}, {counting:?}:\n{}", sketch.text());
        }
        compared += 1;
    }
    assert!(compared > POLICIES / 3, "only {compared} programs of {POLICIES} were compared");
}

/// What was decided, without what became of the answer.
fn decided(mut ran: Ran) -> Ran {
    ran.changed.response.clear();
    ran
}
