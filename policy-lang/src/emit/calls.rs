//! What a caller's sidecar does with a request: what the strands picked, told to Envoy.
//!
//! The definition is `eval::course`. Envoy is told in its own words: a key in filter state, by which it finds its route
//! (`routes`), headers that its router and its fault filter read and take away, another `:path`, or an answer.
//!
//! ```text
//! steer:
//!     each fault that matches happens by its share        -> an answer, or a header that delays
//!     where it goes: a redirect                            -> an answer
//!     where it goes, when again, where a copy              -> the key
//!     under which path                                     -> :path
//!     how long the answer may take                         -> a header
//! ```

use super::answer::{COUNT, Counter};
use super::code::{Body, Global, I32, Local, Operand, Value};
use super::cost::Linear;
use super::data::Data;
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::grpc;
use super::memory::{OUT, SLOT_LENGTH};
use super::parts::Part;
use super::path::PATH_SEGMENT;
use crate::bug::{Bug, OrBug as _, number};
use crate::checked::{Choice, Fault, FaultKind, Milliseconds, Piece, Template, Way};
use crate::plan::{CallPlan, ChoicePlan};
use crate::routes::{self, NO_PART, PART_DIGITS};
use chancery_sdk_abi::{Action, Function, MapType, host_calls};
use std::sync::Arc;

/// Does with a request what is said of it.
pub(super) const STEER: Part = Part::new("steer", |emitter, _| emitter.write_steer());
/// Draws whether a fault that matches happens.
pub(super) const NOTE_FAULT: Part = Part::new("note fault", |emitter, _| emitter.write_note_fault());
/// Makes the text of a template.
const BUILD: Part = Part::new("build", |emitter, _| emitter.write_build());
/// Copies a text with escapes.
const ESCAPE: Part = Part::new("escape", |emitter, _| emitter.write_escape());

/// The property by whose value Envoy finds the route.
const ROUTE_PROPERTY: &str = "route";
/// The filter state that names the statement which answered.
const ANSWERED_STATE: &str = "answered";
/// The function by which Envoy looks for the route again.
const CLEAR_ROUTE_CACHE: &str = "clear_route_cache";
/// The header by which Envoy's router learns how long an answer may take.
const TIMEOUT_HEADER: &str = "x-envoy-upstream-rq-timeout-ms";
/// The header by which Envoy's fault filter learns how long a request waits.
const DELAY_HEADER: &str = "x-envoy-fault-delay-request";
/// The most bytes that a byte of a path becomes: `%41`.
const ESCAPE_BYTES: u32 = 3;

// Each record begins with a counter, of which the rule's id is the end (see `answer`).
const RECORD: u32 = Counter::BYTES;
// Of a way: the status of a redirect or 0; the template of a redirect, or the part of the key.
const WAY_STATUS: u32 = RECORD;
const WAY_TEXT: u32 = RECORD + 4;
// Of what is but a part of the key: that. Of a rewrite: the template.
const TEXT: u32 = RECORD;
// Of a time: milliseconds, and as text.
const TIME_MS: u32 = RECORD;
const TIME_TEXT: u32 = RECORD + 4;
const TIME_LENGTH: u32 = RECORD + 8;
// Of a fault: the share of 2^32 in which it happens, minus 1, or `NEVER`; the status of an abort or 0; the time of a delay;
// the request for which it was drawn last.
const FAULT_SHARE: u32 = RECORD;
const FAULT_STATUS: u32 = RECORD + 4;
const FAULT_TIME: u32 = RECORD + 8;
const FAULT_ROUND: u32 = RECORD + 12;
const FAULT_NEVER: u32 = RECORD + 16;

// A template: the number of pieces, then of each what it is, a number or an address, and a length.
const PIECE_BYTES: u32 = 12;
const PIECE_TEXT: u32 = 0;
const PIECE_SEGMENT: u32 = 1;
const PIECE_REST: u32 = 2;

/// Where the records of a caller's program lie.
#[derive(Debug, Default)]
pub(super) struct CallRecords {
    /// By strand, its records by index.
    pub(super) of_strands: Vec<(usize, Vec<u32>)>,
    /// The record of the timeout that holds if none matches; 0 if there is none.
    timeout_otherwise: u32,
    /// The same of ceilings.
    ceiling_otherwise: u32,
    /// Where a key is put together.
    key: u32,
    /// The most pieces of a template.
    pieces_max: u64,
}

