//! What an operator asks a mesh that runs: lists in all their forms, what changes in them, and one thing whole.

use super::Shop;
use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, ensure};
use chancery_tests::mesh::process::Process;
use chancery_tests::mesh::wire::Request;
use serde_json::Value;

const POLICIES: &str = "auth orders on service shop/orders {\n  read: allow GET /orders/**\n  \
    otherwise deny respond 403 \"denied by the policy {policy} of shop/orders\"\n}\n\
    auth v2 on workload shop { version: \"v2\" } { extra: allow GET /v2 }\n\
    traffic ledger on service pay/ledger { timeout 2s }\n";

/// What a command prints that ends so.
async fn said(shop: &Shop, arguments: &[&str], code: i32) -> Result<String> {
    let output = shop.mesh.run(arguments).await?;
    let text = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(output.status.code() == Some(code), "{arguments:?}: {}\n{text}", output.status);
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_listed_watched_and_described() -> Result<()> {
    let shop = Shop::start().await;
    let context = shop.mesh.folder().join("control-plane/admin.json").display().to_string();
    let arguments = ["--context", &context, "get", "policy", "--watch"].map(str::to_owned);
    let mut watch = Process::start("get --watch", CHANCERY.as_ref(), &arguments)?;
    shop.mesh.apply(POLICIES).await?;
    watch.until_line(|line| line.starts_with("v2 ").then_some(())).await?;

    // A caller learns why where a policy says so.
    let denied = shop.frontend.ask(&shop.orders, &Request::get("/x")).await?;
    assert_eq!((denied.status, denied.body), (403, "denied by the policy orders of shop/orders".to_owned()));

    // What is in force explains itself, and says who decides so.
    let request = "GET /x from service shop/frontend";
    let on = ["--on", "service", "shop/orders", "--live"];
    let explain = [&["explain", request][..], &on].concat();
    let text = said(&shop, &explain, 2).await?;
    ensure!(text.contains("differ in labels, such as version=v1 and version=v2"), "{text}");
    let text = said(&shop, &[&explain[..], &["--label", "version=v2"]].concat(), 0).await?;
    for line in [
        "deny 403 by orders/otherwise ",
        "allow v2/extra ",
        "\nin force: revision 1\nshop/orders/orders-2: decides by it (ready)\n",
    ] {
        ensure!(text.contains(line), "no `{line}` in\n{text}");
    }
    let json =
        said(&shop, &[&explain[..], &["--label", "version=v1", "--format", "json"]].concat(), 0).await?;
    let json: Value = serde_json::from_str(&json)?;
    ensure!(json.pointer("/sidecars/0/id") == Some(&Value::from("shop/orders/orders-1")), "{json}");

    // The forms of a list.
    let table = said(&shop, &["get", "policy"], 0).await?;
    ensure!(table.starts_with("POLICY  MODE     ON  ") && !table.contains("LINE"), "{table}");
    let wide = said(&shop, &["get", "proxies", "-o", "wide"], 0).await?;
    ensure!(wide.contains("APPLICATION") && wide.contains("version=v2"), "{wide}");
    let json: Value = serde_json::from_str(&said(&shop, &["get", "policy", "-o", "json"], 0).await?)?;
    let yaml = said(&shop, &["get", "policy", "-o", "yaml"], 0).await?;
    ensure!(json.pointer("/policies/0/name") == Some(&Value::from("ledger")), "{json}");
    ensure!(yaml.contains("name: ledger") && yaml.contains("revision: 1"), "{yaml}");
    let one = said(&shop, &["get", "policy", "v2", "-o", "yaml"], 0).await?;
    ensure!(one.contains("- shop/orders/orders-2") && !one.contains("- shop/orders/orders-1"), "{one}");
    let services = said(&shop, &["get", "service"], 0).await?;
    let row =
        |name: &str| services.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let orders: Vec<String> = row("shop/orders").split_whitespace().map(str::to_owned).collect();
    assert_eq!(orders, ["shop/orders", "2", "2", "0", "pay/ledger,", "shop/frontend"], "{services}");
    for kind in ["token", "audit", "filter"] {
        said(&shop, &["get", kind, "-o", "yaml"], 0).await?;
        said(&shop, &["get", kind, "-o", "wide"], 0).await?;
    }

    // One thing whole.
    let policy = said(&shop, &["describe", "policy", "orders"], 0).await?;
    for line in
        ["policy orders\n", "  applied      2", "  heeded by    4 sidecars\n", "read: allow GET /orders/**"]
    {
        ensure!(policy.contains(line), "no `{line}` in\n{policy}");
    }
    let proxy = said(&shop, &["describe", "proxy", "shop/orders/orders-2"], 0).await?;
    for line in ["  labels       version=v2\n", "  state        ready\n", "  policies     orders, v2\n"] {
        ensure!(proxy.contains(line), "no `{line}` in\n{proxy}");
    }
    let service = said(&shop, &["describe", "service", "shop/orders"], 0).await?;
    for line in ["  replicas     2, of which 2 get requests and 0 are away\n", "  policies     orders, v2\n"]
    {
        ensure!(service.contains(line), "no `{line}` in\n{service}");
    }
    let frontend = said(&shop, &["describe", "proxy", "shop/frontend/frontend", "-o", "json"], 0).await?;
    let frontend: Value = serde_json::from_str(&frontend)?;
    let heeded = frontend.get("policies").and_then(Value::as_array).cloned().unwrap_or_default();
    let heeded: Vec<&str> = heeded.iter().filter_map(|policy| policy.get("name")?.as_str()).collect();
    assert_eq!(heeded, ["ledger", "orders"], "a caller heeds the policies of what it calls");
    for (kind, name, help) in [
        ("policy", "order", "there is no policy `order`"),
        ("proxy", "shop/orders", "write NAMESPACE/SERVICE/INSTANCE"),
        ("proxy", "shop/orders/9", "`chancery proxies` lists those that have"),
        ("service", "shop/order", "`chancery get service` lists the services"),
    ] {
        let output = shop.mesh.run(&["describe", kind, name]).await?;
        let text = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success() && text.contains(help), "{text}");
    }

    // What is counted, of the mesh and of requests; a change of the policies takes nothing of it away.
    let metrics: String = shop.mesh.admin()?.get_text("/metrics").await?;
    for line in [
        "chancery_revision 1\n",
        "chancery_store_writable 1\n",
        "chancery_sidecars_ready{namespace=\"shop\",service=\"orders\"} 2\n",
        "chancery_sidecars_behind{namespace=\"pay\",service=\"ledger\"} 0\n",
    ] {
        ensure!(metrics.contains(line), "no `{line}` in\n{metrics}");
    }
    // What is watched changes, goes, and ends well.
    shop.mesh.delete("v2").await?;
    watch.until_line(|line| (line == "v2 is gone").then_some(())).await?;
    chancery_tests::mesh::process::signal("INT", watch.pid()?).await?;
    assert_eq!(watch.until_ended().await?.code(), Some(0));
    Ok(())
}

