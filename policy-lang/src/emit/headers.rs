//! Operations on headers: of those that match, the one of the greatest rank for each header.
//!
//! The records of operations lie in the order of their ranks, so that of two the one at the higher address is done. The
//! request's headers are changed when nothing can refuse the request any more. What is to become of the answer's is
//! kept in filter state until that comes, for by then the request is out of sight.
//!
//! ```text
//! change_headers():    note each operation that matches; change the request's headers; keep the answer's operations
//! proxy_on_response_headers():    do what was kept
//! ```

use super::code::{Body, I32, Local, Operand, Value};
use super::cost::{Linear, Tally};
use super::data::Data;
use super::emitter::Emitter;
use super::entry::{MALLOC, RESET};
use super::header_values::{COMPUTE, is_constant};
use super::kept::Owner;
use super::memory::{ARENA_BYTES, OUT, OUT_LENGTH};
use super::parts::Part;
use crate::bug::{Bug, OrBug as _, number};
use crate::checked::{HeaderChange, Message};
use crate::plan::{HeaderOperation, HeadersPlan};
use chancery_sdk_abi::{Action, Function, MapType, host_calls};
use std::collections::BTreeSet;

/// Changes the headers of a request that passes, and keeps what is to become of the answer's.
pub(super) const CHANGE_HEADERS: Part =
    Part::new("change headers", |emitter, _| emitter.write_change_headers());
/// The callback in which the headers of an answer are changed.
pub(super) const RESPONSE_HEADERS: Part =
    Part::new("response headers", |emitter, _| emitter.write_response_headers());
/// Notes an operation that matches.
pub(super) const NOTE_OPERATION: Part =
    Part::new("note operation", |emitter, _| emitter.write_note_operation());
/// Does an operation.
pub(super) const PERFORM: Part = Part::new("perform", |emitter, _| emitter.write_perform());

// An operation's record: the map that its header is in, what it does, the header's name and its length, where what
// is noted of the header lies, and its number from 1 among those that ask about the answer, else 0.
const RECORD_MAP: u32 = 0;
const RECORD_CHANGE: u32 = 4;
const RECORD_NAME: u32 = 8;
const RECORD_NAME_LENGTH: u32 = 12;
pub(super) const RECORD_PLACE: u32 = 16;
pub(super) const RECORD_LATE: u32 = 20;
/// A power of two, so that it is soon told whether an address is one of a record.
pub(super) const RECORD_BYTES: u32 = 32;

const CHANGE_REMOVE: u32 = 0;
const CHANGE_SET: u32 = 1;
const CHANGE_ADD: u32 = 2;

// What is noted of a header: the operation that is done, 0 if none is; of an answer's header its value and the length
// of that.
pub(super) const PLACE_OPERATION: u32 = 0;
pub(super) const PLACE_VALUE: u32 = 4;
pub(super) const PLACE_LENGTH: u32 = 8;
pub(super) const PLACE_BYTES: u32 = 12;

// What is kept for an answer: the operation, the length of its value plus 1 (0: it is absent), the value.
pub(super) const KEPT_LENGTH: u32 = 4;
pub(super) const KEPT_VALUE: u32 = 8;

/// The filter state in which it is kept.
pub(super) const KEPT_NAME: &str = "response-headers";

/// Where the records of operations on headers lie.
#[derive(Debug, Default)]
pub(super) struct HeaderRecords {
    /// By index of the operation.
    pub(super) addresses: Vec<u32>,
    /// By index of the header, where what is noted of it lies.
    pub(super) places: Vec<u32>,
}

impl HeaderRecords {
    /// Lays out the operations of a plan.
    pub(super) fn new(plan: Option<&HeadersPlan>, data: &mut Data) -> Result<Self, Bug> {
        let mut this = Self::default();
        let Some(plan) = plan else { return Ok(this) };
        let noted = data.table(&vec![0; plan.places.len() * PLACE_BYTES as usize]);
        this.places = (0..).zip(&plan.places).map(|(at, _)| noted + PLACE_BYTES * at).collect();
        let mut records = Vec::new();
        let mut late_before = 0;
        for HeaderOperation { place, change, late } in &plan.operations {
            let at = this.places.get(*place as usize).copied().or_bug("each operation has a header")?;
            let place = plan.places.get(*place as usize).or_bug("each operation has a header")?;
            let map = match place.message {
                Message::Request => MapType::RequestHeaders,
                Message::Response => MapType::ResponseHeaders,
            };
            let change = match change {
                HeaderChange::Remove => CHANGE_REMOVE,
                HeaderChange::Set(_) => CHANGE_SET,
                HeaderChange::Add(_) => CHANGE_ADD,
            };
            let name = data.string(place.header.as_bytes());
            let mut record = Vec::new();
            late_before += u32::from(late.is_some());
            let late = if late.is_some() { late_before } else { 0 };
            for word in [map.number().cast_unsigned(), change, name, number(place.header.len())?, at, late] {
                record.extend(word.to_le_bytes());
            }
            record.resize(RECORD_BYTES as usize, 0);
            records.extend(record);
        }
        let first = data.record(&records);
        this.addresses = (0..).zip(&plan.operations).map(|(at, _)| first + RECORD_BYTES * at).collect();
        Ok(this)
    }
}

