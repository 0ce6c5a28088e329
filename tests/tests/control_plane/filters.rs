//! Filters that are kept by a control plane: pushed, shown, refused and deleted, as people see it.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use super::process::{ControlPlane, Ended};
use chancery_control::cli::exit::Exit;
use chancery_control::server::api::client::{Client, ClientError};
use chancery_control::server::api::types::{
    FilterBody, FilterList, FilterSourceBody, PushRequest, PushResponse, RetiredFilterBody,
};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A module that does nothing, told from others by a letter.
pub(super) fn module(letter: char) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 64) "{letter}")
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#
    );
    wat::parse_str(text).unwrap()
}

/// One with a start section, which crashes Envoy.
fn harmful() -> Vec<u8> {
    wat::parse_str(
        r#"(module (memory (export "memory") 1) (func $start) (start $start)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )
    .unwrap()
}

fn request(version: &str, module: &[u8]) -> PushRequest {
    use base64::Engine as _;
    PushRequest {
        name: "guard".to_owned(),
        version: version.to_owned(),
        module: base64::engine::general_purpose::STANDARD.encode(module),
        source: FilterSourceBody::File("a.wasm".to_owned()),
        may: None,
        configuration: None,
        signature: None,
        dry_run: false,
    }
}

/// A folder with modules, keys and the data of a control plane where there is no Envoy.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("a.wasm"), module('a')).unwrap();
        fs::write(place.path("b.wasm"), module('b')).unwrap();
        fs::write(place.path("harmful.wasm"), harmful()).unwrap();
        place
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) async fn start(&self, options: &[&str]) -> ControlPlane {
        ControlPlane::start_without_envoy(&self.0.path().join("data"), options).await
    }
}

