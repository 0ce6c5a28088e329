//! The path: whether it has a single meaning, its class, its segments.

use super::class::STATE_BYTES;
use super::code::{Body, Global, I32, Local, Operand, Value};
use super::module::{Emitter, Part};

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
    pub(super) fn path_slot(&self) -> u32 {
        self.slot(":path").unwrap_or_default()
    }

    /// ```text
    /// path_is_canonical():                        no for each path of which is_canonical says so
    ///     no, if it does not begin with /
    ///     for each byte up to the query:
    ///         /: no, if behind it stand / or . or .. and then / or ; or the end
    ///         \: no
    ///         %: no, without two hex digits; no, if they say / \ NUL or a byte that needs no escape,
    ///            or % in front of two more
    /// ```
    pub(super) fn write_path_is_canonical(&mut self) -> Body {
        let (slot, path_end) = (self.path_slot(), self.path_end());
        let hex_digit = self.part(Part::HexDigit);
        let mut b = Body::new(&[], &[I32]);
        let at = b.let_(Value::from(0).load32(slot));
        let end = b.let_(at + Value::from(0).load32(slot + 4));
        b.if_(at.eqz() | byte_at(at, 0, end).ne(i32::from(b'/')), |b| b.return_value(0));
        let byte = b.local(I32);
        let digits = b.local(I32);
        b.while_(at.lt_u(end), |b, out| {
            b.set(byte, at.load8(0));
            b.br_if(out, byte.eq(END));
            b.if_(byte.eq(i32::from(b'/')), |b| refuse_segment(b, at, end));
            b.if_(byte.eq(i32::from(b'\\')), |b| b.return_value(0));
            b.if_(byte.eq(i32::from(b'%')), |b| {
                let digit = |offset| Value::call(hex_digit, &[byte_at(at, offset, end)], I32);
                b.set(digits, digit(1));
                b.if_(digits.eq(NO_DIGIT), |b| b.return_value(0));
                let low = b.let_(digit(2));
                b.if_(low.eq(NO_DIGIT), |b| b.return_value(0));
                b.set(digits, (digits << 4) | low);
                let refused = digits.eqz() | digits.eq(i32::from(b'/')) | digits.eq(i32::from(b'\\'));
                b.if_(refused | is_unreserved(digits), |b| b.return_value(0));
                let is_escape = digit(3).ne(NO_DIGIT) & digit(4).ne(NO_DIGIT);
                b.if_(digits.eq(i32::from(b'%')), |b| b.if_(is_escape, |b| b.return_value(0)));
            });
            b.set(at, at + 1);
        });
        b.set_global(path_end, at);
        b.push(1);
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
        b.while_(segment.le_u(end), |b, _| {
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
        b.push(record.load32(STATE_CLASS));
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

/// Sets `behind` to the first `/` from `segment` on, or to the end.
fn find_slash(b: &mut Body, segment: Local, behind: Local, end: Local) {
    b.set(behind, segment);
    b.while_(behind.lt_u(end), |b, out| {
        b.br_if(out, behind.load8(0).eq(i32::from(b'/')));
        b.set(behind, behind + 1);
    });
}

/// The byte at an offset from `at`, or [`END`] behind the end. May read a few bytes past the end,
/// which the arena has.
fn byte_at(at: Local, offset: u32, end: Local) -> Value {
    at.load8(offset).when((at + offset).lt_u(end), END)
}

/// Whether a byte means the same escaped and plain: letters, digits, `-`, `.`, `_`, `~`.
fn is_unreserved(byte: Local) -> Value {
    let is = |one: u8| byte.eq(i32::from(one));
    let letter = ((byte | 0x20) - i32::from(b'a')).lt_u(26);
    let digit = (byte - i32::from(b'0')).lt_u(10);
    letter | digit | is(b'-') | is(b'.') | is(b'_') | is(b'~')
}

/// Refuses the path if the segment behind this slash is empty and not the last, or `.` or `..`, be it
/// with parameters.
fn refuse_segment(b: &mut Body, at: Local, end: Local) {
    let is_behind = |offset| {
        let is = |byte: i32| byte_at(at, offset, end).eq(byte);
        is(i32::from(b'/')) | is(i32::from(b';')) | is(END)
    };
    b.if_(byte_at(at, 1, end).eq(i32::from(b'/')), |b| b.return_value(0));
    b.if_(byte_at(at, 1, end).eq(i32::from(b'.')), |b| {
        b.if_(is_behind(2), |b| b.return_value(0));
        b.if_(byte_at(at, 2, end).eq(i32::from(b'.')), |b| b.if_(is_behind(3), |b| b.return_value(0)));
    });
}
