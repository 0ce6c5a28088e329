//! Logs: whether a request is logged, and what is said of it.
//!
//! The definition is `eval::logged` and `eval::line`. The access loggers of the sidecar read filter state: `log`
//! says that the policies speak of the request, and `line` what is to be said of it, if it is logged. What the
//! answer decides is decided when it is over; until then what would be said lies in `held`, for a module serves
//! many requests at a time.
//!
//! ```text
//! log(answer, judged):     the highest rate of what speaks of the request; draw; say or hold the line, or nothing
//! proxy_on_log:            if what is held is to be logged: put what asks about the answer behind it, and say it
//! ```

use super::code::{Body, Global, I32, I64, Local, Operand, Value};
use super::condition::{Bound, Place, Text, presence};
use super::cost::Linear;
use super::emitter::Emitter;
use super::entry::{MALLOC, RESET};
use super::json::{HEAD_BYTES, LINE_SLACK_BYTES, SHOW_ADDRESS, SHOW_INT, SHOW_TEXT};
use super::kept::Owner;
use super::memory::{ARENA_BYTES, OUT, OUT_LENGTH};
use super::parts::Part;
use super::siphash::SHOW_HASH;
use super::source::SOMEWHERE;
use crate::bug::{Bug, OrBug as _};
use crate::checked::{Attribute, Redact, SampleRate};
use crate::log::{KEY_BYTES_MAX, LINE_BYTES_MAX, MASK, TEXT_BYTES_MAX};
use crate::plan::{FieldPlan, FieldValue, LaterPlan, LogPlan, SamplesPlan};
use chancery_sdk_abi::{MapType, host_calls};

/// Says of a request that was decided what is logged of it.
pub(super) const LOG: Part = Part::new("log", |emitter, _| emitter.write_log());
/// The callback in which an answer is over.
pub(super) const ON_LOG: Part = Part::new("on log", |emitter, _| emitter.write_on_log());
/// Puts a line together.
const LINE: Part = Part::new("line", |emitter, _| emitter.write_line());
/// Writes a field; those that ask about the answer are numbered behind the others.
const FIELD: Part = Part::new("field", |emitter, number| emitter.write_field(number));
/// Whether what a sample asks about the answer holds.
const LATER: Part = Part::new("later", |emitter, number| emitter.write_later(number));
/// A number below a million, drawn anew for each request.
const DRAW: Part = Part::new("draw", |emitter, _| emitter.write_draw());
/// A header as it was sent.
const SENT: Part = Part::new("sent", |emitter, _| emitter.write_sent());

/// Says that log policies speak of the request.
const LOG_STATE: &str = "log";
/// What is said of a request that is logged.
const LINE_STATE: &str = "line";
/// In which sinks the line belongs, if not in the log of the sidecar alone.
const SINKS_STATE: &str = "sinks";
/// What is said of it if the answer is such that it is logged.
const HELD_STATE: &str = "held";
/// It is logged whatever the answer.
const LOGGED: i64 = -1;

