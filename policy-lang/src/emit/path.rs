//! The path: whether it has a single meaning, its class, its segments.

use super::class::{FINAL, STATE_BYTES};
use super::code::{Body, Global, I32, I64, Local, Operand, Value};
use super::emitter::Emitter;
use super::parts::Part;
use super::source::IS_NAME_BYTE;

/// Whether the path has a single meaning; finds its end.
pub(super) const IS_CANONICAL: Part =
    Part::new("path is canonical", |emitter, _| emitter.write_path_is_canonical());
/// A byte of the path.
pub(super) const PATH_BYTE: Part = Part::new("path byte", |emitter, _| emitter.write_path_byte());
/// Walks the path.
pub(super) const PATH_CLASS: Part = Part::new("path class", |emitter, _| emitter.write_path_class());
/// A segment of the path.
pub(super) const PATH_SEGMENT: Part = Part::new("path segment", |emitter, _| emitter.write_path_segment());
/// The value of a hex digit.
pub(super) const HEX_DIGIT: Part = Part::new("hex digit", |emitter, _| emitter.write_hex_digit());

/// What reads as the byte behind the path, whether a query follows or nothing.
const END: i32 = b'?' as i32;
/// What `hex_digit` gives for a byte that is none.
pub(super) const NO_DIGIT: i32 = 16;

// States of a path; see `class::STATE_BYTES`.
const STATE_OTHER: u32 = 0;
const STATE_EMPTY: u32 = 4;
const STATE_CLASS: u32 = 8;

impl Emitter<'_> {
    /// Where the path ends and its query begins, with or without a `?`.
    pub(super) fn path_end(&mut self) -> Global {
        self.global("path end", I32)
    }

    /// The slot of `:path`.
    pub(super) fn path_slot(&mut self) -> u32 {
        self.slot(":path")
    }

    /// ```text
    /// path_is_canonical():                        no for each path of which is_canonical says so
    ///     no, if it does not begin with /
    ///     eight bytes at a time, as long as none of them and of their neighbours can matter
    ///     for each byte up to the query:
    ///         /: no, if behind it stand / or . or .. and then / or ; or the end
    ///         \: no
    ///         %: no, without two hex digits; no, if they say / \ NUL or a byte that needs no escape,
    ///            or % in front of two more
    /// ```
    pub(super) fn write_path_is_canonical(&mut self) -> Body {
        let (slot, path_end) = (self.path_slot(), self.path_end());
        let (hex_digit, path_byte) = (self.part(HEX_DIGIT), self.part(PATH_BYTE));
        let is_name_byte = self.part(IS_NAME_BYTE);
        let mut b = Body::new(&[], &[I32]);
        let at = b.let_(Value::from(0).load32(slot));
        let end = b.let_(at + Value::from(0).load32(slot + 4));
        let byte_at = |offset: i32| Value::call(path_byte, &[at + offset, end.into()], I32);
        b.if_(at.eqz() | byte_at(0).ne(i32::from(b'/')), |b| b.return_value(0));
        let byte = b.local(I32);
        let digits = b.local(I32);
        b.while_(at.lt_u(end), |b, out| {
            skip_plain(b, at, end);
            b.br_if(out, at.eq(end));
            b.set(byte, at.load8(0));
            b.br_if(out, byte.eq(END));
            b.if_(byte.eq(i32::from(b'/')), |b| refuse_segment(b, &byte_at));
            b.if_(byte.eq(i32::from(b'\\')), |b| b.return_value(0));
            b.if_(byte.eq(i32::from(b'%')), |b| {
                let digit = |offset| Value::call(hex_digit, &[byte_at(offset)], I32);
                b.set(digits, digit(1));
                b.if_(digits.eq(NO_DIGIT), |b| b.return_value(0));
                let low = b.let_(digit(2));
                b.if_(low.eq(NO_DIGIT), |b| b.return_value(0));
                b.set(digits, (digits << 4) | low);
                let refused = digits.eqz() | digits.eq(i32::from(b'/')) | digits.eq(i32::from(b'\\'));
                // Letters, digits, `-`, `.`, `_` and `~` mean the same escaped and plain.
                let needless = Value::call(is_name_byte, &[digits.into()], I32) | digits.eq(i32::from(b'~'));
                b.if_(refused | needless, |b| b.return_value(0));
                let is_escape = digit(3).ne(NO_DIGIT) & digit(4).ne(NO_DIGIT);
                b.if_(digits.eq(i32::from(b'%')), |b| b.if_(is_escape, |b| b.return_value(0)));
            });
            b.set(at, at + 1);
        });
        b.set_global(path_end, at);
        b.push(1);
        b
    }

    /// `path_byte(at, end)`: the byte there, or [`END`] behind the end. May read a few bytes past the
    /// end, which the arena has.
    pub(super) fn write_path_byte(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I32]);
        let (at, end) = (b.param(0), b.param(1));
        b.push(at.load8(0).when(at.lt_u(end), END));
        b
    }

    /// `hex_digit(byte)`: its value, or [`NO_DIGIT`].
    pub(super) fn write_hex_digit(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[I32]);
        let byte = b.param(0);
        let digit = b.let_(byte - i32::from(b'0'));
        b.if_(digit.lt_u(10), |b| b.return_value(digit));
        let letter = b.let_((byte | 0x20) - i32::from(b'a'));
        b.push((letter + 10).when(letter.lt_u(6), NO_DIGIT));
        b
    }

    /// ```text
    /// path_class(state, records):
    ///     for each segment, until a state is never left:
    ///         state = lookup(state, segment), else the state behind others, or behind an empty one
    ///     class of the state
    /// ```
    pub(super) fn write_path_class(&mut self) -> Body {
        let (slot, path_end) = (self.path_slot(), self.path_end());
        let mut b = Body::new(&[I32, I32], &[I32]);
        let (state, records) = (b.param(0), b.param(1));
        let segment = b.let_(Value::from(0).load32(slot) + 1);
        let end = b.let_(Value::from(path_end));
        let behind = b.local(I32);
        let next = b.local(I32);
        let record = b.let_(records + state * STATE_BYTES);
        b.while_(segment.le_u(end), |b, out| {
            b.br_if(out, record.load32(STATE_CLASS).lt_s(0));
            find_slash(b, segment, behind, end);
            let length = b.let_(behind - segment);
            b.set(next, self.lookup(state, segment, length));
            b.if_(next.eqz(), |b| {
                b.set(next, record.load32(STATE_OTHER).when(length, record.load32(STATE_EMPTY)));
            });
            b.set(state, next);
            b.set(record, records + state * STATE_BYTES);
            b.set(segment, behind + 1);
        });
        b.push(record.load32(STATE_CLASS) & (FINAL - 1));
        b
    }

    /// `path_segment(number)`: where it lies and its length; 0 and 0 if the path has fewer.
    pub(super) fn write_path_segment(&mut self) -> Body {
        let (slot, path_end) = (self.path_slot(), self.path_end());
        let mut b = Body::new(&[I32], &[I32, I32]);
        let number = b.param(0);
        let segment = b.let_(Value::from(0).load32(slot) + 1);
        let end = b.let_(Value::from(path_end));
        let behind = b.local(I32);
        b.while_(segment.le_u(end), |b, _| {
            find_slash(b, segment, behind, end);
            b.if_(number.eqz(), |b| {
                b.push(segment);
                b.push(behind - segment);
                b.return_();
            });
            b.set(number, number - 1);
            b.set(segment, behind + 1);
        });
        b.push(0);
        b.push(0);
        b
    }
}

