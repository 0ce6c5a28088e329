//! The control plane as a process: what it acknowledged survives `kill -9`, and the commands work with it.

mod filters;
mod history;
mod oci;
mod process;
mod strangers;

use chancery_control::cli::exit::Exit;
use chancery_control::server::api::client::{Client, ClientError, Credentials};
use chancery_control::server::api::types::{
    ApplyRequest, ApplyResponse, FileBody, PolicyList, Role, TokenRequest, TokenResponse,
};
use process::ControlPlane;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How often the control plane is killed, unless [`KILLS`] says otherwise.
const KILLS_DEFAULT: u32 = 5;
/// The variable that says how often the control plane is killed.
const KILLS: &str = "CHANCERY_TEST_KILLS";
/// How long it takes changes at least before it is killed; up to twice as long, another time in each round.
const TIME_TO_LIVE_MS: u64 = 100;
/// How long the first acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many write at the same time.
const WRITERS: usize = 4;

fn policy(name: &str) -> String {
    format!("auth {name} on service shop/orders {{\n  read: allow GET /{name}/** from service shop/web\n}}\n")
}

fn kills() -> u32 {
    std::env::var(KILLS).map_or(KILLS_DEFAULT, |text| text.parse().unwrap())
}

/// What was acknowledged: policies with the revision of their newest text, and ids of tokens.
#[derive(Default)]
struct Acknowledged {
    policies: BTreeMap<String, u64>,
    tokens: Vec<String>,
}

/// Changes a few policies over and over, and makes tokens, until the control plane is gone; tells `begun` of the
/// first that is acknowledged.
async fn write_until_gone(
    client: Client,
    writer: usize,
    round: u32,
    (begun, killed): (Arc<Semaphore>, CancellationToken),
) -> Acknowledged {
    let mut done = Acknowledged::default();
    for number in 0.. {
        if killed.is_cancelled() {
            break;
        }
        let name = format!("p{writer}-{}", number % 3);
        let text = policy(&name).replace("/**", &format!("/{round}/{number}"));
        let files = vec![FileBody { name: format!("{name}.writ"), text }];
        let request = ApplyRequest::of(files);
        match client.post::<ApplyResponse>("/v1/policies", &request).await {
            Ok(response) => {
                if done.policies.is_empty() {
                    begun.add_permits(1);
                }
                done.policies.insert(name, response.revision)
            }
            // On a busy machine a connection may take longer than a client waits: gone it is only when it was killed.
            Err(error) if is_gone(&error) => continue,
            Err(other) => unreachable!("{other}"),
        };
        let request = TokenRequest::Role { role: Role::Reader, lifetime_seconds: None };
        match client.post::<TokenResponse>("/v1/tokens", &request).await {
            Ok(response) => done.tokens.push(response.token),
            Err(error) if is_gone(&error) => {}
            Err(other) => unreachable!("{other}"),
        }
    }
    done
}

