//! Operations on an answer's headers that ask about the answer.
//!
//! Which of them are for the answers to a request is known when that is decided, and so are the values that are the
//! request's: both are kept, as for other operations. What is asked about the answer is asked when it begins; then
//! the one of the greatest rank is done for each header.
//!
//! ```text
//! change_headers():               note a bit for each that matches; keep them with their values
//! proxy_on_response_headers():    of what was kept, note what holds; compute what is the answer's; do it
//! ```

use super::code::{Body, Func, Global, I32, I64, Local, Operand, Value};
use super::cost::Linear;
use super::emitter::Emitter;
use super::header_values::COMPUTE;
use super::headers::{
    KEPT_VALUE, PERFORM, PLACE_BYTES, PLACE_LENGTH, PLACE_OPERATION, PLACE_VALUE, RECORD_LATE, RECORD_PLACE,
};
use super::kept::Owner;
use super::parts::Part;
use crate::bug::OrBug as _;
use crate::checked::Message;
use crate::plan::{HeaderOperation, HeadersPlan};
use chancery_sdk_abi::Action;

/// Whether what an operation asks about the answer holds; numbered by the operations.
const HOLDS: Part = Part::new("holds of answer", |emitter, number| emitter.write_holds(number));
/// The same of the operation of a record.
const RECORD_HOLDS: Part = Part::new("record holds", |emitter, _| emitter.write_record_holds());

/// Bytes of what is noted of an operation: its value, and the length of that.
const NOTE_BYTES: u32 = 8;
const NOTE_LENGTH: u32 = 4;

