//! Sinks in a real mesh: lines reach files and receivers of OTLP, whole and without secrets; one that is away costs no
//! request; and no sink that is missing, nor a change of sinks, changes anything else.

#![expect(clippy::indexing_slicing, reason = "what is not there ends the test")]

use crate::command_line::transcript::CHANCERY;
use anyhow::{Result, bail};
use chancery_tests::mesh::load::{Call, Load};
use chancery_tests::mesh::receiver::{Receiver, Record};
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar, ports};
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tokio::time::{Instant, sleep};

const AUTH: &str = r"auth orders on service shop/orders {
  read: allow GET /orders/**
}
";

/// What every sink below shows of each request, and never shows.
const REDACTED: &str = r#"
  fields headers["authorization"] as bearer, headers["x-email"] as user, query["token"] as token
  redact headers["authorization"], query["token"] with drop
  redact headers["x-email"] with hash
"#;

/// A caller and what it calls, with these policies.
async fn start(policies: &str) -> Result<(Mesh, Sidecar, Sidecar)> {
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders"])?;
    let [web, orders] = mesh.join([web, Member::new("shop/orders", "orders")?]).await?;
    mesh.apply(&format!("{AUTH}{policies}")).await?;
    Ok((mesh, web, orders))
}

/// The lines of a file once there are so many.
async fn lines(sidecar: &Sidecar, file: &str, count: usize) -> Result<Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(sidecar.logs().join(file)).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        if lines.len() >= count {
            assert!(text.ends_with('\n'), "{text}");
            return Ok(lines);
        }
        if Instant::now() > deadline {
            bail!("{file} has {} of {count} lines: {text}", lines.len());
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// A request with secrets wherever one can be.
fn secretive(method: &str) -> Request {
    Request::new(method, "/orders/7?token=secret-token")
        .header("authorization", "Bearer secret-bearer")
        .header("x-email", "secret@shop.example")
}

/// What a counter of sinks says, once it is as wished.
async fn counted(
    sidecar: &mut Sidecar,
    sink: &str,
    outcome: &str,
    wish: impl Fn(u64) -> bool,
) -> Result<u64> {
    let line = format!("chancery_sink_lines_total{{sink=\"{sink}\",outcome=\"{outcome}\"}} ");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = sidecar.metrics().await?;
        let counted = text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok());
        match counted {
            Some(count) if wish(count) => return Ok(count),
            _ if Instant::now() > deadline => bail!("`{line}` is not as wished: {text}"),
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_reach_all_their_sinks_and_no_other_and_show_no_secret() -> Result<()> {
    let receiver = Receiver::start("127.0.0.1:0".parse()?).await?;
    let sinks = format!(
        "sink audit {{ file \"audit.jsonl\" }}\nsink otel {{ otlp \"{}\" }}\nlog l on mesh {{ {REDACTED} send to audit }}\n",
        receiver.address
    );
    let later = "log m on service shop/orders { sample 100% when response.code >= 100 send to otel }\n";
    let (mesh, web, mut orders) = start(&format!("{sinks}{later}")).await?;
    assert_eq!(web.call("shop/orders", &secretive("GET")).await?.status, 200);
    assert_eq!(web.call("shop/orders", &secretive("PUT")).await?.status, 403);

    let records = receiver.until(2).await?;
    let lines_of_file = lines(&orders, "audit.jsonl", 2).await?;
    let bodies: Vec<Value> =
        records.iter().map(|record| serde_json::from_str(&record.body)).collect::<Result<_, _>>()?;
    assert_eq!(bodies, lines_of_file);
    let [passed, denied] = &records[..] else { bail!("{records:#?}") };
    check_record(passed, [("rule", "orders/read"), ("decision", "allowed"), ("code", "200")]);
    check_record(denied, [("rule", "default-deny"), ("decision", "default-denied"), ("code", "403")]);
    assert_eq!(lines_of_file[0]["user"].as_str().map(str::len), Some(32), "{lines_of_file:#?}");
    // Nothing of it is in the log of the sidecar, and no secret is anywhere.
    sleep(10 * LOOK_AGAIN).await;
    assert_eq!(orders.entries(), Vec::<Value>::new());
    let mut all = format!("{records:?}{lines_of_file:?}{}", orders.metrics().await?);
    for path in ["/stats", "/config_dump"] {
        all.push_str(&orders.admin(path).await?);
    }
    all.push_str(&orders.process.lines(|line| Some(line.to_owned())).join("\n"));
    all.push_str(&String::from_utf8(mesh.run(&["snapshot", &orders.id()]).await?.stdout)?);
    assert!(!all.contains("secret-") && !all.contains("secret@"), "{all}");

    // What goes to standard output goes there, too; and no listener changed for any of it.
    let before = orders.stats("listener_manager.listener_modified").await?;
    mesh.apply(&format!("{AUTH}{sinks}log m on service shop/orders {{ send to stdout }}\n")).await?;
    assert_eq!(web.call("shop/orders", &secretive("GET")).await?.status, 200);
    assert_eq!(lines(&orders, "audit.jsonl", 3).await?.len(), 3);
    let entry = &orders.entries_after(0, 1).await?[0];
    assert_eq!((&entry["rule"], &entry["revision"]), (&"orders/read".into(), &"2".into()));
    assert_eq!(orders.stats("listener_manager.listener_modified").await?, before);
    assert_eq!(counted(&mut orders, "file:audit.jsonl", "dropped", |_| true).await?, 0);
    assert_eq!(counted(&mut orders, "file:audit.jsonl", "written", |count| count >= 3).await?, 3);
    assert_eq!(receiver.records().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_a_service_gets_lines_as_its_sidecar_allows() -> Result<()> {
    let receiver = Receiver::start("127.0.0.1:0".parse()?).await?;
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let [web, orders, otel] = mesh
        .join([
            Member::new("shop/web", "web")?.calling(&["shop/orders"])?,
            Member::new("shop/orders", "orders")?.calling(&["ops/otel"])?,
            Member::new("ops/otel", "otel")?.before(format!("{}/h2c", receiver.address)),
        ])
        .await?;
    mesh.apply(&format!(
        "{AUTH}auth collector on service ops/otel {{ lines: allow POST /*/Export from service shop/orders }}