/// Sets `behind` to the first `/` from `segment` on, or to the end; eight bytes at a time.
fn find_slash(b: &mut Body, segment: Local, behind: Local, end: Local) {
    let found = b.local(I64);
    let ones = b.let_(ONES);
    b.set(behind, segment);
    b.while_(behind.lt_u(end), |b, out| {
        b.set(found, bytes_equal(behind.load64(0), b'/', ones) & (ones << 7_i64));
        b.if_(found.eqz().eqz(), |b| {
            b.set(behind, behind + (found.ctz().wrap() >> 3));
            b.br(out);
        });
        b.set(behind, behind + 8);
    });
    b.set(behind, end.when(behind.gt_u(end), behind));
}

/// Moves `at` to the next byte that can matter, or to the end, eight bytes at a time: one that begins
/// an escape or a query, a `\`, or a slash in front of a slash or a dot. What stands behind the end may
/// be taken for such a neighbour; then the byte is looked at in vain.
fn skip_plain(b: &mut Body, at: Local, end: Local) {
    let (word, next, found) = (b.local(I64), b.local(I64), b.local(I64));
    let ones = b.let_(ONES);
    b.while_(at.lt_u(end), |b, out| {
        b.set(word, at.load64(0));
        b.set(next, at.load64(1));
        let before_dot =
            bytes_equal(word, b'/', ones) & (bytes_equal(next, b'/', ones) | bytes_equal(next, b'.', ones));
        let special =
            bytes_equal(word, b'%', ones) | bytes_equal(word, b'?', ones) | bytes_equal(word, b'\\', ones);
        b.set(found, (before_dot | special) & (ones << 7_i64));
        b.if_(found.eqz().eqz(), |b| {
            b.set(at, at + (found.ctz().wrap() >> 3));
            b.br(out);
        });
        b.set(at, at + 8);
    });
    b.set(at, end.when(at.gt_u(end), at));
}

/// A word of bytes that are 1. It is kept in a variable, where it takes less room than a constant.
const ONES: u64 = u64::from_le_bytes([1; 8]);

/// A word of which the highest bit of a byte says whether the byte is this one. Bytes above the first
/// such one may seem to be it too; the other bits say nothing.
fn bytes_equal(word: impl Into<Value>, byte: u8, ones: Local) -> Value {
    let difference = word.into() ^ (ones * i64::from(byte));
    (difference.clone() - ones) & (difference ^ -1_i64)
}

/// Refuses the path if the segment behind this slash is empty and not the last, or `.` or `..`, be it
/// with parameters.
fn refuse_segment(b: &mut Body, byte_at: &impl Fn(i32) -> Value) {
    let byte = b.let_(byte_at(1));
    let is = |wanted: u8| byte.eq(i32::from(wanted));
    b.if_(is(b'/'), |b| b.return_value(0));
    b.if_(is(b'.'), |b| {
        b.set(byte, byte_at(2));
        b.if_(is(b'.'), |b| b.set(byte, byte_at(3)));
        b.if_(is(b'/') | is(b';') | byte.eq(END), |b| b.return_value(0));
    });
}
