//! Where the values of a condition lie: local variables for each type.

use crate::checked::{BaseType, Type};
use crate::emit::code::{Body, Local, Operand, Value};
use crate::emit::emitter::SizeId;
use crate::emit::source::{GlobalText, SOMEWHERE};

/// Where a text lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::emit) struct Text {
    pub(in crate::emit) at: Local,
    pub(in crate::emit) length: Local,
    /// Whether it can be absent; its address is 0 then.
    pub(in crate::emit) optional: bool,
    /// How long it can be.
    pub(in crate::emit) size: SizeId,
}

/// Where a list lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::emit) struct List {
    /// The address of its elements.
    pub(in crate::emit) at: Local,
    /// How many there are.
    pub(in crate::emit) count: Local,
    /// Whether it can be absent; its address is 0 then.
    pub(in crate::emit) optional: bool,
    /// How many there can be.
    pub(in crate::emit) count_max: u32,
    /// How long all of them together can be.
    pub(in crate::emit) size: SizeId,
}

/// Where a value of an expression lies.
#[derive(Clone, Copy, Debug)]
pub(in crate::emit) enum Place {
    /// 0 or 1, and whether it is present if it can be absent.
    Bool(Local, Option<Local>),
    Int(Local, Option<Local>),
    Text(Text),
    /// High and low half; IPv4 as `::ffff:a.b.c.d`.
    Ip(Local, Local),
    List(List),
}

/// The address of a text that is there: not 0, even where it is empty and nowhere.
pub(super) fn text_address(text: Text) -> Value {
    text.at.when(text.at, SOMEWHERE)
}

/// 1 if a value is there.
pub(in crate::emit) fn presence(b: &mut Body, place: Place) -> Local {
    match optional_presence(b, place) {
        Some(present) => present,
        None => b.let_(1),
    }
}

/// The same, `None` for a value that cannot be absent.
pub(super) fn optional_presence(b: &mut Body, place: Place) -> Option<Local> {
    match place {
        Place::Bool(_, present) | Place::Int(_, present) => present,
        Place::Text(text) if text.optional => Some(b.let_(text.at.eqz().eqz())),
        Place::List(list) if list.optional => Some(b.let_(list.at.eqz().eqz())),
        Place::Text(_) | Place::Ip(..) | Place::List(_) => None,
    }
}

pub(super) fn both(b: &mut Body, left: Option<Local>, right: Option<Local>) -> Option<Local> {
    match (left, right) {
        (Some(left), Some(right)) => Some(b.let_(left & right)),
        (left, right) => left.or(right),
    }
}

/// New variables for a value of a type, absent; a text or list has this size, and a list at most so many
/// elements.
pub(in crate::emit) fn empty_place(b: &mut Body, ty: Type, size: SizeId, count_max: u32) -> Place {
    match ty.base {
        BaseType::Bool => Place::Bool(b.let_(0), ty.optional.then(|| b.let_(0))),
        BaseType::Int => Place::Int(b.let_(0_i64), ty.optional.then(|| b.let_(0))),
        BaseType::String => {
            Place::Text(Text { at: b.let_(0), length: b.let_(0), optional: ty.optional, size })
        }
        BaseType::Ip => Place::Ip(b.let_(0_i64), b.let_(0_i64)),
        BaseType::List => {
            Place::List(List { at: b.let_(0), count: b.let_(0), optional: ty.optional, count_max, size })
        }
    }
}

/// Copies a value of the same type.
pub(super) fn assign(b: &mut Body, to: Place, from: Place) {
    match (to, from) {
        (Place::Bool(to, to_there), Place::Bool(from, there))
        | (Place::Int(to, to_there), Place::Int(from, there)) => {
            b.set(to, from);
            if let Some(to_there) = to_there {
                let there = there.map_or(Value::from(1), Value::from);
                b.set(to_there, there);
            }
        }
        (Place::Text(to), Place::Text(from)) => {
            b.set(to.at, if from.optional { from.at.into() } else { text_address(from) });
            b.set(to.length, from.length);
        }
        (Place::Ip(high, low), Place::Ip(from_high, from_low)) => {
            b.set(high, from_high);
            b.set(low, from_low);
        }
        (Place::List(to), Place::List(from)) => {
            b.set(to.at, from.at);
            b.set(to.count, from.count);
        }
        _ => {}
    }
}

pub(super) fn global_text(b: &mut Body, text: GlobalText, optional: bool, size: SizeId) -> Text {
    Text { at: b.let_(text.at), length: b.let_(text.length), optional, size }
}