/// The host calls that the operations of a plan make.
pub(super) fn imports(plan: &HeadersPlan) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for operation in &plan.operations {
        match &operation.change {
            HeaderChange::Remove => drop(names.insert(host_calls::REMOVE_HEADER_MAP_VALUE.name)),
            HeaderChange::Set(value) => {
                names.insert(host_calls::REPLACE_HEADER_MAP_VALUE.name);
                if !is_constant(value) {
                    names.insert(host_calls::REMOVE_HEADER_MAP_VALUE.name);
                }
            }
            HeaderChange::Add(_) => drop(names.insert(host_calls::ADD_HEADER_MAP_VALUE.name)),
        }
    }
    if plan.changes(Message::Response) {
        names.extend([host_calls::GET_PROPERTY.name, host_calls::SET_PROPERTY.name]);
    }
    names
}

/// The part of memory in which all records of operations lie.
#[derive(Clone, Copy)]
pub(super) struct Records {
    first: u32,
    bytes: u32,
}

impl Records {
    /// Reads what is kept at a place: an operation, its value and the length of that. The callback is over where that is
    /// nothing that was kept.
    pub(super) fn read(self, b: &mut Body, at: Local, end: Local, [operation, value, length]: [Local; 3]) {
        let go_on = Action::Continue.number();
        b.set(operation, at.load32(0));
        b.set(value, at + KEPT_VALUE.cast_signed());
        b.set(length, at.load32(KEPT_LENGTH) - 1);
        b.if_(at.load32(KEPT_LENGTH).eqz(), |b| {
            b.set(value, 0);
            b.set(length, 0);
        });
        let offset = b.let_(operation - self.first.cast_signed());
        let is_other = offset.ge_u(self.bytes) | (offset & (RECORD_BYTES - 1).cast_signed());
        let is_long = length.gt_u(end - at - KEPT_VALUE.cast_signed());
        b.if_(is_other | is_long, |b| b.return_value(go_on));
    }
}