sink otel {{ otlp \"{}\" }}
log l on service shop/orders {{ {REDACTED} send to otel }}",
        orders.outbound("ops/otel")?
    ))
    .await?;
    assert_eq!(web.call("shop/orders", &secretive("GET")).await?.status, 200);
    let records = receiver.until(1).await?;
    check_record(&records[0], [("rule", "orders/read"), ("decision", "allowed"), ("code", "200")]);
    assert!(!format!("{records:?}").contains("secret"), "{records:?}");
    // It came by both sidecars, as a request of the one who logs.
    let line = &otel.entries_after(0, 1).await?[0];
    assert_eq!((&line["rule"], &line["code"]), (&"collector/lines".into(), &200.into()), "{line:#}");
    assert_eq!(line["principal"], "spiffe://chancery.local/ns/shop/sa/orders", "{line:#}");
    Ok(())
}

fn check_record(record: &Record, expected: [(&str, &str); 3]) {
    let common = [
        ("direction", "inbound"),
        ("principal", "spiffe://chancery.local/ns/shop/sa/web"),
        ("target", "shop/orders"),
        ("revision", "1"),
    ];
    for (name, value) in expected.into_iter().chain(common) {
        assert_eq!(record.attributes.get(name).map(String::as_str), Some(value), "{name}: {record:#?}");
    }
    let resource =
        [("service.namespace", "shop"), ("service.name", "orders"), ("service.instance.id", "orders")];
    let resource: BTreeMap<String, String> =
        resource.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(record.resource, resource);
    assert!(record.time_unix_nano > 1_600_000_000_000_000_000, "{record:#?}");
}

