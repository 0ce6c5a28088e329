//! What a change costs the control plane, and how long it takes, among few and among many sidecars.
//! `docs/performance.md` says how to read it.
//!
//! `CHANCERY_BENCH_SIDECARS` (such as `100,1000,4000,10000`) and `CHANCERY_BENCH_ROUNDS` set how much is measured.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

mod sidecar;

use anyhow::{Context, Result, bail};
use chancery_control::server::api::client::{Client, ClientError};
use chancery_control::server::api::types::{
    ApplyRequest, ApplyResponse, FileBody, InboundBody, JoinRequest, OutboundBody, ProxyStatement,
    StatusResponse,
};
use chancery_tests::cost::{cpu_time_ns, median, setting};
use chancery_tests::mesh::Mesh;
use sidecar::{Sidecar, Tally};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Sizes of the mesh without another wish.
const SIDECARS: &str = "100,1000,4000";
/// Rounds of each measurement without another wish.
const ROUNDS: usize = 7;
/// Services of the mesh.
const SERVICES: usize = 100;
/// Services that each sidecar calls.
const OUTBOUNDS: usize = 5;
/// Replicas and callers of the service that is the same among few and among many.
const PROBED: usize = 4;
const CALLING: usize = 16;
/// Sidecars that join at a time.
const JOINING: usize = 16;
/// Rules of each service's policy, and of the large ones.
const RULES: usize = 5;
const RULES_MANY: usize = 500;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the control plane is looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(3);
/// The control plane is quiet when it does nothing of note for so long.
const QUIET: Duration = Duration::from_millis(60);

