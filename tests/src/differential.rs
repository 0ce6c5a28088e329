//! The differential test: what the evaluator decides, the compiled module decides.
//!
//! Policies are generated as source text, so the way from the text to the program is tested on the
//! way; requests are generated near them. On a difference both are made smaller until each part
//! matters, and the report can be pasted into a test.
//!
//! ```text
//! seed -> Sketch -> text -> check -> link -+-> eval ------------------> Decision -> Ran --+
//!    \--> Request -------------------------+-> compile -> Plugin (wasmtime) -> Ran -------+-> equal?
//! ```

mod answers;
mod calls;
mod courses;
mod dear;
mod expressions;
mod policies;
mod report;
mod requests;
mod shrink;
mod sketch;
mod words;

pub use courses::compare_courses;
pub use report::Difference;
pub use sketch::{ExprSketch, Kind, PolicySketch, RuleSketch, Sketch};

use crate::programs::linked;
use crate::random::Random;
use chancery_control::policies::policy_runner::{PolicyRunner, Ran};
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::decision::{Decision, Outcome};
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use chancery_policy_lang::eval::{Buckets, evaluate_at, is_for};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::module::{CostBound, Module};
use chancery_policy_lang::request::Request;
use chancery_policy_lang::testing::BEGINNING_NS;
use chancery_sdk_host::{Host, HostError, Limits};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Pairs of program and request.
    pub pairs: usize,
    /// Requests that are tried on one program; compiling it costs more than running a few.
    pub requests_per_program: usize,
}

/// So many of the requests of a program are made to be dear, or half of them.
const DEAR_REQUESTS: usize = 2;

/// How often a request is made of a program with limits.
const TIMES_WITH_LIMITS: usize = 3;

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Programs that were linked and compiled.
    pub programs: usize,
    /// Texts that the checker or the linker refused; they test nothing.
    pub refused: usize,
    /// Pairs of program and request.
    pub pairs: usize,
    /// How often each outcome was decided.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// How often a shadow decision differed.
    pub shadows: usize,
    /// How often headers of requests were changed, and of answers.
    pub changed: [usize; 2],
    /// How many requests were logged.
    pub lines: usize,
}

/// Compares evaluator and module on so many pairs that follow from a seed.
///
/// # Errors
/// The first difference, made small; or [`Difference::Host`] if the host cannot be set up.
pub fn compare(seed: u64, extent: Extent) -> Result<Summary, Box<Difference>> {
    // To compile a module well takes many times as long as all that is tried on it.
    let host = Host::for_few_calls(Limits::default()).map_err(Difference::host)?;
    let mut random = Random::new(seed);
    let mut summary = Summary::default();
    while summary.pairs < extent.pairs {
        let sketch = policies::sketch(&mut random);
        match program_of(&sketch) {
            Ok(program) => {
                let requests = requests_of(&sketch, extent.requests_per_program, &mut random);
                compare_program(&host, &sketch, &program, &requests, &mut summary)?;
            }
            Err(_) => summary.refused += 1,
        }
    }
    Ok(summary)
}

/// The program of a sketch for the one target of this test.
///
/// # Errors
/// What is wrong with it, in words.
pub fn program_of(sketch: &Sketch) -> Result<LinkedProgram, String> {
    linked(&sketch.text(), &policies::target())
}

/// Sketches of a seed, for tests of the generator itself.
#[must_use]
pub fn sketches(seed: u64, count: usize) -> Vec<Sketch> {
    let mut random = Random::new(seed);
    (0..count).map(|_| policies::sketch(&mut random)).collect()
}

/// A sketch with policies of what callers do and of pages of other origins, beside what [`sketches`] have.
#[must_use]
pub fn sketch_with_calls(random: &mut Random) -> Sketch {
    let mut sketch = policies::sketch(random);
    if random.chance(40) {
        // Those refuse most requests.
        sketch.policies.retain(|policy| policy.kind != "auth");
    }
    sketch.policies.extend(calls::policies(random));
    if random.chance(50) {
        sketch.policies.push(calls::pages(random));
    }
    sketch
}

