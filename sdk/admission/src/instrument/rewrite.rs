//! Writes a module anew, section by section, with what is added behind what it had.

use super::additions::Additions;
use super::budget::Check;
use super::counting::{Payment, payments};
use super::{budget, shims};
use crate::limits::TABLE_ELEMENTS_MAX;
use crate::outline::{ExternKind, Import, Outline};
use crate::{Capability, Terms};
use chancery_sdk_abi::{Function as Contract, guest_exports, host_calls};
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection,
    MemoryType, Module, NameMap, NameSection, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{CodeSectionReader, FunctionBody, Operator, Parser, Payload};

/// What cannot be written anew; of a valid module, nothing.
type Result<T> = std::result::Result<T, Error<Infallible>>;

/// The sections of the new module.
#[derive(Default)]
struct Sections {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    exports: ExportSection,
    elements: ElementSection,
    data_count: Option<u32>,
    code: CodeSection,
    data: DataSection,
}

/// Writes one module anew.
pub(crate) struct Rewriter<'module> {
    outline: &'module Outline,
    additions: &'module Additions,
    terms: &'module Terms,
    /// The number of the function whose body comes next.
    next_body: u32,
}

impl<'module> Rewriter<'module> {
    pub(crate) fn new(
        outline: &'module Outline,
        additions: &'module Additions,
        terms: &'module Terms,
    ) -> Self {
        Self { outline, additions, terms, next_body: outline.imported_functions }
    }

    /// The new module. Of custom sections only the names of functions stay: others speak of places in the code, and
    /// those are other ones now.
    pub(crate) fn rewrite(mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut sections = Sections::default();
        for payload in Parser::new(0).parse_all(bytes) {
            self.take_section(&mut sections, payload?, bytes)?;
        }
        self.add(&mut sections);
        Ok(self.assemble(&sections))
    }

