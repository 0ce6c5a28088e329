//! What the dearest requests cost through the costliest policies that are accepted, in steps and in time.
//! `docs/performance.md` says how to read it.
//!
//! Each kind of policy asks one thing more and more often, until the compiler refuses it for its steps; the
//! largest that it accepts is run.

#![expect(clippy::print_stdout, reason = "a benchmark shows its table")]

use anyhow::{Context, Error, Result};
use chancery_control::policies::policy_runner::PolicyRunner;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::module::{BYTES_SEEN_MAX, Module, STEPS_MAX};
use chancery_policy_lang::request::Request;
use chancery_tests::programs::{linked, workload};
use std::time::Instant;

/// What a request may cost a proxy's worker.
const BUDGET_MS: f64 = 1.0;
/// How often each request is decided; the shortest time counts.
const ROUNDS: usize = 15;
/// How often a policy asks the same kind of thing, at most.
const PARTS_MAX: usize = 60;
/// Fewer steps take too little time to be told from what the host takes.
const STEPS_TIMED_MIN: u64 = 100_000;
/// What a request has beside its long text.
const REST_BYTES: usize = 100;

/// A kind of policy, by how many things it asks.
type Kind = (&'static str, fn(usize) -> String);

const KINDS: [Kind; 9] = [
    ("paths with `*`", |parts| {
        let path = |part: usize| format!("{}/*/{part}/**", "/a".repeat(part + 1));
        format!("allow {}", join(parts, ", ", path))
    }),
    ("constants of one header", |parts| any(parts, |part| format!("headers[\"a\"] == \"{part}\""))),
    ("patterns", |parts| any(parts, |part| format!("headers[\"a\"].matches(\"(a|b)*c{part}.{{{part}}}$\")"))),
    ("parts of texts", |parts| {
        any(parts, |part| format!("headers[\"a\"].contains(headers[\"b\"]) || headers[\"a{part}\"] == \"1\""))
    }),
    ("small letters", |parts| {
        any(parts, |part| format!("headers[\"a\"].lowerAscii() == headers[\"b{part}\"]"))
    }),
    ("characters", |parts| any(parts, |part| format!("size(headers[\"a\"]) > size(headers[\"b{part}\"])"))),
    ("elements of lists", |parts| {
        any(parts, |part| format!("headers[\"l\"].exists(x, x.contains(\"ab{part}\"))"))
    }),
    ("parameters of the query", |parts| any(parts, |part| format!("query[\"a{part}\"] == \"1\""))),
    ("captures of the path", |parts| {
        let rule =
            |part: usize| format!("allow /{{a}}/{{b}}/{part} when path.a == path.b || path.b < \"{part}\"");
        join(parts, "\n  ", rule)
    }),
];

/// What long texts consist of.
const PIECES: [&str; 12] = ["a", "ab", "aab", "a,", ",", "A", " ", "%41", "%", "a=1&", "/.x", "a/"];

fn main() -> Result<()> {
    println!(
        "{:<24} {:>5} {:>9} {:>9} {:>5} {:>8} {:>7}",
        "the most of", "parts", "promised", "taken", "%", "ns/step", "ms"
    );
    let mut over = 0;
    let mut dearest = 0.0_f64;
    for (name, policy) in KINDS {
        let (parts, accepted) = largest(policy)?;
        let worst = accepted.worst_request()?;
        let promised = accepted.module.manifest.cost.worst();
        let percent = 100 * worst.steps / promised;
        let per_step = 1e6 * worst.milliseconds / worst.steps as f64;
        println!(
            "{name:<24} {parts:>5} {promised:>9} {:>9} {percent:>5} {per_step:>8.3} {:>7.3}",
            worst.steps, worst.milliseconds
        );
        over += usize::from(worst.milliseconds > BUDGET_MS);
        dearest = dearest.max(worst.milliseconds);
    }
    println!("{STEPS_MAX} steps are the most; the dearest request takes {:.2} of {BUDGET_MS} ms", dearest);
    anyhow::ensure!(over == 0, "the budget is not kept");
    Ok(())
}

fn join(parts: usize, between: &str, part: impl Fn(usize) -> String) -> String {
    (0..parts).map(part).collect::<Vec<_>>().join(between)
}

fn any(parts: usize, part: impl Fn(usize) -> String) -> String {
    format!("allow when {}", join(parts, " || ", part))
}

/// A policy that is accepted.
struct Accepted {
    program: LinkedProgram,
    module: Module,
}

/// The largest policy of a kind that is accepted, and how much it asks.
fn largest(policy: fn(usize) -> String) -> Result<(usize, Accepted)> {
    let mut last = None;
    for parts in 1..=PARTS_MAX {
        let text =
            format!("schema {{ header l: list<string, 16> }}\nauth p on mesh {{\n  {}\n}}", policy(parts));
        let program = match linked(&text, &workload("shop", "orders")) {
            Ok(program) => program,
            // Another limit is reached first, such as that of patterns.
            Err(_) if last.is_some() => break,
            Err(error) => return Err(Error::msg(error)),
        };
        match compile(&program) {
            Ok(module) => last = Some((parts, Accepted { program, module })),
            Err(CompileError::Refused(_)) => break,
            Err(CompileError::Bug(bug)) => return Err(bug.into()),
        }
    }
    last.context("the smallest is accepted")
}

/// What the dearest of some requests takes.
#[derive(Default)]
struct Worst {
    steps: u64,
    milliseconds: f64,
}

impl Accepted {
    fn worst_request(&self) -> Result<Worst> {
        let mut runner = PolicyRunner::new(&self.module)?;
        let mut worst = Worst::default();
        for request in requests().iter().filter(|request| self.program.bytes_seen(request) <= BYTES_SEEN_MAX)
        {
            let whole = milliseconds(&mut runner, request)?;
            let steps = runner.fuel_used();
            // What the host does is not the module's: the same request is refused before its path is looked at.
            let refused = Request { method: b"small".to_vec(), ..request.clone() };
            let of_host = milliseconds(&mut runner, &refused)?;
            let more_steps = steps.saturating_sub(runner.fuel_used());
            worst.steps = worst.steps.max(steps);
            if more_steps >= STEPS_TIMED_MIN {
                let per_step = (whole - of_host).max(0.0) / more_steps as f64;
                worst.milliseconds = worst.milliseconds.max(per_step * steps as f64);
            }
        }
        Ok(worst)
    }
}

/// The time of a decision: the shortest, for whatever else the machine does makes others longer.
fn milliseconds(runner: &mut PolicyRunner, request: &Request) -> Result<f64> {
    let mut shortest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        runner.run(request, 0)?;
        shortest = shortest.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(shortest)
}

/// Requests whose path, query or headers are long.
fn requests() -> Vec<Request> {
    let room = BYTES_SEEN_MAX as usize - REST_BYTES;
    let text = |piece: &str, bytes: usize| piece.bytes().cycle().take(bytes).collect::<Vec<u8>>();
    let mut requests = Vec::new();
    for piece in PIECES {
        let of_path = |path: Vec<u8>| Request { path, ..Request::default() };
        requests.push(of_path([b"/".to_vec(), text(piece, room)].concat()));
        requests.push(of_path([b"/?a0=".to_vec(), text(piece, room)].concat()));
        requests
            .push(of_path([b"/?".to_vec(), text("a0=%41&", 250 * 7), text("%41", room - 250 * 7)].concat()));
        let of_headers = |headers: &[(&str, Vec<u8>)]| Request {
            headers: headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect(),
            ..Request::default()
        };
        requests.push(of_headers(&[("a", text(piece, room))]));
        requests.push(of_headers(&[("l", text(piece, room))]));
        let halves = [text(piece, room / 2), text(piece, room / 2 - 1)];
        for name in ["b", "b0", "b1"] {
            requests.push(of_headers(&[("a", halves[0].clone()), (name, halves[1].clone())]));
        }
    }
    requests
}
