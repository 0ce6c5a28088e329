//! Filters of one's own: what `chancery filter new` begins builds and passes its tests, and the examples in Rust, Go and
//! AssemblyScript are built by one command and do their work in a real Envoy, with their bounds.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use crate::command_line::transcript::CHANCERY;
use crate::tidy::root;
use chancery_sdk_admission::{Terms, admit};
use chancery_tests::envoy::{Envoy, answering_listener, wasm_filter};
use chancery_tests::toolchains;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long Envoy may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is kept from run to run: compilers and packages that were got, and what cargo built.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("filters")
}

/// Compilers for all languages, found or got once for all tests.
fn environment() -> &'static [(OsString, OsString)] {
    static FOUND: OnceLock<Vec<(OsString, OsString)>> = OnceLock::new();
    FOUND.get_or_init(|| {
        fs::create_dir_all(cache()).unwrap();
        toolchains::environment(&cache()).unwrap()
    })
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).envs(environment().iter().map(|(name, value)| (name, value)));
    command.output().unwrap()
}

/// What a command prints that ends well.
#[track_caller]
fn printed(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = run(program, arguments, folder);
    let said = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}\n{text}");
    text
}

/// The report of `filter build` about a project that is admitted.
#[track_caller]
fn built(folder: &Path, options: &[&str]) -> Value {
    let arguments = [&["filter", "build", "--no-envoy", "-o", "json"], options].concat();
    let report: Value = serde_json::from_str(&printed(CHANCERY, &arguments, folder)).unwrap();
    assert_eq!(report["admitted"], true, "{report}");
    report
}

#[test]
fn what_filter_new_begins_in_rust_builds_and_passes_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["http", "tcp"] {
        let name = format!("begun-{kind}");
        printed(CHANCERY, &["filter", "new", &name, "--kind", kind], folder.path());
        let project = folder.path().join(&name);
        let tests = printed(env!("CARGO"), &["test", "--quiet", "--tests"], &project);
        assert!(tests.contains("2 passed"), "{tests}");
        let report = built(&project, &["--config", "config.json"]);
        // A dry run asks about requests, of which a filter of connections knows nothing.
        let tried = if kind == "http" { "started, 3 requests" } else { "started; a request failed" };
        assert_eq!(report["dry_run"], tried, "{report}");
        assert!(project.join(format!("build/{name}.wasm")).is_file());
        assert_eq!(report["withheld"], json!(["set state", "call proxy"]));
    }
}

#[test]
fn what_filter_new_begins_in_go_builds_and_passes_its_tests() {
    let folder = tempfile::tempdir().unwrap();
    printed(CHANCERY, &["filter", "new", "begun", "--lang", "go"], folder.path());
    let project = folder.path().join("begun");
    printed("go", &["test", "./..."], &project);
    let report = built(&project, &["--config", "config.json"]);
    assert_eq!(report["uses"], json!(["read body"]));
    assert_eq!(report["dry_run"], "started, 3 requests", "{report}");
}

#[test]
fn what_filter_new_begins_in_assemblyscript_builds() {
    let folder = tempfile::tempdir().unwrap();
    printed(CHANCERY, &["filter", "new", "begun", "--lang", "assemblyscript"], folder.path());
    let project = folder.path().join("begun");
    let report = built(&project, &["--config", "config.json"]);
    assert_eq!(report["uses"], json!([]));
    assert_eq!(report["dry_run"], "started, 3 requests", "{report}");
    let arguments = ["filter", "run", "build/begun.wasm", "--config", "config.json"];
    let run = |agent: &str| {
        let header = format!("user-agent: {agent}");
        printed(CHANCERY, &[&arguments[..], &["--request", "GET /", "--header", &header]].concat(), &project)
    };
    assert!(run("curl/8").contains("answer 403"));
    assert!(!run("Firefox").contains("answer"));
}

#[test]
fn a_project_that_does_not_build_leaves_no_module() {
    let folder = tempfile::tempdir().unwrap();
    printed(CHANCERY, &["filter", "new", "wrong", "--lang", "go"], folder.path());
    let project = folder.path().join("wrong");
    fs::create_dir(project.join("build")).unwrap();
    fs::write(project.join("build/wrong.wasm"), "of before").unwrap();
    fs::write(project.join("filter.go"), "package main\n\nfunc main() { nothing() }\n").unwrap();
    let output = run(CHANCERY, &["filter", "build"], &project);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("undefined: nothing"), "{said}");
    assert!(said.contains("error: the filter does not build: `go build"), "{said}");
    assert!(!project.join("build/wrong.wasm").exists());
}