fn main() -> Result<()> {
    let sizes = std::env::var("CHANCERY_BENCH_SIDECARS").unwrap_or_else(|_| SIDECARS.to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let rounds = setting("CHANCERY_BENCH_ROUNDS", ROUNDS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut all = Vec::new();
    for size in sizes {
        println!("{size} sidecars");
        all.push((size, runtime.block_on(measure(size, rounds))?));
    }
    println!("{}", table(&all));
    let large = runtime.block_on(large_policies(rounds))?;
    println!(
        "an apply for one service, {SERVICES} services of {RULES_MANY} rules: {large:.1} ms until it is answered"
    );
    Ok(())
}

/// The figures of one size by name, in the order of the table.
type Figures = Vec<(&'static str, f64)>;

/// Figures that are told as they come.
#[derive(Default)]
struct Shown(Figures);

impl Shown {
    fn push(&mut self, (name, value): (&'static str, f64)) {
        println!("  {name}: {value:.3}");
        self.0.push((name, value));
    }
}

/// Figures that should not depend on the size: their ratio to the first size is shown.
const FLAT: &[&str] = &["one service, CPU ms", "join, CPU ms"];

fn table(all: &[(usize, Figures)]) -> String {
    let mut text = format!("\n{:<44}", "sidecars");
    for (size, _) in all {
        text.push_str(&format!("{size:>12}"));
    }
    let Some((_, first)) = all.first() else { return text };
    for (at, (name, base)) in first.iter().enumerate() {
        text.push_str(&format!("\n{name:<44}"));
        let values = all.iter().filter_map(|(_, figures)| figures.get(at)).map(|(_, value)| *value);
        let values: Vec<f64> = values.collect();
        values.iter().for_each(|value| text.push_str(&format!("{value:>12.2}")));
        if FLAT.contains(name) {
            let ratios: Vec<String> = values.iter().map(|value| format!("{:.2}", value / base)).collect();
            text.push_str(&format!("   x {}", ratios.join(" ")));
        }
    }
    text
}

/// A mesh with simulated sidecars.
struct Scene {
    mesh: Mesh,
    admin: Client,
    tally: Arc<Tally>,
    tokens: BTreeMap<String, String>,
    sidecars: Vec<Sidecar>,
    /// CPU time of the control plane in a second in which nothing happens, in milliseconds.
    idle: f64,
}

async fn measure(size: usize, rounds: usize) -> Result<Figures> {
    let mut scene = Scene::start().await?;
    let mut figures = Shown::default();
    scene.apply(&wide(0)).await?;
    let before = scene.memory_kib()?;
    let (_, spent) = scene.spending(async |scene| scene.join_all(size).await).await?;
    figures.push(("all join, CPU ms of each", spent.cpu_ms / size as f64));
    scene.idle = scene.idle().await?;
    figures.push(("idle, CPU ms a second", scene.idle));
    figures.push(("memory of each, KiB", (scene.memory_kib()? - before) / size as f64));

    let (mut uniform, started) = (Spending::default(), rounds + 1);
    for round in 0..rounds {
        uniform.add(scene.change(&wide(round + 1)).await?);
    }
    figures.push(("mesh-wide, one program, CPU ms of each", median(&uniform.cpu_ms) / size as f64));
    figures.push(("mesh-wide, one program, ms to the last ACK", median(&uniform.elapsed_ms)));
    figures.push(("mesh-wide, KiB of each", median(&uniform.kib) / size as f64));

    for service in 0..SERVICES {
        scene.apply(&policy(service, RULES, 0)).await?;
    }
    scene.apply(&policy_of("probe", "probe/target", RULES, 0)).await?;
    scene.until(size, None).await?;
    scene.quiet().await?;
    let mut change = Spending::default();
    for round in 0..rounds {
        change.add(scene.change(&policy_of("probe", "probe/target", RULES, round + 1)).await?);
    }
    figures.push(("one service, CPU ms", median(&change.cpu_ms)));
    figures.push(("one service, ms to the last ACK", median(&change.elapsed_ms)));
    figures.push(("one service, KiB", median(&change.kib)));

    let mut joins = Spending::default();
    for round in 0..rounds {
        let (joined, spent) =
            scene.spending(async |scene| scene.joined("probe/target", 5_000 + round, &[]).await).await?;
        joins.add(spent);
        joined.leave().await?;
        scene.quiet().await?;
    }
    figures.push(("join, CPU ms", median(&joins.cpu_ms)));

    let mut grown = Spending::default();
    for round in 0..rounds {
        grown.add(scene.change(&policy(0, RULES, round + 1)).await?);
    }
    let told = (size - PROBED - CALLING).div_ceil(SERVICES).max(1) as f64;
    figures.push(("one of the services, CPU ms of each replica", median(&grown.cpu_ms) / told));
    let mut grown = Spending::default();
    for round in 0..rounds {
        let calls = calls(0);
        let (joined, spent) =
            scene.spending(async |scene| scene.joined("shop/s0", 5_000 + round, &calls).await).await?;
        grown.add(spent);
        joined.leave().await?;
        scene.quiet().await?;
    }
    figures.push(("join of one of the services, CPU ms", median(&grown.cpu_ms)));

    let mut various = Spending::default();
    for round in 0..rounds {
        various.add(scene.change(&wide(started + round)).await?);
    }
    figures.push(("mesh-wide, 102 programs, CPU ms", median(&various.cpu_ms)));
    figures.push(("mesh-wide, 102 programs, ms to the last ACK", median(&various.elapsed_ms)));

    scene.tally.refused.store(0, Ordering::Relaxed);
    scene.mesh.kill_control_plane().await?;
    let begun = Instant::now();
    scene.mesh.start_control_plane().await?;
    scene.until(size, None).await?;
    figures.push(("restart, s until all are back", begun.elapsed().as_secs_f64()));
    figures.push(("restart, streams refused", scene.tally.refused.load(Ordering::Relaxed) as f64));
    Ok(figures.0)
}

/// What applying one of many large policies takes, in milliseconds.
async fn large_policies(rounds: usize) -> Result<f64> {
    let mut scene = Scene::start().await?;
    scene.join_all(SERVICES).await?;
    for service in 0..SERVICES {
        scene.apply(&policy(service, RULES_MANY, 0)).await?;
    }
    let mut elapsed = Vec::new();
    for round in 0..rounds {
        let file = policy(0, RULES_MANY, round + 1);
        let begun = Instant::now();
        scene.apply(&file).await?;
        elapsed.push(begun.elapsed().as_secs_f64() * 1e3);
        scene.quiet().await?;
    }
    Ok(median(&elapsed))
}

/// A file with a policy of the whole mesh; another one in each round.
fn wide(round: usize) -> (String, String) {
    let text = format!("auth wide on mesh {{\n  none: deny GET /never/{round}\n  otherwise allow\n}}\n");
    ("wide.writ".to_owned(), text)
}

/// A file with the policy of a service; another one in each round.
fn policy(service: usize, rules: usize, round: usize) -> (String, String) {
    policy_of(&format!("s{service}"), &format!("shop/s{service}"), rules, round)
}

fn policy_of(name: &str, service: &str, rules: usize, round: usize) -> (String, String) {
    let rule = |at: usize| {
        format!("  r{at}: allow GET /api/v{at}/{{id}}/r{round} when headers[\"x-team\"] == \"t{at}\"\n")
    };
    let rules: String = (0..rules).map(rule).collect();
    (format!("{name}.writ"), format!("auth {name} on service {service} {{\n{rules}}}\n"))
}

/// The services that sidecars of a service call.
fn calls(service: usize) -> Vec<String> {
    (1..=OUTBOUNDS).map(|next| format!("shop/s{}", (service + next) % SERVICES)).collect()
}

/// What something cost the control plane.
struct Spent {
    cpu_ms: f64,
    elapsed_ms: f64,
    kib: f64,
}

#[derive(Default)]
struct Spending {
    cpu_ms: Vec<f64>,
    elapsed_ms: Vec<f64>,
    kib: Vec<f64>,
}

impl Spending {
    fn add(&mut self, spent: Spent) {
        self.cpu_ms.push(spent.cpu_ms);
        self.elapsed_ms.push(spent.elapsed_ms);
        self.kib.push(spent.kib);
    }
}

impl Scene {
    async fn start() -> Result<Self> {
        let mesh = Mesh::start(Path::new(env!("CARGO_BIN_EXE_chancery-under-test"))).await?;
        let admin = mesh.admin()?;
        let (tally, tokens) = (Arc::default(), BTreeMap::new());
        Ok(Self { mesh, admin, tally, tokens, sidecars: Vec::new(), idle: 0.0 })
    }

    /// Lets so many sidecars join: those of the service that is the same in each mesh, its callers, and the others
    /// spread over the services; waits until all have everything.
    async fn join_all(&mut self, size: usize) -> Result<()> {
        let probed = (0..PROBED).map(|_| ("probe/target".to_owned(), Vec::new()));
        let calling = (0..CALLING).map(|_| ("probe/caller".to_owned(), vec!["probe/target".to_owned()]));
        let others = (0..).map(|at| (format!("shop/s{}", at % SERVICES), calls(at % SERVICES)));
        let mut joining = JoinSet::new();
        for (number, (service, calls)) in probed.chain(calling).chain(others).take(size).enumerate() {
            if joining.len() >= JOINING
                && let Some(joined) = joining.join_next().await
            {
                self.sidecars.push(joined??);
            }
            let joined = self.sidecar(&service, number, &calls).await?;
            joining.spawn(joined);
        }
        while let Some(joined) = joining.join_next().await {
            self.sidecars.push(joined??);
        }
        self.until(size, None).await
    }

    /// A sidecar that has joined and has everything.
    async fn joined(&mut self, service: &str, number: usize, calls: &[String]) -> Result<Sidecar> {
        let sidecar = self.sidecar(service, number, calls).await?.await?;
        self.until(self.sidecars.len() + 1, None).await?;
        Ok(sidecar)
    }

    /// A sidecar that is about to join.
    async fn sidecar(
        &mut self,
        service: &str,
        number: usize,
        calls: &[String],
    ) -> Result<impl Future<Output = Result<Sidecar>> + Send + 'static> {
        let token = match self.tokens.get(service) {
            Some(token) => token.clone(),
            None => {
                let token = self.mesh.token(service, None).await?;
                self.tokens.insert(service.to_owned(), token.clone());
                token
            }
        };
        // An address of its own for each; nobody listens there.
        let [_, _, high, low] = u32::try_from(number)?.to_be_bytes();
        let at = |port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, high, low)), port);
        let calls = calls.iter().zip(7001..);
        let proxy = ProxyStatement {
            instance: Some(format!("i{number}")),
            labels: [("version".to_owned(), "v1".to_owned()), ("host".to_owned(), format!("h{number}"))]
                .into(),
            inbound: Some(InboundBody {
                listen: at(8443),
                advertised: None,
                application: at(8080),
                protocol: None,
                probes: None,
                check: None,
            }),
            outbounds: calls
                .map(|(service, port)| OutboundBody { service: service.clone(), listen: at(port) })
                .collect(),
        };
        let request = JoinRequest { token, service: service.to_owned(), csr_pem: String::new(), proxy };
        let context = self.mesh.context()?;
        let tally = self.tally.clone();
        Ok(async move { Sidecar::start(&context.url, &context.ca_pem, request, tally).await })
    }

    async fn apply(&self, (name, text): &(String, String)) -> Result<u64> {
        let files = vec![FileBody { name: name.clone(), text: text.clone() }];
        let request = ApplyRequest::of(files);
        let applied: ApplyResponse = self.admin.post("/v1/policies", &request).await?;
        Ok(applied.revision)
    }

    /// Applies a file and waits until everybody has it.
    async fn change(&mut self, file: &(String, String)) -> Result<Spent> {
        let ((), spent) = self
            .spending(async |scene| {
                let revision = scene.apply(file).await?;
                scene.until(scene.sidecars.len(), Some(revision)).await
            })
            .await?;
        Ok(spent)
    }

    /// Waits until so many sidecars are connected and have a revision, or the newest, whole.
    async fn until(&self, size: usize, revision: Option<u64>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let revision = revision.map_or_else(String::new, |revision| format!("&revision={revision}"));
        let path = format!("/v1/status?wait=5&proxies=behind{revision}");
        loop {
            let status: StatusResponse = match self.admin.get(&path).await {
                Ok(status) => status,
                // All sidecars are at one address with the admin here: while they come back, it has to wait its turn.
                Err(ClientError::Unreachable { .. }) if Instant::now() < deadline => {
                    sleep(QUIET).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if status.connected == size && status.on_revision == size {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} of {} connected sidecars are on it, of {size}",
                    status.on_revision,
                    status.connected
                );
            }
            if status.on_revision == status.connected {
                sleep(QUIET).await;
            }
        }
    }

    /// What something costs the control plane, beside what it does in any case.
    async fn spending<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<(T, Spent)> {
        let (cpu, bytes, begun) = (self.cpu_ms()?, self.tally.bytes.load(Ordering::Relaxed), Instant::now());
        let done = work(self).await?;
        let elapsed_ms = begun.elapsed().as_secs_f64() * 1e3;
        self.quiet().await?;
        let idle = self.idle * begun.elapsed().as_secs_f64();
        let kib = (self.tally.bytes.load(Ordering::Relaxed) - bytes) as f64 / 1024.0;
        Ok((done, Spent { cpu_ms: (self.cpu_ms()? - cpu - idle).max(0.0), elapsed_ms, kib }))
    }

    /// Waits until the control plane is quiet.
    async fn quiet(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut calm = 0;
        while calm < 3 && Instant::now() < deadline {
            let before = self.cpu_ms()?;
            sleep(QUIET).await;
            let usual = self.idle * QUIET.as_secs_f64();
            calm = if self.cpu_ms()? - before < 2.0 * usual + 0.5 { calm + 1 } else { 0 };
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<f64> {
        sleep(IDLE).await;
        let before = self.cpu_ms()?;
        sleep(IDLE).await;
        Ok((self.cpu_ms()? - before) / IDLE.as_secs_f64())
    }

    fn pid(&mut self) -> Result<u32> {
        self.mesh.control_plane()?.pid()
    }

    fn cpu_ms(&mut self) -> Result<f64> {
        Ok(cpu_time_ns(self.pid()?)? as f64 / 1e6)
    }

    /// The memory of the control plane that is its own.
    fn memory_kib(&mut self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}
