//! What is redacted is found nowhere: requests with secrets in every place and form go through a mesh whose policies
//! redact them, and all that both sidecars and the control plane print, count and tell is searched.
//!
//! `CHANCERY_SECRET_ENTRIES` sets how many entries of logs are searched, `CHANCERY_SECRET_SEED` which secrets are sent.

#![expect(clippy::print_stdout, reason = "how much was searched is shown")]

use crate::command_line::transcript::CHANCERY;
use anyhow::{Context, Result, ensure};
use chancery_tests::mesh::client::Client;
use chancery_tests::mesh::process::Process;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use chancery_tests::random::Random;
use chancery_tests::secrets::{self, Search, WORD};
use std::path::Path;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Entries without another wish: of two sidecars.
const ENTRIES: u64 = 2_000;
const SEED: u64 = 1;
/// Clients at once, each with a connection that it keeps.
const CLIENTS: u64 = 8;
/// What Envoy tells of itself.
const ADMINISTRATION: [&str; 6] =
    ["/stats", "/stats/prometheus", "/config_dump", "/clusters?format=json", "/listeners", "/certs"];

/// Policies that look at secrets, count by them and say them in lines; and what redacts all of that.
const POLICIES: &str = r#"
auth orders on service shop/orders {
  read:  allow GET, POST /orders/**, /users/**, /failing/**
  wrong: deny when headers["x-api-key"].contains("1") || query["token"].endsWith("2") respond 401 "wrong key"
}
auth stricter on mesh {
  mode shadow
  cards: deny when headers["x-card"].contains("3")
}
traffic orders-traffic on service shop/orders {
  keys: limit 1/s burst 3 per headers["x-api-key"], headers["authorization"]
  set request header x-user = headers["x-email"]
  by-key: route when headers["x-api-key"].contains("4") -> service shop/orders
  timeout 20s when headers["user-agent"].contains("5")
  retry 1 on 5xx when headers["x-card"].contains("6")
}
log redacted on mesh {
  redact headers["authorization"], query["token"] with drop
  redact headers["x-email"], headers["referer"] with hash
  redact headers["x-card"], headers["x-api-key"], headers["cookie"], headers["user-agent"] with mask
  redact request.id, headers["x-forwarded-for"], query["other"] with hash
}
log curious on service shop/orders {
  fields headers["authorization"], query["token"] as token, query["other"] as other
  fields headers["x-email"].lowerAscii() as email, headers["x-card"].substring(0, 12) as card
  fields headers["x-api-key"] as key, headers["user-agent"] as agent
  fields headers["referer"] as referer, headers["x-forwarded-for"] as way, request.id as id
  fields headers["x-email"] == "a" ? headers["x-card"] : headers["x-email"] as either
  fields size(headers["x-card"]) as card-size
}
"#;

/// What is said of secrets where nothing redacts them.
const NOT_REDACTED: &str = "log curious on service shop/orders { fields headers[\"x-email\"] as email }";

fn wished(name: &str, else_: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is `{text}`, which is no number")),
        Err(_) => Ok(else_),
    }
}

/// What was searched, and what was found in it.
#[derive(Debug, Default)]
struct Found {
    search: Search,
    entries: u64,
    lines: u64,
    answers: u64,
    texts: u64,
    /// Lines and texts with a secret, the first of them.
    shown: Vec<String>,
    count: u64,
}

/// So much is shown of what was found.
const SHOWN_MAX: usize = 5;

impl Found {
    fn look_at(&mut self, text: &str) {
        if self.search.finds_in(text) {
            self.count += 1;
            if self.shown.len() < SHOWN_MAX {
                self.shown.push(text.chars().take(4_000).collect());
            }
        }
    }

    fn look_at_lines(&mut self, process: &Process) {
        for line in process.take_lines() {
            self.lines += 1;
            self.entries += u64::from(line.contains("\"target\":\"access\""));
            self.look_at(&line);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_is_found_nowhere() -> Result<()> {
    let entries = wished("CHANCERY_SECRET_ENTRIES", ENTRIES)?;
    let seed = wished("CHANCERY_SECRET_SEED", SEED)?;
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await?;
    let web = Member::new("shop/web", "web")?.calling(&["shop/orders"])?;
    let [web, orders] = mesh.join([web, Member::new("shop/orders", "orders")?]).await?;
    mesh.apply(POLICIES).await?;

    let mut found = Found::default();
    let begun = Instant::now();
    let mut clients = send(web.outbound("shop/orders")?, entries / 2, seed);
    while !clients.is_empty() || found.entries < entries / 2 * 2 {
        while let Some(answers) = clients.try_join_next() {
            let (answers, leaks) = answers??;
            found.answers += answers;
            leaks.iter().for_each(|leak| found.look_at(leak));
        }
        [&web.process, &orders.process].into_iter().for_each(|process| found.look_at_lines(process));
        ensure!(
            !clients.is_empty()
                || found.entries >= entries / 2 * 2
                || begun.elapsed() < PATIENCE + PATIENCE * entries as u32 / 10_000,
            "{} of {entries} entries are in the logs",
            found.entries
        );
        sleep(LOOK_AGAIN).await;
    }
    look_everywhere(&mut mesh, [&web, &orders], &mut found).await?;
    println!(
        "CHANCERY_SECRET_SEED={seed}: {} in {} entries, {} lines, {} answers and {} texts, {:?}",
        found.count,
        found.entries,
        found.lines,
        found.answers,
        found.texts,
        begun.elapsed()
    );
    assert_eq!(found.count, 0, "{:#?}", found.shown);

    // Who does not redact is found out.
    mesh.apply(NOT_REDACTED).await?;
    mesh.delete("redacted").await?;
    let told = Request::get("/orders/1").header("x-email", &format!("a@{WORD}"));
    web.call("shop/orders", &told).await?;
    let deadline = Instant::now() + PATIENCE;
    while found.count == 0 && Instant::now() < deadline {
        found.look_at_lines(&orders.process);
        sleep(LOOK_AGAIN).await;
    }
    assert_eq!(found.count, 1, "{:#?}", found.shown);
    Ok(())
}

/// Sends so many requests; gives how many were answered, and what was answered by sidecars alone.
fn send(to: std::net::SocketAddr, requests: u64, seed: u64) -> JoinSet<Result<(u64, Vec<String>)>> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let count = requests / CLIENTS + u64::from(number < requests % CLIENTS);
        clients.spawn(async move {
            let mut random = Random::new(seed.wrapping_mul(CLIENTS).wrapping_add(number));
            let mut client = Client::new(to);
            let search = Search::default();
            let mut leaks = Vec::new();
            for _ in 0..count {
                let request = secrets::request(&mut random, false);
                let answer = client.ask(&request, 0).await?;
                let text = format!("{answer:?}");
                // What the application says is its own affair: it repeats what it was asked.
                if answer.asked().is_null() && search.finds_in(&text) {
                    leaks.push(format!("answered: {text}"));
                }
            }
            Ok((count, leaks))
        });
    }
    clients
}

/// Searches what sidecars and the control plane tell who asks them.
async fn look_everywhere(mesh: &mut Mesh, sidecars: [&Sidecar; 2], found: &mut Found) -> Result<()> {
    let file = mesh.folder().join("policies.writ").display().to_string();
    std::fs::write(&file, POLICIES)?;
    for sidecar in sidecars {
        for path in ADMINISTRATION {
            let text = sidecar.admin(path).await?;
            found.look_at(&text);
            found.texts += 1;
        }
        let id = sidecar.id();
        let request = "GET /orders/1 from service shop/web";
        for command in [
            vec!["snapshot", &id],
            vec!["status"],
            vec!["proxies"],
            vec!["explain", request, &file, "--on", "service", "shop/orders"],
        ] {
            let output = mesh.run(&command).await?;
            ensure!(output.status.code().is_some_and(|code| code <= 1), "{command:?}: {output:?}");
            found.look_at(&String::from_utf8_lossy(&output.stdout));
            found.look_at(&String::from_utf8_lossy(&output.stderr));
            found.texts += 1;
        }
    }
    let control_plane = mesh.control_plane()?;
    found.look_at_lines(control_plane);
    Ok(())
}