impl CallRecords {
    /// Lays out what is decided.
    pub(super) fn new(plan: Option<&CallPlan>, data: &mut Data) -> Result<Self, Bug> {
        let mut this = Self::default();
        let Some(plan) = plan else { return Ok(this) };
        let CallPlan { ways, rewrites, mirrors, timeouts, ceilings, retries, faults, .. } = plan;
        this.lay_out(ways.as_ref(), data, way)?;
        this.lay_out(rewrites.as_ref(), data, |choice, data| {
            record(choice, "rewrite", &[template(&choice.does, data)?], data)
        })?;
        this.lay_out(mirrors.as_ref(), data, |choice, data| {
            let part = data.string(routes::part_of_mirror(&choice.does));
            record(choice, "mirror", &[part], data)
        })?;
        this.lay_out(timeouts.as_ref(), data, time)?;
        this.lay_out(ceilings.as_ref(), data, time)?;
        this.lay_out(retries.as_ref(), data, |choice, data| {
            let part = data.string(routes::part_of_retry(&choice.does));
            record(choice, "retry", &[part], data)
        })?;
        this.lay_out(faults.as_ref(), data, fault)?;
        let mut otherwise = |choice: Option<&Arc<Choice<Milliseconds>>>| match choice {
            Some(choice) => time(choice, data),
            None => Ok(0),
        };
        this.timeout_otherwise = otherwise(plan.timeout_otherwise.as_ref())?;
        this.ceiling_otherwise = otherwise(plan.ceiling_otherwise.as_ref())?;
        // Zeros, so that no string is found in it.
        this.key = data.table(&[0; 3 * PART_DIGITS]);
        let of_ways = ways.iter().flat_map(|plan| &plan.choices).filter_map(|choice| match &choice.does {
            Way::Redirect { location, .. } => Some(location),
            Way::Route(_) => None,
        });
        let templates =
            of_ways.chain(rewrites.iter().flat_map(|plan| &plan.choices).map(|choice| &choice.does));
        this.pieces_max = templates.map(|template| template.pieces.len() as u64).max().unwrap_or_default();
        Ok(this)
    }

    /// Whether a text is made of the path of a request.
    pub(super) fn have_templates(&self) -> bool {
        self.pieces_max > 0
    }

    fn lay_out<T>(
        &mut self,
        plan: Option<&ChoicePlan<T>>,
        data: &mut Data,
        mut record: impl FnMut(&Choice<T>, &mut Data) -> Result<u32, Bug>,
    ) -> Result<(), Bug> {
        let Some(plan) = plan else { return Ok(()) };
        let records = plan.choices.iter().map(|choice| record(choice, data)).collect::<Result<_, Bug>>()?;
        self.of_strands.push((plan.strand, records));
        Ok(())
    }
}

/// The record of a statement: its counter `writ.<word>.<id>`, then these words.
fn record<T>(choice: &Choice<T>, word: &str, words: &[u32], data: &mut Data) -> Result<u32, Bug> {
    let mut bytes = Counter::of(word, &choice.id, data)?;
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    Ok(data.record(&bytes))
}

fn way(choice: &Choice<Way>, data: &mut Data) -> Result<u32, Bug> {
    match &choice.does {
        Way::Route(_) => {
            let part = data.string(routes::part_of_way(&choice.does));
            record(choice, "route", &[0, part], data)
        }
        Way::Redirect { location, status } => {
            let location = template(location, data)?;
            record(choice, "redirect", &[u32::from(*status), location], data)
        }
    }
}

fn time(choice: &Choice<Milliseconds>, data: &mut Data) -> Result<u32, Bug> {
    let Milliseconds(ms) = choice.does;
    let text = ms.to_string();
    let at = data.string(&text);
    record(choice, "timeout", &[ms, at, number(text.len())?], data)
}

fn fault(choice: &Choice<Fault>, data: &mut Data) -> Result<u32, Bug> {
    let Fault { share, kind } = choice.does;
    let most = u64::from(share) << 32;
    let last =
        u32::try_from((most / 1_000_000).saturating_sub(1)).ok().or_bug("a share is a million at most")?;
    let (status, time) = match kind {
        FaultKind::Abort(status) => (u32::from(status), 0),
        FaultKind::Delay(does) => {
            let delay =
                Choice { id: choice.id.clone(), guard: choice.guard.clone(), does, span: choice.span };
            (0, self::time(&delay, data)?)
        }
    };
    record(choice, "fault", &[last, status, time, 0, u32::from(share == 0)], data)
}