fn has(said: &str, lines: &[&str]) -> Result<()> {
    for line in lines {
        ensure!(said.contains(line), "no `{line}` in\n{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_what_is_wrong_on_each_machine() -> Result<()> {
    let Shop { mut mesh, frontend, mut orders, orders_2: _others, ledger: _ledger } = Shop::start().await;
    let data = mesh.folder().join("control-plane").display().to_string();
    let doctor =
        async |mesh: &chancery_tests::mesh::Mesh, arguments: &[&str]| -> Result<(Option<i32>, String)> {
            let output = mesh.run(&[&["doctor"][..], arguments].concat()).await?;
            Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
        };
    let (code, said) = doctor(&mesh, &[]).await?;
    has(
        &said,
        &[
            "ok       context ",
            "ok       clock          as that of",
            "4 connected, 4 on revision 0",
            "\n0 wrong, 0 to look at\n",
        ],
    )?;
    assert_eq!(code, Some(0), "{said}");
    let listen = mesh.context()?.url.replace("https://", "");
    let of_plane = ["control-plane", "--data-dir", &data, "--listen", &listen];
    let (code, said) = doctor(&mesh, &of_plane).await?;
    has(
        &said,
        &[
            "a control plane runs here",
            "readable by its owner alone",
            &format!("{listen} is in use by process "),
        ],
    )?;
    assert_eq!(code, Some(0), "{said}");

    // The machine of a sidecar that runs, and of one whose port, token and application are not as they should be.
    let metrics = orders.metrics().await?;
    for part in ["chancery_envoy_up 1\n", "# TYPE envoy_", "envoy_server_live"] {
        ensure!(metrics.contains(part), "no `{part}` in\n{metrics}");
    }
    let (inbound, application) = (orders.inbound()?.to_string(), orders.application().to_string());
    let both = format!("{inbound}:{application}");
    let file = |name: &str| mesh.folder().join(name).display().to_string();
    let (token, own) = (file("orders-1.token"), file("orders-1"));
    let of_orders = ["sidecar", "--service", "shop/orders", "--token-file", &token, "--inbound", &both];
    let running = [&of_orders[..], &["--data-dir", &own]].concat();
    let (code, said) = doctor(&mesh, &running).await?;
    has(
        &said,
        &[
            "this sidecar runs",
            "ok       certificate    shop/orders/orders-1 for ",
            &format!("answers at {application}"),
            "others can read ",
        ],
    )?;
    assert_eq!(code, Some(0), "{said}");
    orders.application_mut().stop().await;
    let other = file("another");
    let wrong = [&of_orders[..], &["--data-dir", &other, "--instance", "another"]].concat();
    let (code, said) = doctor(&mesh, &wrong).await?;
    has(
        &said,
        &[
            "this sidecar does not run",
            &format!("WRONG    inbound        {inbound} is in use by process "),
            &format!("WRONG    application    does not answer at {application}: "),
            "ok       control plane  answers at ",
        ],
    )?;
    assert_eq!(code, Some(1), "{said}");
    let strange = [
        "sidecar",
        "--service",
        "shop/cart",
        "--token-file",
        &token,
        "--outbound",
        "shop/orders@127.0.0.1:1",
    ];
    let (code, said) = doctor(&mesh, &[&strange[..], &["--data-dir", &other]].concat()).await?;
    has(
        &said,
        &[
            "WRONG    token          it is for the service shop/orders",
            "chancery token --service shop/cart -o ",
        ],
    )?;
    assert_eq!(code, Some(1), "{said}");

    // Somebody is away, and nobody is where somebody calls.
    drop(frontend);
    mesh.until_status(None, |status| status.away == 1).await?;
    let (_, said) = doctor(&mesh, &[]).await?;
    has(&said, &["warning  sidecars       away: shop/frontend/frontend\n", "`chancery proxies evict`"])?;
    mesh.kill_control_plane().await?;
    let (code, said) = doctor(&mesh, &[]).await?;
    has(&said, &["WRONG    control plane  the control plane at https://127.0.0.1:", "is it running?"])?;
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = doctor(
        &mesh,
        &["sidecar", "--service", "shop/orders", "--token-file", &token, "--outbound", "a/b@127.0.0.1:7"],
    )
    .await?;
    has(&said, &["cannot be reached", "--control-plane HOST:PORT"])?;
    assert_eq!(code, Some(1), "{said}");
    drop(orders);
    Ok(())
}
