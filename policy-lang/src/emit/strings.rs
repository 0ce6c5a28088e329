//! Functions over texts and numbers that conditions call.

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::cost::Linear;
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::keys::EQUAL;
use super::parts::Part;
use super::source::SOMEWHERE;
use crate::check::LIST_ELEMENTS_MAX;

/// Whether a text comes before another.
pub(super) const COMPARE: Part = Part::new("compare", |emitter, _| emitter.write_compare());
/// Where a text stands in another.
pub(super) const FIND: Part = Part::new("find", |emitter, _| emitter.write_find());
/// The number of characters.
pub(super) const CHARACTERS: Part = Part::new("characters", |emitter, _| emitter.write_characters());
/// The offset of a character.
pub(super) const CHARACTER_OFFSET: Part =
    Part::new("character offset", |emitter, _| emitter.write_character_offset());
/// A text with letters of the other case.
pub(super) const CHANGE_CASE: Part = Part::new("change case", |emitter, _| emitter.write_change_case());
/// A text without white space around it.
pub(super) const TRIM: Part = Part::new("trim", |emitter, _| emitter.write_trim());
/// A decimal number.
pub(super) const PARSE_INT: Part = Part::new("parse int", |emitter, _| emitter.write_parse_int());
/// A list between commas.
pub(super) const SPLIT: Part = Part::new("split", |emitter, _| emitter.write_split());
/// Whether a list has a text.
pub(super) const LIST_CONTAINS: Part = Part::new("list contains", |emitter, _| emitter.write_list_contains());
/// Walks an automaton.
pub(super) const MATCHES: Part = Part::new("matches", |emitter, _| emitter.write_matches());
/// Saturating multiplication.
pub(super) const MULTIPLY: Part = Part::new("multiply", |emitter, _| emitter.write_multiply());

/// Bytes of an element of a list: address and length.
pub(super) const ELEMENT_BYTES: i32 = 8;