impl Emitter<'_> {
    /// Which operations that ask about the answer match, a bit for each.
    fn matching(&mut self) -> Global {
        self.flag("late operations", I64)
    }

    /// Notes an operation that asks about the answer, and is the only one to do so.
    pub(super) fn note_late(&mut self, b: &mut Body, record: Local) {
        let matching = self.matching();
        b.if_(record.load32(RECORD_LATE), |b| {
            let bit = Value::from(1_i64) << (record.load32(RECORD_LATE) - 1).extend();
            b.set_global(matching, Value::from(matching) | bit);
            b.return_();
        });
    }

    /// Computes the values of the operations that match and ask about the answer; gives where they are noted.
    pub(super) fn note_late_values(
        &mut self,
        b: &mut Body,
        plan: &HeadersPlan,
        (at, length): (Local, Local),
    ) -> u32 {
        let late: Vec<(u32, &HeaderOperation)> = plan.late().collect();
        let count = self.number(late.len());
        let notes = self.data.table(&vec![0; (NOTE_BYTES * count) as usize]);
        let matching = self.matching();
        for (bit, (number, operation)) in (0_u32..).zip(late) {
            let note = notes + NOTE_BYTES * bit;
            b.if_(((Value::from(matching) >> i64::from(bit)) & 1_i64).wrap(), |b| {
                self.value_at_request(b, number, operation, (at, length));
                b.store32(0, note, at);
                b.store32(0, note + NOTE_LENGTH, length);
            });
        }
        notes
    }

    /// Writes for each operation that matches and asks about the answer what `write` writes of the address of its
    /// record, the place of its note, and how long its value can be.
    pub(super) fn for_each_late(
        &mut self,
        b: &mut Body,
        plan: &HeadersPlan,
        notes: u32,
        mut write: impl FnMut(&mut Body, u32, Value, Value, &Linear),
    ) {
        let matching = self.matching();
        for (bit, (number, operation)) in (0_u32..).zip(plan.late()) {
            let note = notes + NOTE_BYTES * bit;
            let record = self.header_records.addresses.get(number as usize).copied();
            let record = self.sound(record.or_bug("each operation has a record"), 0);
            let size = self.size_of_values(plan, operation.place);
            b.if_(((Value::from(matching) >> i64::from(bit)) & 1_i64).wrap(), |b| {
                let (at, length) = (Value::from(0).load32(note), Value::from(0).load32(note + NOTE_LENGTH));
                write(b, record, at, length, &size);
            });
        }
    }

    fn write_holds(&mut self, number: u32) -> Body {
        let mut b = Body::new(&[], &[I32]);
        let found = self.headers_plan().and_then(|plan| plan.operations.get(number as usize));
        let late = found.and_then(|operation| operation.late.as_ref()).map(Some);
        match self.sound(late.or_bug("what is asked about an answer exists"), None) {
            Some(late) => self.condition(&mut b, late),
            None => b.push(0),
        }
        b
    }

    /// `record_holds(record)`: 1 of an operation that asks nothing
    fn write_record_holds(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[I32]);
        let record = b.param(0);
        let Some(plan) = self.headers_plan() else { return b };
        let holds = b.let_(1);
        let late: Vec<(u32, Func)> = (1..)
            .zip(plan.late())
            .map(|(bit, (number, _))| (bit, self.part(HOLDS.numbered(number))))
            .collect();
        let asked = b.let_(record.load32(RECORD_LATE));
        choose_function(&mut b, &late, asked, holds);
        b.push(holds);
        b
    }

    /// ```text
    /// proxy_on_response_headers(context, headers, end_of_stream):
    ///     read what was kept; of each header note the greatest operation in it of which holds what it asks
    ///     of each header do what was noted; a value that is the answer's is computed first
    /// ```
    /// What is read is looked at as if anybody could have written it.
    pub(super) fn write_late_response_headers(&mut self, plan: &HeadersPlan) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let go_on = Action::Continue.number();
        let records = self.records();
        let answers = plan.places.iter().filter(|place| place.message == Message::Response).count();
        let kept_max = (answers + plan.late().count()) as u64;
        let perform = self.part(PERFORM);
        let record_holds = self.part(RECORD_HOLDS);
        let (at, end) = self.find_kept(&mut b);
        self.recall(&mut b, Owner::Headers);
        let places = self.header_records.places.clone();
        let bytes = self.number(places.len()) * PLACE_BYTES;
        b.clear(places.first().copied().unwrap_or_default(), bytes);
        let (operation, value, length, noted) = (b.local(I32), b.local(I32), b.local(I32), b.local(I32));
        b.while_times(kept_max, (end - at).ge_u(KEPT_VALUE), |b, _| {
            records.read(b, at, end, [operation, value, length]);
            b.set(noted, operation.load32(RECORD_PLACE));
            let holds = Value::call_over(record_holds, &[operation.into()], I32, Linear::default());
            let holds = b.let_(holds);
            b.if_(holds & operation.gt_u(noted.load32(PLACE_OPERATION)), |b| {
                b.store32(noted, PLACE_OPERATION, operation);
                b.store32(noted, PLACE_VALUE, value);
                b.store32(noted, PLACE_LENGTH, length);
            });
            b.set(at, at + KEPT_VALUE.cast_signed() + length);
        });
        let of_answers = (0..).zip(&plan.places).zip(places);
        let of_answers: Vec<(u32, u32)> = of_answers
            .filter(|((_, place), _)| place.message == Message::Response)
            .map(|((number, _), noted)| (number, noted))
            .collect();
        // All values are those of the answer as it came, so nothing is changed before all are known.
        for (number, noted) in &of_answers {
            let late = (0..).zip(&plan.operations);
            let late = late.filter(|(_, known)| known.place == *number && known.change.is_late());
            for (other, _) in late {
                let record = self.header_records.addresses.get(other as usize).copied();
                let record = self.sound(record.or_bug("each operation has a record"), 0);
                let compute = self.part(COMPUTE.numbered(other));
                b.if_(Value::from(0).load32(noted + PLACE_OPERATION).eq(record), |b| {
                    b.call_over(compute, &[], &[value, length], Linear::default());
                    b.store32(0, noted + PLACE_VALUE, value);
                    b.store32(0, noted + PLACE_LENGTH, length);
                });
            }
        }
        for (_, noted) in &of_answers {
            b.set(operation, Value::from(0).load32(noted + PLACE_OPERATION));
            b.if_(operation, |b| {
                let (value, length) =
                    (Value::from(0).load32(noted + PLACE_VALUE), Value::from(0).load32(noted + PLACE_LENGTH));
                b.call_over(perform, &[operation.into(), value, length], &[], Linear::default());
            });
        }
        b.push(go_on);
        b
    }
}

/// Sets `result` to what the function of `asked` gives, one of these by their numbers, which are in order; of 0 it is
/// left.
fn choose_function(b: &mut Body, functions: &[(u32, Func)], asked: Local, result: Local) {
    let (first, rest) = functions.split_at(functions.len() / 2);
    match (first, rest) {
        ([], [(number, function)]) => b.if_(asked.eq(*number), |b| {
            b.set(result, Value::call_over(*function, &[], I32, Linear::default()));
        }),
        (_, [(middle, _), ..]) => b.choose(asked.lt_u(*middle), |b, is_first| {
            choose_function(b, if is_first { first } else { rest }, asked, result);
        }),
        _ => {}
    }
}
