//! The module under construction: what its functions share while they are written.

use super::answer::AnswerRecords;
use super::calls::{self, CallRecords};
use super::class::{AttributeCode, class};
use super::code::{Body, Func, Global, I32, Value};
use super::cost::{Costs, Linear, Source, Tally};
use super::data::Data;
use super::errors::{Costliest, Costly};
use super::globals::Globals;
use super::headers::{self, CHANGE_HEADERS, HeaderRecords};
use super::keys::{self, Keys};
use super::limits::{LIMITS, LimitRecords, TAKE};
use super::log::LOG;
use super::memo::{Memos, memo};
use super::memory::Layout;
use super::parts::{Functions, Part};
use super::walk::{Walks, walk};
use super::{ModuleOptions, assemble, entry, errors, scan};
use crate::bug::{Bug, CompileError, OrBug as _, number};
use crate::checked::{Attribute, Expr};
use crate::classify::{AttributeKind, Classes};
use crate::literals::{asks_answer, header_of, property_of};
use crate::module::CostBound;
use crate::plan::{HeadersPlan, LogPlan, Plan};
use crate::request::ALWAYS_READ;
use crate::source::Span;
use crate::tabulate::Tables;
use chancery_sdk_abi::{Function, guest_exports, host_calls};
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
    /// The space of the names of query parameters.
    pub(super) parameters: u32,
    /// What the guards ask about, wherever they do.
    pub(super) asked: BTreeSet<Attribute>,

    /// By attribute, what its generated code refers to.
    pub(super) attributes: Vec<AttributeCode>,
    /// Answers as they stand in memory.
    pub(super) answers: AnswerRecords,
    /// Limits as they stand in memory.
    pub(super) limits: LimitRecords,
    /// Operations on headers as they stand in memory.
    pub(super) header_records: HeaderRecords,
    /// Where a line of logs is put together, once that is known.
    pub(super) line_at: Option<u32>,
    /// What a caller's sidecar does, as it stands in memory.
    pub(super) calls: CallRecords,
    /// Where the words of all strands lie, once they are laid out.
    pub(super) words_at: Option<u32>,
    /// By strand, what its owner means by each index: what the function of the strand gives.
    pub(super) meanings: Vec<Vec<u32>>,
    pub(super) functions: Functions,
    pub(super) globals: Globals,
    /// The passes over texts that answer several questions each.
    pub(super) walks: Walks,
    /// Parts of conditions that are computed once a request.
    pub(super) memos: Memos,
    /// Bounds of the texts and lists that conditions compute.
    sizes: Vec<Linear>,
    /// Functions that do their work at the first call of a request and give its result at all others.
    once: BTreeSet<Func>,
    /// The first invariant that was found broken.
    bug: Option<Bug>,
}

/// The steps of asking for a result that is there already.
const KNOWN_STEPS: u64 = 8;

/// The number of a bound that the emitter knows: how long a text can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct SizeId(usize);

