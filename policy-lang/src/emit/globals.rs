//! The global variables of a module.

use super::code::{Global, I32, I64};
use crate::bug::{Bug, number};
use std::collections::BTreeMap;
use wasm_encoder as wasm;
use wasm_encoder::ValType;

/// Global variables under construction, known by name.
#[derive(Default)]
pub(super) struct Globals {
    types: Vec<(ValType, Beginning)>,
    names: BTreeMap<String, Global>,
    flags: Vec<Global>,
}

/// What a variable is before the first request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// 0.
    Zero,
    /// The constant, which it may leave.
    Constant,
    /// The constant, always.
    Fixed,
}

impl Globals {
    /// A variable that outlives nothing: who reads it has set it in the same request.
    pub(super) fn variable(&mut self, name: &str, ty: ValType) -> Result<Global, Bug> {
        Ok(self.named(name, ty, Beginning::Zero)?.0)
    }

    /// A variable that is 0 when a request begins.
    pub(super) fn flag(&mut self, name: &str, ty: ValType) -> Result<Global, Bug> {
        let (global, fresh) = self.named(name, ty, Beginning::Zero)?;
        if fresh {
            self.flags.push(global);
        }
        Ok(global)
    }

    /// A variable that begins as the constants are.
    pub(super) fn pointer(&mut self, name: &str) -> Result<Global, Bug> {
        Ok(self.named(name, I32, Beginning::Constant)?.0)
    }

    /// A constant whose value is known when all is written.
    pub(super) fn constant(&mut self, name: &str) -> Result<Global, Bug> {
        Ok(self.named(name, I32, Beginning::Fixed)?.0)
    }

    /// The variables that are 0 when a request begins.
    pub(super) fn flags(&self) -> &[Global] {
        &self.flags
    }

    fn named(&mut self, name: &str, ty: ValType, beginning: Beginning) -> Result<(Global, bool), Bug> {
        if let Some(known) = self.names.get(name) {
            return Ok((*known, false));
        }
        let global = Global { index: number(self.types.len())?, ty };
        self.types.push((ty, beginning));
        self.names.insert(name.to_owned(), global);
        Ok((global, true))
    }

    /// The section; each constant has this value.
    pub(super) fn section(&self, constant: u32) -> wasm::GlobalSection {
        let mut section = wasm::GlobalSection::new();
        for (ty, beginning) in &self.types {
            let init = match (*beginning, *ty) {
                (Beginning::Constant | Beginning::Fixed, _) => {
                    wasm::ConstExpr::i32_const(constant.cast_signed())
                }
                (Beginning::Zero, I64) => wasm::ConstExpr::i64_const(0),
                (Beginning::Zero, _) => wasm::ConstExpr::i32_const(0),
            };
            let mutable = *beginning != Beginning::Fixed;
            section.global(wasm::GlobalType { val_type: *ty, mutable, shared: false }, &init);
        }
        section
    }
}
