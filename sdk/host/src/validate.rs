//! Whether a module keeps the contract, asked before anything of it runs.

use crate::abi::{self, Function, ValueType, Version, guest_exports, host_calls};
use crate::{HostError, Limits};
use wasmparser::{Parser, Payload};
use wasmtime::{ExternType, FuncType, Module, ValType};

/// How the names of markers begin, to say what a module is instead.
const MARKER_PREFIX: &str = "proxy_abi_version_";

/// Checks what only the bytes tell: the size, and that nothing runs on instantiation. A start
/// function would run without a context; one that makes a host call there crashes Envoy.
pub(crate) fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<(), HostError> {
    if bytes.len() > limits.module_bytes_max {
        return Err(HostError::TooLarge { bytes: bytes.len(), bytes_max: limits.module_bytes_max });
    }
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::StartSection { .. }) => return Err(HostError::StartSection),
            Ok(_) => {}
            Err(error) => return Err(HostError::Invalid(error.to_string())),
        }
    }
    Ok(())
}

/// Checks imports and exports against the contract, and gives the version of it that the module speaks.
pub(crate) fn check_module(module: &Module, limits: &Limits) -> Result<Version, HostError> {
    let version = find_version(module)?;
    check_imports(module, version)?;
    check_memory(module, limits)?;
    check_exports(module, version)?;
    Ok(version)
}

/// The allocator that a host uses: `malloc` if both are there, as in Envoy.
pub(crate) fn allocator(module: &Module) -> Result<Function, HostError> {
    [guest_exports::MALLOC, guest_exports::ON_MEMORY_ALLOCATE]
        .into_iter()
        .find(|function| matches!(module.get_export(function.name), Some(ExternType::Func(_))))
        .ok_or(HostError::NoAllocator)
}

fn check_imports(module: &Module, version: Version) -> Result<(), HostError> {
    for import in module.imports() {
        let known = if import.module() == abi::ENV_MODULE {
            version.host_call(import.name())
        } else if abi::WASI_MODULES.contains(&import.module()) {
            host_calls::wasi::find(import.name())
        } else {
            None
        };
        let (module, name) = (import.module().to_owned(), import.name().to_owned());
        let Some(expected) = known else { return Err(HostError::UnknownImport { module, name }) };
        match import.ty() {
            ExternType::Func(got) if has_signature(&got, expected) => {}
            ExternType::Func(got) => {
                return Err(HostError::ImportSignature { module, name, expected, got: show(&got) });
            }
            _ => {
                let got = "something that is not a function".to_owned();
                return Err(HostError::ImportSignature { module, name, expected, got });
            }
        }
    }
    Ok(())
}

fn find_version(module: &Module) -> Result<Version, HostError> {
    let functions = || {
        let exports = module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
        exports.map(|export| export.name())
    };
    Version::of_exports(functions()).ok_or_else(|| HostError::NoVersionMarker {
        other: functions().find(|name| name.starts_with(MARKER_PREFIX)).map(str::to_owned),
    })
}

fn check_memory(module: &Module, limits: &Limits) -> Result<(), HostError> {
    let Some(ExternType::Memory(memory)) = module.get_export(abi::MEMORY) else {
        return Err(HostError::NoMemory);
    };
    if memory.is_64() {
        return Err(HostError::Memory("it has 64-bit addresses; the contract's pointers have 32".to_owned()));
    }
    if memory.is_shared() {
        return Err(HostError::Memory("it is shared between threads".to_owned()));
    }
    let pages_max =
        abi::limits::MEMORY_PAGES_MAX.min(limits.memory_bytes_max as u64 / memory.page_size().max(1));
    if memory.minimum() > pages_max {
        let text = format!("it begins with {} pages; at most {pages_max} are given", memory.minimum());
        return Err(HostError::Memory(text));
    }
    Ok(())
}

fn check_exports(module: &Module, version: Version) -> Result<(), HostError> {
    let allocator = allocator(module)?;
    // `main` is of the contract only where constructors are apart from it.
    let has_initialize = module.get_export(guest_exports::INITIALIZE.name).is_some();
    for function in guest_exports::ALL {
        let concerned = match *function {
            guest_exports::MALLOC | guest_exports::ON_MEMORY_ALLOCATE => *function == allocator,
            guest_exports::MAIN | guest_exports::MAIN_VOID => has_initialize,
            _ => true,
        };
        let expected = version.guest_export(function.name).unwrap_or(*function);
        match module.get_export(function.name) {
            Some(ExternType::Func(got)) if concerned && !has_signature(&got, expected) => {
                return Err(HostError::ExportSignature { expected, got: show(&got) });
            }
            _ => {}
        }
    }
    Ok(())
}

fn has_signature(got: &FuncType, expected: Function) -> bool {
    same(got.params(), expected.signature.params) && same(got.results(), expected.signature.results)
}

fn same(got: impl ExactSizeIterator<Item = ValType>, expected: &[ValueType]) -> bool {
    got.len() == expected.len()
        && got.zip(expected).all(|(got, expected)| match expected {
            ValueType::I32 => got.is_i32(),
            ValueType::I64 => got.is_i64(),
        })
}

fn show(ty: &FuncType) -> String {
    let list = |types: Vec<String>| types.join(" ");
    let params = list(ty.params().map(|ty| ty.to_string()).collect());
    let results = list(ty.results().map(|ty| ty.to_string()).collect());
    format!("({params}) -> ({results})")
}
