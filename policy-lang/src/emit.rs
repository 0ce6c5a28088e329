//! `emit`: the decision tables of a program as a proxy-wasm 0.2.1 module.
//!
//! A module is a few small functions over tables in its memory. It imports nothing but host calls,
//! has no start function, allocates nothing while it runs, checks every bound, and so never traps.
//! Only what a program needs is in it: a part is written when another one asks
//! for it.
//!
//! ```text
//! proxy_on_request_headers:
//!     scan the headers, once      -> where the asked ones lie          scan
//!     refuse what has no single meaning                                refusal, path
//!     decide                      -> the answer of the deciding rule   words
//!     count, if it may pass       -> the answer of a limit             limits
//!     change headers, if it passes                                     headers
//!         class of an attribute   -> lazily, at most once              class, path, source, address, condition
//!     log                         -> the line, or what waits for the answer  log, json, siphash
//!     answer                      -> filter state, counter, local reply
//! ```
//!
//! `emitter` is what the functions share while they are written, `parts` how one asks for another,
//! `memory` where everything lies; each other file writes its own functions.

mod address;
mod answer;
mod assemble;
mod bounded;
mod calls;
mod class;
mod code;
mod condition;
mod cost;
mod data;
mod emitter;
mod entry;
mod errors;
mod globals;
mod grpc;
mod header_values;
mod headers;
mod json;
mod kept;
mod keys;
mod late_headers;
mod limits;
mod log;
mod memo;
mod memory;
mod parts;
mod path;
mod query;
mod refusal;
mod response;
mod scan;
mod shares;
mod siphash;
mod source;
mod start;
mod strings;
mod walk;
mod words;

use crate::bug::CompileError;
use crate::classify::Classes;
use crate::linked::LinkedProgram;
use crate::module::{Manifest, Module, STEPS_MAX};
use crate::plan::{LogPlan, Plan};
use crate::tabulate::Tables;
pub(crate) use bounded::{CLASS_MEMBERS_MAX, STAR_DEPTHS_MAX, table_bytes};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most bytes of a module. A proxy receives it whole in one message, compiles it, and keeps it for each
/// worker; ten thousand rules make less than half of this.
pub const MODULE_BYTES_MAX: usize = 8 << 20;

/// What is in a module beyond the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleOptions {
    /// Whether the rule that decided is written to filter state, from where access logs read it. Details
    /// of local replies and counters name it in any case. Writing it is about a seventh of what a small
    /// policy costs a request (the benchmark `overhead` has both).
    pub rule_in_filter_state: bool,
    /// The most steps that a decision may take for any request; [`STEPS_MAX`] wherever modules are made for
    /// proxies.
    pub steps_max: u64,
}

impl Default for ModuleOptions {
    fn default() -> Self {
        Self { rule_in_filter_state: true, steps_max: STEPS_MAX }
    }
}

/// The module of a linked program.
///
/// # Errors
/// If the program asks for more than a limit allows, or an invariant of the compiler does not hold.
pub fn compile(program: &LinkedProgram) -> Result<Module, CompileError> {
    compile_with(program, ModuleOptions::default())
}

/// The module of a linked program, with other options than the default.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(program: &LinkedProgram, options: ModuleOptions) -> Result<Module, CompileError> {
    bounded::compile(program, options)
}

/// The module of a plan with its classes and tables.
///
/// # Errors
/// As [`compile`].
pub fn emit(
    plan: &Plan,
    classes: &Classes,
    tables: &Tables,
    options: ModuleOptions,
) -> Result<Module, CompileError> {
    let mut emitter = emitter::Emitter::new(plan, classes, tables, options)?;
    let (bytes, cost) = emitter.finish()?;
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let answers = &plan.auth.answers;
    let rules: BTreeSet<Arc<str>> = answers.list.iter().map(|answer| answer.rule.clone()).collect();
    let manifest = Manifest {
        policies: plan.policies.clone(),
        rules: rules.into_iter().collect(),
        reads: emitter.reads(),
        hashes: plan.log.as_ref().is_some_and(LogPlan::hashes),
        shares: plan.traffic.as_ref().map(|traffic| traffic.shares.clone()).unwrap_or_default(),
        cost,
        does_something: plan.does_something(),
        cors: plan.cors.clone(),
    };
    Ok(Module { bytes: bytes.into(), digest, manifest })
}