    fn take_section(&mut self, sections: &mut Sections, payload: Payload<'_>, bytes: &[u8]) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => self.parse_type_section(&mut sections.types, section),
            Payload::ImportSection(section) => self.parse_import_section(&mut sections.imports, section),
            Payload::FunctionSection(section) => {
                self.parse_function_section(&mut sections.functions, section)
            }
            Payload::TableSection(section) => self.parse_table_section(&mut sections.tables, section),
            Payload::MemorySection(section) => self.parse_memory_section(&mut sections.memories, section),
            Payload::GlobalSection(section) => self.parse_global_section(&mut sections.globals, section),
            Payload::ExportSection(section) => self.parse_export_section(&mut sections.exports, section),
            Payload::ElementSection(section) => self.parse_element_section(&mut sections.elements, section),
            Payload::DataCountSection { count, .. } => {
                sections.data_count = Some(count);
                Ok(())
            }
            Payload::CodeSectionStart { unchecked_range, .. } => {
                let start =
                    usize::try_from(unchecked_range.start).map_err(|_| Error::InvalidCodeSectionSize)?;
                let end = usize::try_from(unchecked_range.end).map_err(|_| Error::InvalidCodeSectionSize)?;
                let section = bytes.get(start..end).ok_or(Error::InvalidCodeSectionSize)?;
                let reader = Parser::new(0).binary_reader(section, unchecked_range.start);
                self.parse_code_section(&mut sections.code, CodeSectionReader::new(reader)?)
            }
            Payload::DataSection(section) => self.parse_data_section(&mut sections.data, section),
            _ => Ok(()),
        }
    }

    /// Adds everything new. The order of functions is that of [`Additions`].
    fn add(&self, sections: &mut Sections) {
        let Additions { plain_type, length_type, .. } = *self.additions;
        sections.types.ty().function([], []);
        sections.types.ty().function([ValType::I32], []);
        let mut add = |type_index: u32, function: &Function| {
            sections.functions.function(type_index);
            sections.code.function(function);
        };
        for (index, import) in (0..).zip(self.imported_functions()) {
            let parameters = self.outline.function_type(index).map_or(0, |ty| ty.params().len());
            let parameters = u32::try_from(parameters).unwrap_or(u32::MAX);
            let shim = if self.is_withheld(host_calls::find(&import.name)) {
                shims::cut_off(self.additions)
            } else {
                shims::shim(self.additions, import, index, parameters)
            };
            add(import.type_index, &shim);
        }
        add(plain_type, &budget::trap());
        add(plain_type, &budget::trap());
        add(length_type, &budget::pay_bytes(self.additions));
        for wrapped in &self.additions.wrapped {
            add(wrapped.type_index, &budget::wrapper(self.additions, wrapped, self.terms));
        }
        let variable = |val_type| GlobalType { val_type, mutable: true, shared: false };
        let callback_budget = ConstExpr::i64_const(self.terms.callback_budget.cast_signed());
        sections.globals.global(variable(ValType::I64), &callback_budget);
        for _flag in [self.additions.running, self.additions.over, self.additions.early] {
            sections.globals.global(variable(ValType::I32), &ConstExpr::i32_const(0));
        }
        // Code may refer only to functions that stand outside of it somewhere, and their exports are now others'.
        let declared: Vec<u32> = self.additions.wrapped.iter().map(|wrapped| wrapped.function).collect();
        if !declared.is_empty() {
            sections.elements.declared(Elements::Functions(declared.into()));
        }
    }

    fn is_withheld(&self, function: Option<Contract>) -> bool {
        function.is_some_and(|function| Capability::withholds(function, self.terms.may.as_ref()))
    }

    fn imported_functions(&self) -> impl Iterator<Item = &'module Import> {
        self.outline.imports.iter().filter(|import| import.kind == ExternKind::Function)
    }

    fn assemble(&self, sections: &Sections) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&sections.types).section(&sections.imports).section(&sections.functions);
        module.section(&sections.tables).section(&sections.memories).section(&sections.globals);
        module.section(&sections.exports).section(&sections.elements);
        if let Some(count) = sections.data_count {
            module.section(&DataCountSection { count });
        }
        module.section(&sections.code).section(&sections.data).section(&self.names());
        module.finish()
    }

    fn names(&self) -> NameSection {
        let mut functions = NameMap::new();
        let own = self.outline.functions.len();
        let mut named: Vec<&(u32, String)> =
            self.outline.names.iter().filter(|(index, _)| (*index as usize) < own).collect();
        named.sort_by_key(|(index, _)| *index);
        named.dedup_by_key(|(index, _)| *index);
        for (index, name) in named {
            functions.append(*index, name);
        }
        for (index, name) in self.additions.names(self.outline) {
            functions.append(index, &name);
        }
        let mut names = NameSection::new();
        names.functions(&functions);
        names
    }
}

