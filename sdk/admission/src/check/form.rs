//! Whether bytes are a module that can be compiled: valid, of accepted features, and not too much of anything.

use crate::outline::Outline;
use crate::{Finding, errors, limits};
use wasmparser::{Parser, Validator, WasmFeatures};

/// WebAssembly 2.0 with SIMD (also relaxed), tail calls and extended constants.
///
/// A subset of what Envoy 1.40 compiles, for more cannot be kept: what a garbage collector does cannot be counted,
/// threads and further or 64-bit memories contradict the contract, and neither can the host of trial runs run
/// exceptions.
const ACCEPTED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST);

/// What each WebAssembly module begins with: the magic number and the version of core modules.
const PREAMBLE: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Whether bytes are a valid module.
pub(super) fn check_valid(bytes: &[u8]) -> Result<(), Finding> {
    if bytes.len() > limits::MODULE_BYTES_MAX {
        return Err(errors::too_large(bytes.len()));
    }
    check_preamble(bytes)?;
    let Err(error) = validate(bytes, ACCEPTED) else { return Ok(()) };
    // How many memories there are is said with what else is odd about them.
    if validate(bytes, ACCEPTED.union(WasmFeatures::MULTI_MEMORY)).is_ok() {
        return Ok(());
    }
    match error.missing_wasm_feature() {
        Some(missing) => Err(errors::feature(error.offset(), &names(missing))),
        None => Err(errors::invalid(error.offset(), error.message())),
    }
}

fn check_preamble(bytes: &[u8]) -> Result<(), Finding> {
    let what = match bytes.get(..PREAMBLE.len()) {
        Some(preamble) if preamble == PREAMBLE => return Ok(()),
        _ if bytes.is_empty() => "it is empty",
        Some(_) if Parser::is_component(bytes) => "it is a component; sidecars run core modules",
        Some(preamble) if preamble.starts_with(b"\0asm") => "it is of an unknown version",
        _ if bytes.starts_with(b"(") || bytes.starts_with(b";;") => {
            "it looks like the text format, which `wat2wasm` or `wasm-tools parse` compiles"
        }
        _ => "it does not begin with the magic number",
    };
    Err(errors::not_a_module(0, what))
}

fn validate(bytes: &[u8], features: WasmFeatures) -> wasmparser::Result<()> {
    Validator::new_with_features(features).validate_all(bytes).map(drop)
}

/// The names of features as the proposals spell them: `multi-memory`.
fn names(features: WasmFeatures) -> String {
    let names: Vec<String> =
        features.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
    names.join(", ")
}

/// Whether a module can be compiled in time.
pub(super) fn check_limits(outline: &Outline) -> Vec<Finding> {
    let counts = [
        ("function", outline.functions.len() as u64, "functions", u64::from(limits::FUNCTIONS_MAX)),
        ("table", outline.table_elements, "elements of tables", limits::TABLE_ELEMENTS_MAX),
        ("export", outline.exports.len() as u64, "exports", u64::from(limits::EXPORTS_MAX)),
    ];
    let too_many = counts
        .into_iter()
        .filter(|(_, count, _, max)| count > max)
        .map(|(section, count, what, max)| errors::too_many(section, count, what, max));
    let longest = outline.longest.filter(|longest| longest.count > limits::FUNCTION_BYTES_MAX);
    let most_locals = outline.most_locals.filter(|most| most.count > u64::from(limits::LOCALS_MAX));
    too_many
        .chain(longest.map(|extreme| errors::long_function(outline, extreme)))
        .chain(most_locals.map(|extreme| errors::many_locals(outline, extreme)))
        .collect()
}
