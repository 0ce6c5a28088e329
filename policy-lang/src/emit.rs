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
//!     refuse a path of no single meaning                               path
//!     decide                      -> the answer of the deciding rule   words
//!         class of an attribute   -> lazily, at most once              class, path, source, address, condition
//!     answer                      -> filter state, counter, local reply
//! ```
//!
//! Memory, from 0: words that host calls write to; a slot (address, length) for each header; the
//! classes of attributes; constants and tables; the arena, from which the host and the functions
//! take what a request needs, and which is empty again when the next one begins.

mod address;
mod answer;
mod class;
mod code;
mod condition;
mod data;
mod entry;
mod keys;
mod module;
mod path;
mod query;
mod scan;
mod source;
mod strings;
mod words;

use crate::classify::{Classes, classify};
use crate::linked::LinkedProgram;
use crate::module::{Manifest, Module};
use crate::tabulate::{Tables, tabulate};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is in a module beyond the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleOptions {
    /// Whether the rule that decided is written to filter state, from where access logs read it. Details
    /// of local replies and counters name it in any case. Writing it is about a seventh of what a small
    /// policy costs a request (the benchmark `overhead` has both).
    pub rule_in_filter_state: bool,
}

impl Default for ModuleOptions {
    fn default() -> Self {
        Self { rule_in_filter_state: true }
    }
}

/// The module of a linked program.
#[must_use]
pub fn compile(program: &LinkedProgram) -> Module {
    compile_with(program, ModuleOptions::default())
}

/// The module of a linked program, with other options than the default.
#[must_use]
pub fn compile_with(program: &LinkedProgram, options: ModuleOptions) -> Module {
    let classes = classify(program);
    let tables = tabulate(program, &classes);
    emit(program, &classes, &tables, options)
}

/// The module of a program's classes and tables.
#[must_use]
pub fn emit(program: &LinkedProgram, classes: &Classes, tables: &Tables, options: ModuleOptions) -> Module {
    let mut emitter = module::Emitter::new(program, classes, tables, options);
    let bytes = emitter.finish();
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let rules: BTreeSet<Arc<str>> = tables.answers.list.iter().map(|answer| answer.rule.clone()).collect();
    let manifest = Manifest {
        policies: program.policies.clone(),
        rules: rules.into_iter().collect(),
        reads: emitter.reads(),
        cost_bound: emitter.cost_bound(),
    };
    Module { bytes: bytes.into(), digest, manifest }
}