/// The module of an example with its bounds, built once for all tests.
fn example(path: &str, may: &[&str]) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    // A copy, so that nothing is written beside the sources; but the SDK is where it is.
    let folder = cache().join(path);
    fs::create_dir_all(&folder).unwrap();
    let source = root().join(path);
    let copied = Command::new("cp").arg("-r").arg(source.join(".")).arg(&folder).status().unwrap();
    assert!(copied.success());
    let manifest = folder.join("Cargo.toml");
    if let Ok(text) = fs::read_to_string(&manifest) {
        let sdk = root().join("sdk").canonicalize().unwrap();
        fs::write(&manifest, text.replace("../../sdk", sdk.to_str().unwrap())).unwrap();
    }
    let config = folder.join("config.json");
    let mut options = Vec::new();
    if config.is_file() {
        options.extend(["--config", "config.json"]);
    }
    options.extend(may.iter().flat_map(|words| ["--may", words]));
    built(&folder, &options);
    let module = folder.join("build").join(source.file_name().unwrap()).with_extension("wasm");
    let bounded = folder.join("build/bounded.wasm");
    let admission = admit(&fs::read(module).unwrap(), &Terms::default());
    fs::write(&bounded, admission.module.unwrap().bytes).unwrap();
    bounded
}

/// An Envoy that answers each request behind the filter.
async fn start(module: &Path, configuration: &str) -> (Envoy, SocketAddr) {
    let mut filter = wasm_filter("example", module, configuration);
    let config = filter.pointer_mut("/typed_config/config").unwrap().as_object_mut().unwrap();
    config.insert("allow_on_headers_stop_iteration".to_owned(), json!(true));
    let listener = answering_listener("in", vec![filter], json!({}));
    let envoy = Envoy::start(tempfile::tempdir().unwrap(), json!({"listeners": [listener]})).await.unwrap();
    let address = envoy.listener("in").await.unwrap();
    (envoy, address)
}

async fn post(address: SocketAddr, header: (&str, &str), body: &str) -> Response<Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{address}/x")).header(header.0, header.1);
    let request = request.body(Full::from(body.to_owned())).unwrap();
    timeout(PATIENCE, client.request(request)).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_example_in_rust_does_each_request_once() {
    let module = example("examples/filter-in-rust", &["share data"]);
    let (envoy, address) = start(&module, r#"{"remember_seconds": 60}"#).await;
    let status = async |key| post(address, ("idempotency-key", key), "{}").await.status().as_u16();
    assert_eq!(status("a").await, 200);
    assert_eq!(status("a").await, 409);
    assert_eq!(status("b").await, 200);
    assert_eq!(status("").await, 400);
    let stats = envoy.stats("wasmcustom.once").await.unwrap();
    assert_eq!(stats.get("wasmcustom.once.repeated"), Some(&1));
    envoy.stop().await.unwrap();
}

#[tokio::test]
async fn the_example_in_go_lets_signed_webhooks_pass() {
    let module = example("examples/filter-in-go", &["read body"]);
    let (envoy, address) = start(&module, r#"{"secret": "It's a Secret to Everybody"}"#).await;
    // The example of GitHub's documentation.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let large = "x".repeat(2 << 20);
    let status = async |signature, body| {
        post(address, ("x-hub-signature-256", signature), body).await.status().as_u16()
    };
    assert_eq!(status(signature, "Hello, World!").await, 200);
    assert_eq!(status(signature, "Hello, world!").await, 401);
    assert_eq!(status("sha256=00", "Hello, World!").await, 401);
    assert_eq!(status(signature, &large).await, 413);
    // The garbage collector has something to do.
    for _ in 0..200 {
        assert_eq!(status(signature, "Hello, World!").await, 200);
    }
    let stats = envoy.stats("wasmcustom.webhooks").await.unwrap();
    assert_eq!(stats.get("wasmcustom.webhooks.refused"), Some(&3));
    envoy.stop().await.unwrap();
}

#[tokio::test]
async fn the_example_in_assemblyscript_says_how_long_it_took() {
    let module = example("examples/filter-in-assemblyscript", &[]);
    let (envoy, address) = start(&module, "").await;
    for _ in 0..200 {
        let response = post(address, ("a", "b"), "").await;
        let timing = response.headers().get("server-timing").unwrap().to_str().unwrap();
        let milliseconds = timing.strip_prefix("app;dur=").unwrap();
        assert!(milliseconds.parse::<u64>().unwrap() < 60_000, "{timing}");
    }
    envoy.stop().await.unwrap();
}
