//! The written functions, constants and tables as the sections of a module.

use super::class::class;
use super::code::{Body, Func};
use super::emitter::Emitter;
use super::memory;
use crate::bug::{Bug, OrBug as _};
use chancery_sdk_abi::{ENV_MODULE, MEMORY, ValueType, WASI_MODULES, host_calls};
use std::collections::BTreeMap;
use wasm_encoder as wasm;
use wasm_encoder::ValType;

/// The number of the type of the functions that are called through the table: the first of the module.
pub(super) const TABLE_TYPE: u32 = 0;

/// The module of these functions, in their order behind the imports.
pub(super) fn module(
    emitter: &Emitter<'_>,
    exports: &[(&str, Func)],
    bodies: &[Body],
) -> Result<Vec<u8>, Bug> {
    let mut types = Types::default();
    // So that it has the number `TABLE_TYPE`.
    types.number(&[], &[ValType::I32]);
    let mut imports = wasm::ImportSection::new();
    for import in emitter.functions.imports() {
        let ty = types.number(&abi_types(import.signature.params), &abi_types(import.signature.results));
        // What the host gives beside its own calls is of WASI.
        let [_, wasi] = WASI_MODULES;
        let module = if host_calls::wasi::ALL.contains(import) { wasi } else { ENV_MODULE };
        imports.import(module, import.name, wasm::EntityType::Function(ty));
    }
    let mut functions = wasm::FunctionSection::new();
    let mut code = wasm::CodeSection::new();
    for body in bodies {
        functions.function(types.number(&body.params, &body.results));
        let mut function = wasm::Function::new_with_locals_types(body.locals.iter().copied());
        function.raw(body.code.iter().copied());
        function.instructions().end();
        code.function(&function);
    }
    let mut module = wasm::Module::new();
    module.section(&types.section).section(&imports).section(&functions);
    let class_functions = class_functions(emitter)?;
    if let Some((tables, _)) = &class_functions {
        module.section(tables);
    }
    module.section(&memory::section(&emitter.data));
    module.section(&emitter.globals.section(memory::arena_start(&emitter.data)));
    let mut section = wasm::ExportSection::new();
    section.export(MEMORY, wasm::ExportKind::Memory, 0);
    for (name, function) in exports {
        section.export(name, wasm::ExportKind::Func, function.0);
    }
    module.section(&section);
    if let Some((_, elements)) = &class_functions {
        module.section(elements);
    }
    let mut data = wasm::DataSection::new();
    for (address, bytes) in emitter.data.pieces() {
        data.active(0, &wasm::ConstExpr::i32_const(address.cast_signed()), bytes.iter().copied());
    }
    module.section(&code).section(&data);
    Ok(module.finish())
}

/// The table through which the classes of attributes are asked, where classes are kept.
fn class_functions(emitter: &Emitter<'_>) -> Result<Option<(wasm::TableSection, wasm::ElementSection)>, Bug> {
    if !emitter.keeps_classes() {
        return Ok(None);
    }
    let of = |attribute| emitter.functions.asked(class(attribute)).or_bug("each class has its function");
    let functions: Vec<u32> = (0..)
        .zip(&emitter.classes.attributes)
        .map(|(attribute, _)| of(attribute).map(|function| function.0))
        .collect::<Result<_, Bug>>()?;
    let count = functions.len() as u64;
    let mut tables = wasm::TableSection::new();
    tables.table(wasm::TableType {
        element_type: wasm::RefType::FUNCREF,
        table64: false,
        minimum: count,
        maximum: Some(count),
        shared: false,
    });
    let mut elements = wasm::ElementSection::new();
    elements.active(None, &wasm::ConstExpr::i32_const(0), wasm::Elements::Functions(functions.into()));
    Ok(Some((tables, elements)))
}

fn abi_types(types: &[ValueType]) -> Vec<ValType> {
    let convert = |ty: &ValueType| match ty {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
    };
    types.iter().map(convert).collect()
}

/// Function types, each once.
#[derive(Default)]
struct Types {
    section: wasm::TypeSection,
    numbers: BTreeMap<String, u32>,
}

impl Types {
    fn number(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let fresh = self.section.len();
        let number = *self.numbers.entry(format!("{params:?}{results:?}")).or_insert(fresh);
        if number == fresh {
            self.section.ty().function(params.iter().copied(), results.iter().copied());
        }
        number
    }
}
