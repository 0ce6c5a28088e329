//! Wasm modules made by hand.

use chancery_policy_lang::module::{Manifest, Module};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemorySection, MemoryType, TypeSection, ValType,
};

/// A module that answers each request with this status.
pub(super) fn answering(status: i32) -> Module {
    module(&format!("answering-{status}"), Some(status))
}

/// A module that lets everything pass.
pub(super) fn silent() -> Module {
    module("silent", None)
}

/// Bytes that are no module.
pub(super) fn garbage() -> Module {
    named("garbage", b"\0asm this is no module".to_vec())
}

fn module(name: &str, status: Option<i32>) -> Module {
    let i32s = |count: usize| vec![ValType::I32; count];
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function(i32s(1), i32s(1));
    types.ty().function(i32s(8), i32s(1));
    types.ty().function(i32s(3), i32s(1));
    let mut imports = ImportSection::new();
    imports.import("env", "proxy_send_local_response", EntityType::Function(2));
    let mut functions = FunctionSection::new();
    functions.function(0).function(1).function(3);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("proxy_abi_version_0_2_1", ExportKind::Func, 1);
    exports.export("malloc", ExportKind::Func, 2);
    exports.export("proxy_on_request_headers", ExportKind::Func, 3);
    let mut code = CodeSection::new();
    let mut marker = Function::new([]);
    marker.instructions().end();
    let mut malloc = Function::new([]);
    malloc.instructions().i32_const(1024).end();
    let mut decide = Function::new([]);
    let mut body = decide.instructions();
    if let Some(status) = status {
        body.i32_const(status);
        for _ in 0..6 {
            body.i32_const(0);
        }
        body.i32_const(-1).call(0).drop();
    }
    body.i32_const(0).end();
    code.function(&marker).function(&malloc).function(&decide);
    let mut module = wasm_encoder::Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code);
    named(name, module.finish())
}

fn named(name: &str, bytes: Vec<u8>) -> Module {
    let manifest = Manifest { policies: vec![name.to_owned()], ..Manifest::default() };
    Module { bytes: bytes.into(), digest: name.to_owned(), manifest }
}
