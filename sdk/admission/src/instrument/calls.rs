//! What one user of a module lets it call: clusters by their names, written into the shims of the calls.

use super::shims::CALLOUTS;
use super::words;
use std::fmt;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, InstructionSink, Module};
use wasmparser::{FunctionBody, Operator, Parser, Payload, TypeRef, Validator};

/// Why the calls of a module cannot be limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallsNotLimited {
    /// The bytes are no valid module.
    NoModule(String),
    /// The module makes this call in more than one place: it was not made by [`crate::admit`].
    NotByShim(&'static str),
}

/// The same module, which can call these clusters of the mesh and no other: what it does to call another one gives
/// `BAD_ARGUMENT`, as where there is no such cluster. A module that cannot call at all stays as it is.
///
/// # Errors
/// See [`CallsNotLimited`]; an admitted module gives none.
pub fn limit_calls(module: &[u8], clusters: &[String]) -> Result<Vec<u8>, CallsNotLimited> {
    let no_module = |error: wasmparser::BinaryReaderError| CallsNotLimited::NoModule(error.to_string());
    let calls = Callouts::read(module).map_err(no_module)?;
    if calls.imported.is_empty() {
        return Ok(module.to_vec());
    }
    let mut limiting = Limiting { calls: &calls, clusters, limited: Vec::new() };
    let mut limited = Module::new();
    limiting.parse_core_module(&mut limited, Parser::new(0), module).map_err(|error| match error {
        reencode::Error::ParseError(error) => no_module(error),
        other => CallsNotLimited::NoModule(other.to_string()),
    })?;
    for (import, name) in &calls.imported {
        // None calls one that was cut off when the module was admitted.
        if limiting.limited.iter().filter(|limited| *limited == import).count() > 1 {
            return Err(CallsNotLimited::NotByShim(name));
        }
    }
    let limited = limited.finish();
    Validator::new().validate_all(&limited).map_err(no_module)?;
    Ok(limited)
}

impl fmt::Display for CallsNotLimited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule(what) => write!(formatter, "this is no valid module: {what}"),
            Self::NotByShim(call) => {
                write!(formatter, "the module calls `{call}` in several places, and was not admitted")
            }
        }
    }
}

impl std::error::Error for CallsNotLimited {}

/// The imports by which a module calls services, by their numbers.
struct Callouts {
    imported: Vec<(u32, &'static str)>,
}

impl Callouts {
    fn read(module: &[u8]) -> wasmparser::Result<Self> {
        let mut imported = Vec::new();
        let mut function = 0;
        for payload in Parser::new(0).parse_all(module) {
            let Payload::ImportSection(imports) = payload? else { continue };
            for import in imports.into_imports() {
                let import = import?;
                if !matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
                    continue;
                }
                let callout = CALLOUTS.iter().find(|callout| callout.name == import.name);
                imported.extend(callout.map(|callout| (function, callout.name)));
                function += 1;
            }
        }
        Ok(Self { imported })
    }

    /// The import that a function calls; none of a function that calls none.
    fn called_by(&self, body: &FunctionBody<'_>) -> wasmparser::Result<Option<u32>> {
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            if let Operator::Call { function_index } = operators.read()?
                && self.imported.iter().any(|(import, _)| *import == function_index)
            {
                return Ok(Some(function_index));
            }
        }
        Ok(None)
    }
}

/// Copies a module, with something before what its shims do.
struct Limiting<'a> {
    calls: &'a Callouts,
    clusters: &'a [String],
    /// The imports whose shims were found.
    limited: Vec<u32>,
}

impl Reencode for Limiting<'_> {
    type Error = std::convert::Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let Some(import) = self.calls.called_by(&body)? else {
            code.raw(body.as_bytes());
            return Ok(());
        };
        self.limited.push(import);
        let bytes = body.as_bytes();
        let locals = body.get_operators_reader()?.original_position().saturating_sub(body.range().start);
        let locals = usize::try_from(locals).map_err(|_| reencode::Error::InvalidCodeSectionSize)?;
        let (locals, instructions) =
            bytes.split_at_checked(locals).ok_or(reencode::Error::InvalidCodeSectionSize)?;
        let mut function = locals.to_vec();
        words::only_clusters(&mut InstructionSink::new(&mut function), self.clusters);
        function.extend_from_slice(instructions);
        code.raw(&function);
        Ok(())
    }
}