impl Emitter<'_> {
    /// `compare(a, length, b, length)`: below 0, 0 or above 0, byte by byte.
    pub(super) fn write_compare(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32, I32], &[I32]);
        let (one, one_length, other, other_length) = (b.param(0), b.param(1), b.param(2), b.param(3));
        let common = b.let_(one_length.when(one_length.lt_u(other_length), other_length));
        let end = b.let_(one + common);
        let difference = b.local(I32);
        b.while_(one.lt_u(end), |b, _| {
            b.set(difference, one.load8(0) - other.load8(0));
            b.if_(difference, |b| b.return_value(difference));
            b.set(one, one + 1);
            b.set(other, other + 1);
        });
        b.push(one_length.gt_u(other_length) - one_length.lt_u(other_length));
        b
    }

    /// ```text
    /// find(text, length, part, length): the offset of the first occurrence, or -1
    ///     borders[i] = how much of the part's beginning stands at the end of part[..=i]
    ///     for each byte of the text: as much of the part as ends there, until that is all of it
    /// ```
    /// This is the algorithm of Knuth, Morris and Pratt: each byte is looked at twice at most, whatever
    /// the two texts are. Without room -1; the request is refused then.
    pub(super) fn write_find(&mut self) -> Body {
        let (malloc, free) = (self.part(MALLOC), self.free());
        let mut b = Body::new(&[I32, I32, I32, I32], &[I32]);
        let (text, length, part, part_length) = (b.param(0), b.param(1), b.param(2), b.param(3));
        b.if_(part_length.gt_u(length), |b| b.return_value(-1));
        b.if_(part_length.eqz(), |b| b.return_value(0));
        let before = b.let_(Value::from(free));
        let borders = b.let_(Value::call(malloc, &[part_length << 2], I32));
        b.if_(borders.eqz(), |b| b.return_value(-1));
        // The table is of no use to anybody else.
        b.set_global(free, before);
        let [at, matched, byte] = [(); 3].map(|()| b.local(I32));
        let go_on = |b: &mut Body| {
            b.while_(matched, |b, out| {
                b.br_if(out, (part + matched).load8(0).eq(byte));
                b.set(matched, (borders + ((matched - 1) << 2)).load32(0));
            });
            b.set(matched, matched + (part + matched).load8(0).eq(byte));
        };
        b.store32(borders, 0, 0);
        b.set(at, 1);
        b.while_(at.lt_u(part_length), |b, _| {
            b.set(byte, (part + at).load8(0));
            go_on(b);
            b.store32(borders + (at << 2), 0, matched);
            b.set(at, at + 1);
        });
        b.set(matched, 0);
        b.set(at, 0);
        b.while_(at.lt_u(length), |b, _| {
            b.set(byte, (text + at).load8(0));
            go_on(b);
            b.set(at, at + 1);
            b.if_(matched.eq(part_length), |b| b.return_value(at - part_length));
        });
        b.push(-1);
        b
    }

    /// `characters(text, length)`: how many bytes do not continue a character.
    pub(super) fn write_characters(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32]);
        let at = b.param(0);
        let end = b.let_(at + b.param(1));
        let count = b.local(I32);
        b.while_(at.lt_u(end), |b, _| {
            b.set(count, count + starts_character(at));
            b.set(at, at + 1);
        });
        b.push(count);
        b
    }

    /// `character_offset(text, length, character)`: where the character begins; 0 before the text,
    /// its length behind it.
    pub(super) fn write_character_offset(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I64], &[I32]);
        let (text, length, wanted) = (b.param(0), b.param(1), b.param(2));
        b.if_(wanted.le_s(0_i64), |b| b.return_value(0));
        let at = b.let_(text);
        let end = b.let_(text + length);
        b.while_(at.lt_u(end), |b, _| {
            b.if_(starts_character(at), |b| {
                b.if_(wanted.eqz(), |b| b.return_value(at - text));
                b.set(wanted, wanted - 1_i64);
            });
            b.set(at, at + 1);
        });
        b.push(length);
        b
    }

    /// `change_case(text, length, first)`: a copy in which the 26 letters from `first` on have the
    /// other case. Without room the text itself; the request is refused then.
    pub(super) fn write_change_case(&mut self) -> Body {
        let malloc = self.part(MALLOC);
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (text, length, first) = (b.param(0), b.param(1), b.param(2));
        let copy = b.let_(Value::call(malloc, &[length.into()], I32));
        b.if_(copy.eqz(), |b| b.return_value(text));
        let to = b.let_(copy);
        let end = b.let_(text + length);
        let byte = b.local(I32);
        b.while_(text.lt_u(end), |b, _| {
            b.set(byte, text.load8(0));
            b.store8(to, 0, byte ^ ((byte - first).lt_u(26) << 5));
            b.set(text, text + 1);
            b.set(to, to + 1);
        });
        b.push(copy);
        b
    }

    /// `trim(text, length)`: the part without ASCII white space at both ends.
    pub(super) fn write_trim(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        let at = b.param(0);
        let end = b.let_(at + b.param(1));
        b.while_(at.lt_u(end), |b, out| {
            b.br_if(out, is_space(at.load8(0)).eqz());
            b.set(at, at + 1);
        });
        b.while_(at.lt_u(end), |b, out| {
            b.br_if(out, is_space((end - 1).load8(0)).eqz());
            b.set(end, end - 1);
        });
        b.push(at);
        b.push(end - at);
        b
    }

    /// `parse_int(text, length)`: whether it is `-?[0-9]+` that fits, and the number.
    pub(super) fn write_parse_int(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32, I64]);
        let at = b.param(0);
        let end = b.let_(at + b.param(1));
        let is_negative = b.let_(at.lt_u(end) & at.load8(0).eq(i32::from(b'-')));
        b.set(at, at + is_negative);
        // Counted downwards, for there is one more negative number than positive ones.
        let value = b.local(I64);
        let digit = b.local(I64);
        b.block(|b, refused| {
            b.br_if(refused, at.eq(end));
            b.while_(at.lt_u(end), |b, _| {
                b.set(digit, at.load8(0).extend() - i64::from(b'0'));
                b.br_if(refused, digit.gt_u(9_i64));
                b.br_if(refused, value.lt_s(i64::MIN / 10));
                b.set(value, value * 10_i64);
                b.br_if(refused, value.lt_s(digit + i64::MIN));
                b.set(value, value - digit);
                b.set(at, at + 1);
            });
            b.if_(is_negative.eqz(), |b| {
                b.br_if(refused, value.eq(i64::MIN));
                b.set(value, Value::from(0_i64) - value);
            });
            b.push(1);
            b.push(value);
            b.return_();
        });
        b.push(0);
        b.push(0_i64);
        b
    }

    /// ```text
    /// split(text, length, max):
    ///     the elements between commas, trimmed: their address and number
    ///     0 and 0, if there are more than max or there is no room
    /// ```
    pub(super) fn write_split(&mut self) -> Body {
        let (malloc, trim) = (self.part(MALLOC), self.part(TRIM));
        let mut b = Body::new(&[I32, I32, I32], &[I32, I32]);
        let (text, length, max) = (b.param(0), b.param(1), b.param(2));
        let end = b.let_(text + length);
        let count = b.let_(1);
        let at = b.let_(text);
        b.while_(at.lt_u(end), |b, _| {
            b.set(count, count + at.load8(0).eq(i32::from(b',')));
            b.set(at, at + 1);
        });
        let list = b.local(I32);
        b.if_(count.le_u(max), |b| b.set(list, Value::call(malloc, &[count * ELEMENT_BYTES], I32)));
        b.if_(list.eqz(), |b| {
            b.push(0);
            b.push(0);
            b.return_();
        });
        let element = b.let_(list);
        let (trimmed, trimmed_length) = (b.local(I32), b.local(I32));
        b.set(at, text);
        b.while_(at.le_u(end), |b, _| {
            let is_end = b.let_(at.eq(end) | at.load8(0).eq(i32::from(b',')));
            b.at_most(LIST_ELEMENTS_MAX as u64, |b| {
                b.if_(is_end, |b| {
                    b.call(trim, &[text.into(), at - text], &[trimmed, trimmed_length]);
                    b.store32(element, 0, trimmed);
                    b.store32(element, 4, trimmed_length);
                    b.set(element, element + ELEMENT_BYTES);
                    b.set(text, at + 1);
                })
            });
            b.set(at, at + 1);
        });
        b.push(list);
        b.push(count);
        b
    }

    /// `list_contains(list, count, text, length)`.
    pub(super) fn write_list_contains(&mut self) -> Body {
        let equal = self.part(EQUAL);
        let mut b = Body::new(&[I32, I32, I32, I32], &[I32]);
        let (list, count, text, length) = (b.param(0), b.param(1), b.param(2), b.param(3));
        b.while_(count, |b, _| {
            b.if_(list.load32(4).eq(length), |b| {
                let same = Value::call(equal, &[list.load32(0), text.into(), length.into()], I32);
                b.if_(same, |b| b.return_value(1));
            });
            b.set(list, list + ELEMENT_BYTES);
            b.set(count, count - 1);
        });
        b.push(0);
        b
    }

    /// ```text
    /// matches(text, length, classes, state):
    ///     for each byte: state = transitions[state + classes[byte]]; take what it finds
    ///     what was found, and what the last state accepts
    /// ```
    /// A state is the address of its row: what it finds, what it accepts, the rows behind each class.
    fn write_matches(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32, I32], &[I64]);
        let (at, length, classes, state) = (b.param(0), b.param(1), b.param(2), b.param(3));
        let end = b.let_(at + length);
        let found = b.local(I64);
        b.while_(at.lt_u(end), |b, _| {
            let class = (classes + at.load8(0)).load8(0);
            b.set(state, (state + (class << 2)).load32(16));
            b.set(found, found | state.load64(0));
            b.set(at, at + 1);
        });
        b.push(found | state.load64(8));
        b
    }

    /// `multiply(a, b)`, saturating.
    pub(super) fn write_multiply(&mut self) -> Body {
        let mut b = Body::new(&[I64, I64], &[I64]);
        let (one, other) = (b.param(0), b.param(1));
        b.if_(one.eqz(), |b| b.return_value(0_i64));
        b.if_(one.eq(-1_i64), |b| {
            let negated = (Value::from(0_i64) - other).when(other.ne(i64::MIN), i64::MAX);
            b.return_value(negated);
        });
        let product = b.let_(one * other);
        b.if_(product.div_s(one).eq(other), |b| b.return_value(product));
        // Of one sign if both factors are.
        b.push(Value::from(i64::MAX) ^ (one ^ other).shr_s(63_i64));
        b
    }

    /// Sets a text to its part between two characters.
    pub(super) fn substring(
        &mut self,
        b: &mut Body,
        text: (Local, Local),
        bounds: (Local, Local),
        size: Linear,
    ) -> (Local, Local) {
        let offset = self.part(CHARACTER_OFFSET);
        let at_character = |character: Local| {
            let arguments = [text.0.into(), text.1.into(), character.into()];
            Value::call_over(offset, &arguments, I32, size.clone())
        };
        let start = b.let_(at_character(bounds.0));
        let end = b.let_(at_character(bounds.1));
        let length = b.let_(0);
        b.if_(end.gt_u(start), |b| b.set(length, end - start));
        let at = b.let_(text.0 + start);
        // A text at address 0 is absent; an empty one may lie anywhere.
        b.if_(at.eqz(), |b| b.set(at, SOMEWHERE));
        (at, length)
    }
}

/// 1 if the byte there begins a character.
fn starts_character(at: Local) -> Value {
    (at.load8(0) & 0xc0).ne(0x80)
}

fn is_space(byte: Value) -> Value {
    byte.clone().eq(i32::from(b' ')) | (byte - i32::from(b'\t')).lt_u(5)
}
