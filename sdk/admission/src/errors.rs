//! All findings of admission, each made in one place: its code, its words and its remedy.

use crate::limits;
use crate::outline::{Export, Extreme, Import, Memory, Outline};
use crate::{Capability, Code, Finding, Place};
use chancery_sdk_abi::{Function, MEMORY, VERSION_MARKER};

fn finding(code: Code, place: Place, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { code, reason: reason.into(), place, remedy: remedy.into() }
}

fn at(section: &'static str, offset: u64) -> Place {
    Place { section: Some(section), offset: Some(offset), name: None }
}

fn at_offset(offset: u64) -> Place {
    Place { offset: Some(offset), ..Place::default() }
}

fn of_import(import: &Import) -> Place {
    let name = format!("{}.{}", import.module, import.name);
    Place { name: Some(name), ..at("import", import.offset) }
}

fn of_export(export: &Export) -> Place {
    Place { name: Some(export.name.clone()), ..at("export", export.offset) }
}

fn of_function(outline: &Outline, extreme: Extreme) -> Place {
    Place { name: Some(outline.function_name(extreme.function)), ..at("code", extreme.offset) }
}

pub(crate) fn not_a_module(offset: u64, what: &str) -> Finding {
    let remedy = "upload the `.wasm` file of a core module, as a compiler for `wasm32` writes it";
    finding(Code::F101, at_offset(offset), format!("this is no WebAssembly module: {what}"), remedy)
}

pub(crate) fn too_large(bytes: usize) -> Finding {
    let reason = format!("the module has {bytes} bytes; at most {} are accepted", limits::MODULE_BYTES_MAX);
    let remedy = "build it optimised for size and without debug information, as with `strip = true` and `opt-level = \"s\"`";
    finding(Code::F102, Place::default(), reason, remedy)
}

pub(crate) fn too_large_instrumented(bytes: usize) -> Finding {
    let max = limits::INSTRUMENTED_BYTES_MAX;
    let reason =
        format!("with what counts its steps the module has {bytes} bytes; at most {max} are accepted");
    finding(Code::F102, Place::default(), reason, "build it optimised for size")
}

pub(crate) fn invalid(offset: u64, what: &str) -> Finding {
    let remedy = "build it again, and compare the file with what the compiler wrote: bytes may have been lost on the way";
    finding(Code::F103, at_offset(offset), format!("the module is not valid: {what}"), remedy)
}

pub(crate) fn feature(offset: u64, feature: &str) -> Finding {
    let reason = format!("the module uses `{feature}`, a feature of WebAssembly that is not accepted");
    let remedy = "build it for WebAssembly 2.0 (with SIMD and tail calls at most), as compilers do unless told otherwise";
    finding(Code::F104, at_offset(offset), reason, remedy)
}

pub(crate) fn start_section(offset: u64) -> Finding {
    let reason = "the module has a start section; a host call made there crashes Envoy 1.40";
    let remedy = "export the function as `_initialize` instead (AssemblyScript: `--exportStart _initialize`)";
    finding(Code::F105, at("start", offset), reason, remedy)
}

pub(crate) fn too_many(section: &'static str, count: u64, what: &str, count_max: u64) -> Finding {
    let reason = format!(
        "the module has {count} {what}; at most {count_max} are accepted, for it has to compile in time"
    );
    let place = Place { section: Some(section), ..Place::default() };
    finding(Code::F106, place, reason, "leave out what the filter does not need")
}

pub(crate) fn long_function(outline: &Outline, extreme: Extreme) -> Finding {
    let (bytes, max) = (extreme.count, limits::FUNCTION_BYTES_MAX);
    let reason =
        format!("a function has {bytes} bytes; at most {max} are accepted, for it has to compile in time");
    finding(Code::F106, of_function(outline, extreme), reason, "divide the function, or inline less into it")
}

pub(crate) fn many_locals(outline: &Outline, extreme: Extreme) -> Finding {
    let (count, max) = (extreme.count, limits::LOCALS_MAX);
    let reason = format!(
        "a function has {count} variables; at most {max} are accepted, for it has to compile in time"
    );
    finding(Code::F106, of_function(outline, extreme), reason, "divide the function, or inline less into it")
}