/// Lays out a template.
fn template(template: &Template, data: &mut Data) -> Result<u32, Bug> {
    let mut words = vec![number(template.pieces.len())?];
    for piece in &template.pieces {
        words.extend(match piece {
            Piece::Text(text) => [PIECE_TEXT, data.string(text), number(text.len())?],
            Piece::Segment(number) => [PIECE_SEGMENT, u32::from(*number), 0],
            Piece::Rest(number) => [PIECE_REST, u32::from(*number), 0],
        });
    }
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    Ok(data.table(&bytes))
}

/// The host calls that a caller's program makes.
pub(super) fn imports(plan: &CallPlan) -> Vec<Function> {
    let mut imports = Vec::new();
    if plan.has_key() {
        imports.extend([host_calls::SET_PROPERTY, host_calls::CALL_FOREIGN_FUNCTION]);
    }
    if plan.rewrites.is_some() || plan.faults.is_some() || plan.timeouts.is_some() || plan.ceilings.is_some()
    {
        imports.push(host_calls::REPLACE_HEADER_MAP_VALUE);
    }
    if plan.faults.is_some() {
        imports.push(host_calls::wasi::RANDOM_GET);
    }
    imports
}

impl CallPlan {
    /// Whether Envoy's route depends on what is picked.
    fn has_key(&self) -> bool {
        let mut ways = self.ways.iter().flat_map(|ways| &ways.choices);
        ways.any(|choice| matches!(choice.does, Way::Route(_)))
            || self.retries.is_some()
            || self.mirrors.is_some()
    }
}