impl<'a> Emitter<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        classes: &'a Classes,
        tables: &'a Tables,
        options: ModuleOptions,
    ) -> Result<Self, Bug> {
        let asked = plan.asked();
        let headers = asked.iter().filter_map(header_of).chain(ALWAYS_READ.map(Arc::from)).collect();
        let kept = if keeps_classes(tables) { classes.attributes.len() } else { 0 };
        let parameters = asked.iter().filter_map(query_name).cloned().collect();
        let layout = Layout::new(headers, parameters, kept)?;
        let mut data = layout.data();
        let mut keys = Keys::default();
        let attributes = AttributeCode::of_all(classes, &mut keys, &mut data)?;
        let names = scan::add_names(&layout.slots, &mut keys);
        let parameters = scan::add_names(&layout.query_slots, &mut keys);
        let keys = keys.finish(&mut data)?;
        let answers = AnswerRecords::new(&plan.auth.answers, &mut data)?;
        let mut meanings = vec![Vec::new(); plan.strands.len()];
        let of_auth = meanings.get_mut(plan.auth.strand).or_bug("the strand of auth is one of the plan")?;
        of_auth.clone_from(&answers.addresses);
        let limits = LimitRecords::new(plan.traffic.as_ref(), &answers.addresses, &mut data)?;
        if let Some(traffic) = &plan.traffic {
            let of_limits =
                meanings.get_mut(traffic.strand).or_bug("the strand of limits is one of the plan")?;
            of_limits.clone_from(&limits.addresses);
        }
        let header_records = HeaderRecords::new(plan.headers.as_ref(), &mut data)?;
        if let Some(headers) = &plan.headers {
            let of_headers =
                meanings.get_mut(headers.strand).or_bug("the strand of headers is one of the plan")?;
            of_headers.clone_from(&header_records.addresses);
        }
        if let Some(samples) = plan.log.as_ref().and_then(|log| log.samples.as_ref()) {
            let rates: Vec<u32> = samples.rates.iter().map(|rate| rate.0).collect();
            let of_samples = [(samples.passed, &rates), (samples.refused, &rates)];
            let speaks = vec![1];
            for (strand, meaning) in
                of_samples.into_iter().chain(samples.later.iter().map(|later| (later.strand, &speaks)))
            {
                meanings
                    .get_mut(strand)
                    .or_bug("the strands of samples are of the plan")?
                    .clone_from(meaning);
            }
        }
        let calls = CallRecords::new(plan.calls.as_ref(), &mut data)?;
        for (strand, records) in &calls.of_strands {
            meanings.get_mut(*strand).or_bug("a strand of calls is one of the plan")?.clone_from(records);
        }
        let functions = Functions::new(imports(options, &asked, &limits, plan));
        Ok(Self {
            plan,
            classes,
            tables,
            options,
            layout,
            data,
            keys,
            names,
            parameters,
            asked,
            attributes,
            answers,
            limits,
            header_records,
            line_at: None,
            calls,
            words_at: None,
            meanings,
            functions,
            globals: Globals::default(),
            walks: Walks::of(computed(plan, classes))?,
            memos: Memos::of(computed(plan, classes)),
            sizes: Vec::new(),
            once: BTreeSet::new(),
            bug: None,
        })
    }

    /// Writes everything; gives the bytes and what a request costs at most.
    pub(super) fn finish(&mut self) -> Result<(Vec<u8>, CostBound), CompileError> {
        let exports = entry::exports(self.plan);
        let exports: Vec<_> = exports.into_iter().map(|(name, part)| (name, self.part(part))).collect();
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
            return Err(bug.into());
        }
        let bytes = assemble::module(self, &exports, &bodies)?;
        let tallies = bodies.iter().map(Body::tally).collect();
        let mut costs = Costs::new(tallies, self.functions.imports().len());
        let mut bound = Linear::default();
        // What is done at the start is done for no request.
        let called = exports.iter().filter(|(name, _)| *name != guest_exports::ON_VM_START.name);
        for function in called.map(|(_, function)| function).chain(&self.once) {
            bound.add(&costs.of(*function)?);
        }
        if self.asks_answers_twice() {
            for function in self.once_of_answers() {
                bound.add(&costs.of(function)?);
            }
        }
        let bound = cost_bound(&bound);
        if bound.worst() > self.options.steps_max {
            let costliest = self.costliest(&mut costs)?;
            return Err(CompileError::Refused(vec![errors::too_costly(costliest, bound.worst())]));
        }
        Ok((bytes, bound))
    }

    /// Whether what is worked out once a callback can be worked out in the callbacks of the answer's beginning and end.
    fn asks_answers_twice(&self) -> bool {
        let in_headers = self.plan.headers.as_ref().is_some_and(HeadersPlan::is_late);
        in_headers && self.plan.log.as_ref().is_some_and(LogPlan::waits)
    }

    /// Functions that work something out about an answer once a callback.
    fn once_of_answers(&self) -> Vec<Func> {
        let walks = (0..).zip(self.walks.texts()).map(|(number, text)| (walk(number), text));
        let memos = (0..).zip(self.memos.parts()).map(|(number, part)| (memo(number), part));
        let of_answers = walks.chain(memos).filter(|(_, expr)| asks_answer(expr));
        let asked = of_answers.filter_map(|(part, _)| self.functions.asked(part));
        asked.filter(|function| self.once.contains(function)).collect()
    }

    /// What costs the most of all that is asked about: where it stands, and how many steps it takes.
    fn costliest(&self, costs: &mut Costs) -> Result<Costliest, Bug> {
        let mut candidates: Vec<(Span, Func)> = Vec::new();
        for (number, text) in (0..).zip(self.walks.texts()) {
            candidates.extend(self.functions.asked(walk(number)).map(|function| (text.span, function)));
        }
        for (number, part) in (0..).zip(self.memos.parts()) {
            candidates.extend(self.functions.asked(memo(number)).map(|function| (part.span, function)));
        }
        for (number, attribute) in (0..).zip(&self.classes.attributes) {
            let span = match &attribute.kind {
                AttributeKind::Condition(condition) => Some(condition.expr.span),
                _ => self.first_that_asks(number as usize),
            };
            candidates
                .extend(self.functions.asked(class(number)).zip(span).map(|(asked, span)| (span, asked)));
        }
        let mut costliest = Costliest::default();
        for (span, function) in candidates {
            let share = cost_bound(&costs.of(function)?).worst();
            if share > costliest.share {
                costliest = Costliest { span, share, what: Costly::Asked };
            }
        }
        if let Some(function) = self.functions.asked(CHANGE_HEADERS) {
            let share = cost_bound(&costs.of(function)?).worst();
            let strand = self.plan.headers.as_ref().and_then(|headers| self.plan.strands.get(headers.strand));
            let first = strand.and_then(|strand| strand.entries.iter().map(|entry| entry.span).min());
            if let Some(span) = first.filter(|_| share > costliest.share) {
                costliest = Costliest { span, share, what: Costly::Asked };
            }
        }
        let counting = [LIMITS, TAKE].into_iter().filter_map(|part| self.functions.asked(part));
        let mut share = 0_u64;
        for function in counting {
            share = share.saturating_add(cost_bound(&costs.of(function)?).worst());
        }
        let strand = self.plan.traffic.as_ref().and_then(|traffic| self.plan.strands.get(traffic.strand));
        let first = strand.and_then(|strand| strand.entries.iter().map(|entry| entry.span).min());
        if let Some(span) = first.filter(|_| share > costliest.share) {
            costliest = Costliest { span, share, what: Costly::Limits };
        }
        let logging = self.functions.asked(LOG).zip(self.plan.log.as_ref());
        if let Some((function, log)) = logging {
            let share = cost_bound(&costs.of(function)?).worst();
            if share > costliest.share {
                costliest = Costliest { span: log.span, share, what: Costly::Logs };
            }
        }
        Ok(costliest)
    }

    /// The first statement that asks about an attribute.
    fn first_that_asks(&self, attribute: usize) -> Option<Span> {
        let entries = self.plan.strands.iter().flat_map(|strand| &strand.entries);
        let literals = self.classes.strands.iter().flatten();
        let mut asking = entries.zip(literals).filter(|(_, asked)| asked.predicates.contains_key(&attribute));
        asking.next().map(|(entry, _)| entry.span)
    }

    /// Whether the classes of attributes are kept while a request is decided: where more than one word
    /// can ask for them.
    pub(super) fn keeps_classes(&self) -> bool {
        keeps_classes(self.tables)
    }

    /// Whether the module is large, so that a little room more for its code does not count.
    pub(super) fn is_large(&self) -> bool {
        self.keeps_classes()
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

    /// The function of a part that does its work once a request, and what each call of it costs: the work
    /// is tallied with the module.
    pub(super) fn part_once(&mut self, part: Part) -> (Func, Tally) {
        let function = self.part(part);
        self.once.insert(function);
        (function, Tally::steps(KNOWN_STEPS))
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

    /// The size of the path, without its query.
    pub(super) fn size_of_path(&mut self) -> Linear {
        self.size_of_header(":path")
    }

    /// The size of the query, which is the rest of `:path`.
    pub(super) fn size_of_query(&mut self) -> Linear {
        self.size_beside_headers(0)
    }

    /// The size of all white space around the values of headers, which is no part of them.
    pub(super) fn size_of_blanks(&mut self) -> Linear {
        self.size_beside_headers(1)
    }

    fn size_beside_headers(&mut self, place: usize) -> Linear {
        let number = u16::try_from(self.layout.slots.len() + place).ok();
        let number = self.sound(number.or_bug("fewer headers are asked for"), 0);
        Linear::of(Source::Text(number))
    }

    /// The size of what a header holds; of `:path`, what is not the query.
    pub(super) fn size_of_header(&mut self, name: &str) -> Linear {
        let mut names = (0..).zip(self.layout.slots.keys());
        let found = names.find(|(_, asked)| asked.as_ref() == name).map(|(number, _)| number);
        let number = self.sound(found.or_bug("a header that is asked for has a slot"), 0);
        Linear::of(Source::Text(number))
    }

    /// Remembers how long a text can be.
    pub(super) fn size(&mut self, size: Linear) -> SizeId {
        self.sizes.push(size);
        SizeId(self.sizes.len() - 1)
    }

    /// Makes a size at least as large as another.
    pub(super) fn widen(&mut self, size: SizeId, by: SizeId) {
        let by = self.sized(by);
        if let Some(known) = self.sizes.get_mut(size.0) {
            known.join(&by);
        }
    }

    /// How long a text can be.
    pub(super) fn sized(&self, size: SizeId) -> Linear {
        self.sizes.get(size.0).cloned().unwrap_or_else(|| Linear::of(Source::Own))
    }

    /// How long both of two texts can be.
    pub(super) fn both_sized(&self, one: SizeId, other: SizeId) -> Linear {
        let mut both = self.sized(one);
        both.add(&self.sized(other));
        both
    }

    /// How long the shorter of two texts can be.
    pub(super) fn shorter_sized(&self, one: SizeId, other: SizeId) -> Linear {
        let (one, other) = (self.sized(one), self.sized(other));
        if one.is_constant() || !other.is_constant() { one } else { other }
    }

    /// Headers and properties that the module can read, sorted.
    pub(super) fn reads(&self) -> Vec<String> {
        let headers = self.layout.slots.keys().map(|name| name.to_string());
        let properties = self.asked.iter().filter_map(property_of).map(|path| path.join("."));
        headers.chain(properties).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn cost_bound(line: &Linear) -> CostBound {
    CostBound { fixed: line.fixed(), per_header: line.per(Source::Pairs), per_byte: line.per_byte() }
}

/// All expressions that a module computes, each where it stands: conditions, keys of limits, values of headers, and
/// what is logged.
fn computed<'e>(plan: &'e Plan, classes: &'e Classes) -> impl Iterator<Item = &'e Arc<Expr>> {
    let conditions = classes.attributes.iter().filter_map(|attribute| match &attribute.kind {
        AttributeKind::Condition(condition) => Some(&condition.expr),
        _ => None,
    });
    conditions.chain(plan.computed())
}

/// Whether more than one word can ask for a class.
fn keeps_classes(tables: &Tables) -> bool {
    tables.words.len() > 1
}

/// The host calls that a module of these options makes.
fn imports(
    options: ModuleOptions,
    asked: &BTreeSet<Attribute>,
    limits: &LimitRecords,
    plan: &Plan,
) -> Vec<Function> {
    let mut imports = vec![
        host_calls::GET_HEADER_MAP_PAIRS,
        host_calls::DEFINE_METRIC,
        host_calls::INCREMENT_METRIC,
        host_calls::SEND_LOCAL_RESPONSE,
    ];
    if options.rule_in_filter_state || plan.log.is_some() {
        imports.push(host_calls::SET_PROPERTY);
    }
    let waits = plan.log.as_ref().is_some_and(LogPlan::waits);
    if waits || asked.iter().any(|attribute| property_of(attribute).is_some()) {
        imports.push(host_calls::GET_PROPERTY);
    }
    if !limits.addresses.is_empty() {
        imports.extend([
            host_calls::GET_CURRENT_TIME_NANOSECONDS,
            host_calls::GET_SHARED_DATA,
            host_calls::SET_SHARED_DATA,
        ]);
    }
    let mut draws = limits.have_keys();
    let hashes = plan.log.as_ref().is_some_and(LogPlan::hashes);
    if let Some(log) = &plan.log {
        imports.push(host_calls::GET_HEADER_MAP_VALUE);
        draws |= log.draws();
    }
    if hashes || limits.are_shared() {
        imports.push(host_calls::GET_BUFFER_BYTES);
    }
    if draws {
        imports.push(host_calls::wasi::RANDOM_GET);
    }
    let of_headers = plan.headers.as_ref().map(headers::imports).unwrap_or_default();
    for function in host_calls::ALL {
        let is_known = imports.iter().any(|import| import.name == function.name);
        if of_headers.contains(function.name) && !is_known {
            imports.push(*function);
        }
    }
    for import in plan.calls.iter().flat_map(calls::imports) {
        if !imports.contains(&import) {
            imports.push(import);
        }
    }
    imports
}

/// The name of a query parameter.
fn query_name(attribute: &Attribute) -> Option<&Arc<str>> {
    match attribute {
        Attribute::Query(name) => Some(name),
        _ => None,
    }
}