/// The same policies and statements in another order.
#[must_use]
pub fn reordered(sketch: &Sketch, random: &mut Random) -> Sketch {
    let mut reordered = sketch.clone();
    random.shuffle(&mut reordered.policies);
    for policy in &mut reordered.policies {
        random.shuffle(&mut policy.rules);
    }
    reordered
}

/// Requests near the policies of a sketch, the first few of them dear.
#[must_use]
pub fn requests_of(sketch: &Sketch, count: usize, random: &mut Random) -> Vec<Request> {
    let dear = DEAR_REQUESTS.min(count / 2);
    let request = |number| match number < dear {
        true => dear::request(random, sketch),
        false => requests::request(random, sketch),
    };
    (0..count).map(request).collect()
}

fn compare_program(
    host: &Host,
    sketch: &Sketch,
    program: &LinkedProgram,
    requests: &[Request],
    summary: &mut Summary,
) -> Result<(), Box<Difference>> {
    let (mut runner, cost) = runner(host, program).map_err(|error| Difference::no_module(sketch, &error))?;
    summary.programs += 1;
    let mut buckets = Buckets::default();
    for (number, request) in sequence(requests, program).enumerate() {
        let now_ns = time_of(number);
        let (decision, expected) = defined(program, request, &mut buckets, now_ns);
        let got = run(&mut runner, program, request, now_ns, &decision);
        summary.lines += usize::from(runner.logged().line.is_some());
        if got.as_ref() != Ok(&expected) {
            let before: Vec<&Request> = sequence(requests, program).take(number).collect();
            return Err(smallest(host, sketch, &before, request));
        }
        check_cost(sketch, program, request, cost, runner.fuel_used())?;
        if decision.outcome.allows()
            && let Some(operations) = meeting(program, request)
        {
            let (sketch, request) = (sketch.clone(), Box::new(request.clone()));
            return Err(Box::new(Difference::Meeting { sketch, request, operations }));
        }
        summary.pairs += 1;
        summary.shadows += usize::from(expected.shadow.is_some());
        let of = [&expected.changed.request, &expected.changed.response];
        for (count, differences) in summary.changed.iter_mut().zip(of) {
            *count += usize::from(!differences.is_empty());
        }
        *summary.outcomes.entry(Outcome::as_str(expected.outcome)).or_default() += 1;
    }
    Ok(())
}

/// Two operations on one header at one scope that say different things of a request.
fn meeting(program: &LinkedProgram, request: &Request) -> Option<[Arc<str>; 2]> {
    let enforced = program.traffic.headers.iter().filter(|linked| !linked.shadow);
    let mut matching: BTreeMap<_, (String, Arc<str>)> = BTreeMap::new();
    let response = answers::response_to(request);
    for linked in enforced {
        let statement = &linked.statement;
        if !is_for(linked, program, request, &response) {
            continue;
        }
        let rank = linked.rank();
        match matching.get(&(rank.place.clone(), rank.scope)) {
            Some((change, other)) if *change != rank.change => {
                return Some([other.clone(), statement.id.clone()]);
            }
            Some(_) => {}
            None => drop(matching.insert((rank.place, rank.scope), (rank.change, statement.id.clone()))),
        }
    }
    None
}

/// What the module must say of a request and make of headers.
fn defined(
    program: &LinkedProgram,
    request: &Request,
    buckets: &mut Buckets,
    now_ns: u64,
) -> (Decision, Ran) {
    let decision = evaluate_at(program, request, buckets, now_ns);
    let ran = Ran::by(program, request, &decision, &answers::response_to(request));
    (decision, ran)
}

/// What the module says, and it must say for logs what is defined where it decides what is.
fn run(
    runner: &mut PolicyRunner,
    program: &LinkedProgram,
    request: &Request,
    now_ns: u64,
    decision: &Decision,
) -> Result<Ran, String> {
    let response = &answers::response_to(request);
    let ran = runner.run_answered(request, now_ns, response).map_err(|error| error.to_string())?;
    runner.logged().must_be_defined(program, request, decision, response)?;
    Ok(ran)
}

