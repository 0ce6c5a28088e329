//! `examples/observability`: a real Prometheus scrapes a mesh with the example's files, and is asked every question of the dashboard
//! and of the alerts.

use crate::command_line::transcript::CHANCERY;
use crate::tidy::file;
use anyhow::{Context as _, Result, ensure};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{Member, Mesh, ports};
use chancery_tests::prometheus::{Prometheus, check_rules};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const POLICIES: &str = "auth orders on service shop/orders {\n  read: allow GET /orders\n  no: deny GET /exports\n}\n\
    traffic few on service shop/orders {\n  few: limit 1/m burst 2\n}\n\
    sink audit {\n  file \"audit.jsonl\"\n}\n\
    log all on service shop/orders {\n  sample 100%\n  send to audit\n}\n";

/// The queries of the dashboard, with a time in the place of what Grafana fills in.
fn questions() -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(&file("examples/observability/dashboard.json").text)?;
    let panels = dashboard.get("panels").and_then(Value::as_array).context("no panels")?;
    let targets = panels.iter().filter_map(|panel| panel.get("targets")?.as_array()).flatten();
    let queries = targets.filter_map(|target| target.get("expr")?.as_str());
    Ok(queries.map(|query| query.replace("$__rate_interval", "1m")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_answers_what_the_dashboard_and_the_alerts_ask() -> Result<()> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let said_at = [ports::free()?, ports::free()?].map(|address| address.to_string());
    let [web, _orders] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?.option("--readiness", &said_at[0]),
            Member::new("shop/orders", "orders")?.option("--readiness", &said_at[1]),
        ])
        .await?;
    mesh.apply(POLICIES).await?;

    // The files of the example, where this machine has them.
    let folder = tempfile::tempdir()?;
    let place = folder.path().display().to_string();
    let reader: Value = serde_json::from_slice(&mesh.run(&["token", "--role", "reader"]).await?.stdout)?;
    for (name, field) in [("token", "token"), ("ca.pem", "ca_pem")] {
        let text = reader.get(field).and_then(Value::as_str).context("no reader's context")?;
        fs::write(folder.path().join(name), text)?;
    }
    let groups: Vec<Value> = said_at
        .iter()
        .zip(["web", "orders"])
        .map(|(target, service)| json!({"targets": [target], "labels": {"namespace": "shop", "service": service}}))
        .collect();
    fs::write(folder.path().join("sidecars.json"), json!(groups).to_string())?;
    let control_plane = mesh.context()?.url.replace("https://", "");
    let settings = file("examples/observability/prometheus.yml").text;
    let settings = settings.replace("/etc/prometheus/chancery", &place).replace("15s", "1s");
    let settings = settings.replace("control.example:5680", &control_plane);
    fs::write(folder.path().join("prometheus.yml"), settings)?;
    let rules = folder.path().join("alerts.yml");
    fs::write(&rules, file("examples/observability/alerts.yml").text)?;
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    check_rules(&rules, cache).await?;
    let prometheus = Prometheus::start(&folder.path().join("prometheus.yml"), cache).await?;

    let up = prometheus.until_some("count(up == 1) == 3").await?;
    ensure!(up.len() == 1, "{up:?}");
    // A counter is there once it has counted, and a rate once it was seen twice.
    let requests = ["/exports", "/orders", "/orders", "/orders", "/orders"];
    for path in requests {
        web.call("shop/orders", &Request::get(path)).await?;
    }
    let questions = questions()?;
    ensure!(questions.len() > 10, "{questions:?}");
    for question in &questions {
        prometheus.until_some(question).await?;
    }
    let limited =
        prometheus.until_some("sum by (namespace, service, policy, statement) (writ_limited)").await?;
    let labels = limited.first().and_then(|series| series.get("metric")).cloned();
    assert_eq!(
        labels,
        Some(json!({"namespace": "shop", "service": "orders", "policy": "few", "statement": "few"}))
    );

    // Nothing is wrong, and each alert is a question that is understood.
    let alerts = file("examples/observability/alerts.yml").text;
    let expressions: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    ensure!(expressions.len() >= 7, "{expressions:?}");
    for expression in expressions {
        let found = prometheus.query(expression).await?;
        ensure!(found.is_empty(), "{expression} is so in a mesh that is well: {found:?}");
    }

    // A change of the policies takes nothing away of what was counted before it.
    let counted = "sum(writ_limited)";
    let value =
        |found: &[Value]| -> Option<f64> { found.first()?.pointer("/value/1")?.as_str()?.parse().ok() };
    let before = value(&prometheus.until_some(counted).await?).context("no number")?;
    mesh.apply(&POLICIES.replace("/exports", "/export")).await?;
    web.call("shop/orders", &Request::get("/orders")).await?;
    prometheus.until_some(&format!("{counted} > {before}")).await?;

    // Alerts ask for what there is: a sidecar that is gone is seen by those that are about it.
    drop(web);
    for expression in [
        "up{job=\"chancery-sidecars\"} == 0",
        "chancery_sidecars_registered - chancery_sidecars_connected > 0",
    ] {
        ensure!(alerts.contains(expression), "no alert asks {expression}");
        prometheus.until_some(expression).await?;
    }
    Ok(())
}
