//! What 1 MiB of source can cost: time and memory of checking, printing and compiling the worst sources.
//! `docs/performance.md` says how to read it.
//!
//! Each runs in a process of its own, which is this program again, so that its memory is that of one source.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Result, bail};
use chancery_control::cli::policy_files::PolicyFiles;
use chancery_control::policies::workloads::representatives;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::link::link;
use chancery_policy_lang::parse::parse;
use chancery_policy_lang::print::print;
use chancery_policy_lang::source::SOURCE_BYTES_MAX;
use chancery_policy_lang::{FileId, SourceSet};
use chancery_tests::worst_sources::{FAMILIES, Family, family};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The budget of one source.
const TIME_MAX: Duration = Duration::from_secs(2);
const MEMORY_MIB_MAX: u64 = 256;
/// Then it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const STAGES: [&str; 3] = ["check", "fmt", "compile"];
const TRUST_DOMAIN: &str = "chancery.local";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, one, name, stage] = arguments.as_slice()
        && one == "--one"
    {
        return run_one(family(name).context("a family of this name")?, stage);
    }
    println!("{:<26} {:>7} {:>8} {:>8}  what comes of it", "1 MiB of", "stage", "seconds", "MiB");
    let mut over = 0;
    for family in FAMILIES {
        for stage in STAGES {
            let line = measure(*family, stage)?;
            over += usize::from(line.is_over);
            println!("{:<26} {stage:>7} {}", family.name, line.text);
        }
    }
    println!(
        "{over} of {} are over {} s or {MEMORY_MIB_MAX} MiB",
        FAMILIES.len() * STAGES.len(),
        TIME_MAX.as_secs()
    );
    if over > 0 { bail!("the budget is not kept") } else { Ok(()) }
}

struct Line {
    text: String,
    is_over: bool,
}

/// Runs one in a process of its own.
fn measure(family: Family, stage: &str) -> Result<Line> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--one", family.name, stage])
        .stdout(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    while child.try_wait()?.is_none() {
        if started.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Line {
                text: format!("      does not end in {} s", PATIENCE.as_secs()),
                is_over: true,
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let (Some(seconds), Some(mib)) = (words.next(), words.next()) else {
        bail!("`{}`, {stage}: {}", family.name, output.status);
    };
    let (seconds, mib): (f64, u64) = (seconds.parse()?, mib.parse()?);
    let is_over = seconds > TIME_MAX.as_secs_f64() || mib > MEMORY_MIB_MAX;
    let what = words.collect::<Vec<_>>().join(" ");
    let mark = if is_over { "  OVER" } else { "" };
    Ok(Line { text: format!("{seconds:8.2} {mib:8}  {what}{mark}"), is_over })
}

/// Runs a stage on a source and prints seconds, MiB and what came of it.
fn run_one(family: Family, stage: &str) -> Result<()> {
    let text = (family.source)(SOURCE_BYTES_MAX);
    let what = match stage {
        "fmt" => format!("{} bytes", print(&parse(FileId(0), &text).tree).len()),
        _ => checked(text, stage == "compile")?,
    };
    println!("{:.3} {} {what}", cpu_seconds()?, peak_mib()?);
    Ok(())
}

/// What `check` says, or what a module of the first workload is.
fn checked(text: String, compiles: bool) -> Result<String> {
    let mut sources = SourceSet::new();
    sources.add("worst.writ", text);
    let mut files = PolicyFiles::check(sources, "2026-06-01".parse()?);
    if !compiles {
        let combined = files.check_combinations(TRUST_DOMAIN);
        combined.map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
        let found = &files.analysis.diagnostics;
        let shown = render::human(found, &files.sources, false);
        let codes: BTreeSet<&str> =
            found.iter().filter(|found| found.is_error()).map(|found| found.code.0).collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        return Ok(format!("{} findings in {} bytes {}", found.len(), shown.len(), codes.join(" ")));
    }
    if !files.analysis.is_ok() {
        return Ok("refused by check".to_owned());
    }
    let workloads = representatives(&files.analysis.policies, TRUST_DOMAIN);
    let Some(workload) = workloads.first() else { return Ok("no policy".to_owned()) };
    let program = match link(&files.analysis.policies, workload, Direction::Inbound) {
        Ok(Some(program)) => program,
        Ok(None) => return Ok("no program".to_owned()),
        Err(refused) => {
            return Ok(format!("not linked: {}", refused.first().map_or("", |found| found.code.0)));
        }
    };
    match compile(&program) {
        Ok(module) => Ok(format!("a module of {} bytes", module.bytes.len())),
        Err(CompileError::Refused(found)) => {
            Ok(format!("no module: {}", found.first().map_or("", |found| found.code.0)))
        }
        Err(CompileError::Bug(bug)) => bail!("{bug}"),
    }
}

/// The CPU time of this process, which has one thread.
fn cpu_seconds() -> Result<f64> {
    let account = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(account.split_whitespace().next().context("a time")?.parse::<f64>()? / 1e9)
}

/// The most memory that this process has had.
fn peak_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak of memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}