/// The requests that are made of a program: where it has limits, each several times.
fn sequence<'a>(requests: &'a [Request], program: &LinkedProgram) -> impl Iterator<Item = &'a Request> {
    let times = if program.has_limits() { TIMES_WITH_LIMITS } else { 1 };
    requests.iter().flat_map(move |request| std::iter::repeat_n(request, times))
}

/// When a request of a sequence is made: some follow each other at once, some after a while.
fn time_of(number: usize) -> u64 {
    let minutes = (number / TIMES_WITH_LIMITS) as u64 * 20 + (number % 2) as u64;
    BEGINNING_NS + minutes * 60_000_000_000
}

/// The module of a program; what is refused for its cost alone shall be decided right, too.
///
/// # Errors
/// As [`compile_with`], but never for the cost.
pub fn module_of(program: &LinkedProgram) -> Result<Module, CompileError> {
    compile_with(program, ModuleOptions { steps_max: u64::MAX, ..ModuleOptions::default() })
}

/// The runner of a program on this host, and what its module says of its cost.
///
/// # Errors
/// What is wrong with the module, in words.
pub fn runner(host: &Host, program: &LinkedProgram) -> Result<(PolicyRunner, CostBound), String> {
    let module = module_of(program).map_err(|error| error.to_string())?;
    let runner = PolicyRunner::on_host(host, &module.bytes).map_err(|error| error.to_string())?;
    Ok((runner, module.manifest.cost))
}

/// A decision must not take more steps than the module says of a request of that size.
fn check_cost(
    sketch: &Sketch,
    program: &LinkedProgram,
    request: &Request,
    cost: CostBound,
    taken: u64,
) -> Result<(), Box<Difference>> {
    // Beside the headers there are four pseudo-headers.
    let bound = cost.for_request(4 + request.headers.len() as u64, program.bytes_seen(request));
    if taken <= bound {
        return Ok(());
    }
    Err(Box::new(Difference::Cost {
        sketch: sketch.clone(),
        request: Box::new(request.clone()),
        bound,
        taken,
    }))
}

/// The smallest version of a sketch and a request that differ, behind the requests that were made before.
fn smallest(host: &Host, sketch: &Sketch, before: &[&Request], request: &Request) -> Box<Difference> {
    let (sketch, request) = shrink::shrink(sketch.clone(), request.clone(), |sketch, request| {
        decisions(host, sketch, before, request).is_some_and(|(expected, got)| got != Ok(expected))
    });
    match decisions(host, &sketch, before, &request) {
        Some((expected, got)) => {
            let (request, expected, got) = (Box::new(request), Box::new(expected), got.map(Box::new));
            Box::new(Difference::Decision { sketch, request, expected, got })
        }
        None => Difference::no_module(&sketch, "it was refused when it was tried again"),
    }
}

/// What both say of a request behind others, if the sketch is a program.
fn decisions(
    host: &Host,
    sketch: &Sketch,
    before: &[&Request],
    request: &Request,
) -> Option<(Ran, Result<Ran, String>)> {
    let program = program_of(sketch).ok()?;
    let mut buckets = Buckets::default();
    let mut runner = match runner(host, &program) {
        Ok((runner, _)) => runner,
        Err(error) => return Some((defined(&program, request, &mut buckets, 0).1, Err(error))),
    };
    for (number, earlier) in before.iter().enumerate() {
        let _ = evaluate_at(&program, earlier, &mut buckets, time_of(number));
        // What differed before was told before.
        let _ = runner.run_answered(earlier, time_of(number), &answers::response_to(earlier));
    }
    let now_ns = time_of(before.len());
    let (decision, expected) = defined(&program, request, &mut buckets, now_ns);
    Some((expected, run(&mut runner, &program, request, now_ns, &decision)))
}

impl Difference {
    fn host(error: HostError) -> Box<Self> {
        Box::new(Self::Host(error.to_string()))
    }

    fn no_module(sketch: &Sketch, error: &str) -> Box<Self> {
        Box::new(Self::NoModule { sketch: sketch.clone(), error: error.to_owned() })
    }
}
