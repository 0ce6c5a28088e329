//! What `apply` takes while somebody is in the way: a flood of joins with one token, idle connections, bodies that
//! never end; beside the same without. `docs/benchmarks.md` says how to read it.
//!
//! The control plane is a process of its own, which is this program again.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context as _, Result, bail};
use chancery_control::server::api::client::Client;
use chancery_control::server::api::types::{ApplyRequest, ApplyResponse, FileBody};
use chancery_control::server::context::{ADMIN_CONTEXT, Context};
use chancery_tests::strangers::{Strangers, flood_of_joins};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often policies are applied in each row.
const APPLIES: usize = 20;
/// How long an attack goes on before it is measured.
const AHEAD: Duration = Duration::from_secs(3);
/// Connections that ask nothing, and connections with a hundred endless bodies each.
const IDLE: usize = 300;
const ENDLESS: usize = 20;
/// How long a control plane may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// The worst of a row may take so much longer than the median without an attack.
const RATIO_MAX: f64 = 10.0;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "control-plane") {
        return Ok(chancery_control::run(std::env::args_os()));
    }
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(folder.path()))
}

#[derive(Clone, Copy, Debug)]
enum Attack {
    None,
    Joins,
    Idle,
    Bodies,
}

async fn measure(folder: &Path) -> Result<ExitCode> {
    let mut child = start(folder)?;
    let context = context(folder, &mut child).await?;
    let client = context.client()?;
    apply(&client, 0).await?;
    println!("{:<34} {:>9} {:>9} {:>7} {:>7}", "apply, ms", "median", "worst", "median", "worst");
    let (mut baseline, mut worst_ratio, mut number) = (None, 0.0_f64, 1);
    let rows = [
        ("nobody in the way", Attack::None),
        ("a flood of joins with one token", Attack::Joins),
        ("300 idle connections, again and again", Attack::Idle),
        ("2,000 bodies that never end", Attack::Bodies),
    ];
    for (name, attack) in rows {
        let running = begin(attack, context.clone());
        if !matches!(attack, Attack::None) {
            sleep(AHEAD).await;
        }
        let mut times = Vec::new();
        for _ in 0..APPLIES {
            let begun = Instant::now();
            apply(&client, number).await?;
            number += 1;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        running.abort();
        times.sort_by(f64::total_cmp);
        let median = *times.get(APPLIES / 2).context("times")?;
        let worst = *times.last().context("times")?;
        let base = *baseline.get_or_insert(median);
        worst_ratio = worst_ratio.max(worst / base);
        println!("{name:<38} {median:>5.1} {worst:>9.1} {:>6.1}x {:>6.1}x", median / base, worst / base);
    }
    child.kill()?;
    child.wait()?;
    if worst_ratio > RATIO_MAX {
        println!("somebody is in the way: {worst_ratio:.1} times, {RATIO_MAX} are allowed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Begins an attack, which goes on until it is aborted.
fn begin(attack: Attack, context: Context) -> JoinHandle<Result<()>> {
    tokio::spawn(async move {
        loop {
            match attack {
                Attack::None => return Ok(()),
                Attack::Joins => drop(flood_of_joins(&context, "shop/a", 20_000).await?),
                Attack::Idle => {
                    let _held = Strangers::idle(&context, IDLE).await?;
                    sleep(Duration::from_secs(1)).await;
                }
                Attack::Bodies => {
                    let _held = Strangers::with_endless_bodies(&context, ENDLESS).await?;
                    sleep(Duration::from_secs(5)).await;
                }
            }
        }
    })
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