impl Reencode for Rewriter<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32> {
        Ok(self.additions.function(function))
    }

    fn memory_type(&mut self, memory: wasmparser::MemoryType) -> Result<MemoryType> {
        let pages_max = u64::from(self.terms.memory_pages_max);
        let maximum = memory.maximum.map_or(pages_max, |maximum| maximum.min(pages_max));
        let mut memory = wasm_encoder::reencode::utils::memory_type(self, memory);
        memory.maximum = Some(maximum);
        Ok(memory)
    }

    fn table_type(&mut self, table: wasmparser::TableType) -> Result<TableType> {
        let maximum = table.maximum.map_or(TABLE_ELEMENTS_MAX, |maximum| maximum.min(TABLE_ELEMENTS_MAX));
        let mut table = wasm_encoder::reencode::utils::table_type(self, table)?;
        table.maximum = Some(maximum);
        Ok(table)
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: wasmparser::Export<'_>) -> Result<()> {
        match self.additions.wrapper(export.name) {
            Some(_) if self.is_withheld(guest_exports::find(export.name)) => Ok(()),
            Some(wrapper) => {
                exports.export(export.name, ExportKind::Func, wrapper);
                Ok(())
            }
            None => wasm_encoder::reencode::utils::parse_export(self, exports, export),
        }
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<()> {
        let index = self.next_body;
        self.next_body = self.next_body.saturating_add(1);
        let payments = payments(&body, self.terms.counting)?;
        let mut locals = Vec::new();
        let mut count = self.outline.function_type(index).map_or(0, |ty| ty.params().len() as u32);
        for group in body.get_locals_reader()? {
            let (number, ty) = group?;
            count = count.saturating_add(number);
            locals.push((number, self.val_type(ty)?));
        }
        if moves_bytes(&body)? {
            locals.push((1, ValType::I32));
        }
        let mut function = Function::new(locals);
        let results = self.outline.function_type(index).map_or(&[][..], |ty| ty.results());
        let payments = Payments { payments: &payments, length: count };
        match results {
            [] => self.write_with_end(&mut function, &body, payments, BlockType::Empty)?,
            [result] => {
                let result = BlockType::Result(self.val_type(*result)?);
                self.write_with_end(&mut function, &body, payments, result)?;
            }
            // A block of several results needs a type of its own; few functions are worth it.
            _ => self.write(&mut function, &body, payments, |_| Check::Here)?,
        }
        code.function(&function);
        Ok(())
    }
}

/// What is to be written between the instructions of a function.
#[derive(Clone, Copy)]
struct Payments<'a> {
    payments: &'a [Payment],
    /// A local of our own for lengths, where there is need of it.
    length: u32,
}

impl Rewriter<'_> {
    /// Writes a function whose checks branch to its end, where the callback ends: a call in a loop would cost the loop its
    /// registers.
    ///
    /// ```text
    /// block                      <- where checks branch to
    ///   block (result …)         <- what was the function's own label
    ///     the instructions
    ///   end
    ///   return
    /// end
    /// call $out_of_budget
    /// unreachable
    /// ```
    fn write_with_end(
        &mut self,
        function: &mut Function,
        body: &FunctionBody<'_>,
        payments: Payments<'_>,
        results: BlockType,
    ) -> Result<()> {
        function.instructions().block(BlockType::Empty).block(results);
        self.write(function, body, payments, |depth| Check::Branch(depth.saturating_add(1)))?;
        function.instructions().return_().end().call(self.additions.out_of_budget).unreachable().end();
        Ok(())
    }

    /// Writes the instructions with the payments before them. A check is given the number of constructs around it.
    fn write(
        &mut self,
        function: &mut Function,
        body: &FunctionBody<'_>,
        payments: Payments<'_>,
        check: impl Fn(u32) -> Check,
    ) -> Result<()> {
        let Payments { payments, length } = payments;
        let mut payments = payments.iter().peekable();
        let mut reader = body.get_operators_reader()?;
        let mut at = 0;
        let mut depth: u32 = 0;
        while !reader.eof() {
            let operator = reader.read()?;
            while let Some(payment) = payments.next_if(|payment| payment.before == at) {
                let check = if payment.checks { check(depth) } else { Check::No };
                budget::pay(&mut function.instructions(), self.additions, payment.cost, check);
            }
            if is_lengthy(&operator) {
                budget::pay_length_on_stack(&mut function.instructions(), self.additions, length);
            }
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    depth = depth.saturating_add(1);
                }
                Operator::End => depth = depth.saturating_sub(1),
                _ => {}
            }
            function.instruction(&self.instruction(operator)?);
            at += 1;
        }
        Ok(())
    }
}

/// Whether an instruction takes as long as the number on the stack says.
fn is_lengthy(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. }
    )
}

fn moves_bytes(body: &FunctionBody<'_>) -> Result<bool> {
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        if is_lengthy(&reader.read()?) {
            return Ok(true);
        }
    }
    Ok(false)
}
