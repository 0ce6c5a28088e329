//! The functions of a module: each belongs to the file that writes it, and is written when another asks for it.
//!
//! ```text
//! /// Where a text stands in another.
//! pub(super) const FIND: Part = Part::new("find", |emitter| emitter.write_find());
//! ```

use super::code::{Body, Func};
use super::emitter::Emitter;
use crate::bug::{Bug, OrBug as _, number};
use chancery_sdk_abi::Function;
use std::collections::BTreeMap;

/// A function of the module.
#[derive(Clone, Copy)]
pub(super) struct Part {
    name: &'static str,
    /// Which one of several of this name.
    number: u32,
    write: fn(&mut Emitter<'_>, u32) -> Body,
}

impl Part {
    /// The one function of this name.
    pub(super) const fn new(name: &'static str, write: fn(&mut Emitter<'_>, u32) -> Body) -> Self {
        Self { name, number: 0, write }
    }

    /// The function of this number among those that `self` stands for.
    pub(super) const fn numbered(self, number: u32) -> Self {
        Self { number, ..self }
    }

    fn key(self) -> (&'static str, u32) {
        (self.name, self.number)
    }

    pub(super) fn write(self, emitter: &mut Emitter<'_>) -> Body {
        (self.write)(emitter, self.number)
    }
}

/// The functions of a module under construction, those of the host first.
pub(super) struct Functions {
    imports: Vec<Function>,
    parts: Vec<Part>,
    numbers: BTreeMap<(&'static str, u32), Func>,
}

impl Functions {
    /// No function but these of the host.
    pub(super) fn new(imports: Vec<Function>) -> Self {
        Self { imports, parts: Vec::new(), numbers: BTreeMap::new() }
    }

    /// The functions of the host.
    pub(super) fn imports(&self) -> &[Function] {
        &self.imports
    }

    /// A function of the host.
    pub(super) fn import(&self, function: &Function) -> Result<Func, Bug> {
        let at = self.imports.iter().position(|import| import.name == function.name);
        Ok(Func(number(at.or_bug("a host call that is made is imported")?)?))
    }

    /// The function of a part; it is written later if it is new.
    pub(super) fn part(&mut self, part: Part) -> Result<Func, Bug> {
        if let Some(known) = self.numbers.get(&part.key()) {
            return Ok(*known);
        }
        let fresh = Func(number(self.imports.len() + self.parts.len())?);
        self.numbers.insert(part.key(), fresh);
        self.parts.push(part);
        Ok(fresh)
    }

    /// The part that is to be written as this function behind the imports.
    pub(super) fn at(&self, place: usize) -> Option<Part> {
        self.parts.get(place).copied()
    }

    /// The function of a part, if another one asks for it.
    pub(super) fn asked(&self, part: Part) -> Option<Func> {
        self.numbers.get(&part.key()).copied()
    }
}
