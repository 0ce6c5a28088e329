//! The module under construction: which functions, globals and constants it has.

use super::ModuleOptions;
use super::code::{Body, Func, Global, I32, Value};
use super::data::Data;
use super::keys::{self, Keys};
use crate::checked::Attribute;
use crate::classify::{AttributeKind, Classes};
use crate::linked::LinkedProgram;
use crate::literals::attributes_of;
use crate::tabulate::{Tables, WORD_BITS};
use chancery_sdk_abi::{ENV_MODULE, Function, MEMORY, VERSION_MARKER, guest_exports, host_calls};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wasm_encoder as wasm;
use wasm_encoder::ValType;

/// Where host calls write an address or a number.
pub(super) const OUT: u32 = 8;
/// Where host calls write a length.
pub(super) const OUT_LENGTH: u32 = 12;
/// Eight groups of an IPv6 address that is being read, 2 bytes each.
pub(super) const ADDRESS_GROUPS: u32 = 16;
/// Where the slots begin.
const SLOTS: u32 = 64;
/// Bytes of a slot: address (0: the header is absent) and length.
pub(super) const SLOT_BYTES: u32 = 8;
/// What a request may need: its headers twice over and room for what conditions compute. Envoy
/// takes 60 KiB of headers unless told otherwise, and gives a module 1 MiB at most.
pub(super) const ARENA_BYTES: u32 = 2 << 20;
/// Loads of 8 bytes may begin at the last byte of the arena.
const SLACK_BYTES: u32 = 8;
const PAGE_BYTES: u32 = 1 << 16;

/// A function of the module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The callback.
    RequestHeaders,
    /// The allocator for the host.
    Malloc,
    /// Never called; its name is the version.
    VersionMarker,
    /// Forgets the request before.
    Reset,
    /// Finds the headers.
    Scan,
    /// Looks a string up.
    Lookup,
    /// Looks a string up that is not short.
    LookupLong,
    /// Compares two strings of one length.
    Equal,
    /// Whether the path has a single meaning; finds its end.
    PathIsCanonical,
    /// A byte of the path.
    PathByte,
    /// Walks the path.
    PathClass,
    /// The class of the longest known beginning of a text.
    PrefixClass,
    /// The class of an attribute.
    Class(usize),
    /// The class of any attribute, computed at most once.
    ClassOnce,
    /// The decision.
    Decide,
    /// The decision of one word.
    Word,
    /// The bits of a class in a word.
    Difference,
    /// Says the decision.
    Answer,
    /// Counts one.
    Count,
    /// Reads a property.
    Property,
    /// Reads the caller's principal.
    Principal,
    /// Finds namespace and service in the principal.
    Service,
    /// Whether a byte may stand in a name.
    IsNameByte,
    /// Reads the caller's address.
    Address,
    /// Reads an IPv4 address in text.
    AddressV4,
    /// Reads an IPv6 address in text.
    AddressV6,
    /// Finds an address among IPv4 intervals.
    IntervalV4,
    /// Finds an address among IPv6 intervals.
    IntervalV6,
    /// Whether the connection is mutual TLS.
    Mtls,
    /// The protocol.
    Protocol,
    /// The host.
    Host,
    /// The size of the body.
    Size,
    /// A segment of the path.
    PathSegment,
    /// A query parameter.
    Query(Arc<str>),
    /// Finds a query parameter.
    FindQuery,
    /// Undoes percent encoding.
    Decode,
    /// The value of a hex digit.
    HexDigit,
    /// Whether a text is there before another.
    Compare,
    /// Where a text stands in another.
    Find,
    /// The number of characters.
    Characters,
    /// The offset of a character.
    CharacterOffset,
    /// A text with letters of the other case.
    ChangeCase,
    /// A text without white space around it.
    Trim,
    /// A decimal number.
    ParseInt,
    /// A list between commas.
    Split,
    /// Whether a list has a text.
    ListContains,
    /// Walks a regular expression's automaton.
    Matches,
    /// Saturating multiplication.
    Multiply,
}