impl<'a> Emitter<'a> {
    pub(super) fn headers_plan(&mut self) -> Option<&'a HeadersPlan> {
        let plan = self.plan.headers.as_ref().map(Some);
        self.sound(plan.or_bug("headers are changed where a plan says so"), None)
    }

    /// ```text
    /// note_operation(record):
    ///     keep it for its header, unless one of a greater rank is kept
    /// ```
    fn write_note_operation(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[]);
        let record = b.param(0);
        if self.headers_plan().is_some_and(|plan| plan.late().next().is_some()) {
            self.note_late(&mut b, record);
        }
        let place = b.let_(record.load32(RECORD_PLACE));
        b.if_(record.gt_u(place.load32(PLACE_OPERATION)), |b| b.store32(place, PLACE_OPERATION, record));
        b
    }

    /// ```text
    /// change_headers():
    ///     note each operation that matches
    ///     for each header with one: compute the value; do it, or keep it for the answer
    /// ```
    fn write_change_headers(&mut self) -> Body {
        let mut b = Body::new(&[], &[]);
        let Some(plan) = self.headers_plan() else { return b };
        let places = self.header_records.places.clone();
        let bytes = self.number(places.len()) * PLACE_BYTES;
        b.clear(places.first().copied().unwrap_or_default(), bytes);
        let all = self.decide_all(plan.strand);
        b.call_over(all, &[], &[], Linear::default());
        let (operation, at, length) = (b.local(I32), b.local(I32), b.local(I32));
        for ((number, place), noted) in (0..).zip(&plan.places).zip(places) {
            b.set(operation, Value::from(0).load32(noted + PLACE_OPERATION));
            b.if_(operation, |b| {
                let operations = (0..)
                    .zip(&plan.operations)
                    .filter(|(_, other)| other.place == number && other.late.is_none());
                let operations: Vec<(u32, &HeaderOperation)> = operations.collect();
                self.choose_value(b, &operations, operation, (at, length));
                match place.message {
                    Message::Request => {
                        let perform = self.part(PERFORM);
                        let arguments = [operation.into(), at.into(), length.into()];
                        b.call_over(perform, &arguments, &[], Linear::default());
                    }
                    Message::Response => {
                        b.store32(0, noted + PLACE_VALUE, at);
                        b.store32(0, noted + PLACE_LENGTH, length);
                    }
                }
            });
        }
        if plan.changes(Message::Response) {
            let has_late = plan.late().next().is_some();
            let notes = has_late.then(|| self.note_late_values(&mut b, plan, (at, length)));
            self.keep_for_response(&mut b, plan, notes);
        }
        b
    }

    /// Sets the text to the value of an operation, which is one of these; its address is 0 if it is absent.
    fn choose_value(
        &mut self,
        b: &mut Body,
        operations: &[(u32, &HeaderOperation)],
        operation: Local,
        (at, length): (Local, Local),
    ) {
        let (first, rest) = operations.split_at(operations.len() / 2);
        if let ([], [(number, only)]) = (first, rest) {
            self.value_at_request(b, *number, only, (at, length));
            return;
        }
        let Some((middle, _)) = rest.first() else { return };
        let address = self.header_records.addresses.get(*middle as usize).copied();
        let address = self.sound(address.or_bug("each operation has a record"), 0);
        b.choose(operation.lt_u(address), |b, is_first| {
            self.choose_value(b, if is_first { first } else { rest }, operation, (at, length));
        });
    }

    /// Sets the text to the value of an operation, as far as that is known when the request is decided.
    pub(super) fn value_at_request(
        &mut self,
        b: &mut Body,
        number: u32,
        operation: &HeaderOperation,
        (at, length): (Local, Local),
    ) {
        match operation.change.value().filter(|_| !operation.change.is_late()) {
            None => {
                b.set(at, 0);
                b.set(length, 0);
            }
            Some(value) if is_constant(value) => {
                let (text_at, text_length) = self.constant_value(value);
                b.set(at, text_at);
                b.set(length, text_length);
            }
            Some(_) => {
                let compute = self.part(COMPUTE.numbered(number));
                b.call_over(compute, &[], &[at, length], Linear::default());
            }
        }
    }

    /// ```text
    /// perform(operation, value, length):
    ///     without a value: remove the header, unless it is to be added
    ///     else add it or put it in the place of what is there
    /// ```
    fn write_perform(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[]);
        let Some(plan) = self.headers_plan() else { return b };
        let calls = imports(plan);
        let (operation, at, length) = (b.param(0), b.param(1), b.param(2));
        let change = b.let_(operation.load32(RECORD_CHANGE));
        let status = b.local(I32);
        let name = [
            operation.load32(RECORD_MAP),
            operation.load32(RECORD_NAME),
            operation.load32(RECORD_NAME_LENGTH),
        ];
        let with_value: Vec<Value> = name.iter().cloned().chain([at.into(), length.into()]).collect();
        let makes = |function: &Function| calls.contains(function.name);
        if makes(&host_calls::REMOVE_HEADER_MAP_VALUE) {
            b.if_(at.eqz() & change.ne(CHANGE_ADD), |b| {
                let removed = self.host(host_calls::REMOVE_HEADER_MAP_VALUE, &name);
                b.set(status, removed);
            });
        }
        for (function, wanted) in [
            (host_calls::REPLACE_HEADER_MAP_VALUE, CHANGE_SET),
            (host_calls::ADD_HEADER_MAP_VALUE, CHANGE_ADD),
        ] {
            if makes(&function) {
                b.if_(at.eqz().eqz() & change.eq(wanted), |b| {
                    let done = self.host(function, &with_value);
                    b.set(status, done);
                });
            }
        }
        // What is not as it must be does not reach the application.
        b.if_(status, |b| self.set_fault(b));
        b
    }

    /// Writes what is to become of the answer's headers into filter state.
    fn keep_for_response(&mut self, b: &mut Body, plan: &HeadersPlan, notes: Option<u32>) {
        let places: Vec<(u32, u32)> = (0..)
            .zip(&plan.places)
            .zip(self.header_records.places.clone())
            .filter(|((_, place), _)| place.message == Message::Response)
            .map(|((number, _), noted)| (number, noted))
            .collect();
        let sum = b.local(I32);
        let operation = b.local(I32);
        for (_, noted) in &places {
            b.if_(Value::from(0).load32(noted + PLACE_OPERATION), |b| {
                let length = Value::from(0).load32(noted + PLACE_LENGTH);
                b.set(sum, sum + length + KEPT_VALUE);
            });
        }
        if let Some(notes) = notes {
            self.for_each_late(b, plan, notes, |b, _, _, length, _| b.set(sum, sum + length + KEPT_VALUE));
        }
        let malloc = self.part(MALLOC);
        let kept = b.local(I32);
        b.if_(sum, |b| b.set(kept, Value::call(malloc, &[sum.into()], I32)));
        b.if_(kept, |b| {
            let (at, length) = (b.let_(kept), b.local(I32));
            for (number, noted) in &places {
                let size = self.size_of_values(plan, *number);
                b.set(operation, Value::from(0).load32(noted + PLACE_OPERATION));
                b.if_(operation, |b| {
                    b.set(length, Value::from(0).load32(noted + PLACE_LENGTH));
                    let value = b.let_(Value::from(0).load32(noted + PLACE_VALUE));
                    b.store32(at, 0, operation);
                    b.store32(at, KEPT_LENGTH, (length + 1).when(value, 0));
                    b.on(&size, |b| b.copy(at + KEPT_VALUE.cast_signed(), value, length));
                    b.set(at, at + length + KEPT_VALUE);
                });
            }
            if let Some(notes) = notes {
                self.for_each_late(b, plan, notes, |b, record, value, value_length, size| {
                    b.set(length, value_length);
                    let value = b.let_(value);
                    b.store32(at, 0, record);
                    b.store32(at, KEPT_LENGTH, (length + 1).when(value, 0));
                    b.on(size, |b| b.copy(at + KEPT_VALUE.cast_signed(), value, length));
                    b.set(at, at + length + KEPT_VALUE);
                });
            }
            let (name, name_length) = self.string(KEPT_NAME);
            let arguments = [name.into(), name_length.into(), kept.into(), sum.into()];
            let status = self.host(host_calls::SET_PROPERTY, &arguments);
            b.if_(status, |b| self.set_fault(b));
            self.keep(b, Owner::Headers);
        });
    }

    /// The part of memory in which all records of operations lie.
    pub(super) fn records(&mut self) -> Records {
        let first = self.header_records.addresses.first().copied().unwrap_or_default();
        Records { first, bytes: self.number(self.header_records.addresses.len()) * RECORD_BYTES }
    }

    /// Begins a callback on an answer: where what was kept for it begins and ends. The callback is over where nothing
    /// was kept, or something lies where nobody keeps anything.
    pub(super) fn find_kept(&mut self, b: &mut Body) -> (Local, Local) {
        let (go_on, malloc) = (Action::Continue.number(), self.part(MALLOC));
        b.call(self.part(RESET), &[], &[]);
        b.store64(0, OUT, 0_i64);
        let (name, name_length) = self.string(KEPT_NAME);
        let arguments = [name.into(), name_length.into(), OUT.into(), OUT_LENGTH.into()];
        let status = self.host(host_calls::GET_PROPERTY, &arguments);
        // The host asks for room.
        b.account(&Tally::calls(malloc, 1, Linear::default()));
        b.if_(status, |b| b.return_value(go_on));
        let start = self.arena_start();
        let at = b.let_(Value::from(0).load32(OUT));
        let end = b.let_(at + Value::from(0).load32(OUT_LENGTH));
        let is_outside = (at - start).gt_u(ARENA_BYTES) | (end - start).gt_u(ARENA_BYTES) | end.lt_u(at);
        b.if_(is_outside, |b| b.return_value(go_on));
        (at, end)
    }

    /// ```text
    /// proxy_on_response_headers(context, headers, end_of_stream):
    ///     read what was kept; do each operation in it
    /// ```
    /// What is read is looked at as if anybody could have written it.
    fn write_response_headers(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let Some(plan) = self.headers_plan() else { return b };
        if plan.is_late() {
            return self.write_late_response_headers(plan);
        }
        let go_on = Action::Continue.number();
        let records = self.records();
        let answers = plan.places.iter().filter(|place| place.message == Message::Response).count() as u64;
        let perform = self.part(PERFORM);
        let (at, end) = self.find_kept(&mut b);
        let (operation, value, length) = (b.local(I32), b.local(I32), b.local(I32));
        b.while_times(answers, (end - at).ge_u(KEPT_VALUE), |b, _| {
            records.read(b, at, end, [operation, value, length]);
            let arguments = [operation.into(), value.into(), length.into()];
            b.call_over(perform, &arguments, &[], Linear::default());
            b.set(at, at + KEPT_VALUE.cast_signed() + length);
        });
        b.push(go_on);
        b
    }
}
