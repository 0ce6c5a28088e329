//! What `apply` takes while somebody is in the way: a flood of joins with one token, idle connections, bodies that
//! never end; beside the same without. `docs/performance.md` says how to read it.
//!
//! Each row has a control plane of its own. It and the attacker are processes of their own, which are this program
//! again, so that nobody waits for the attacker's client but the attacker.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context as _, Result, bail};
use chancery_control::server::api::client::Client;
use chancery_control::server::api::types::{ApplyRequest, ApplyResponse, FileBody};
use chancery_control::server::context::{ADMIN_CONTEXT, Context};
use chancery_tests::cost::median;
use chancery_tests::strangers::{Strangers, flood_of_joins};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often policies are applied, with an attack and without.
const APPLIES: usize = 20;
/// How long a row may take with its attack; it ends earlier with fewer applies rather than late.
const ROW_MAX: Duration = Duration::from_secs(30);
/// How long an attack goes on before it is measured.
const AHEAD: Duration = Duration::from_secs(3);
/// Joins of a flood, connections that ask nothing, and connections with a hundred endless bodies each.
const JOINS: usize = 20_000;
const IDLE: usize = 300;
const ENDLESS: usize = 20;
/// How long idle connections are held, and unfinished bodies, before there are new ones.
const IDLE_HELD: Duration = Duration::from_secs(1);
const ENDLESS_HELD: Duration = Duration::from_secs(5);
/// How long a control plane may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer the median may be than without an attack, unless it is so short anyhow, and how long the worst, in
/// milliseconds.
const RATIO_MAX: f64 = 3.0;
const SHORT_MS: f64 = 10.0;
const WORST_MAX_MS: f64 = 1_000.0;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments.as_slice() {
        ["control-plane", ..] => Ok(chancery_control::run(std::env::args_os())),
        ["attack", name, context] => {
            let attack =
                Attack::ALL.into_iter().find(|attack| attack.name() == *name).context("no attack")?;
            runtime.block_on(attack.run(Context::read(Path::new(context))?))
        }
        _ => runtime.block_on(measure_all()),
    }
}

#[derive(Clone, Copy, Debug)]
enum Attack {
    Joins,
    Idle,
    Bodies,
}

impl Attack {
    const ALL: [Self; 3] = [Self::Joins, Self::Idle, Self::Bodies];

    fn name(self) -> &'static str {
        match self {
            Self::Joins => "a flood of joins with one token",
            Self::Idle => "300 idle connections, again and again",
            Self::Bodies => "2,000 bodies that never end",
        }
    }

    /// Goes on until the process is ended.
    async fn run(self, context: Context) -> Result<ExitCode> {
        loop {
            match self {
                Self::Joins => drop(flood_of_joins(&context, "shop/a", JOINS).await?),
                Self::Idle => {
                    let _held = Strangers::idle(&context, IDLE).await?;
                    sleep(IDLE_HELD).await;
                }
                Self::Bodies => {
                    let _held = Strangers::with_endless_bodies(&context, ENDLESS).await?;
                    sleep(ENDLESS_HELD).await;
                }
            }
        }
    }
}

/// A child process. It ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

async fn measure_all() -> Result<ExitCode> {
    println!(
        "{:<40} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "apply, ms", "quiet", "worst", "attacked", "worst", "ratio"
    );
    let mut is_well = true;
    for attack in Attack::ALL {
        let (quiet, attacked) = measure(attack).await?;
        let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        let ratio = median(&attacked) / median(&quiet);
        let (middle, longest) = (median(&attacked), worst(&attacked));
        let is_quick = ratio <= RATIO_MAX || middle <= SHORT_MS;
        is_well &= attacked.len() == APPLIES && is_quick && longest <= WORST_MAX_MS;
        println!(
            "{:<40} {:>8.1} {:>8.1} {middle:>8.1} {longest:>8.1} {ratio:>7.1}x   of {}",
            attack.name(),
            median(&quiet),
            worst(&quiet),
            attacked.len()
        );
    }
    if is_well {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "somebody is in the way: {RATIO_MAX} times or {SHORT_MS} ms, and {WORST_MAX_MS} ms for the longest, are allowed"
    );
    Ok(ExitCode::FAILURE)
}

/// What applies take without an attack and with it, in milliseconds.
async fn measure(attack: Attack) -> Result<(Vec<f64>, Vec<f64>)> {
    let folder = tempfile::tempdir()?;
    let mut control_plane = Running(start(folder.path())?);
    let context = context(folder.path(), &mut control_plane.0).await?;
    let client = context.client()?;
    let quiet = applies(&client, 0).await?;
    let mut attacker = Command::new(std::env::current_exe()?);
    attacker.args(["attack", attack.name()]).arg(folder.path().join(ADMIN_CONTEXT));
    let _attacker = Running(attacker.stdin(Stdio::null()).spawn()?);
    sleep(AHEAD).await;
    let attacked = applies(&client, APPLIES).await?;
    Ok((quiet, attacked))
}

/// The times of some applies, of which the first has this number.
async fn applies(client: &Client, first: usize) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut times = Vec::new();
    for number in first..first + APPLIES {
        if begun.elapsed() > ROW_MAX {
            break;
        }
        let begun = Instant::now();
        apply(client, number).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

/// Applies a policy that is new each time, and asks of the workload what each joining one states otherwise.
async fn apply(client: &Client, number: usize) -> Result<()> {
    let text = format!(
        "auth version on service shop/a {{\n  old: deny when target.version == \"v{number}\"\n  allow GET\n}}\n"
    );
    let files = vec![FileBody { name: "version.writ".to_owned(), text }];
    let request = ApplyRequest::of(files);
    client.post::<ApplyResponse>("/v1/policies", &request).await?;
    Ok(())
}

fn start(folder: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["control-plane", "--listen", "127.0.0.1:0", "--log", "error", "--data-dir"]);
    Ok(command.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

/// The admin's context, once the control plane answers.
async fn context(folder: &Path, child: &mut Child) -> Result<Context> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok(context) = Context::read(&folder.join(ADMIN_CONTEXT))
            && context.client()?.get_text("/healthz").await.is_ok()
        {
            return Ok(context);
        }
        if let Some(status) = child.try_wait()? {
            bail!("the control plane ended: {status}");
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("the control plane does not answer")
}
