//! The outline of a module: what its sections say, without code and data. The module was validated before.

use wasmparser::{
    CompositeInnerType, ExternalKind, FuncType, FunctionBody, MemoryType, Parser, Payload, Result, TypeRef,
};

/// What a module is made of. Functions are numbered with the imported ones first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    pub(crate) types: Vec<FuncType>,
    pub(crate) imports: Vec<Import>,
    /// The type of each function, as an index.
    pub(crate) functions: Vec<u32>,
    /// How many functions are imported.
    pub(crate) imported_functions: u32,
    pub(crate) memories: Vec<Memory>,
    pub(crate) table_elements: u64,
    pub(crate) globals: u32,
    pub(crate) exports: Vec<Export>,
    /// Where the start section is.
    pub(crate) start: Option<u64>,
    /// The greatest function in bytes and the one with most variables: index, number, offset.
    pub(crate) longest: Option<Extreme>,
    pub(crate) most_locals: Option<Extreme>,
    /// Names of functions, as far as the module tells them.
    pub(crate) names: Vec<(u32, String)>,
}

/// An import of any kind.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    pub(crate) kind: ExternKind,
    /// Of a function: its type.
    pub(crate) type_index: u32,
    pub(crate) offset: u64,
}

/// An export of any kind.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) kind: ExternKind,
    pub(crate) index: u32,
    pub(crate) offset: u64,
}

/// A memory that the module defines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) memory_type: MemoryType,
    pub(crate) offset: u64,
}

/// The function that has most of something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extreme {
    pub(crate) function: u32,
    pub(crate) count: u64,
    pub(crate) offset: u64,
}

/// What is imported or exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExternKind {
    Function,
    Table,
    Memory,
    Global,
    Tag,
}

impl ExternKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Table => "table",
            Self::Memory => "memory",
            Self::Global => "global",
            Self::Tag => "tag",
        }
    }
}

impl From<ExternalKind> for ExternKind {
    fn from(kind: ExternalKind) -> Self {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => Self::Function,
            ExternalKind::Table => Self::Table,
            ExternalKind::Memory => Self::Memory,
            ExternalKind::Global => Self::Global,
            ExternalKind::Tag => Self::Tag,
        }
    }
}

impl Outline {
    /// Reads a module that is valid.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut outline = Self::default();
        let mut next_body = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::CodeSectionEntry(body) => {
                    outline.take_body(outline.imported_functions.saturating_add(next_body), &body)?;
                    next_body += 1;
                }
                other => outline.take_section(other)?,
            }
        }
        Ok(outline)
    }

    /// The type of a function.
    pub(crate) fn function_type(&self, function: u32) -> Option<&FuncType> {
        self.types.get(*self.functions.get(function as usize)? as usize)
    }

    /// A function as a reader knows it: by its name if the module tells it, else by its number.
    pub(crate) fn function_name(&self, function: u32) -> String {
        let named = self.names.iter().find(|(index, _)| *index == function).map(|(_, name)| name.clone());
        let exported = || {
            let is_it = |export: &&Export| export.kind == ExternKind::Function && export.index == function;
            self.exports.iter().find(is_it).map(|export| export.name.clone())
        };
        named.or_else(exported).unwrap_or_else(|| format!("function {function}"))
    }

    fn take_section(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for sub_type in group?.into_types() {
                        if let CompositeInnerType::Func(function) = sub_type.composite_type.inner {
                            self.types.push(function);
                        }
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports_with_offsets() {
                    let (offset, import) = import?;
                    self.take_import(offset, import);
                }
            }
            Payload::FunctionSection(section) => {
                for type_index in section {
                    self.functions.push(type_index?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.table_elements = self.table_elements.saturating_add(table?.ty.initial);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.into_iter_with_offsets() {
                    let (offset, memory_type) = memory?;
                    self.memories.push(Memory { memory_type, offset });
                }
            }
            Payload::GlobalSection(section) => self.globals = self.globals.saturating_add(section.count()),
            Payload::ExportSection(section) => {
                for export in section.into_iter_with_offsets() {
                    let (offset, export) = export?;
                    let (name, kind) = (export.name.to_owned(), export.kind.into());
                    self.exports.push(Export { name, kind, index: export.index, offset });
                }
            }
            Payload::StartSection { range, .. } => self.start = Some(range.start),
            Payload::CustomSection(section) => {
                if let wasmparser::KnownCustom::Name(names) = section.as_known() {
                    // Nobody validates names: what cannot be read is not there.
                    self.names = read_names(names).unwrap_or_default();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_import(&mut self, offset: u64, import: wasmparser::Import<'_>) {
        let (kind, type_index) = match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.functions.push(index);
                self.imported_functions += 1;
                (ExternKind::Function, index)
            }
            TypeRef::Table(_) => (ExternKind::Table, 0),
            TypeRef::Memory(_) => (ExternKind::Memory, 0),
            TypeRef::Global(_) => {
                self.globals = self.globals.saturating_add(1);
                (ExternKind::Global, 0)
            }
            TypeRef::Tag(_) => (ExternKind::Tag, 0),
        };
        let (module, name) = (import.module.to_owned(), import.name.to_owned());
        self.imports.push(Import { module, name, kind, type_index, offset });
    }

    fn take_body(&mut self, function: u32, body: &FunctionBody<'_>) -> Result<()> {
        let range = body.range();
        let bytes = range.end.saturating_sub(range.start);
        let mut locals = self.function_type(function).map_or(0, |ty| ty.params().len() as u64);
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(u64::from(group?.0));
        }
        for (extreme, count) in [(&mut self.longest, bytes), (&mut self.most_locals, locals)] {
            if extreme.is_none_or(|extreme| extreme.count < count) {
                *extreme = Some(Extreme { function, count, offset: range.start });
            }
        }
        Ok(())
    }
}

/// The names of functions.
fn read_names(section: wasmparser::NameSectionReader<'_>) -> Result<Vec<(u32, String)>> {
    let mut names = Vec::new();
    for subsection in section {
        if let wasmparser::Name::Function(map) = subsection? {
            for naming in map {
                let naming = naming?;
                names.push((naming.index, naming.name.to_owned()));
            }
        }
    }
    Ok(names)
}