impl Emitter<'_> {
    /// The record of the answer that decided.
    pub(super) fn said(&mut self) -> Global {
        self.global("said", I32)
    }

    fn samples(&self) -> Option<&SamplesPlan> {
        self.plan.log.as_ref().and_then(|log| log.samples.as_ref())
    }

    fn later(&self) -> Vec<LaterPlan> {
        self.samples().map(|samples| samples.later.clone()).unwrap_or_default()
    }

    /// ```text
    /// log(answer, judged):
    ///     set_property("log", …)
    ///     rate = highest of what speaks of the request, as far as that is known; draw
    ///     if draw is below it: it is logged whatever the answer
    ///     else: which of what asks about the answer speaks of the request, and has a rate above draw; none: done
    ///     put the line together; set_property("line", line), or where the answer is asked about
    ///     set_property("held", which, line)
    /// ```
    /// What cannot be asked, for something could not be read, is logged.
    fn write_log(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[]);
        let (answer, judged) = (b.param(0), b.param(1));
        let (said, fault) = (self.said(), self.fault());
        b.set_global(said, answer);
        let (one, length) = self.string("1");
        self.say(&mut b, LOG_STATE, one, length);
        b.set_global(fault, 0);
        let which = b.let_(LOGGED);
        if let Some(samples) = self.samples().cloned() {
            let later = samples.later.clone();
            let draw = if self.plan.log.as_ref().is_some_and(LogPlan::draws) {
                Value::call_over(self.part(DRAW), &[], I32, Linear::default())
            } else {
                0.into()
            };
            let draw = b.let_(draw);
            let rate = b.let_(samples.unjudged.0);
            let passes = self.passes(answer);
            let passes = b.let_(passes);
            b.if_(judged, |b| {
                for (strand, is_of) in [(samples.passed, 1), (samples.refused, 0)] {
                    b.if_(passes.eq(is_of), |b| {
                        let found = self.first_of(strand);
                        b.set(rate, found);
                    });
                }
            });
            b.if_((draw.lt_u(rate) | Value::from(fault)).eqz(), |b| {
                b.set(which, 0_i64);
                b.if_(judged, |b| {
                    for (number, sample) in (0_i64..).zip(&later) {
                        let concerns = match sample.passed {
                            Some(of) => passes.eq(i32::from(of)),
                            None => 1.into(),
                        };
                        b.if_(concerns & draw.lt_u(sample.rate.0), |b| {
                            let speaks = self.first_of(sample.strand);
                            b.set(which, which | (speaks.extend() << number));
                        });
                    }
                });
                b.if_(fault, |b| b.set(which, LOGGED));
                b.if_(which.eqz(), Body::return_);
            });
            b.set_global(fault, 0);
        }
        if self.keeps(Owner::Line) {
            b.if_(judged, |b| self.keep(b, Owner::Line));
            b.if_(fault, |b| b.set(which, LOGGED));
            b.set_global(fault, 0);
        }
        self.say_sinks(&mut b);
        let line = self.part(LINE);
        b.call_over(line, &[judged.into()], &[], Linear::default());
        let (place, end) = (self.line(), self.line_end());
        if !self.plan.log.as_ref().is_some_and(LogPlan::waits) {
            let begin = place + HEAD_BYTES;
            self.say(&mut b, LINE_STATE, begin, Value::from(end) - begin);
        } else {
            b.store64(0, place, which);
            self.say(&mut b, HELD_STATE, place, Value::from(end) - place);
        }
        b
    }

    /// Says where the line goes that is said of the request.
    fn say_sinks(&mut self, b: &mut Body) {
        let directions = self.plan.log.as_ref().map(|log| log.directions.clone()).unwrap_or_default();
        if !directions.is_empty() {
            let (at, length) = self.string(directions.as_str());
            self.say(b, SINKS_STATE, at, length);
        }
    }

    /// What the first matching entry of a strand picks, else 0.
    fn first_of(&mut self, strand: usize) -> Value {
        let decide = self.decide(strand);
        let mode = self.mode_enforced(strand);
        Value::call(decide, &[mode, 0.into()], I32)
    }

    /// Writes filter state.
    fn say(&mut self, b: &mut Body, name: &str, at: impl Into<Value>, length: impl Into<Value>) {
        let (name, name_length) = self.string(name);
        let arguments = [name.into(), name_length.into(), at.into(), length.into()];
        let status = self.host(host_calls::SET_PROPERTY, &arguments);
        b.drop(status);
    }

    /// ```text
    /// proxy_on_log(context):
    ///     nothing, if no line is held
    ///     if it is logged whatever the answer, or one of the samples that speak of it asks for such an answer:
    ///         set_property("line", line)
    /// ```
    fn write_on_log(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[]);
        b.call(self.part(RESET), &[], &[]);
        b.store64(0, OUT, 0_i64);
        let (name, name_length) = self.string(HELD_STATE);
        let arguments = [name.into(), name_length.into(), OUT.into(), OUT_LENGTH.into()];
        let status = self.host(host_calls::GET_PROPERTY, &arguments);
        b.if_(status, Body::return_);
        let at = b.let_(Value::from(0).load32(OUT));
        let length = b.let_(Value::from(0).load32(OUT_LENGTH));
        let is_there = self.in_arena(at, length);
        b.if_(is_there.eqz() | length.lt_u(HEAD_BYTES), Body::return_);
        let late = self.plan.log.as_ref().map_or(0, |log| log.late.len());
        if late > 0 {
            self.go_on_with_line(&mut b, at, length);
        }
        self.recall(&mut b, Owner::Line);
        let which = b.let_(at.load64(0));
        let logged = b.let_(which.eq(LOGGED));
        for number in 0..self.later().len() {
            let number = self.number(number);
            let asks = ((which >> i64::from(number)) & 1_i64).wrap();
            b.if_(asks & logged.eqz(), |b| {
                let holds = Value::call_over(self.part(LATER.numbered(number)), &[], I32, Linear::default());
                b.set(logged, holds);
            });
        }
        if late == 0 {
            b.if_(logged, |b| self.say(b, LINE_STATE, at + HEAD_BYTES, length - HEAD_BYTES));
            return b;
        }
        b.if_(logged.eqz(), Body::return_);
        let first = self.plan.log.as_ref().map_or(0, |log| log.fields.len());
        let asking_kept: Vec<bool> =
            self.plan.log.iter().flat_map(|log| &log.late).map(FieldPlan::asks_kept).collect();
        for (number, asks_kept) in (first..).zip(asking_kept) {
            let number = self.number(number);
            let field = self.part(FIELD.numbered(number));
            let is_known = if asks_kept { Value::from(self.was_kept()) } else { 1.into() };
            b.call_over(field, &[is_known], &[], Linear::default());
        }
        let end = self.line_end();
        self.say(&mut b, LINE_STATE, at + HEAD_BYTES, Value::from(end) - at - HEAD_BYTES);
        b
    }

    /// Makes what is written next go on with the line that the host has put there, in room directly behind it.
    fn go_on_with_line(&mut self, b: &mut Body, at: Local, length: Local) {
        let (end, last, malloc) = (self.line_end(), self.line_last(), self.part(MALLOC));
        let most = HEAD_BYTES + LINE_BYTES_MAX as u32;
        b.if_(length.gt_u(most), Body::return_);
        let room = Value::from(most + LINE_SLACK_BYTES) - length;
        let behind = b.let_(Value::call(malloc, &[room], I32));
        b.if_(behind.ne(at + length), Body::return_);
        b.set_global(end, behind);
        b.set_global(last, at + (HEAD_BYTES + (LINE_BYTES_MAX - KEY_BYTES_MAX) as u32));
    }

    /// Whether so many bytes lie in the arena.
    pub(super) fn in_arena(&mut self, at: Local, length: Local) -> Value {
        let start = self.arena_start();
        let offset = || at - start;
        offset().le_u(ARENA_BYTES) & length.le_u(Value::from(ARENA_BYTES) - offset())
    }

    fn write_later(&mut self, number: u32) -> Body {
        let mut b = Body::new(&[], &[I32]);
        let found = self.later().get(number as usize).cloned();
        match found.or_bug("each sample that asks about the answer exists") {
            Ok(later) => self.condition(&mut b, &later.condition),
            Err(bug) => self.sound(Err(bug), ()),
        }
        b
    }

    /// `line(judged)`
    fn write_line(&mut self) -> Body {
        let (place, end) = (self.line(), self.line_end());
        let mut b = Body::new(&[I32], &[]);
        let judged = b.param(0);
        b.set_global(end, place + HEAD_BYTES);
        if self.plan.log.as_ref().is_some_and(|log| !log.late.is_empty()) {
            let last = self.line_last();
            b.set_global(last, place + HEAD_BYTES + (LINE_BYTES_MAX - KEY_BYTES_MAX) as u32);
        }
        let count = self.plan.log.as_ref().map_or(0, |log| log.fields.len());
        for number in 0..self.number(count) {
            let field = self.part(FIELD.numbered(number));
            b.call_over(field, &[judged.into()], &[], Linear::of(super::cost::Source::Own));
        }
        b
    }

    /// ```text
    /// field(judged):
    ///     ,"name":value      null if it is absent, could not be read, or cannot be known
    /// ```
    fn write_field(&mut self, number: u32) -> Body {
        let mut b = Body::new(&[I32], &[]);
        let judged = b.param(0);
        let mut fields = self.plan.log.iter().flat_map(|log| log.fields.iter().chain(&log.late));
        let found = fields.nth(number as usize).cloned().or_bug("each field of a line exists");
        let Some(FieldPlan { name, value, redact }) = self.sound(found.map(Some), None) else { return b };
        let mut key = vec![b','];
        crate::log::quote(name.as_bytes(), &mut key);
        key.push(b':');
        let (at, length) = self.string(&key);
        self.show_bytes(&mut b, at, length, length);
        let (end, fault) = (self.line_end(), self.fault());
        let before = b.let_(end);
        match &value {
            FieldValue::Rule | FieldValue::Decision => {
                let attribute = match value {
                    FieldValue::Rule => Attribute::Rule,
                    _ => Attribute::Decision,
                };
                let text = self.text(&mut b, &attribute);
                self.show_place(&mut b, Place::Text(text), redact);
            }
            FieldValue::Computed(expr) => {
                b.choose(judged, |b, is_judged| {
                    if is_judged {
                        let place = self.value(b, expr, &mut Bound::new());
                        self.show_place(b, place, redact);
                    } else {
                        self.show(b, "null");
                    }
                });
            }
            FieldValue::Text(attribute @ Attribute::SourcePrincipal) => {
                let text = self.text(&mut b, attribute);
                self.show_place(&mut b, Place::Text(text), redact);
            }
            FieldValue::Text(attribute) => {
                let header = if *attribute == Attribute::Method { ":method" } else { "x-request-id" };
                self.show_header(&mut b, judged, attribute, header, redact);
            }
            FieldValue::Path => self.show_header(&mut b, judged, &Attribute::Path, ":path", redact),
        }
        b.if_(fault, |b| {
            b.set_global(fault, 0);
            b.set_global(end, before);
            self.show(b, "null");
        });
        b
    }

    /// Shows a text of the request as rules see it or, where they were not asked, as it was sent, without a query.
    fn show_header(
        &mut self,
        b: &mut Body,
        judged: Local,
        attribute: &Attribute,
        header: &str,
        redact: Option<Redact>,
    ) {
        let size = self.size(Linear::constant(TEXT_BYTES_MAX as u64));
        let (name, name_length) = self.string(header);
        let sent = self.part(SENT);
        b.choose(judged, |b, is_judged| {
            let text = if is_judged {
                self.text(b, attribute)
            } else {
                let text = Text { at: b.local(I32), length: b.local(I32), optional: true, size };
                let (arguments, size) = ([name.into(), name_length.into()], self.sized(size));
                b.call_over(sent, &arguments, &[text.at, text.length], size);
                text
            };
            self.show_place(b, Place::Text(text), redact);
        });
    }

    /// ```text
    /// sent(name, length):
    ///     the first bytes of the header's value as it was sent, up to a `?`; 0 if there is none
    /// ```
    fn write_sent(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        let (name, name_length) = (b.param(0), b.param(1));
        b.store64(0, OUT, 0_i64);
        let map = MapType::RequestHeaders.number();
        let arguments = [map.into(), name.into(), name_length.into(), OUT.into(), OUT_LENGTH.into()];
        let status = self.host(host_calls::GET_HEADER_MAP_VALUE, &arguments);
        let status = b.let_(status);
        let at = b.let_(Value::from(0).load32(OUT));
        let length = b.let_(Value::from(0).load32(OUT_LENGTH));
        b.if_(length.eqz(), |b| b.set(at, SOMEWHERE));
        let in_arena = self.in_arena(at, length);
        b.if_(status.eqz().eqz() | (in_arena | length.eqz()).eqz(), |b| {
            b.push(0);
            b.push(0);
            b.return_();
        });
        let most = TEXT_BYTES_MAX as u32;
        b.set(length, length.when(length.lt_u(most), most));
        let (end, text_end) = (b.let_(at + length), b.let_(at));
        b.while_(text_end.lt_u(end), |b, out| {
            b.br_if(out, text_end.load8(0).eq(i32::from(b'?')));
            b.set(text_end, text_end + 1);
        });
        b.push(at);
        b.push(text_end - at);
        b
    }

    /// Shows a value, or what stands in its place.
    fn show_place(&mut self, b: &mut Body, place: Place, redact: Option<Redact>) {
        let present = presence(b, place);
        b.choose(present, |b, is_there| match (is_there, redact) {
            (false, _) => self.show(b, "null"),
            (true, None) => self.show_value(b, place),
            (true, Some(Redact::Hash)) => self.show_hash(b, place),
            (true, Some(_)) => self.show(b, &format!("\"{MASK}\"")),
        });
    }

    fn show_value(&mut self, b: &mut Body, place: Place) {
        match place {
            Place::Text(text) => {
                let show = self.part(SHOW_TEXT);
                b.call_over(show, &[text.at.into(), text.length.into()], &[], Linear::default());
            }
            Place::Bool(value, _) => b.choose(value, |b, is| self.show(b, if is { "true" } else { "false" })),
            Place::Int(value, _) => {
                let show = self.part(SHOW_INT);
                b.call_over(show, &[value.into()], &[], Linear::default());
            }
            Place::Ip(high, low) => {
                let show = self.part(SHOW_ADDRESS);
                b.call_over(show, &[high.into(), low.into()], &[], Linear::default());
            }
            Place::List(_) => self.sound(Err(Bug::new("no list is a field")), ()),
        }
    }

    fn show_hash(&mut self, b: &mut Body, place: Place) {
        use super::memory::ADDRESS_GROUPS;
        let hash = self.part(SHOW_HASH);
        let (at, length, size) = match place {
            Place::Text(text) => (Value::from(text.at), Value::from(text.length), self.sized(text.size)),
            Place::Bool(value, _) => {
                b.store8(0, ADDRESS_GROUPS, value);
                (ADDRESS_GROUPS.into(), 1.into(), Linear::constant(1))
            }
            Place::Int(value, _) => {
                b.store64(0, ADDRESS_GROUPS, value);
                (ADDRESS_GROUPS.into(), 8.into(), Linear::constant(8))
            }
            Place::Ip(high, low) => {
                for (offset, half) in [(0, high), (8, low)] {
                    for byte in 0..8_u32 {
                        let shifted = half >> i64::from(56 - 8 * byte);
                        b.store8(0, ADDRESS_GROUPS + offset + byte, shifted.wrap());
                    }
                }
                (ADDRESS_GROUPS.into(), 16.into(), Linear::constant(16))
            }
            Place::List(_) => {
                self.sound(Err(Bug::new("no list is a field")), ());
                return;
            }
        };
        b.call_over(hash, &[at, length], &[], size);
    }

    /// ```text
    /// draw():
    ///     the next of a sequence that begins where the host's randomness says (SplitMix64), in millionths
    /// ```
    fn write_draw(&mut self) -> Body {
        // Both go on from request to request.
        let (known, state) = (self.global("draws", I32), self.global("draw", I64));
        let mut b = Body::new(&[], &[I32]);
        b.if_(Value::from(known).eqz(), |b| {
            b.set_global(known, 1);
            let status = self.host(host_calls::wasi::RANDOM_GET, &[OUT.into(), 8.into()]);
            b.drop(status);
            b.set_global(state, Value::from(0).load64(OUT));
        });
        b.set_global(state, Value::from(state) + 0x9e37_79b9_7f4a_7c15_u64.cast_signed());
        let z = b.let_(state);
        b.set(z, (z ^ (z >> 30_i64)) * 0xbf58_476d_1ce4_e5b9_u64.cast_signed());
        b.set(z, (z ^ (z >> 27_i64)) * 0x94d0_49bb_1331_11eb_u64.cast_signed());
        b.set(z, z ^ (z >> 31_i64));
        b.push((((z >> 32_i64) * i64::from(SampleRate::ALL.0)) >> 32_i64).wrap());
        b
    }
}
