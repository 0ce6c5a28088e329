//! The control plane as a process: what it acknowledged survives `kill -9`, and the commands work with it.

mod process;

use chancery_control::api::client::ClientError;
use chancery_control::api::types::{ApplyRequest, ApplyResponse, FileBody, PolicyList};
use chancery_control::exit::Exit;
use process::ControlPlane;
use std::fs;
use std::time::Duration;

/// How often the control plane is killed.
const ROUNDS: u32 = 4;
/// How long it takes changes before it is killed; another time in each round.
const TIME_TO_LIVE_MS: u64 = 60;

fn policy(name: &str) -> String {
    format!("auth {name} on service shop/orders {{\n  read: allow GET /{name}/** from service shop/web\n}}\n")
}

fn apply(name: &str) -> ApplyRequest {
    let files = vec![FileBody { name: format!("{name}.writ"), text: policy(name) }];
    ApplyRequest { files, dry_run: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut revision = 0;
    for round in 0..ROUNDS {
        let plane = ControlPlane::start(folder.path()).await;
        let client = plane.admin();
        let writer = tokio::spawn(async move {
            let mut done = Vec::new();
            for number in 0.. {
                let name = format!("p{round}-{number}");
                match client.post::<ApplyResponse>("/v1/policies", &apply(&name)).await {
                    Ok(response) => done.push((name, response.revision)),
                    Err(ClientError::Unreachable { .. }) => break,
                    Err(other) => unreachable!("{other}"),
                }
            }
            done
        });
        tokio::time::sleep(Duration::from_millis(TIME_TO_LIVE_MS * u64::from(round + 1))).await;
        plane.kill().await;
        for (name, of) in writer.await.unwrap() {
            acknowledged.push(name);
            revision = of.max(revision);
        }

        let plane = ControlPlane::start(folder.path()).await;
        let list: PolicyList = plane.admin().get("/v1/policies").await.unwrap();
        assert!(list.revision >= revision, "revision {} after {revision} was acknowledged", list.revision);
        for name in &acknowledged {
            assert!(list.policies.iter().any(|policy| policy.name == *name), "`{name}` is lost");
        }
        plane.kill().await;
    }
    assert!(!acknowledged.is_empty(), "nothing was acknowledged before the first kill");
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
    let unknown = plane.run(&["snapshot", "shop/orders/1"]).await;
    assert_eq!(unknown.exit, Exit::Refused);
    plane.kill().await;
    let away = ControlPlane::run_with(folder.path().join("data/admin.json").as_path(), &["status"]).await;
    assert_eq!(away.exit, Exit::Failed);
    assert!(away.stderr.contains("cannot be reached") && away.stderr.contains("help:"), "{}", away.stderr);
}