/// A module under construction.
pub(super) struct Emitter<'a> {
    pub(super) program: &'a LinkedProgram,
    pub(super) classes: &'a Classes,
    pub(super) tables: &'a Tables,
    pub(super) options: ModuleOptions,
    pub(super) data: Data,
    pub(super) keys: keys::Tables,
    /// The space of header names.
    pub(super) names: u32,
    /// Names of headers that are asked for, with the addresses of their slots.
    pub(super) slots: BTreeMap<Arc<str>, u32>,
    /// What the rules ask about, wherever they do.
    pub(super) asked: BTreeSet<Attribute>,
    /// By attribute, what its generated code refers to.
    pub(super) attributes: Vec<super::class::AttributeCode>,
    /// Where the classes of attributes are kept, if they are.
    pub(super) class_memory: u32,
    /// Answers as they stand in memory.
    pub(super) answers: super::answer::AnswerRecords,
    imports: Vec<Function>,
    parts: Vec<Part>,
    numbers: BTreeMap<Part, u32>,
    globals: Vec<(ValType, Option<u32>)>,
    global_names: BTreeMap<String, Global>,
    /// Globals that are 0 when a request begins.
    pub(super) flags: Vec<Global>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(
        program: &'a LinkedProgram,
        classes: &'a Classes,
        tables: &'a Tables,
        options: ModuleOptions,
    ) -> Self {
        let asked = attributes_asked(classes);
        let headers: BTreeSet<Arc<str>> =
            asked.iter().filter_map(header_of).chain([":path".into()]).collect();
        let slots: BTreeMap<Arc<str>, u32> =
            headers.into_iter().zip((0..).map(|number| SLOTS + SLOT_BYTES * number)).collect();
        let class_memory = SLOTS + SLOT_BYTES * u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let class_bytes = 4 * u32::try_from(classes.attributes.len()).unwrap_or(u32::MAX);
        let mut data = Data::new((class_memory + class_bytes).next_multiple_of(8));
        let mut keys = Keys::default();
        let attributes = super::class::AttributeCode::of_all(classes, &mut keys, &mut data);
        let names = super::scan::add_names(&slots, &mut keys);
        let keys = keys.finish(&mut data);
        let answers = super::answer::AnswerRecords::new(program, tables, &mut data);
        let mut imports = vec![
            host_calls::GET_HEADER_MAP_PAIRS,
            host_calls::DEFINE_METRIC,
            host_calls::INCREMENT_METRIC,
            host_calls::SEND_LOCAL_RESPONSE,
        ];
        if options.rule_in_filter_state {
            imports.push(host_calls::SET_PROPERTY);
        }
        if asked.iter().any(|attribute| crate::literals::property_of(attribute).is_some()) {
            imports.push(host_calls::GET_PROPERTY);
        }
        Self {
            program,
            classes,
            tables,
            options,
            data,
            keys,
            names,
            slots,
            asked,
            attributes,
            class_memory,
            answers,
            imports,
            parts: Vec::new(),
            numbers: BTreeMap::new(),
            globals: Vec::new(),
            global_names: BTreeMap::new(),
            flags: Vec::new(),
        }
    }

    /// Whether all rules are one word.
    pub(super) fn is_single(&self) -> bool {
        self.classes.rules.len() <= WORD_BITS
    }

    /// The function of a part; it is written later.
    pub(super) fn part(&mut self, part: Part) -> Func {
        let imported = self.imports.len();
        let fresh = u32::try_from(imported + self.parts.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(part.clone()).or_insert(fresh);
        if number == fresh {
            self.parts.push(part);
        }
        Func(number)
    }

    /// A host call of the status that it gives.
    pub(super) fn host(&self, function: Function, arguments: &[Value]) -> Value {
        let at = self.imports.iter().position(|import| import.name == function.name);
        Value::call(Func(at.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)), arguments, I32)
    }

    /// A global variable that outlives nothing: who reads it has set it in the same request.
    pub(super) fn global(&mut self, name: &str, ty: ValType) -> Global {
        self.named(name, ty, None).0
    }

    /// A global variable that is 0 when a request begins.
    pub(super) fn flag(&mut self, name: &str, ty: ValType) -> Global {
        let (global, fresh) = self.named(name, ty, None);
        if fresh {
            self.flags.push(global);
        }
        global
    }

    /// Where the arena begins: a constant whose value is known when all is written.
    pub(super) fn arena_start(&mut self) -> Global {
        self.named("arena start", I32, Some(0)).0
    }

    fn named(&mut self, name: &str, ty: ValType, constant: Option<u32>) -> (Global, bool) {
        if let Some(known) = self.global_names.get(name) {
            return (*known, false);
        }
        let global = Global { index: u32::try_from(self.globals.len()).unwrap_or(u32::MAX), ty };
        self.globals.push((ty, constant));
        self.global_names.insert(name.to_owned(), global);
        (global, true)
    }

    /// The address of a header's slot; `None` for a name that no header can have.
    pub(super) fn slot(&self, name: &str) -> Option<u32> {
        self.slots.get(name).copied()
    }

    /// Writes everything and gives the bytes.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let exports = [
            (VERSION_MARKER, Part::VersionMarker),
            (guest_exports::MALLOC.name, Part::Malloc),
            (guest_exports::ON_REQUEST_HEADERS.name, Part::RequestHeaders),
        ];
        let exports = exports.map(|(name, part)| (name, self.part(part)));
        let mut bodies: Vec<Option<Body>> = Vec::new();
        while let Some(part) = self.parts.get(bodies.len()).cloned() {
            // What is to be forgotten is known only when all else is written.
            bodies.push(if part == Part::Reset { None } else { Some(self.write(&part)) });
        }
        let bodies: Vec<Body> =
            bodies.into_iter().map(|body| body.unwrap_or_else(|| self.write_reset())).collect();

        let mut types = Types::default();
        // The functions that are called through the table; see `CLASS_TYPE`.
        types.number(&[], &[I32]);
        let mut imports = wasm::ImportSection::new();
        for import in &self.imports {
            let ty = types.number(&abi_types(import.signature.params), &abi_types(import.signature.results));
            imports.import(ENV_MODULE, import.name, wasm::EntityType::Function(ty));
        }
        let mut functions = wasm::FunctionSection::new();
        let mut code = wasm::CodeSection::new();
        for body in &bodies {
            functions.function(types.number(&body.params, &body.results));
            let mut function = wasm::Function::new_with_locals_types(body.locals.iter().copied());
            function.raw(body.code.iter().copied());
            function.instructions().end();
            code.function(&function);
        }
        let mut module = wasm::Module::new();
        module.section(&types.section).section(&imports).section(&functions);
        let (tables, elements) = self.class_functions();
        if let Some(tables) = &tables {
            module.section(tables);
        }
        module.section(&self.memory_section()).section(&self.global_section());
        let mut section = wasm::ExportSection::new();
        section.export(MEMORY, wasm::ExportKind::Memory, 0);
        for (name, function) in exports {
            section.export(name, wasm::ExportKind::Func, function.0);
        }
        module.section(&section);
        if let Some(elements) = &elements {
            module.section(elements);
        }
        let mut data = wasm::DataSection::new();
        let base = wasm::ConstExpr::i32_const(self.data.base().cast_signed());
        data.active(0, &base, self.data.bytes().iter().copied());
        module.section(&code).section(&data);
        module.finish()
    }

    /// The table through which the classes of attributes are asked, in programs of many words.
    fn class_functions(&self) -> (Option<wasm::TableSection>, Option<wasm::ElementSection>) {
        if !self.numbers.contains_key(&Part::ClassOnce) {
            return (None, None);
        }
        let of = |attribute| self.numbers.get(&Part::Class(attribute)).copied();
        let functions: Vec<u32> = (0..self.classes.attributes.len()).filter_map(of).collect();
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
        (Some(tables), Some(elements))
    }

    fn arena_bounds(&self) -> (u32, u32) {
        let start = self.data.end().next_multiple_of(8);
        (start, start.saturating_add(ARENA_BYTES))
    }

    fn memory_section(&self) -> wasm::MemorySection {
        let (_, end) = self.arena_bounds();
        let pages = u64::from(end.saturating_add(SLACK_BYTES).div_ceil(PAGE_BYTES));
        let mut memories = wasm::MemorySection::new();
        memories.memory(wasm::MemoryType {
            minimum: pages,
            maximum: Some(pages),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        memories
    }

    fn global_section(&self) -> wasm::GlobalSection {
        let (start, _) = self.arena_bounds();
        let mut section = wasm::GlobalSection::new();
        for (ty, constant) in &self.globals {
            let init = match (constant, ty) {
                (Some(_), _) => wasm::ConstExpr::i32_const(start.cast_signed()),
                (None, &ValType::I64) => wasm::ConstExpr::i64_const(0),
                (None, _) => wasm::ConstExpr::i32_const(0),
            };
            let global = wasm::GlobalType { val_type: *ty, mutable: constant.is_none(), shared: false };
            section.global(global, &init);
        }
        section
    }

    fn write(&mut self, part: &Part) -> Body {
        match part {
            Part::RequestHeaders => self.write_request_headers(),
            Part::Malloc => self.write_malloc(),
            Part::VersionMarker => Body::new(&[], &[]),
            Part::Reset => self.write_reset(),
            Part::Scan => self.write_scan(),
            Part::Lookup => self.write_lookup(),
            Part::LookupLong => self.write_lookup_long(),
            Part::Equal => self.write_equal(),
            Part::PathIsCanonical => self.write_path_is_canonical(),
            Part::PathByte => self.write_path_byte(),
            Part::PathClass => self.write_path_class(),
            Part::PrefixClass => self.write_prefix_class(),
            Part::Class(attribute) => self.write_class(*attribute),
            Part::ClassOnce => self.write_class_once(),
            Part::Decide => self.write_decide(),
            Part::Word => self.write_word(),
            Part::Difference => self.write_difference(),
            Part::Answer => self.write_answer(),
            Part::Count => self.write_count(),
            Part::Property => self.write_property(),
            Part::Principal => self.write_principal(),
            Part::Service => self.write_service(),
            Part::IsNameByte => self.write_is_name_byte(),
            Part::Address => self.write_address(),
            Part::AddressV4 => self.write_address_v4(),
            Part::AddressV6 => self.write_address_v6(),
            Part::IntervalV4 => self.write_interval_v4(),
            Part::IntervalV6 => self.write_interval_v6(),
            Part::Mtls => self.write_mtls(),
            Part::Protocol => self.write_protocol(),
            Part::Host => self.write_host(),
            Part::Size => self.write_size(),
            Part::PathSegment => self.write_path_segment(),
            Part::Query(name) => self.write_query(name),
            Part::FindQuery => self.write_find_query(),
            Part::Decode => self.write_decode(),
            Part::HexDigit => self.write_hex_digit(),
            Part::Compare => self.write_compare(),
            Part::Find => self.write_find(),
            Part::Characters => self.write_characters(),
            Part::CharacterOffset => self.write_character_offset(),
            Part::ChangeCase => self.write_change_case(),
            Part::Trim => self.write_trim(),
            Part::ParseInt => self.write_parse_int(),
            Part::Split => self.write_split(),
            Part::ListContains => self.write_list_contains(),
            Part::Matches => self.write_matches(),
            Part::Multiply => self.write_multiply(),
        }
    }

    /// Headers and properties that the module can read, sorted.
    pub(super) fn reads(&self) -> Vec<String> {
        let headers = self.slots.keys().map(|name| name.to_string());
        let properties = self.asked.iter().filter_map(crate::literals::property_of).map(str::to_owned);
        headers.chain(properties).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Everything that attributes and their conditions ask about.
fn attributes_asked(classes: &Classes) -> BTreeSet<Attribute> {
    let mut asked = BTreeSet::new();
    for attribute in &classes.attributes {
        match &attribute.kind {
            AttributeKind::Text(text, _) => drop(asked.insert(text.clone())),
            AttributeKind::Path(_) => drop(asked.insert(Attribute::Path)),
            AttributeKind::Identity(_) => drop(asked.insert(Attribute::SourcePrincipal)),
            AttributeKind::Ip(_) => drop(asked.insert(Attribute::SourceIp)),
            AttributeKind::Condition(condition) => attributes_of(&condition.expr, &mut asked),
        }
    }
    asked
}

/// The header in which an attribute travels.
pub(super) fn header_of(attribute: &Attribute) -> Option<Arc<str>> {
    match attribute {
        Attribute::Method => Some(":method".into()),
        Attribute::Host => Some(":authority".into()),
        Attribute::Scheme => Some(":scheme".into()),
        Attribute::Id => Some("x-request-id".into()),
        Attribute::Size => Some("content-length".into()),
        Attribute::Header(name) => Some(name.clone()),
        _ => None,
    }
}

fn abi_types(types: &[chancery_sdk_abi::ValueType]) -> Vec<ValType> {
    let convert = |ty: &chancery_sdk_abi::ValueType| match ty {
        chancery_sdk_abi::ValueType::I32 => ValType::I32,
        chancery_sdk_abi::ValueType::I64 => ValType::I64,
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
