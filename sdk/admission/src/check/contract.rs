//! Whether a module keeps the proxy-wasm contract, and does only what it may.

use crate::outline::{Export, ExternKind, Import, Outline};
use crate::{Capability, Finding, Terms, errors};
use chancery_sdk_abi::{self as abi, Function, Signature, ValueType, Version, guest_exports, host_calls};
use std::collections::BTreeSet;
use wasmparser::{FuncType, ValType};

/// How markers begin, to say what a module is instead.
const MARKER_PREFIX: &str = "proxy_abi_version_";
/// How names of callbacks begin, and of nothing else.
const CALLBACK_PREFIX: &str = "proxy_on_";
/// Names of the start, which are no callbacks about anything.
const OF_THE_START: [Function; 9] = [
    guest_exports::MALLOC,
    guest_exports::ON_MEMORY_ALLOCATE,
    guest_exports::INITIALIZE,
    guest_exports::MAIN,
    guest_exports::MAIN_VOID,
    guest_exports::START,
    guest_exports::ON_CONTEXT_CREATE,
    guest_exports::ON_VM_START,
    guest_exports::VALIDATE_CONFIGURATION,
];

/// Everything that a module could make use of.
pub(super) fn uses(outline: &Outline) -> BTreeSet<Capability> {
    contracts(outline).filter_map(Capability::of).collect()
}

/// All host calls and callbacks of a module that the contract knows.
fn contracts(outline: &Outline) -> impl Iterator<Item = Function> {
    let calls = outline.imports.iter().filter_map(|import| known_call(outline, import));
    calls.chain(functions(outline).filter_map(|export| guest_exports::find(&export.name)))
}

/// Checks imports, exports and memory.
pub(super) fn check(outline: &Outline, terms: &Terms, findings: &mut Vec<Finding>) {
    findings.extend(outline.imports.iter().filter_map(|import| check_import(outline, import)));
    check_declared(outline, terms, findings);
    check_memory(outline, terms, findings);
    check_exports(outline, findings);
    findings.extend(outline.start.map(errors::start_section));
}

/// The version of the contract that a module speaks, if it is one that is admitted. 0.2.0 only lacks a host call.
fn version(outline: &Outline) -> Option<Version> {
    let version = Version::of_exports(functions(outline).map(|export| export.name.as_str()));
    version.filter(|version| *version != Version::V0_1_0)
}

/// The host call that an import names, in the version that the module speaks.
fn known_call(outline: &Outline, import: &Import) -> Option<Function> {
    if import.module == abi::ENV_MODULE {
        version(outline).unwrap_or(Version::V0_2_1).host_call(&import.name)
    } else if abi::WASI_MODULES.contains(&import.module.as_str()) {
        host_calls::wasi::find(&import.name)
    } else {
        None
    }
}

fn check_import(outline: &Outline, import: &Import) -> Option<Finding> {
    if import.kind != ExternKind::Function {
        return Some(errors::import_kind(import));
    }
    let Some(expected) = known_call(outline, import) else {
        return Some(errors::unknown_import(import, near(&import.name, host_calls::ALL)));
    };
    let got = outline.types.get(import.type_index as usize)?;
    (!has_signature(got, expected.signature)).then(|| errors::import_signature(import, expected, &show(got)))
}

/// Says once for each capability what of it the module has and was not declared.
fn check_declared(outline: &Outline, terms: &Terms, findings: &mut Vec<Finding>) {
    let Some(may) = &terms.may else { return };
    for capability in Capability::ALL.iter().filter(|capability| capability.can_be_allowed()) {
        let names: Vec<&str> = contracts(outline)
            .filter(|function| Capability::of(*function) == Some(*capability))
            .map(|function| function.name)
            .collect();
        if !names.is_empty() && !capability.is_allowed(Some(may)) {
            findings.push(errors::undeclared(*capability, &names));
        }
    }
}

