//! The values of headers: computed, as a header can have them, as text.

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::condition::{Bound, Place, Text};
use super::cost::Linear;
use super::emitter::Emitter;
use super::entry::MALLOC;
use super::keys::low_bytes;
use super::parts::Part;
use super::scan::trim_blanks;
use super::source::SOMEWHERE;
use crate::bug::{Bug, OrBug as _};
use crate::checked::{Expr, ExprKind};
use crate::eval::text_of_constant;
use crate::plan::HeadersPlan;
use std::sync::Arc;

/// Computes the value of an operation; numbered by the operations.
pub(super) const COMPUTE: Part = Part::new("compute", |emitter, operation| emitter.write_compute(operation));
/// A text as a header can have it.
const FIT: Part = Part::new("fit", |emitter, _| emitter.write_fit());
/// A number as text.
const FORMAT_INT: Part = Part::new("format int", |emitter, _| emitter.write_format_int());

/// Bytes of the longest number.
const INT_BYTES: u32 = 24;
/// Digits of the longest number.
const DIGITS_MAX: u64 = 19;

/// Whether a value is the same for all requests.
pub(super) fn is_constant(value: &Expr) -> bool {
    matches!(value.kind, ExprKind::Literal(_))
}

impl Emitter<'_> {
    /// Where a constant value lies, and its length.
    pub(super) fn constant_value(&mut self, value: &Expr) -> (u32, u32) {
        let text = match &value.kind {
            ExprKind::Literal(constant) => text_of_constant(constant),
            _ => None,
        };
        match text {
            Some(text) if text.is_empty() => (SOMEWHERE, 0),
            Some(text) => self.string(text),
            None => (0, 0),
        }
    }

    /// How long the value of a header can be.
    pub(super) fn size_of_values(&mut self, plan: &HeadersPlan, place: u32) -> Linear {
        let mut size = Linear::constant(INT_BYTES.into());
        let operations = plan.operations.iter().filter(|operation| operation.place == place);
        let values: Vec<&Arc<Expr>> = operations.filter_map(|operation| operation.change.value()).collect();
        for value in values {
            let of_value = self.bound_of(value);
            size.join(&of_value);
        }
        size
    }

    /// ```text
    /// compute():
    ///     where the value lies as a header can have it, and its length; 0 and 0 if it is absent
    /// ```
    fn write_compute(&mut self, operation: u32) -> Body {
        let mut b = Body::new(&[], &[I32, I32]);
        let found = self.headers_plan().and_then(|plan| plan.operations.get(operation as usize));
        let value = found.and_then(|operation| operation.change.value()).map(Some);
        let Some(value) = self.sound(value.or_bug("a value that is computed exists"), None) else { return b };
        let (at, length) = (b.local(I32), b.local(I32));
        match self.value(&mut b, value, &mut Bound::new()) {
            Place::Text(Text { at: text, length: text_length, optional, size }) => {
                b.set(at, text);
                b.set(length, text_length);
                if !optional {
                    // What is never absent is empty where the host has nothing.
                    b.if_(text.eqz(), |b| {
                        b.set(at, SOMEWHERE);
                        b.set(length, 0);
                    });
                }
                let fit = self.part(FIT);
                let size = self.sized(size);
                b.if_(at, |b| b.call_over(fit, &[at.into(), length.into()], &[at, length], size));
            }
            Place::Bool(value, present) => {
                let ((yes, yes_length), (no, no_length)) = (self.string("true"), self.string("false"));
                b.set(at, Value::from(yes).when(value, no));
                b.set(length, Value::from(yes_length).when(value, no_length));
                present.into_iter().for_each(|present| b.set(at, at.when(present, 0)));
            }
            Place::Int(value, present) => {
                let format = self.part(FORMAT_INT);
                b.call_over(format, &[value.into()], &[at, length], Linear::default());
                present.into_iter().for_each(|present| b.set(at, at.when(present, 0)));
            }
            Place::Ip(..) | Place::List(_) => {
                self.sound(Err(Bug::new("no address and no list is the value of a header")), ());
            }
        }
        b.push(at);
        b.push(length.when(at, 0));
        b
    }

    /// ```text
    /// fit(text, length):
    ///     without blanks around it; 0 and 0 if there is a byte in it that no header can have
    /// ```
    fn write_fit(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32, I32]);
        let (text, length) = (b.param(0), b.param(1));
        let (at, left) = (b.let_(text), b.let_(length));
        let (word, unfit) = (b.local(I64), b.local(I64));
        b.while_words(left.ge_u(8), |b, _| {
            b.set(word, at.load64(0));
            b.set(unfit, unfit | unfit_bytes(word));
            b.set(at, at + 8);
            b.set(left, left - 8);
        });
        b.if_(left, |b| {
            // What is behind the text counts as blanks.
            let rest = b.let_(low_bytes(left.extend()));
            b.set(word, (at.load64(0) & rest) | ((rest ^ -1_i64) & BLANKS));
            b.set(unfit, unfit | unfit_bytes(word));
        });
        b.if_(unfit.eqz().eqz(), |b| {
            b.push(0);
            b.push(0);
            b.return_();
        });
        trim_blanks(&mut b, text, length);
        b.push(text);
        b.push(length);
        b
    }

    /// `format_int(number)`: where its decimal digits lie, and how many characters it has; 0 and 0 without room.
    fn write_format_int(&mut self) -> Body {
        let malloc = self.part(MALLOC);
        let mut b = Body::new(&[I64], &[I32, I32]);
        let number = b.param(0);
        let room = b.let_(Value::call(malloc, &[INT_BYTES.into()], I32));
        b.if_(room.eqz(), |b| {
            b.push(0);
            b.push(0);
            b.return_();
        });
        let end = b.let_(room + INT_BYTES.cast_signed());
        let at = b.let_(end);
        let is_negative = b.let_(number.lt_s(0_i64));
        // Below 0, for there is one more negative number than positive ones.
        b.if_(is_negative.eqz(), |b| b.set(number, Value::from(0_i64) - number));
        let more = b.let_(1);
        b.while_times(DIGITS_MAX, more, |b, _| {
            b.set(at, at - 1);
            b.store8(at, 0, (Value::from(i64::from(b'0')) - number.rem_s(10_i64)).wrap());
            b.set(number, number.div_s(10_i64));
            b.set(more, number.ne(0_i64));
        });
        b.if_(is_negative, |b| {
            b.set(at, at - 1);
            b.store8(at, 0, i32::from(b'-'));
        });
        b.push(at);
        b.push(end - at);
        b
    }
}

/// Eight times the same byte.
const fn each(byte: u8) -> i64 {
    i64::from_le_bytes([byte; 8])
}

const BLANKS: i64 = each(b' ');
const LOW_BITS: i64 = each(0x7f);

/// Of eight bytes the highest bits of those that no header can have: below a blank, but no tab, or 0x7f.
fn unfit_bytes(word: Local) -> Value {
    // The highest bit of a byte of these sums is set where the low ones are not 0, or not below a blank; no sum
    // reaches the byte above.
    let is_no_control = ((word & LOW_BITS) + each(0x80 - b' ')) | word;
    let differs = |byte: u8| {
        let difference = word ^ each(byte);
        ((difference.clone() & LOW_BITS) + LOW_BITS) | difference
    };
    let is_control = (is_no_control ^ -1_i64) & differs(b'\t');
    (is_control | (differs(0x7f) ^ -1_i64)) & each(0x80)
}
