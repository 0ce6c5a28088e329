//! The evaluator defines the language; the compiled module must decide the same, always.
//!
//! `CHANCERY_DIFFERENTIAL_PAIRS` sets how many pairs of program and request are compared,
//! `CHANCERY_DIFFERENTIAL_REQUESTS` how many of them are of one program, and `CHANCERY_DIFFERENTIAL_SEED`
//! which ones: a failure names its seed.

#![expect(clippy::panic, reason = "a failure shows the whole difference")]
#![expect(clippy::print_stdout, reason = "what was compared is shown")]

use chancery_sdk_host::{Host, Limits};
use chancery_tests::differential::{self, Extent, Summary};
use chancery_tests::random::Random;
use std::collections::BTreeMap;
use std::thread;

/// Pairs that are compared without a wish for more.
const PAIRS: usize = 100_000;
/// Requests of one program without another wish.
const REQUESTS_PER_PROGRAM: usize = 200;
/// The seed of the first part of the pairs without another wish; each part adds one.
const SEED: u64 = 1;
/// Pairs of one seed, so that a failure is repeated soon.
const PAIRS_PER_SEED: usize = 5_000;
/// Programs whose statements are put into another order.
const PROGRAMS_REORDERED: usize = 100;
/// Programs that are compiled well and fast, with so many requests each.
const PROGRAMS_COMPILED_TWICE: usize = 20;
const REQUESTS_OF_EACH: usize = 20;
/// Modules of callers that are compared without a wish for more, with so many requests each.
const COURSES: usize = 400;
const REQUESTS_OF_A_COURSE: usize = 50;

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is not a number")))
}

fn count_from_environment(name: &str) -> Option<usize> {
    number_from_environment(name).map(|number| number as usize)
}