const CALLS: [Call; 2] = [
    Call { method: Method::GET, path: "/orders/1", statuses: &[200] },
    Call { method: Method::POST, path: "/orders/1", statuses: &[403] },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_over_tls_is_who_the_authorities_say() -> Result<()> {
    let (known, certificate) = Receiver::start_with_tls("127.0.0.1:0".parse()?).await?;
    let (stranger, _) = Receiver::start_with_tls("127.0.0.1:0".parse()?).await?;
    let mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let authorities = mesh.folder().join("authorities.pem");
    std::fs::write(&authorities, certificate)?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders"])?;
    let orders = Member::new("shop/orders", "orders")?.option("--log-ca", &authorities.display().to_string());
    let [web, mut orders] = mesh.join([web, orders]).await?;
    mesh.apply(&format!(
        "{AUTH}sink known {{ otlp \"https://{}\" }}\nsink stranger {{ otlp \"https://{}\" }}\n\
         log l on service shop/orders {{ send to known send to stranger }}\n",
        known.address, stranger.address
    ))
    .await?;
    assert_eq!(web.call("shop/orders", &Request::get("/orders/1")).await?.status, 200);
    assert_eq!(known.until(1).await?.len(), 1);
    assert_eq!(
        counted(&mut orders, &format!("otlp:https://{}", known.address), "written", |count| count > 0)
            .await?,
        1
    );
    // Who cannot be known is told nothing.
    assert_eq!(
        counted(&mut orders, &format!("otlp:https://{}", stranger.address), "written", |_| true).await?,
        0
    );
    assert!(stranger.records().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_or_hangs_costs_no_request_and_gets_what_waited() -> Result<()> {
    let address = ports::free()?;
    let policies = format!("sink otel {{ otlp \"{address}\" }}\nlog l on mesh {{ send to otel }}\n");
    let (_mesh, web, mut orders) = start(&policies).await?;
    let sink = format!("otlp:{address}");

    // Nobody is there.
    let load = Load::start(web.outbound("shop/orders")?, &CALLS);
    while load.so_far().sent() < 200 {
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(counted(&mut orders, &sink, "written", |_| true).await?, 0);
    // Somebody who takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind(address).await?;
    let before = load.so_far().sent();
    while load.so_far().sent() < before + 200 {
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(counted(&mut orders, &sink, "written", |_| true).await?, 0);
    drop(silent);
    // It is there: what waited is not lost.
    let receiver = Receiver::start(address).await?;
    receiver.until(1).await?;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    let sent = usize::try_from(tally.sent())?;
    // What came to a batch twice stands there twice.
    assert!(receiver.until(sent).await?.len() >= sent);
    assert_eq!(
        counted(&mut orders, &sink, "written", |written| written >= tally.sent()).await?,
        tally.sent()
    );
    assert_eq!(counted(&mut orders, &sink, "dropped", |_| true).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_is_counted_and_stalls_nothing() -> Result<()> {
    let policies = "sink audit { file \"audit.jsonl\" }\nlog l on mesh { send to audit }\n";
    let (mesh, web, mut orders) = start("").await?;
    let file = orders.logs().join("audit.jsonl");
    assert!(Command::new("mkfifo").arg(&file).status()?.success());
    mesh.apply(&format!("{AUTH}{policies}")).await?;
    let load = Load::start(web.outbound("shop/orders")?, &CALLS);
    counted(&mut orders, "file:audit.jsonl", "dropped", |dropped| dropped >= 100).await?;
    assert_eq!(counted(&mut orders, "file:audit.jsonl", "written", |_| true).await?, 0);
    // A file in its place is written; and one that is moved away, as `logrotate` does, is followed by another.
    std::fs::remove_file(&file)?;
    counted(&mut orders, "file:audit.jsonl", "written", |written| written >= 10).await?;
    std::fs::rename(&file, orders.logs().join("audit.jsonl.older"))?;
    lines(&orders, "audit.jsonl", 10).await?;
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_change_under_load_and_no_request_fails() -> Result<()> {
    let receiver = Receiver::start("127.0.0.1:0".parse()?).await?;
    let (mesh, web, orders) = start("").await?;
    let load = Load::start(web.outbound("shop/orders")?, &CALLS);
    for round in 0..3 {
        for sink in
            [format!("file \"{round}.jsonl\""), format!("otlp \"{}\"", receiver.address), "stdout".into()]
        {
            // The policy stays as it is, and only what it names changes.
            let policies = format!("{AUTH}sink s {{ {sink} }}\nlog l on mesh {{ sample 100% send to s }}\n");
            mesh.apply(&policies).await?;
        }
        lines(&orders, &format!("{round}.jsonl"), 1).await?;
    }
    let tally = load.finish().await;
    assert_eq!(tally.failed, 0, "{:#?}", tally.failures);
    assert!(!receiver.until(1).await?.is_empty());
    assert_eq!(orders.stats("listener_manager.listener_modified").await?.values().sum::<u64>(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_missing_is_an_error_and_changes_nothing() -> Result<()> {
    let (mesh, ..) = start("").await?;
    let apply = async |text: &str| {
        let file = mesh.folder().join("p.writ");
        std::fs::write(&file, text)?;
        let output = mesh.run(&["apply", "-f", &file.display().to_string()]).await?;
        let said = [output.stdout, output.stderr].concat();
        Ok::<_, anyhow::Error>((output.status.success(), String::from_utf8(said)?))
    };
    let sends = "log l on mesh { send to audit }\n";
    let (taken, said) = apply(sends).await?;
    assert!(!taken && said.contains("E252") && said.contains("there is no sink `audit`"), "{said}");
    assert!(said.contains("p.writ:1:25") && said.contains("sink audit { file \"audit.jsonl\" }"), "{said}");
    let (taken, said) = apply("sink audit { stdout }\nsink audit { file \"a\" }\n").await?;
    assert!(!taken && said.contains("E201"), "{said}");
    // One that nothing is sent to is said to be so; and then a policy of another file may send to it.
    let (taken, said) = apply("sink audit { file \"audit.jsonl\" }\n").await?;
    assert!(taken && said.contains("W140"), "{said}");
    let (taken, said) = apply(sends).await?;
    assert!(taken && !said.contains("W140"), "{said}");
    let revision = mesh.status(None).await?.revision;
    // It cannot go while it is used.
    let output = mesh.run(&["delete", "policy", "audit"]).await?;
    let said = String::from_utf8(output.stderr)?;
    assert!(!output.status.success() && said.contains("E252"), "{said}");
    assert_eq!(mesh.status(None).await?.revision, revision);
    let shown = String::from_utf8(mesh.run(&["get", "policy"]).await?.stdout)?;
    let line = shown.lines().find(|line| line.starts_with("audit")).unwrap();
    assert!(line.contains("file \"audit.jsonl\"") && line.contains("sink"), "{shown}");
    mesh.delete("l").await?;
    mesh.delete("audit").await?;
    Ok(())
}
