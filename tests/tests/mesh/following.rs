//! Whoever follows logs sees what is denied, as it happens, and nothing that a policy redacts; and what a shadow would
//! decide is counted.

use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use tokio::time::{Instant, sleep};

const POLICIES: &str = r#"
auth orders on service shop/orders {
  read: allow GET /api/** from service shop/frontend
  otherwise deny respond 403 "no"
}
auth strict on service shop/orders {
  mode shadow
  slow: deny /api/slow
}
log orders-log on service shop/orders {
  redact source.principal with mask
}
"#;

/// Runs a command, and calls the service meanwhile until that has ended.
async fn while_calling(mesh: &Mesh, caller: &Sidecar, paths: &[&str], arguments: &[&str]) -> Output {
    let calling = async {
        loop {
            for path in paths {
                caller.call("shop/orders", &Request::get(path)).await.unwrap();
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        output = mesh.run(arguments) => output.unwrap(),
        () = calling => unreachable!("calls have no end"),
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_is_seen_by_whoever_follows() {
    let mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
    let orders = Member::new("shop/orders", "orders").unwrap();
    let [frontend, _orders] = mesh.join([frontend, orders]).await.unwrap();
    mesh.apply(POLICIES).await.unwrap();

    let paths = ["/api/1", "/secret?token=seeded", "/api/slow"];
    let follow = async |more: &[&str]| {
        let arguments: Vec<&str> = ["logs", "--follow"].iter().chain(more).copied().collect();
        said(&while_calling(&mesh, &frontend, &paths, &arguments).await)
    };
    let on_orders = ["--on", "service", "shop/orders"];

    // As JSON: the denials alone, whole, and redacted.
    let json = [&on_orders[..], &["--denied", "--policy", "orders", "--count", "2", "-o", "json"]].concat();
    let text = follow(&json).await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in &lines {
        assert_eq!(line["proxy"], "shop/orders/orders", "{line}");
        let entry = &line["entry"];
        let told = [&entry["path"], &entry["rule"], &entry["decision"], &entry["principal"]];
        assert_eq!(told, ["/secret", "orders/otherwise", "otherwise-denied", "***"], "{line}");
        assert_eq!(entry["code"], 403, "{line}");
    }
    assert!(!text.contains("seeded") && !text.contains("shop/sa/frontend"), "{text}");

    // For people; and what a shadow would have decided.
    let text = follow(&[&on_orders[..], &["--denied", "--count", "1"]].concat()).await;
    assert!(
        text.contains("*** -> shop/orders GET /secret 403 otherwise-denied by orders/otherwise\n"),
        "{text}"
    );
    let text = follow(&["--shadow", "--policy", "strict", "--count", "1"]).await;
    assert!(text.contains("GET /api/slow 200 allowed by orders/read (shadow: strict/slow)\n"), "{text}");

    // The caller's sidecar knows no denial; what it sends is seen without the word.
    let text = follow(&["--on", "service", "shop/frontend", "--count", "1"]).await;
    assert!(text.contains(" shop/frontend -> shop/orders GET "), "{text}");
    let text = follow(&["--on", "namespace", "sho", "--for", "1s"]).await;
    assert_eq!(text, "", "nobody is followed");

    // Counted over the mesh, with an example, and refused where there is no shadow.
    let shadow: &[&str] = &["shadow", "strict", "--examples", "1", "--for", "50s"];
    let text = said(&while_calling(&mesh, &frontend, &paths, shadow).await);
    assert!(text.contains("GET /api/slow 200 allowed by orders/read (shadow: strict/slow)\n"), "{text}");
    let deadline = Instant::now() + PATIENCE;
    let counted = loop {
        for path in paths {
            frontend.call("shop/orders", &Request::get(path)).await.unwrap();
        }
        let text = said(&mesh.run(&["shadow", "strict", "-o", "json"]).await.unwrap());
        let counted: Value = serde_json::from_str(&text).unwrap();
        if counted["rules"] != serde_json::json!([]) || Instant::now() > deadline {
            break counted;
        }
        sleep(LOOK_AGAIN).await;
    };
    let rule = &counted["rules"][0];
    assert_eq!((&rule["rule"], &rule["would"]), (&"strict/slow".into(), &"deny".into()), "{counted}");
    assert!(rule["requests"].as_u64().is_some_and(|count| count > 0), "{counted}");
    assert_eq!((&rule["sidecars"], counted["rules"].as_array().unwrap().len()), (&1.into(), 1), "{counted}");
    for policy in ["orders", "nowhere"] {
        let output = mesh.run(&["shadow", policy]).await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }

    let output = mesh.run(&["logs", "--follow", "--on", "workload", "shop"]).await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = mesh.run(&["logs"]).await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
