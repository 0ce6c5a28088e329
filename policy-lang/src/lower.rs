//! `lower`: from what policies say to what the module decides.
//!
//! Each kind of statement is put into the strand that asks for it, in a file of its own; the file knows
//! what the indexes mean that its strand picks.

mod answers;
mod auth;
mod calls;
mod dump;
mod headers;
mod kept;
mod log;
mod traffic;

pub use answers::{Answer, Answers};
pub use dump::dump;

use crate::bug::Bug;
use crate::linked::LinkedProgram;
use crate::plan::Plan;

/// The plan of a program.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn lower(program: &LinkedProgram) -> Result<Plan, Bug> {
    let mut strands = Vec::new();
    let auth = auth::lower(program, &mut strands)?;
    let traffic = traffic::lower(&program.traffic, &auth.answers, &mut strands)?;
    let headers = headers::lower(&program.traffic, &mut strands)?;
    let first_kept = headers.as_ref().map_or(0, |headers| headers.kept.end());
    let log = log::lower(program, first_kept, &mut strands)?;
    let calls = calls::lower(&program.calls, &mut strands)?;
    Ok(Plan {
        direction: program.direction,
        trust_domain: program.workload.trust_domain.clone(),
        strands,
        auth,
        traffic,
        headers,
        log,
        calls,
        cors: program.traffic.cors.as_ref().map(|cors| cors.rules.clone()),
        policies: program.policies.clone(),
    })
}