impl Emitter<'_> {
    /// ```text
    /// steer():
    ///     what happens by faults; an abort answers
    ///     the way; a redirect answers
    ///     the key, if a way, retry or mirror is picked; then look for the route again
    ///     the path; the timeout
    ///     without room: refuse
    /// ```
    fn write_steer(&mut self) -> Body {
        let mut b = Body::new(&[], &[I32]);
        let found = self.plan.calls.as_ref().or_bug("who steers has a plan").cloned();
        let Some(plan) = self.sound(found.map(Some), None) else { return b };
        if let Some(faults) = &plan.faults {
            self.steer_faults(&mut b, faults.strand);
        }
        self.steer_key(&mut b, &plan);
        if let Some(rewrites) = &plan.rewrites {
            let rewrite = self.picked_by(&mut b, rewrites.strand, 0);
            b.if_(rewrite, |b| {
                let (at, length) = self.build(b, rewrite.load32(TEXT));
                self.replace_header(b, ":path", at.into(), length.into());
            });
        }
        self.steer_timeout(&mut b, &plan);
        let fault = self.fault();
        b.if_(fault, |b| {
            let answer = self.part(super::answer::ANSWER);
            b.return_value(Value::call(answer, &[fault.into()], I32));
        });
        b.push(Action::Continue.number());
        b
    }

    /// The record of the first entry of a strand that matches, or `otherwise`.
    fn picked_by(&mut self, b: &mut Body, strand: usize, otherwise: u32) -> Local {
        let mode = self.mode_all(strand);
        let decide = self.decide(strand);
        b.let_(Value::call(decide, &[mode, otherwise.into()], I32))
    }

    /// What faults happen.
    fn steer_faults(&mut self, b: &mut Body, strand: usize) {
        let (aborting, delaying, round) = (self.aborting(), self.delaying(), self.fault_round());
        b.set_global(round, Value::from(round) + 1);
        let all = self.decide_all(strand);
        b.call_over(all, &[], &[], Linear::default());
        b.if_(aborting, |b| {
            let record = b.let_(Value::from(aborting));
            let nothing = Value::from(0);
            self.reply(b, record, record.load32(FAULT_STATUS), (nothing.clone(), nothing));
            b.return_value(Action::StopIteration.number());
        });
        b.if_(delaying, |b| {
            let time = b.let_(Value::from(delaying));
            self.replace_header(b, DELAY_HEADER, time.load32(TIME_TEXT), time.load32(TIME_LENGTH));
        });
    }

    /// The key of the request, unless it has the default's.
    fn steer_key(&mut self, b: &mut Body, plan: &CallPlan) {
        let key = self.calls.key;
        let mut parts: Vec<(Local, u32)> = Vec::new();
        let count = self.part(COUNT);
        if let Some(ways) = &plan.ways {
            let way = self.picked_by(b, ways.strand, 0);
            let answers = ways.choices.iter().any(|choice| matches!(choice.does, Way::Redirect { .. }));
            b.if_(way, |b| {
                b.call(count, &[way.into()], &[]);
                if answers {
                    b.if_(way.load32(WAY_STATUS), |b| self.redirect(b, way));
                }
            });
            parts.push((way, WAY_TEXT));
        }
        for strand in
            [plan.retries.as_ref().map(|plan| plan.strand), plan.mirrors.as_ref().map(|plan| plan.strand)]
        {
            match strand {
                Some(strand) => parts.push((self.picked_by(b, strand, 0), TEXT)),
                None => parts.push((b.let_(0), TEXT)),
            }
        }
        if plan.ways.is_none() {
            parts.insert(0, (b.let_(0), TEXT));
        }
        if !plan.has_key() {
            return;
        }
        let is_picked = parts.iter().fold(Value::from(0), |any, (record, _)| any | *record);
        let (none, _) = self.string(NO_PART);
        b.if_(is_picked, |b| {
            for (number, (record, place)) in (0_u32..).zip(&parts) {
                // What is absent lies where nothing is written.
                let text = record.load32(*place).when(*record, none);
                let text = b.let_(text);
                let to = key + number * PART_DIGITS as u32;
                b.store64(to, 0, text.load64(0));
                b.store64(to, 8, text.load64(8));
            }
            let (name, length) = self.string(ROUTE_PROPERTY);
            let key_bytes = 3 * PART_DIGITS as u32;
            let set = self
                .host(host_calls::SET_PROPERTY, &[name.into(), length.into(), key.into(), key_bytes.into()]);
            b.drop(set);
            let (name, length) = self.string(CLEAR_ROUTE_CACHE);
            let arguments = [name.into(), length.into(), 0.into(), 0.into(), OUT.into(), (OUT + 4).into()];
            let cleared = self.host(host_calls::CALL_FOREIGN_FUNCTION, &arguments);
            b.drop(cleared);
        });
    }

    /// Sends the client to another place.
    fn redirect(&mut self, b: &mut Body, way: Local) {
        let (malloc, fault) = (self.part(MALLOC), self.fault());
        let (at, length) = self.build(b, way.load32(WAY_TEXT));
        // As pairs: their number, the lengths of name and value, both with a NUL behind.
        const NAME: &[u8] = b"location\0";
        let front: Vec<u8> = [1_u32.to_le_bytes(), 8_u32.to_le_bytes(), [0; 4]].concat();
        let whole = number(front.len() + NAME.len()).unwrap_or(u32::MAX);
        let pairs = b.let_(Value::call(malloc, &[length + whole + 1], I32));
        b.if_(Value::from(fault).eqz(), |b| {
            let (header, _) = self.string([front.as_slice(), NAME].concat());
            b.on(&Linear::constant(u64::from(whole)), |b| b.copy(pairs, header, whole));
            b.store32(pairs, 8, length);
            let size = self.built_size();
            b.on(&size, |b| b.copy(pairs + whole, at, length));
            b.store8(pairs + whole + length, 0, 0);
            self.reply(b, way, way.load32(WAY_STATUS), (pairs.into(), length + whole + 1));
            b.return_value(Action::StopIteration.number());
        });
    }

    /// Answers a request in the name of a statement, which lines of logs show beside the rule that let it pass.
    fn reply(
        &mut self,
        b: &mut Body,
        record: Local,
        status: Value,
        (headers, headers_length): (Value, Value),
    ) {
        self.set_property(b, ANSWERED_STATE, record);
        let nothing = || Value::from(0);
        let status = b.let_(status);
        let arguments = [
            status.into(),
            Counter::rule(record),
            Counter::rule_length(record),
            nothing(),
            nothing(),
            headers,
            headers_length,
            grpc::status_of(status),
        ];
        let sent = self.host(host_calls::SEND_LOCAL_RESPONSE, &arguments);
        b.drop(sent);
    }

    /// How long the answer may take, if that is not what Envoy's route says anyhow.
    fn steer_timeout(&mut self, b: &mut Body, plan: &CallPlan) {
        if plan.timeouts.is_none() && plan.ceilings.is_none() {
            return;
        }
        let (timeout_otherwise, ceiling_otherwise) =
            (self.calls.timeout_otherwise, self.calls.ceiling_otherwise);
        let mut of = |b: &mut Body, plan: Option<&ChoicePlan<Milliseconds>>, otherwise: u32| match plan {
            Some(plan) => self.picked_by(b, plan.strand, otherwise),
            None => b.let_(otherwise),
        };
        let timeout = of(b, plan.timeouts.as_ref(), timeout_otherwise);
        let ceiling = of(b, plan.ceilings.as_ref(), ceiling_otherwise);
        let is_cut = b.let_(ceiling.load32(TIME_MS).lt_u(timeout.load32(TIME_MS)) | timeout.eqz());
        let time = b.let_(ceiling.when(Value::from(is_cut) & ceiling.ne(0), timeout));
        let fixed = plan.fixed_timeout.map_or(0, |Milliseconds(ms)| ms);
        b.if_(time, |b| {
            b.if_(time.load32(TIME_MS).ne(fixed), |b| {
                self.replace_header(b, TIMEOUT_HEADER, time.load32(TIME_TEXT), time.load32(TIME_LENGTH));
            });
        });
    }

    fn replace_header(&mut self, b: &mut Body, name: &str, value: Value, length: Value) {
        let (name, name_length) = self.string(name);
        let map = MapType::RequestHeaders.number();
        let arguments = [map.into(), name.into(), name_length.into(), value, length];
        let status = self.host(host_calls::REPLACE_HEADER_MAP_VALUE, &arguments);
        b.drop(status);
    }

    /// The record of the abort that happens, else 0.
    fn aborting(&mut self) -> Global {
        self.flag("aborting", I32)
    }

    /// The time of the longest delay that happens, else 0.
    fn delaying(&mut self) -> Global {
        self.flag("delaying", I32)
    }

    /// How many requests faults were drawn for. It goes on from request to request.
    fn fault_round(&mut self) -> Global {
        self.global("fault round", I32)
    }

    /// ```text
    /// note_fault(fault):
    ///     unless it was drawn for this request: draw; if it happens: count it, and keep it if it is
    ///         the first abort, or the longest delay
    /// ```
    fn write_note_fault(&mut self) -> Body {
        let (aborting, delaying, round) = (self.aborting(), self.delaying(), self.fault_round());
        let count = self.part(COUNT);
        let mut b = Body::new(&[I32], &[]);
        let fault = b.param(0);
        b.if_(fault.load32(FAULT_ROUND).eq(round), |b| b.return_());
        b.store32(fault, FAULT_ROUND, round);
        let drawn = self.host(host_calls::wasi::RANDOM_GET, &[OUT.into(), 4.into()]);
        b.drop(drawn);
        let misses = Value::from(0).load32(OUT).gt_u(fault.load32(FAULT_SHARE)) | fault.load32(FAULT_NEVER);
        b.if_(misses, |b| b.return_());
        b.call_over(count, &[fault.into()], &[], Linear::default());
        b.if_else(
            fault.load32(FAULT_STATUS),
            |b| b.if_(Value::from(aborting).eqz(), |b| b.set_global(aborting, fault)),
            |b| {
                let time = b.let_(fault.load32(FAULT_TIME));
                // Where nothing is kept, there is a word that is 0.
                let longest = Value::from(delaying).load32(TIME_MS).when(delaying, 0);
                b.if_(time.load32(TIME_MS).gt_u(longest), |b| b.set_global(delaying, time));
            },
        );
        b
    }

    /// The text of a template and its length; of one without room, nothing, and the request is refused.
    fn build(&mut self, b: &mut Body, template: Value) -> (Local, Local) {
        let build = self.part(BUILD);
        let (at, length) = (b.local(I32), b.local(I32));
        let size = self.size_of_path_and_query();
        b.call_over(build, &[template], &[at, length], size);
        (at, length)
    }

    fn size_of_path_and_query(&mut self) -> Linear {
        let mut size = self.size_of_path();
        size.add(&self.size_of_query());
        size
    }

    /// How long a text can be that was built.
    fn built_size(&mut self) -> Linear {
        let mut size = Linear::constant(self.longest_texts());
        let one = self.size_of_path_and_query();
        for _ in 0..u64::from(ESCAPE_BYTES).saturating_mul(self.calls.pieces_max) {
            size.add(&one);
        }
        size
    }

    /// How long the texts of a template are together at most.
    fn longest_texts(&self) -> u64 {
        let plan = self.plan.calls.as_ref();
        let ways = plan.into_iter().flat_map(|plan| &plan.ways).flat_map(|ways| &ways.choices);
        let locations = ways.filter_map(|choice| match &choice.does {
            Way::Redirect { location, .. } => Some(location),
            Way::Route(_) => None,
        });
        let rewrites =
            plan.into_iter().flat_map(|plan| &plan.rewrites).flat_map(|rewrites| &rewrites.choices);
        let templates = locations.chain(rewrites.map(|choice| &choice.does));
        let texts = |template: &Template| {
            let texts = template.pieces.iter().map(|piece| match piece {
                Piece::Text(text) => text.len() as u64,
                Piece::Segment(_) | Piece::Rest(_) => 0,
            });
            texts.sum::<u64>()
        };
        templates.map(texts).max().unwrap_or_default() + 1
    }

    /// ```text
    /// build(template):
    ///     room for its texts, for each other piece the path with all escaped, and the query
    ///     the pieces; `/` if there is nothing; the query, unless the text has one
    /// ```
    fn write_build(&mut self) -> Body {
        let (malloc, segment, escape) = (self.part(MALLOC), self.part(PATH_SEGMENT), self.part(ESCAPE));
        let (slot, path_end, query_start) = (self.path_slot(), self.path_end(), self.query_start());
        let texts_max = self.longest_texts();
        let pieces_max = self.calls.pieces_max;
        let mut b = Body::new(&[I32], &[I32, I32]);
        let template = b.param(0);
        let start = b.let_(Value::from(0).load32(slot));
        let path_length = b.let_(Value::from(path_end) - start);
        let query = b.let_(Value::from(query_start));
        let sent_end = b.let_(Value::from(0).load32(slot) + Value::from(0).load32(slot + SLOT_LENGTH));
        let query_length = b.let_(sent_end - query);
        let count = b.let_(template.load32(0));
        let room =
            path_length * ESCAPE_BYTES * count + query_length + u32::try_from(texts_max).unwrap_or(u32::MAX);
        let text = b.let_(Value::call(malloc, &[room], I32));
        b.if_(text.eqz(), |b| {
            b.push(0);
            b.push(0);
            b.return_();
        });
        let to = b.let_(text);
        let piece = b.let_(template + 4);
        let (at, length, has_query) = (b.local(I32), b.local(I32), b.local(I32));
        b.while_times_on(pieces_max, count, |b, _| {
            let kind = b.let_(piece.load32(0));
            b.if_else(
                kind.eq(PIECE_TEXT),
                |b| {
                    b.set(at, piece.load32(4));
                    b.set(length, piece.load32(8));
                    b.on(&Linear::constant(texts_max), |b| {
                        b.while_(length, |b, _| {
                            b.set(has_query, has_query | at.load8(0).eq(i32::from(b'?')));
                            b.store8(to, 0, at.load8(0));
                            b.set(at, at + 1);
                            b.set(to, to + 1);
                            b.set(length, length - 1);
                        });
                    });
                },
                |b| {
                    b.call(segment, &[piece.load32(4)], &[at, length]);
                    b.if_(kind.eq(PIECE_REST) & at.ne(0), |b| {
                        b.set(at, at - 1);
                        b.set(length, Value::from(path_end) - at);
                    });
                    b.call(escape, &[at.into(), length.into(), to.into()], &[to]);
                },
            );
            b.set(piece, piece + PIECE_BYTES);
            b.set(count, count - 1);
        });
        b.if_(to.eq(text), |b| {
            b.store8(to, 0, i32::from(b'/'));
            b.set(to, to + 1);
        });
        b.if_(has_query.eqz(), |b| {
            b.copy(to, query, query_length);
            b.set(to, to + query_length);
        });
        b.push(text);
        b.push(to - text);
        b
    }

    /// ```text
    /// escape(at, length, to):
    ///     each byte as it is, or as %41, as `path::encode` does; behind the last one
    /// ```
    fn write_escape(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (at, length, to) = (b.param(0), b.param(1), b.param(2));
        let plain: Vec<u8> =
            (0..=u8::MAX).map(|byte| u8::from(crate::path::encode(&[byte]).len() == 1)).collect();
        let plain = self.data.table(&plain);
        let (digits, _) = self.string("0123456789ABCDEF");
        let end = b.let_(at + length);
        let byte = b.local(I32);
        b.while_(at.lt_u(end), |b, _| {
            b.set(byte, at.load8(0));
            b.if_else(
                byte.load8(plain),
                |b| {
                    b.store8(to, 0, byte);
                    b.set(to, to + 1);
                },
                |b| {
                    b.store8(to, 0, i32::from(b'%'));
                    b.store8(to, 1, (byte >> 4).load8(digits));
                    b.store8(to, 2, (byte & 15).load8(digits));
                    b.set(to, to + ESCAPE_BYTES);
                },
            );
            b.set(at, at + 1);
        });
        b.push(to);
        b
    }
}