fn check_memory(outline: &Outline, terms: &Terms, findings: &mut Vec<Finding>) {
    let imported = outline.imports.iter().any(|import| import.kind == ExternKind::Memory);
    match outline.memories.as_slice() {
        [memory] => {
            let too_large = memory.memory_type.initial > u64::from(terms.memory_pages_max);
            findings.extend(too_large.then(|| errors::memory_too_large(memory, terms.memory_pages_max)));
            let is_exported = outline
                .exports
                .iter()
                .any(|export| export.kind == ExternKind::Memory && export.name == abi::MEMORY);
            findings.extend((!is_exported).then(errors::memory_not_exported));
        }
        // That it is imported was said.
        [] if imported => {}
        memories => findings.push(errors::memories(memories.len())),
    }
}

fn check_exports(outline: &Outline, findings: &mut Vec<Finding>) {
    let has = |name: &str| functions(outline).any(|export| export.name == name);
    if version(outline).is_none() {
        let other = functions(outline).find(|export| export.name.starts_with(MARKER_PREFIX));
        findings.push(errors::no_marker(other.map(|export| export.name.as_str())));
    }
    let allocator = [guest_exports::MALLOC, guest_exports::ON_MEMORY_ALLOCATE]
        .into_iter()
        .find(|function| has(function.name));
    findings.extend(allocator.is_none().then(errors::no_allocator));
    for export in functions(outline) {
        let Some(expected) = guest_exports::find(&export.name) else {
            let odd = export.name.starts_with(CALLBACK_PREFIX);
            findings
                .extend(odd.then(|| errors::never_called(export, near(&export.name, guest_exports::ALL))));
            continue;
        };
        let Some(got) = outline.function_type(export.index) else { continue };
        if is_called(expected, allocator, &has) && !has_signature(got, expected.signature) {
            findings.push(errors::export_signature(export, expected, &show(got)));
        }
    }
    let is_callback = |export: &Export| {
        guest_exports::find(&export.name).is_some_and(|function| !OF_THE_START.contains(&function))
    };
    let idle = !functions(outline).any(is_callback);
    findings.extend(idle.then(errors::no_callback));
}

/// Whether a host that finds the other names, too, looks at this one.
pub(crate) fn is_called(
    function: Function,
    allocator: Option<Function>,
    has: &impl Fn(&str) -> bool,
) -> bool {
    match function {
        guest_exports::MALLOC | guest_exports::ON_MEMORY_ALLOCATE => Some(function) == allocator,
        // `main` is of the contract only where constructors are apart from it.
        guest_exports::MAIN | guest_exports::MAIN_VOID => has(guest_exports::INITIALIZE.name),
        _ => true,
    }
}

fn functions(outline: &Outline) -> impl Iterator<Item = &Export> {
    outline.exports.iter().filter(|export| export.kind == ExternKind::Function)
}

fn has_signature(got: &FuncType, expected: Signature) -> bool {
    same(got.params(), expected.params) && same(got.results(), expected.results)
}

fn same(got: &[ValType], expected: &[ValueType]) -> bool {
    let types = expected.iter().map(|ty| match ty {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
    });
    got.iter().copied().eq(types)
}

/// A type in the form of [`Signature`].
fn show(ty: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("({}) -> ({})", list(ty.params()), list(ty.results()))
}

/// The function of a table whose name is nearest, if it is near enough to be meant.
fn near<'table>(name: &str, table: &'table [Function]) -> Option<&'table str> {
    /// Letters that may differ, and the longest name that is compared.
    const DISTANCE_MAX: usize = 3;
    const NAME_MAX: usize = 64;
    if name.len() > NAME_MAX {
        return None;
    }
    let distances = table.iter().map(|function| (distance(name, function.name), function.name));
    distances.filter(|(distance, _)| *distance <= DISTANCE_MAX).min().map(|(_, name)| name)
}

/// How many letters have to be put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<u8> = right.bytes().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, byte) in left.bytes().enumerate() {
        let mut diagonal = at;
        let mut last = at + 1;
        let mut next = vec![last];
        for (above, other) in row.iter().skip(1).zip(&right) {
            last = (diagonal + usize::from(byte != *other)).min(above + 1).min(last + 1);
            diagonal = *above;
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