async fn push(plane: &ControlPlane, file: &str, id: &str, more: &[&str]) -> Ended {
    let (name, version) = id.split_once('@').unwrap();
    let push = ["filter", "push", file, "--name", name, "--version", version];
    plane.run(&[&push[..], more].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_is_pushed_shown_and_deleted() {
    let place = Place::new();
    let plane = place.start(&[]).await;
    let none = plane.run(&["filter", "list"]).await;
    assert_eq!(none.stdout, "there is no filter; push one with `chancery filter push`\n");

    let dry = push(&plane, &place.path("a.wasm"), "guard@1.0.0", &["--dry-run"]).await;
    assert!(dry.stdout.contains("filter guard@1.0.0 would be pushed; nothing was changed"), "{}", dry.stdout);
    let pushed = push(&plane, &place.path("a.wasm"), "guard@1.0.0", &[]).await;
    assert_eq!(pushed.exit, Exit::Well, "{}", pushed.stderr);
    let note = "note: the module was not tried in an Envoy: there is none where the control plane runs";
    assert!(pushed.stdout.starts_with(note), "{}", pushed.stdout);
    for line in ["filter guard@1.0.0 pushed\n  sha256   ", "  dry run  started, 3 requests\n"] {
        assert!(pushed.stdout.contains(line), "{}", pushed.stdout);
    }
    let again = push(&plane, &place.path("a.wasm"), "guard@1.0.0", &[]).await;
    assert!(again.stdout.contains("was pushed before; nothing was changed"), "{}", again.stdout);
    let other = push(&plane, &place.path("b.wasm"), "guard@1.0.0", &[]).await;
    assert_eq!(other.exit, Exit::Refused);
    assert!(other.stderr.contains("was pushed before with other bytes"), "{}", other.stderr);
    assert!(other.stderr.contains("help: push it as another version"), "{}", other.stderr);
    push(&plane, &place.path("b.wasm"), "guard@1.10.0", &["--may", "read body"]).await;
    push(&plane, &place.path("b.wasm"), "guard@1.2.0", &[]).await;

    let list = plane.run(&["filter", "list"]).await;
    assert_eq!(list.stdout, "FILTER  HIGHEST  VERSIONS  POLICIES\nguard   1.10.0   3         0\n");
    let shown = plane.run(&["filter", "show", "guard"]).await;
    for line in [
        "guard@1.10.0\n",
        "  from         the file b.wasm\n",
        "  may          read body\n",
        "  envoy        not tried\n",
    ] {
        assert!(shown.stdout.contains(line), "{}", shown.stdout);
    }
    let json = plane.run(&["filter", "show", "guard@1.0.0", "-o", "json"]).await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["version"], &json["source"]), (&json!("1.0.0"), &json!({"file": "a.wasm"})));

    let deleted = plane.run(&["filter", "delete", "guard", "1.2.0"]).await;
    assert_eq!(deleted.stdout, "filter guard@1.2.0 deleted\n");
    let versions = plane.run(&["filter", "versions", "guard"]).await;
    let words: Vec<&str> =
        versions.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(words, ["VERSION", "1.0.0", "1.10.0", "1.2.0"], "{}", versions.stdout);
    assert!(versions.stdout.lines().last().unwrap().contains("deleted 20"), "{}", versions.stdout);
    let other = push(&plane, &place.path("a.wasm"), "guard@1.2.0", &[]).await;
    assert!(other.stderr.contains("with other bytes"), "not even after it was deleted: {}", other.stderr);
    let gone = plane.run(&["filter", "show", "guard@1.2.0"]).await;
    assert_eq!(gone.exit, Exit::Refused);
    let audit = plane.run(&["get", "audit"]).await;
    assert!(audit.stdout.contains("push filter `guard@1.10.0`"), "{}", audit.stdout);
    assert!(audit.stdout.contains("delete filter `guard@1.2.0`"), "{}", audit.stdout);
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_harmful_or_no_filter_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let plane = place.start(&[]).await;
    let refused = push(&plane, &place.path("harmful.wasm"), "guard@1.0.0", &[]).await;
    assert_eq!(refused.exit, Exit::BadInput);
    assert!(refused.stderr.contains("error[F105]"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("the module is refused: 1 error; nothing was changed"),
        "{}",
        refused.stderr
    );
    let admin = plane.admin();
    let code = async |request: &PushRequest| match admin.post::<PushResponse>("/v1/filters", request).await {
        Err(ClientError::Refused { body, .. }) => body.code,
        other => unreachable!("{other:?}"),
    };
    assert_eq!(
        code(&PushRequest { name: "../guard".to_owned(), ..request("1.0.0", b"") }).await,
        "bad-request"
    );
    assert_eq!(code(&request("1.0", &module('a'))).await, "bad-request");
    assert_eq!(code(&PushRequest { module: "!".to_owned(), ..request("1.0.0", b"") }).await, "bad-request");
    let may = Some(vec!["call proxy".to_owned()]);
    assert_eq!(code(&PushRequest { may, ..request("1.0.0", &module('a')) }).await, "bad-request");
    assert_eq!(code(&request("1.0.0", b"hello")).await, "bad-module");
    let large = vec![0; 9 << 20];
    assert_eq!(code(&request("1.0.0", &large)).await, "bad-module");
    let list: FilterList = admin.get("/v1/filters").await.unwrap();
    assert_eq!(list.filters, []);
    let audit = plane.run(&["get", "audit"]).await;
    assert!(!audit.stdout.contains("filter"), "{}", audit.stdout);

    let reader = plane.run(&["token", "--role", "reader"]).await;
    let context = place.path("reader.json");
    fs::write(&context, &reader.stdout).unwrap();
    let as_reader = async |arguments: &[&str]| ControlPlane::run_with(Path::new(&context), arguments).await;
    let file = place.path("a.wasm");
    let push = ["filter", "push", &file, "--name", "guard", "--version", "1.0.0"];
    assert_eq!(as_reader(&push).await.exit, Exit::Refused);
    assert_eq!(as_reader(&[&push[..], &["--dry-run"]].concat()).await.exit, Exit::Well);
    assert_eq!(as_reader(&["filter", "list"]).await.exit, Exit::Well);
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_signed_by_a_trusted_key_is_admitted_where_keys_are_named() {
    let place = Place::new();
    for name in ["release", "other"] {
        let made = ControlPlane::run_with(Path::new("none"), &["filter", "keygen", &place.path(name)]).await;
        assert!(made.stdout.starts_with("key "), "{}", made.stderr);
    }
    let taken =
        ControlPlane::run_with(Path::new("none"), &["filter", "keygen", &place.path("release")]).await;
    assert_eq!(taken.exit, Exit::BadInput);
    let plane = place.start(&["--filter-keys", &place.path("release.pem")]).await;
    let file = place.path("a.wasm");
    let (release, other) = (place.path("release.key"), place.path("other.key"));
    let unsigned = push(&plane, &file, "guard@1.0.0", &[]).await;
    assert_eq!(unsigned.exit, Exit::Refused);
    assert!(unsigned.stderr.contains("the filter is not signed"), "{}", unsigned.stderr);
    let strange = push(&plane, &file, "guard@1.0.0", &["--sign", &other]).await;
    assert!(strange.stderr.contains("good with none of the keys"), "{}", strange.stderr);
    let signed = push(&plane, &file, "guard@1.0.0", &["--sign", &release]).await;
    assert!(signed.stdout.contains("  signed   by release ("), "{}{}", signed.stdout, signed.stderr);
    let shown = plane.run(&["filter", "show", "guard@1.0.0"]).await;
    assert!(shown.stdout.contains("  signed by    release ("), "{}", shown.stdout);
    plane.terminate().await;
}

/// Pushes versions one after the other until the control plane is gone; gives those that were acknowledged.
async fn push_until_gone(client: Client) -> Vec<String> {
    let mut done = Vec::new();
    for number in 0..2_000 {
        let version = format!("{number}.0.0");
        let module = module(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        match client.post::<PushResponse>("/v1/filters", &request(&version, &module)).await {
            Ok(response) => done.push(response.filter.version),
            Err(ClientError::Unreachable { .. } | ClientError::Untrusted { .. }) => return done,
            Err(other) => unreachable!("{other}"),
        }
        if number % 3 == 2 {
            // If nobody answers it may be gone all the same.
            done.pop();
            let path = format!("/v1/filters/guard/{version}");
            let _gone = client.delete::<RetiredFilterBody>(&path).await;
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_was_acknowledged_survives_kill_9_with_its_module() {
    let place = Place::new();
    let plane = place.start(&[]).await;
    let writing = tokio::spawn(push_until_gone(plane.admin()));
    let admin = plane.admin();
    while admin.get::<FilterList>("/v1/filters").await.unwrap().filters.len() < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    plane.kill().await;
    let acknowledged = writing.await.unwrap();
    // The store checks when it is opened that each filter has its modules.
    let plane = place.start(&[]).await;
    let list: FilterList = plane.admin().get("/v1/filters").await.unwrap();
    let versions: Vec<&String> = list.filters.iter().map(|FilterBody { version, .. }| version).collect();
    for version in &acknowledged {
        assert!(versions.contains(&version), "{version} was acknowledged, there are {versions:?}");
    }
    plane.terminate().await;
}
