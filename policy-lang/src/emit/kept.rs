//! What is kept of a request for questions about its answer: filter state, for a module serves many requests at a time.
//!
//! ```text
//! keep():      compute each value; write all into filter state
//! recall():    in a callback on the answer, read them; what is not there counts as absent
//! ```
//!
//! Each value has a record: of a bool or an int 8 bytes, and whether it is there; of an address its two halves; of a
//! text its length plus 1 (0: it is absent). Behind the records stand the texts. What is read is looked at as if
//! anybody could have written it.

use super::code::{Body, Global, I32, Local, Operand, Value};
use super::condition::{Bound, Place, Text, presence};
use super::cost::{Linear, Tally};
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::memory::{OUT, OUT_LENGTH};
use super::parts::Part;
use crate::bug::{Bug, OrBug as _};
use crate::checked::{BaseType, Expr};
use crate::plan::Kept;
use chancery_sdk_abi::host_calls;

/// Keeps what an owner asks for; numbered by the owners.
const KEEP: Part = Part::new("keep", |emitter, owner| emitter.write_keep(Owner::numbered(owner)));
/// Reads it again.
const RECALL: Part = Part::new("recall", |emitter, owner| emitter.write_recall(Owner::numbered(owner)));

const RECORD_BYTES: u32 = 16;
/// Where a text's address is noted, and whether another value is there.
const RECORD_SECOND: u32 = 8;

/// Whose questions values are kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Those of operations on an answer's headers.
    Headers,
    /// Those of what is logged.
    Line,
}

impl Owner {
    fn numbered(number: u32) -> Self {
        if number == 0 { Self::Headers } else { Self::Line }
    }

    fn number(self) -> u32 {
        u32::from(self == Self::Line)
    }

    /// The filter state.
    fn state(self) -> &'static str {
        match self {
            Self::Headers => "kept-for-headers",
            Self::Line => "kept-for-line",
        }
    }
}