pub(crate) fn unknown_import(import: &Import, near: Option<&str>) -> Finding {
    let is_newer = near == Some(import.name.as_str());
    let reason = if is_newer {
        "this import is offered to modules of proxy-wasm 0.2.1, and the module's marker is older"
    } else {
        "no proxy-wasm 0.2.1 host offers this import"
    }
    .to_owned();
    let remedy = match near.filter(|_| !is_newer) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "build against an SDK of proxy-wasm 0.2.1, and without what it does not need of an operating system".to_owned(),
    };
    finding(Code::F201, of_import(import), reason, remedy)
}

pub(crate) fn import_signature(import: &Import, expected: Function, got: &str) -> Finding {
    let reason = format!("this is imported as {got}; hosts offer it as {}", expected.signature);
    finding(Code::F202, of_import(import), reason, "build against an SDK of proxy-wasm 0.2.1")
}

pub(crate) fn import_kind(import: &Import) -> Finding {
    let reason = format!("a {} is imported; hosts offer functions only", import.kind.as_str());
    let remedy = format!(
        "let the module define its own {} (for a memory: do not link with `--import-memory`)",
        import.kind.as_str()
    );
    finding(Code::F203, of_import(import), reason, remedy)
}

pub(crate) fn undeclared(capability: Capability, names: &[&str]) -> Finding {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let reason =
        format!("`may {capability}` is not declared, so the module is cut off from {}", names.join(", "));
    let remedy = format!(
        "if the filter does that, declare `may {capability}` in its policy; many modules have calls that they never make"
    );
    finding(Code::F204, Place::default(), reason, remedy)
}

pub(crate) fn no_marker(other: Option<&str>) -> Finding {
    let place = Place { section: Some("export"), ..Place::default() };
    let but = other.map(|name| format!(", but `{name}`")).unwrap_or_default();
    let reason = format!("the module does not export the function `{VERSION_MARKER}`{but}");
    finding(
        Code::F301,
        place,
        reason,
        "build against an SDK of proxy-wasm 0.2.1, and keep its exports when linking",
    )
}

pub(crate) fn no_allocator() -> Finding {
    let place = Place { section: Some("export"), ..Place::default() };
    let reason = "the module exports neither `malloc` nor `proxy_on_memory_allocate`: (i32) -> (i32); without one it gets no data from the host";
    finding(Code::F302, place, reason, "export the allocator (C and C++: link with `--export=malloc`)")
}

pub(crate) fn export_signature(export: &Export, expected: Function, got: &str) -> Finding {
    let reason = format!("this is exported as {got}; hosts call it as {}", expected.signature);
    finding(Code::F303, of_export(export), reason, "build against an SDK of proxy-wasm 0.2.1")
}

pub(crate) fn never_called(export: &Export, near: Option<&str>) -> Finding {
    let remedy = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "leave it out, or give it the name of a callback of proxy-wasm 0.2.1".to_owned(),
    };
    finding(Code::F304, of_export(export), "this is named like a callback, and no host calls it", remedy)
}

pub(crate) fn no_callback() -> Finding {
    let place = Place { section: Some("export"), ..Place::default() };
    let reason =
        "the module exports no callback about a request, a connection or the log, so it does nothing";
    finding(Code::F305, place, reason, "export `proxy_on_request_headers`, or what the filter is about")
}

pub(crate) fn memories(count: usize) -> Finding {
    let place = Place { section: Some("memory"), ..Place::default() };
    let reason = format!(
        "the module defines {count} memories; hosts work with one, and Envoy 1.40 crashes where there is none"
    );
    finding(Code::F401, place, reason, format!("define one memory and export it as `{MEMORY}`"))
}

pub(crate) fn memory_not_exported() -> Finding {
    let place = Place { section: Some("export"), ..Place::default() };
    let reason =
        format!("the module does not export its memory as `{MEMORY}`, so no host can read or write it");
    finding(Code::F402, place, reason, format!("export it: `(export \"{MEMORY}\" (memory 0))`"))
}

pub(crate) fn memory_too_large(memory: &Memory, pages_max: u32) -> Finding {
    let reason = format!(
        "the memory begins with {} pages of 64 KiB; at most {pages_max} are given",
        memory.memory_type.initial
    );
    finding(
        Code::F403,
        at("memory", memory.offset),
        reason,
        "begin with less, and grow when there is need (for C: `-z stack-size`, `--initial-memory`)",
    )
}

pub(crate) fn our_fault(offset: u64, what: &str) -> Finding {
    let reason = format!("the module cannot be made to count its steps: {what}");
    let remedy = "this is a mistake in Chancery: please report it with the module";
    finding(Code::F901, at_offset(offset), reason, remedy)
}
