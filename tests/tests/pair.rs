//! Generated policies and requests through a real caller's and a real target's Envoy: what is answered, what
//! applications hear and what both logs say is what the evaluator says.
//!
//! `CHANCERY_PAIR_SETS` sets how many sets of policies are in force one after the other, `CHANCERY_PAIR_SEED` which.

#![expect(clippy::print_stdout, reason = "the seed is shown with what became of requests")]

use crate::command_line::transcript::CHANCERY;
use anyhow::{Context, Result};
use chancery_tests::pair::{Extent, compare};
use std::path::Path;

/// Without another wish.
const SETS: u64 = 10;
const SEED: u64 = 6;
const REQUESTS_PER_SET: usize = 40;
/// What must have become of some requests without another wish, lest a comparison proves nothing about it.
const REACHED: [&str; 11] = [
    "redirected",
    "answered by the caller's",
    "answered by the application",
    "saved by a retry",
    "refused or failed",
    "copied",
    "cut off",
    "given up",
    "refused by the caller's Envoy",
    "told a page",
    "without a replica",
];

fn wished(name: &str, else_: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is `{text}`, which is no number")),
        Err(_) => Ok(else_),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_of_envoys_does_what_the_evaluator_says() -> Result<()> {
    let sets = wished("CHANCERY_PAIR_SETS", SETS)?;
    let seed = wished("CHANCERY_PAIR_SEED", SEED)?;
    let extent = Extent { sets: usize::try_from(sets)?, requests_per_set: REQUESTS_PER_SET };
    let compared = compare(Path::new(CHANCERY), seed, extent).await;
    let summary = compared.with_context(|| format!("with CHANCERY_PAIR_SEED={seed}"))?;
    println!("CHANCERY_PAIR_SEED={seed}: {summary:#?}");
    for became in REACHED {
        let is_wished = sets < SETS || seed != SEED;
        assert!(
            is_wished || summary.became.contains_key(became),
            "of no request became `{became}`: {summary:#?}"
        );
    }
    Ok(())
}