/// Whether the control plane is gone: nobody answers, or by now somebody else does, at a port that was free again.
fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { .. } | ClientError::Untrusted { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    let mut count = 0;
    for round in 0..kills() {
        let plane = ControlPlane::start(folder.path()).await;
        let begun = Arc::new(Semaphore::new(0));
        let killed = CancellationToken::new();
        let signs = || (begun.clone(), killed.clone());
        let write = |writer| tokio::spawn(write_until_gone(plane.admin(), writer, round, signs()));
        let writing: Vec<_> = (0..WRITERS).map(write).collect();
        tokio::time::timeout(PATIENCE, begun.acquire()).await.unwrap().unwrap().forget();
        let more = TIME_TO_LIVE_MS * u64::from(round * 37 % 101) / 100;
        tokio::time::sleep(Duration::from_millis(TIME_TO_LIVE_MS + more)).await;
        plane.kill().await;
        killed.cancel();
        for done in writing {
            let done = done.await.unwrap();
            count += done.policies.len() + done.tokens.len();
            acknowledged.policies.extend(done.policies);
            acknowledged.tokens.extend(done.tokens);
        }

        let plane = ControlPlane::start(folder.path()).await;
        let list: PolicyList = plane.admin().get("/v1/policies").await.unwrap();
        for (name, revision) in &acknowledged.policies {
            let found = list.policies.iter().find(|policy| policy.name == *name);
            let found = found.map_or(0, |policy| policy.revision);
            assert!(found >= *revision, "`{name}` is of revision {found}, {revision} was acknowledged");
        }
        for token in acknowledged.tokens.drain(..) {
            let reader = plane.client(Credentials::Token(token));
            reader.get::<PolicyList>("/v1/policies").await.unwrap();
        }
        plane.kill().await;
    }
    assert!(count >= kills() as usize, "{count} writes were acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_is_not_in_the_way_of_the_next() {
    for round in 0..kills() {
        let folder = tempfile::tempdir().unwrap();
        ControlPlane::start_and_kill_after(folder.path(), Duration::from_millis(u64::from(round * 7 % 61)))
            .await;
        ControlPlane::start(folder.path()).await.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_work_with_a_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(&folder.path().join("data")).await;
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("orders.writ"), policy("orders")).unwrap();
    let policies = policies.to_str().unwrap();

    let applied = plane.run(&["apply", "-f", policies, "--wait"]).await;
    assert_eq!(applied.exit, Exit::Well);
    assert_eq!(applied.stdout, "policy orders created\nrevision 1\n0/0 sidecars on revision 1\n");
    let again = plane.run(&["apply", "-f", policies, "--dry-run"]).await;
    assert_eq!(again.stdout, "policy orders unchanged\ndry run: revision 1 stays in force\n");
    let got = plane.run(&["get", "policy", "orders"]).await;
    assert_eq!(got.stdout, policy("orders"));
    let status = plane.run(&["status"]).await;
    assert!(status.stdout.starts_with("0/0 sidecars on revision 1; 1 policy;"), "{}", status.stdout);

    let token = plane.run(&["token", "--service", "shop/orders"]).await;
    assert_eq!(token.stdout.lines().count(), 1, "nothing but the token is on standard output");
    let reader = plane.run(&["token", "--role", "reader"]).await;
    let context = folder.path().join("reader.json");
    fs::write(&context, &reader.stdout).unwrap();
    let context = context.to_str().unwrap();
    let read = plane.run(&["--context", context, "get", "policy"]).await;
    assert!(read.stdout.contains("service shop/orders"), "{}", read.stdout);
    let refused = plane.run(&["--context", context, "delete", "policy", "orders"]).await;
    assert_eq!(refused.exit, Exit::Refused);
    assert!(refused.stderr.contains("needs the role `admin`"), "{}", refused.stderr);

    let deleted = plane.run(&["delete", "policy", "orders"]).await;
    assert_eq!(deleted.stdout, "policy orders deleted\nrevision 2\n");
    let audit = plane.run(&["get", "audit"]).await;
    assert!(audit.stdout.contains("delete policy `orders`"), "{}", audit.stdout);
    plane.terminate().await;
}

const ORDERS_AND_CART: &str = "\
# Sizes are numbers.
schema {
  header x-items: int
}

let large = headers[\"x-items\"] > 100

auth orders on service shop/orders {
  read:     allow GET /api/** from service shop/web
  no-large: deny when large
}

auth cart on service shop/cart {
  allow GET from service shop/web
}

test \"large orders are for nobody\" for orders {
  given GET /api/a from service shop/web with header x-items = \"101\" expect deny by no-large
}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_get_prints_changes_nothing_when_it_is_applied_again() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(&folder.path().join("data")).await;
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    plane.run(&["apply", "-f", &write("all.writ", ORDERS_AND_CART)]).await;
    let got = plane.run(&["get", "policy", "orders"]).await;
    assert_eq!((got.stdout.as_str(), got.stderr.as_str()), (ORDERS_AND_CART, ""));
    let again = plane.run(&["apply", "-f", &write("printed.writ", &got.stdout)]).await;
    assert_eq!(again.stdout, "policy cart unchanged\npolicy orders unchanged\n1 test passed\nrevision 1\n");

    let cart = "auth cart on service shop/cart {\n  allow GET, POST from service shop/web\n}\n";
    let moved = plane.run(&["apply", "-f", &write("cart.writ", cart)]).await;
    assert_eq!(moved.stdout, "policy cart changed\nrevision 2\n");
    let got = plane.run(&["get", "policy", "orders"]).await;
    assert!(got.stdout.contains("schema") && !got.stdout.contains("auth cart"), "{}", got.stdout);
    assert!(
        got.stderr.contains("note: the policy `cart` (") && got.stderr.contains("cart.writ`"),
        "{}",
        got.stderr
    );
    let again = plane.run(&["apply", "-f", &write("printed.writ", &got.stdout)]).await;
    assert_eq!(again.stdout, "policy orders unchanged\n1 test passed\nrevision 2\n");

    let dump = folder.path().join("dump");
    let dump = dump.to_str().unwrap();
    let dumped = plane.run(&["get", "policy", "--write", dump]).await;
    assert_eq!(dumped.stdout, format!("{dump}/orders.writ: orders\n{dump}/cart.writ: cart\nrevision 2\n"));
    let again = plane.run(&["apply", "-f", dump]).await;
    assert_eq!(again.stdout, "policy cart unchanged\npolicy orders unchanged\n1 test passed\nrevision 2\n");
    let full = plane.run(&["get", "policy", "--write", dump]).await;
    assert_eq!(full.exit, Exit::BadInput, "an older file in the folder would be applied with the others");
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_test_refuses_an_apply_and_the_audit_log_names_who_did_without() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(&folder.path().join("data")).await;
    let path = folder.path().join("all.writ");
    let file = path.to_str().unwrap();
    fs::write(&path, ORDERS_AND_CART).unwrap();
    plane.run(&["apply", "-f", file]).await;
    fs::write(&path, ORDERS_AND_CART.replace("> 100", "> 1000")).unwrap();
    for arguments in [&["apply", "-f", file][..], &["apply", "-f", file, "--dry-run"]] {
        let refused = plane.run(arguments).await;
        assert_eq!(refused.exit, Exit::BadInput);
        let expected = format!(
            "{file}:18: the test `large orders are for nobody` fails\n  \
             given GET /api/a from service shop/web with header x-items = \"101\" expect deny by no-large\n  \
             expected deny by no-large, got allow by orders/read\n\n\
             error: the policies are refused: 1 of 1 test fails; nothing was changed\n"
        );
        assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
        assert!(refused.stderr.contains("help: correct the policy, or the test"), "{}", refused.stderr);
    }
    let status = plane.run(&["status"]).await;
    assert!(status.stdout.contains("on revision 1;"), "{}", status.stdout);

    let forced = plane.run(&["apply", "-f", file, "--no-tests"]).await;
    assert_eq!(forced.stdout, "policy cart changed\npolicy orders changed\ntests not run\nrevision 2\n");
    let audit = plane.run(&["get", "audit"]).await;
    let said = "apply policies `cart`, `orders` without running their tests";
    assert!(audit.stdout.contains(said), "{}", audit.stdout);

    let guard = "auth gate on service shop/orders { deny from namespace evil }\n\
                 test \"both\" for gate, orders { given GET /api/a from service shop/web expect allow }\n";
    let beside = folder.path().join("gate.writ");
    fs::write(&beside, guard).unwrap();
    plane.run(&["apply", "-f", beside.to_str().unwrap()]).await;
    let deleted = plane.run(&["delete", "policy", "orders"]).await;
    assert_eq!(deleted.exit, Exit::Well);
    assert!(deleted.stderr.contains("note: the test `both` ("), "{}", deleted.stderr);
    assert!(
        deleted
            .stderr
            .contains("does not count any more: it is about policy `orders`, which is not in force")
    );
    plane.terminate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_policy_ends_with_2_and_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(&folder.path().join("data")).await;
    let file = folder.path().join("wrong.writ");
    fs::write(&file, "auth orders on service shop/orders {\n  alow GET\n}\n").unwrap();
    let refused = plane.run(&["apply", "-f", file.to_str().unwrap()]).await;
    assert_eq!(refused.exit, Exit::BadInput);
    assert!(refused.stderr.contains("wrong.writ:2:3"), "{}", refused.stderr);
    assert!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
    let manifest = folder.path().join("istio.yaml");
    fs::write(&manifest, "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n").unwrap();
    let foreign = plane.run(&["apply", "-f", manifest.to_str().unwrap()]).await;
    assert_eq!((foreign.exit, foreign.stderr.matches("error[").count()), (Exit::BadInput, 1));
    assert!(foreign.stderr.contains("error[E118]"), "{}", foreign.stderr);
    let unknown = plane.run(&["snapshot", "shop/orders/1"]).await;
    assert_eq!(unknown.exit, Exit::Refused);
    plane.kill().await;
    let away = ControlPlane::run_with(folder.path().join("data/admin.json").as_path(), &["status"]).await;
    assert_eq!(away.exit, Exit::Failed);
    assert!(away.stderr.contains("cannot be reached") && away.stderr.contains("help:"), "{}", away.stderr);
}
