//! The module under construction: what its functions share while they are written.

use super::answer::AnswerRecords;
use super::class::AttributeCode;
use super::code::{Body, Func, Global, I32, Value};
use super::data::Data;
use super::globals::Globals;
use super::keys::{self, Keys};
use super::memory::Layout;
use super::parts::{Functions, Part};
use super::query::query_name;
use super::{ModuleOptions, assemble, entry, refusal, scan};
use crate::bug::{Bug, OrBug as _, number};
use crate::checked::Attribute;
use crate::classify::{AttributeKind, Classes};
use crate::literals::{attributes_of, property_of};
use crate::plan::Plan;
use crate::tabulate::Tables;
use chancery_sdk_abi::{Function, host_calls};
use std::collections::BTreeSet;
use std::sync::Arc;
use wasm_encoder::ValType;

/// A module under construction.
pub(super) struct Emitter<'a> {
    pub(super) plan: &'a Plan,
    pub(super) classes: &'a Classes,
    pub(super) tables: &'a Tables,
    pub(super) options: ModuleOptions,
    pub(super) layout: Layout,
    pub(super) data: Data,
    pub(super) keys: keys::Tables,
    /// The space of header names.
    pub(super) names: u32,
    /// What the guards ask about, wherever they do.
    pub(super) asked: BTreeSet<Attribute>,
    /// The query parameters among that, sorted.
    pub(super) queries: Vec<Arc<str>>,
    /// By attribute, what its generated code refers to.
    pub(super) attributes: Vec<AttributeCode>,
    /// Answers as they stand in memory.
    pub(super) answers: AnswerRecords,
    /// By strand, what its owner means by each index: what the function of the strand gives.
    pub(super) meanings: Vec<Vec<u32>>,
    pub(super) functions: Functions,
    pub(super) globals: Globals,
    /// The first invariant that was found broken.
    bug: Option<Bug>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        classes: &'a Classes,
        tables: &'a Tables,
        options: ModuleOptions,
    ) -> Result<Self, Bug> {
        let asked = attributes_asked(classes);
        let headers = asked.iter().filter_map(header_of).chain(refusal::ALWAYS_READ.map(Arc::from)).collect();
        let kept = if keeps_classes(tables) { classes.attributes.len() } else { 0 };
        let layout = Layout::new(headers, kept)?;
        let mut data = layout.data();
        let mut keys = Keys::default();
        let attributes = AttributeCode::of_all(classes, &mut keys, &mut data)?;
        let names = scan::add_names(&layout.slots, &mut keys);
        let keys = keys.finish(&mut data)?;
        let answers = AnswerRecords::new(&plan.auth.answers, &mut data)?;
        let mut meanings = vec![Vec::new(); plan.strands.len()];
        let of_auth = meanings.get_mut(plan.auth.strand).or_bug("the strand of auth is one of the plan")?;
        of_auth.clone_from(&answers.addresses);
        let functions = Functions::new(imports(options, &asked));
        Ok(Self {
            plan,
            classes,
            tables,
            options,
            layout,
            data,
            keys,
            names,
            queries: asked.iter().filter_map(query_name).cloned().collect(),
            asked,
            attributes,
            answers,
            meanings,
            functions,
            globals: Globals::default(),
            bug: None,
        })
    }

    /// Writes everything and gives the bytes.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Bug> {
        let exports = entry::EXPORTS.map(|(name, part)| (name, self.part(part)));
        let mut bodies: Vec<Body> = Vec::new();
        let mut reset = None;
        while let Some(part) = self.functions.at(bodies.len()) {
            if self.functions.asked(entry::RESET) == self.functions.asked(part) {
                reset = Some(bodies.len());
            }
            bodies.push(part.write(self));
        }
        // What is to be forgotten is known only now that all else is written.
        let place = reset.or_bug("a request forgets the one before")?;
        *bodies.get_mut(place).or_bug("each part has a body")? = entry::RESET.write(self);
        if let Some(bug) = self.bug.take().or_else(|| bodies.iter().find_map(|body| body.bug().cloned())) {
            return Err(bug);
        }
        assemble::module(self, &exports, &bodies)
    }

    /// Whether the classes of attributes are kept while a request is decided: where more than one word
    /// can ask for them.
    pub(super) fn keeps_classes(&self) -> bool {
        keeps_classes(self.tables)
    }

    /// What an invariant promises; if it is broken, that is reported in the place of the module, and what
    /// is written from the stand-in never leaves the compiler.
    pub(super) fn sound<T>(&mut self, found: Result<T, Bug>, stand_in: T) -> T {
        match found {
            Ok(value) => value,
            Err(bug) => {
                self.bug.get_or_insert(bug);
                stand_in
            }
        }
    }

    /// A count or index in 32 bits.
    pub(super) fn number(&mut self, value: usize) -> u32 {
        self.sound(number(value), 0)
    }

    /// The address and the length of a constant.
    pub(super) fn string(&mut self, text: impl AsRef<[u8]>) -> (u32, u32) {
        let at = self.data.string(text.as_ref());
        (at, self.number(text.as_ref().len()))
    }

    /// The function of a part; it is written later.
    pub(super) fn part(&mut self, part: Part) -> Func {
        let found = self.functions.part(part);
        self.sound(found, Func(0))
    }

    /// A host call of the status that it gives.
    pub(super) fn host(&mut self, function: Function, arguments: &[Value]) -> Value {
        let found = self.functions.import(&function);
        let function = self.sound(found, Func(0));
        Value::call(function, arguments, I32)
    }

    /// A global variable that outlives nothing: who reads it has set it in the same request.
    pub(super) fn global(&mut self, name: &str, ty: ValType) -> Global {
        let found = self.globals.variable(name, ty);
        self.sound(found, Global { index: 0, ty })
    }

    /// A global variable that is 0 when a request begins.
    pub(super) fn flag(&mut self, name: &str, ty: ValType) -> Global {
        let found = self.globals.flag(name, ty);
        self.sound(found, Global { index: 0, ty })
    }

    /// A global variable that is where the arena begins, until it is set.
    pub(super) fn pointer(&mut self, name: &str) -> Global {
        let found = self.globals.pointer(name);
        self.sound(found, Global { index: 0, ty: I32 })
    }

    /// Where the arena begins: a constant whose value is known when all is written.
    pub(super) fn arena_start(&mut self) -> Global {
        let found = self.globals.constant("arena start");
        self.sound(found, Global { index: 0, ty: I32 })
    }

    /// The address of the slot of a header that is asked for.
    pub(super) fn slot(&mut self, name: &str) -> u32 {
        let found = self.layout.slots.get(name).copied().or_bug("a header that is asked for has a slot");
        self.sound(found, 0)
    }

    /// Headers and properties that the module can read, sorted.
    pub(super) fn reads(&self) -> Vec<String> {
        let headers = self.layout.slots.keys().map(|name| name.to_string());
        let properties = self.asked.iter().filter_map(property_of).map(str::to_owned);
        headers.chain(properties).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Whether more than one word can ask for a class.
fn keeps_classes(tables: &Tables) -> bool {
    tables.words.len() > 1
}

/// The host calls that a module of these options makes.
fn imports(options: ModuleOptions, asked: &BTreeSet<Attribute>) -> Vec<Function> {
    let mut imports = vec![
        host_calls::GET_HEADER_MAP_PAIRS,
        host_calls::DEFINE_METRIC,
        host_calls::INCREMENT_METRIC,
        host_calls::SEND_LOCAL_RESPONSE,
    ];
    if options.rule_in_filter_state {
        imports.push(host_calls::SET_PROPERTY);
    }
    if asked.iter().any(|attribute| property_of(attribute).is_some()) {
        imports.push(host_calls::GET_PROPERTY);
    }
    imports
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

/// The header in which an attribute travels, beside those that are always read.
pub(super) fn header_of(attribute: &Attribute) -> Option<Arc<str>> {
    match attribute {
        Attribute::Scheme => Some(":scheme".into()),
        Attribute::Id => Some("x-request-id".into()),
        Attribute::Header(name) => Some(name.clone()),
        _ => None,
    }
}