impl<'a> Emitter<'a> {
    fn kept_for(&self, owner: Owner) -> Option<&'a Kept> {
        let plan = self.plan;
        let kept = match owner {
            Owner::Headers => plan.headers.as_ref().map(|headers| &headers.kept),
            Owner::Line => plan.log.as_ref().map(|log| &log.kept),
        };
        kept.filter(|kept| !kept.values.is_empty())
    }

    /// Whether an owner asks for something.
    pub(super) fn keeps(&self, owner: Owner) -> bool {
        self.kept_for(owner).is_some()
    }

    /// Keeps what an owner asks for, if it asks for something.
    pub(super) fn keep(&mut self, b: &mut Body, owner: Owner) {
        if self.keeps(owner) {
            let keep = self.part(KEEP.numbered(owner.number()));
            b.call_over(keep, &[], &[], Linear::default());
        }
    }

    /// In a callback on the answer, reads what was kept, if there can be something.
    pub(super) fn recall(&mut self, b: &mut Body, owner: Owner) {
        if self.keeps(owner) {
            let recall = self.part(RECALL.numbered(owner.number()));
            b.call_over(recall, &[], &[], Linear::default());
        }
    }

    /// Whether something was kept of the request: 1 once it has been read.
    pub(super) fn was_kept(&mut self) -> Global {
        self.flag("something was kept", I32)
    }

    /// Where the records are, in a callback on the answer.
    fn kept_at(&mut self, owner: Owner) -> Global {
        self.global(owner.state(), I32)
    }

    /// Where a value lies that was kept.
    pub(super) fn kept_value(&mut self, b: &mut Body, number: u32, value: &Expr) -> Place {
        let owners = [Owner::Headers, Owner::Line].into_iter();
        let mut found = owners.filter_map(|owner| {
            let kept = self.kept_for(owner)?;
            (kept.first..kept.end()).contains(&number).then(|| (owner, number - kept.first))
        });
        let found = found.next().or_bug("what is kept has an owner");
        let (owner, place) = self.sound(found, (Owner::Line, 0));
        let at = self.kept_at(owner);
        let at = b.let_(Value::from(at) + (RECORD_BYTES * place).cast_signed());
        let optional = value.ty.optional;
        match value.ty.base {
            BaseType::Bool => {
                let is = b.let_(at.load64(0).ne(0_i64));
                Place::Bool(is, optional.then(|| b.let_(at.load64(RECORD_SECOND).ne(0_i64))))
            }
            BaseType::Int => {
                let number = b.let_(at.load64(0));
                Place::Int(number, optional.then(|| b.let_(at.load64(RECORD_SECOND).ne(0_i64))))
            }
            BaseType::Ip => Place::Ip(b.let_(at.load64(0)), b.let_(at.load64(RECORD_SECOND))),
            BaseType::String => {
                let length = b.let_(at.load32(0));
                let text = b.let_(at.load32(RECORD_SECOND).when(length, 0));
                b.set(length, (length - 1).when(length, 0));
                let size = self.bound_of(value);
                Place::Text(Text { at: text, length, optional, size: self.size(size) })
            }
            BaseType::List => {
                let stand_in = Place::Bool(b.let_(0), None);
                self.sound(Err(Bug::new("no list is kept")), stand_in)
            }
        }
    }

    /// What cannot be kept is a fault.
    fn write_keep(&mut self, owner: Owner) -> Body {
        let mut b = Body::new(&[], &[]);
        let Some(kept) = self.kept_for(owner) else { return b };
        let bytes = RECORD_BYTES * self.number(kept.values.len());
        let records = self.data.table(&vec![0; bytes as usize]);
        let sum = b.let_(bytes);
        let mut texts = Vec::new();
        for (record, value) in (0..).map(|place| records + RECORD_BYTES * place).zip(&kept.values) {
            let place = self.value(&mut b, value, &mut Bound::new());
            match place {
                Place::Bool(value, present) => {
                    b.store64(0, record, value.extend());
                    store_presence(&mut b, record, present);
                }
                Place::Int(value, present) => {
                    b.store64(0, record, value);
                    store_presence(&mut b, record, present);
                }
                Place::Ip(high, low) => {
                    b.store64(0, record, high);
                    b.store64(0, record + RECORD_SECOND, low);
                }
                Place::Text(text) => {
                    let is_there = presence(&mut b, place);
                    b.store32(0, record, (text.length + 1).when(is_there, 0));
                    b.store32(0, record + RECORD_SECOND, text.at);
                    b.set(sum, sum + Value::from(text.length).when(is_there, 0));
                    texts.push((record, self.sized(text.size)));
                }
                Place::List(_) => self.sound(Err(Bug::new("no list is kept")), ()),
            }
        }
        let fault = self.fault();
        b.if_(fault, Body::return_);
        let at = b.let_(records);
        if !texts.is_empty() {
            let malloc = self.part(MALLOC);
            b.set(at, Value::call(malloc, &[sum.into()], I32));
            // Without room the request is too large.
            b.if_(at.eqz(), Body::return_);
            b.on(&Linear::constant(bytes.into()), |b| b.copy(at, records, bytes));
            let end = b.let_(at + bytes.cast_signed());
            for (record, size) in texts {
                let length = b.let_(Value::from(0).load32(record));
                b.if_(length, |b| {
                    b.set(length, length - 1);
                    let text = Value::from(0).load32(record + RECORD_SECOND);
                    b.on(&size, |b| b.copy(end, text, length));
                    b.set(end, end + length);
                });
            }
        }
        let (name, name_length) = self.string(owner.state());
        let arguments = [name.into(), name_length.into(), at.into(), sum.into()];
        let status = self.host(host_calls::SET_PROPERTY, &arguments);
        b.if_(status, |b| self.set_fault(b));
        b
    }

    fn write_recall(&mut self, owner: Owner) -> Body {
        let mut b = Body::new(&[], &[]);
        let Some(kept) = self.kept_for(owner) else { return b };
        let bytes = RECORD_BYTES * self.number(kept.values.len());
        let nothing = self.data.table(&vec![0; bytes as usize]);
        let (kept_at, was_kept, malloc) = (self.kept_at(owner), self.was_kept(), self.part(MALLOC));
        b.set_global(kept_at, nothing);
        b.store64(0, OUT, 0_i64);
        let (name, name_length) = self.string(owner.state());
        let arguments = [name.into(), name_length.into(), OUT.into(), OUT_LENGTH.into()];
        let status = self.host(host_calls::GET_PROPERTY, &arguments);
        // The host asks for room.
        b.account(&Tally::calls(malloc, 1, Linear::default()));
        b.if_(status, Body::return_);
        let at = b.let_(Value::from(0).load32(OUT));
        let left = b.let_(Value::from(0).load32(OUT_LENGTH));
        let is_there = self.in_arena(at, left);
        b.if_(is_there.eqz() | left.lt_u(bytes), Body::return_);
        b.set(left, left - bytes.cast_signed());
        let (end, length) = (b.let_(at + bytes.cast_signed()), b.local(I32));
        let texts = (0..).zip(&kept.values).filter(|(_, value)| value.ty.base == BaseType::String);
        for (place, _) in texts {
            let record = RECORD_BYTES * place;
            b.set(length, at.load32(record));
            b.if_(length, |b| {
                b.if_(length.gt_u(left + 1), Body::return_);
                b.store32(at, record + RECORD_SECOND, end);
                b.set(end, end + length - 1);
                b.set(left, left - length + 1);
            });
        }
        b.set_global(kept_at, at);
        b.set_global(was_kept, 1);
        b
    }
}

/// Notes whether a value is there that can be absent.
fn store_presence(b: &mut Body, record: u32, present: Option<Local>) {
    if let Some(present) = present {
        b.store64(0, record + RECORD_SECOND, present.extend());
    }
}
