//! Makes a module that was found well end its callbacks in time, and give its host no wrong memory.
//!
//! ```text
//! host ──export──> wrapper: fills the budget ──> function of the module: pays for each stretch of instructions
//! host <──import── shim: pays for the call and its bytes <──call──┘
//! ```
//!
//! The budget is a global; a stretch subtracts what it costs, and where code can come back to (the entry of a
//! function, the head of a loop) it ends in a trap if the budget is used up. Everything new stands behind what the
//! module had of its kind, so no number of the module changes but those of imports, which become their shims'.

mod additions;
mod budget;
mod calls;
mod counting;
mod rewrite;
mod shims;
mod words;

pub use calls::{CallsNotLimited, limit_calls};
pub use counting::Counting;

use crate::outline::Outline;
use crate::{Finding, Terms, errors, limits};
use additions::Additions;
use rewrite::Rewriter;
use wasm_encoder::reencode;
use wasmparser::Validator;

/// Instruments a module that was found well.
///
/// Fails if the result is too large, or with a finding that says that it is our fault.
pub(crate) fn instrument(bytes: &[u8], outline: &Outline, terms: &Terms) -> Result<Vec<u8>, Finding> {
    let additions = Additions::plan(outline);
    let module = Rewriter::new(outline, &additions, terms).rewrite(bytes).map_err(|error| match error {
        reencode::Error::ParseError(error) => errors::our_fault(error.offset(), error.message()),
        other => errors::our_fault(0, &other.to_string()),
    })?;
    if module.len() > limits::INSTRUMENTED_BYTES_MAX {
        return Err(errors::too_large_instrumented(module.len()));
    }
    // What we write is not trusted either.
    Validator::new()
        .validate_all(&module)
        .map_err(|error| errors::our_fault(error.offset(), error.message()))?;
    Ok(module)
}
