//! What is redacted is found nowhere: requests with secrets in every place and form go through a mesh whose policies
//! redact them, and all that both sidecars and the control plane print, count and tell is searched, and all that sinks and whoever follows the logs get.
//!
//! `CHANCERY_SECRET_ENTRIES` sets how many entries of logs are searched, `CHANCERY_SECRET_SEED` which secrets are sent.

#![expect(clippy::print_stdout, reason = "how much was searched is shown")]

use crate::command_line::transcript::CHANCERY;
use anyhow::{Context, Result, ensure};
use chancery_tests::mesh::client::Client;
use chancery_tests::mesh::process::Process;
use chancery_tests::mesh::receiver::Receiver;
use chancery_tests::mesh::wire::Request;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use chancery_tests::random::Random;
use chancery_tests::secrets::{self, Search, WORD};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
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
  remove request header x-api-key
  set response header x-told = response.code == 404 ? headers["referer"] : "nothing"
  by-key: route when headers["x-api-key"].contains("4") -> service shop/orders
  timeout 20s when headers["user-agent"].contains("5")
  retry 1 on 5xx when headers["x-card"].contains("6")
}
log redacted on mesh {
  redact headers["authorization"], query["token"] with drop
  redact request.path with hash
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
  fields size(headers["x-card"]) as card-size, request.path.contains("7") as seventh
  fields response.code >= 400 ? headers["x-card"] : headers["referer"] as shown, response.headers["x-told"] == headers["referer"] as told
  sample 100% when response.code >= 400 || headers["x-email"].contains("8")
  sample 100%
  send to stdout
  send to audit
  send to otel
}
log sent on service shop/web outbound {
  fields request.path as where, headers["x-email"] as email, response.code == 200 ? headers["x-card"] : request.path as either
}
sink audit { file "audit.jsonl" }
"#;

/// A header that a policy takes from each request.
const DROPPED: &str = "x-api-key";

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
    /// Lines that somebody follows.
    followed: u64,
    /// Lines in a file, and records of a receiver.
    sunk: Sunk,
    /// Lines and texts with a secret, the first of them.
    shown: Vec<String>,
    count: u64,
}

/// What sinks got.
#[derive(Debug, Default)]
struct Sunk {
    lines: u64,
    records: u64,
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

    /// Searches what sinks got since they were asked last.
    fn look_at_sinks(&mut self, file: &mut BufReader<File>, receiver: &Receiver) -> Result<()> {
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            self.sunk.lines += 1;
            self.look_at(&String::from_utf8_lossy(&line));
            line.clear();
        }
        for record in receiver.take() {
            self.sunk.records += 1;
            self.look_at(&format!("{record:?}"));
        }
        Ok(())
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
    let [web, mut orders] = mesh.join([web, Member::new("shop/orders", "orders")?]).await?;
    let counting = [orders.says_at().await?];
    let receiver = Receiver::start("127.0.0.1:0".parse()?).await?;
    let policies = format!("{POLICIES}sink otel {{ otlp \"{}\" }}\n", receiver.address);
    mesh.apply(&policies).await?;
    let told = Request::get("/orders/1");
    web.call("shop/orders", &told).await?;
    let file = orders.logs().join("audit.jsonl");
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    let mut file = BufReader::new(File::open(file)?);

    let mut found = Found::default();
    let (followed, mut following) = follow(&mesh).await?;
    let begun = Instant::now();
    let enough = Arc::new(AtomicBool::new(false));
    let mut clients = send(web.outbound("shop/orders")?, &enough, seed);
    while !clients.is_empty() {
        while let Some(answers) = clients.try_join_next() {
            let (answers, leaks) = answers??;
            found.answers += answers;
            leaks.iter().for_each(|leak| found.look_at(leak));
        }
        [&web.process, &orders.process].into_iter().for_each(|process| found.look_at_lines(process));
        found.look_at_sinks(&mut file, &receiver)?;
        enough.store(found.entries >= entries, Ordering::Relaxed);
        ensure!(
            begun.elapsed() < PATIENCE + PATIENCE * u32::try_from(entries / 1_000)?,
            "{} of {entries} entries are in the logs",
            found.entries
        );
        sleep(LOOK_AGAIN).await;
    }
    found.look_at_sinks(&mut file, &receiver)?;
    followed.abort();
    while let Some(line) = following.recv().await {
        found.followed += u64::from(line.contains("\"entry\""));
        found.look_at(&line);
    }
    for address in counting {
        let counted = Request::get("/metrics").send(TcpStream::connect(address).await?).await?;
        ensure!(counted.body.contains("chancery_sink_lines_total"), "{counted:?}");
        found.look_at(&counted.body);
    }
    look_everywhere(&mut mesh, [&web, &orders], &policies, &mut found).await?;
    println!(
        "CHANCERY_SECRET_SEED={seed}: {} in {} entries, {} lines, {:?} of sinks, {} followed, {} answers and {} texts, {:?}",
        found.count,
        found.entries,
        found.lines,
        found.sunk,
        found.followed,
        found.answers,
        found.texts,
        begun.elapsed()
    );
    assert_eq!(found.count, 0, "{:#?}", found.shown);
    assert!(found.sunk.lines > 0 && found.sunk.records > 0, "{:?}", found.sunk);
    assert!(found.followed > 0, "nothing was followed");

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

/// Follows the logs of the whole mesh; what comes waits to be searched.
async fn follow(mesh: &Mesh) -> Result<(JoinHandle<()>, mpsc::UnboundedReceiver<String>)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut lines = mesh.admin()?.lines("/v1/logs").await?;
    let following = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next().await {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok((following, receiver))
}

/// Sends requests until there are enough; gives how many were answered, and what was answered by sidecars alone.
fn send(
    to: std::net::SocketAddr,
    enough: &Arc<AtomicBool>,
    seed: u64,
) -> JoinSet<Result<(u64, Vec<String>)>> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let enough = enough.clone();
        clients.spawn(async move {
            let mut random = Random::new(seed.wrapping_mul(CLIENTS).wrapping_add(number));
            let mut client = Client::new(to);
            let search = Search::default();
            let (mut count, mut leaks) = (0, Vec::new());
            while !enough.load(Ordering::Relaxed) {
                let request = secrets::request(&mut random, true);
                let answer = client.ask(&request, 0).await?;
                count += 1;
                let text = format!("{answer:?}");
                // What the application says is its own affair: it repeats what it was asked.
                let asked = answer.asked();
                let keeps = asked.get("headers").is_some_and(|headers| headers.get(DROPPED).is_some());
                if keeps || (asked.is_null() && search.finds_in(&text)) {
                    leaks.push(format!("{WORD} answered: {text}"));
                }
            }
            Ok((count, leaks))
        });
    }
    clients
}

/// Searches what sidecars and the control plane tell who asks them.
async fn look_everywhere(
    mesh: &mut Mesh,
    sidecars: [&Sidecar; 2],
    policies: &str,
    found: &mut Found,
) -> Result<()> {
    let file = mesh.folder().join("policies.writ").display().to_string();
    std::fs::write(&file, policies)?;
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