#[test]
fn the_module_decides_as_the_evaluator_does() {
    let pairs = count_from_environment("CHANCERY_DIFFERENTIAL_PAIRS").unwrap_or(PAIRS);
    let requests_per_program =
        count_from_environment("CHANCERY_DIFFERENTIAL_REQUESTS").unwrap_or(REQUESTS_PER_PROGRAM);
    assert!(requests_per_program > 0, "a program without requests shows nothing");
    let extent = Extent { pairs: PAIRS_PER_SEED.min(pairs), requests_per_program };
    let first = number_from_environment("CHANCERY_DIFFERENTIAL_SEED").unwrap_or(SEED);
    let seeds: Vec<u64> = (0..pairs.div_ceil(PAIRS_PER_SEED)).map(|part| first + part as u64).collect();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let summaries: Vec<Summary> = thread::scope(|scope| {
        let compare_share = |worker: usize| {
            let share = seeds.iter().skip(worker).step_by(workers);
            share.map(|seed| compare(*seed, extent)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || compare_share(worker))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let compared: usize = summaries.iter().map(|summary| summary.pairs).sum();
    assert!(compared >= pairs, "only {compared} pairs were compared");
    let programs: usize = summaries.iter().map(|summary| summary.programs).sum();
    println!("{programs} programs, {compared} pairs, seeds {first} to {}", first + seeds.len() as u64 - 1);
    check_reach(&summaries);
}

fn compare(seed: u64, extent: Extent) -> Summary {
    differential::compare(seed, extent)
        .unwrap_or_else(|difference| panic!("with CHANCERY_DIFFERENTIAL_SEED={seed}: {difference}"))
}

/// A comparison that never sees a kind of decision would prove nothing about it.
fn check_reach(summaries: &[Summary]) {
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for (outcome, count) in summaries.iter().flat_map(|summary| &summary.outcomes) {
        *outcomes.entry(outcome).or_default() += count;
    }
    for outcome in [
        "refused",
        "exempt",
        "denied",
        "allowed",
        "otherwise-allowed",
        "otherwise-denied",
        "default-denied",
        "limited",
    ] {
        assert!(outcomes.contains_key(outcome), "no pair was decided `{outcome}`: {outcomes:?}");
    }
    let (programs, refused, shadows) =
        summaries.iter().fold((0, 0, 0), |(programs, refused, shadows), summary| {
            (programs + summary.programs, refused + summary.refused, shadows + summary.shadows)
        });
    assert!(shadows > 0, "no shadow decision differed");
    let changed = summaries.iter().fold([0, 0], |[requests, answers], summary| {
        let [more_requests, more_answers] = summary.changed;
        [requests + more_requests, answers + more_answers]
    });
    assert!(
        changed.iter().all(|count| *count > 0),
        "headers of {changed:?} requests and answers were changed"
    );
    let lines: usize = summaries.iter().map(|summary| summary.lines).sum();
    assert!(lines > 0, "no request was logged");
    println!(
        "{refused} programs refused, {lines} lines logged, headers of {changed:?} requests and answers changed"
    );
    assert!(refused < programs, "{refused} generated policies were refused, {programs} accepted");
}

#[test]
fn the_module_of_a_caller_tells_envoy_what_the_evaluator_says() {
    let programs = count_from_environment("CHANCERY_DIFFERENTIAL_COURSES").unwrap_or(COURSES);
    let seed = number_from_environment("CHANCERY_DIFFERENTIAL_SEED").unwrap_or(SEED);
    let compared = differential::compare_courses(seed, programs, REQUESTS_OF_A_COURSE);
    let summary =
        compared.unwrap_or_else(|error| panic!("with CHANCERY_DIFFERENTIAL_SEED={seed}: {error:#}"));
    println!("CHANCERY_DIFFERENTIAL_SEED={seed}: {summary:?}");
    assert!(summary.steered * 10 > summary.pairs, "{summary:?}");
    assert!(summary.refused < summary.programs, "{summary:?}");
}

#[test]
fn a_module_takes_the_same_steps_however_it_is_compiled() {
    let well = Host::new(Limits::default()).unwrap();
    let fast = Host::for_few_calls(Limits::default()).unwrap();
    let mut random = Random::new(SEED);
    let mut compared = 0;
    for sketch in differential::sketches(SEED, PROGRAMS_COMPILED_TWICE) {
        let Ok(program) = differential::program_of(&sketch) else { continue };
        let (mut one, _) = differential::runner(&well, &program).unwrap();
        let (mut other, _) = differential::runner(&fast, &program).unwrap();
        for request in differential::requests_of(&sketch, REQUESTS_OF_EACH, &mut random) {
            assert_eq!(one.run(&request, 0).unwrap(), other.run(&request, 0).unwrap());
            assert_eq!(one.fuel_used(), other.fuel_used(), "{request:?} of\n{}", sketch.text());
            compared += 1;
        }
    }
    assert!(compared > PROGRAMS_COMPILED_TWICE, "only {compared} pairs were compared");
}

#[test]
fn the_order_of_policies_and_statements_does_not_matter() {
    let mut random = Random::new(SEED);
    let mut compared = 0;
    for sketch in differential::sketches(SEED, 4 * PROGRAMS_REORDERED) {
        let other = differential::reordered(&sketch, &mut random);
        let (Ok(program), Ok(other_program)) =
            (differential::program_of(&sketch), differential::program_of(&other))
        else {
            assert_eq!(
                differential::program_of(&sketch).is_err(),
                differential::program_of(&other).is_err(),
                "the order decides whether this is accepted:\n{}",
                sketch.text()
            );
            continue;
        };
        let module = |program| differential::module_of(program).unwrap().bytes;
        let (bytes, other_bytes) = (module(&program), module(&other_program));
        assert!(bytes == other_bytes, "the order changes the module:\n{}\n{}", sketch.text(), other.text());
        compared += 1;
        if compared == PROGRAMS_REORDERED {
            return;
        }
    }
    panic!("only {compared} generated policies were accepted");
}
