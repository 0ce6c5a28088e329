//! The path: its one form, its class, its segments.

use super::class::{FINAL, STATE_BYTES};
use super::code::{Body, Func, Global, I32, I64, Label, Local, Operand, Value};
use super::emitter::Emitter;
use super::memory::SLOT_LENGTH;
use super::parts::Part;
use crate::check::SEGMENTS_MAX;
use crate::checked::Attribute;
use crate::classify::{AttributeClasses, AttributeKind};

/// Walks the path.
pub(super) const PATH_CLASS: Part = Part::new("path class", |emitter, _| emitter.write_path_class());
/// A segment of the path.
pub(super) const PATH_SEGMENT: Part = Part::new("path segment", |emitter, _| emitter.write_path_segment());
/// The byte that two hex digits say.
pub(super) const HEX_BYTE: Part = Part::new("hex byte", |emitter, _| emitter.write_hex_byte());
/// The value of a hex digit.
pub(super) const HEX_DIGIT: Part = Part::new("hex digit", |emitter, _| emitter.write_hex_digit());

/// The byte behind the path, whether a query follows or nothing. A `?` that was escaped ends the name of a
/// segment too, as `path::decode` says.
const END: i32 = b'?' as i32;
/// What stands for no hex digit: more than a byte, also when shifted by a digit.
pub(super) const NO_DIGIT: i32 = 256;

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

    /// Whether a condition asks for a query parameter, or the query is written again.
    fn asks_query(&self) -> bool {
        let is_asked = self.asked.iter().any(|attribute| matches!(attribute, Attribute::Query(_)));
        is_asked || self.calls.have_templates()
    }

    /// Where the query begins: at its `?`, or at the end of what was sent. Known where one is asked for.
    pub(super) fn query_start(&mut self) -> Global {
        self.global("query start", I32)
    }

    /// Undoes the escapes of the path in place and finds its end; refuses each path that `path::decode`
    /// refuses.
    ///
    /// ```text
    /// refused, if it does not begin with /
    /// ? behind it, so that no byte has to be asked whether it is the last one
    /// eight bytes at a time, up to the next byte that can matter:
    ///     /: refused, if behind it stand / or . or .. and then / or ; or ? or the end
    ///     \\: refused
    ///     ?: the end
    ///     %: undo all escapes from here on, and look again at the three bytes in front of it, which it can
    ///        make a dot segment; from then on refused, if two hex digits follow, and ? may be a decoded one
    /// ```
    pub(super) fn decode_path(&mut self, b: &mut Body, refused: Label) {
        let slot = self.path_slot();
        let path_end = self.path_end();
        let query_start = self.asks_query().then(|| self.query_start());
        let hex_byte = self.part(HEX_BYTE);
        let at = b.let_(Value::from(0).load32(slot));
        let start = b.let_(at);
        let end = b.let_(at + Value::from(0).load32(slot + SLOT_LENGTH));
        // Where the query begins, once the escapes are undone.
        let (byte, query) = (b.local(I32), b.local(I32));
        let is = |wanted: u8| byte.eq(i32::from(wanted));
        // What is absent lies where nothing is written, and what is empty ends with a blank or a NUL.
        b.br_if(refused, at.load8(0).ne(i32::from(b'/')));
        // Every value is followed by a byte that nobody reads.
        b.store8(end, 0, END);
        // What matters takes three bytes: `/.x`, `%41`. Two rounds go back to the three bytes.
        b.while_threes(2, at.lt_u(end), |b, out| {
            skip_plain(b, at);
            b.set(byte, at.load8(0));
            b.if_else(
                is(b'/'),
                |b| refuse_segment(b, at, refused),
                |b| {
                    b.br_if(refused, is(b'\\'));
                    b.if_else(
                        query,
                        |b| {
                            b.br_if(out, at.ge_u(end));
                            let escaped = Value::call(hex_byte, &[at + 1], I32);
                            b.br_if(refused, is(b'%') & escaped.le_u(u32::from(u8::MAX)));
                        },
                        |b| {
                            b.br_if(out, is(b'?'));
                            b.set(query, at);
                            b.set(end, at);
                            // From the first one on, so that this happens once.
                            b.once(|b| undo_escapes(b, hex_byte, query, end, refused));
                            b.store8(end, 0, END);
                            b.set(at, at - 3);
                            // One before, which the next round begins with.
                            b.set(at, at.when(at.gt_u(start), start) - 1);
                        },
                    );
                },
            );
            b.set(at, at + 1);
        });
        b.set_global(path_end, at);
        if let Some(query_start) = query_start {
            b.set_global(query_start, query.when(query, path_end));
        }
    }

    /// `hex_byte(at)`: the byte that two hex digits say, or more than a byte. May read the byte behind the
    /// text, which is no digit.
    pub(super) fn write_hex_byte(&mut self) -> Body {
        let hex_digit = self.part(HEX_DIGIT);
        let mut b = Body::new(&[I32], &[I32]);
        let at = b.param(0);
        let digit = |offset| Value::call(hex_digit, &[at.load8(offset)], I32);
        b.push((digit(0) << 4) | digit(1));
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
        let depth = self.path_depth();
        b.while_times_on(depth, segment.le_u(end), |b, out| {
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

    /// How many segments of a path are looked at before its class is known: behind the longest pattern
    /// nothing is told apart.
    fn path_depth(&self) -> u64 {
        let depth = |attribute: &AttributeClasses| match &attribute.kind {
            AttributeKind::Path(automaton) => automaton.depth(),
            _ => 0,
        };
        self.classes.attributes.iter().map(depth).max().unwrap_or_default()
    }

    /// `path_segment(number)`: where it lies and its length; 0 and 0 if the path has fewer.
    pub(super) fn write_path_segment(&mut self) -> Body {
        let (slot, path_end) = (self.path_slot(), self.path_end());
        let mut b = Body::new(&[I32], &[I32, I32]);
        let number = b.param(0);
        let segment = b.let_(Value::from(0).load32(slot) + 1);
        let end = b.let_(Value::from(path_end));
        let behind = b.local(I32);
        b.while_times_on(SEGMENTS_MAX as u64, segment.le_u(end), |b, _| {
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
    b.while_words(behind.lt_u(end), |b, out| {
        b.set(found, bytes_equal(behind.load64(0), b'/', ones) & (ones << 7_i64));
        b.if_(found.eqz().eqz(), |b| {
            b.set(behind, behind + (found.ctz().wrap() >> 3));
            b.br(out);
        });
        b.set(behind, behind + 8);
    });
    b.set(behind, end.when(behind.gt_u(end), behind));
}

/// Moves `at` to the next byte that can matter, eight bytes at a time: one that begins an escape or a
/// query, a `\\`, or a slash in front of a slash or a dot. There is one, for a `?` stands behind the path.
fn skip_plain(b: &mut Body, at: Local) {
    let (word, next, found) = (b.local(I64), b.local(I64), b.local(I64));
    let ones = b.let_(ONES);
    b.repeat_words(
        |b| {
            b.set(word, at.load64(0));
            // A dot becomes a slash, and no other byte does.
            b.set(next, at.load64(1) | ones);
            let pair = maybe_equal(word, b'/', ones) & maybe_equal(next, b'/', ones) & (next ^ -1_i64);
            let special = maybe_equal(word, b'%', ones)
                | maybe_equal(word, b'?', ones)
                | maybe_equal(word, b'\\', ones);
            b.set(found, (pair | special) & (word ^ -1_i64) & (ones << 7_i64));
            b.set(at, at + 8);
        },
        found.eqz(),
    );
    b.set(at, at + (found.ctz().wrap() >> 3) - 8);
}

/// A word of bytes that are 1. It is kept in a variable, where it takes less room than a constant.
const ONES: u64 = u64::from_le_bytes([1; 8]);

/// A word of which the highest bit of a byte is set if the byte is this one; it may be set too for one that
/// is no ASCII, and for one above a byte that is this one. The other bits say nothing.
fn maybe_equal(word: Local, byte: u8, ones: Local) -> Value {
    (word ^ (ones * i64::from(byte))) - ones
}

/// A word of which the highest bit of a byte says whether the byte is this one. Bytes above the first
/// such one may seem to be it too; the other bits say nothing.
fn bytes_equal(word: impl Into<Value>, byte: u8, ones: Local) -> Value {
    let difference = word.into() ^ (ones * i64::from(byte));
    (difference.clone() - ones) & (difference ^ -1_i64)
}

/// Copies from `from` to `to`, which is not behind it, with escapes undone, up to the next `?`.
/// Refuses the path for an escape that is none, or of a byte that has no single meaning.
fn undo_escapes(b: &mut Body, hex_byte: Func, from: Local, to: Local, refused: Label) {
    let byte = b.local(I32);
    let is = |wanted: u8| byte.eq(i32::from(wanted));
    b.while_(from.load8(0).ne(END), |b, _| {
        b.set(byte, from.load8(0));
        b.every(3, |b| {
            b.if_(is(b'%'), |b| {
                b.set(byte, Value::call(hex_byte, &[from + 1], I32));
                let is_none = byte.gt_u(u32::from(u8::MAX));
                b.br_if(refused, byte.eqz() | is(b'/') | is(b'\\') | is_none);
                b.set(from, from + 2);
            });
        });
        b.store8(to, 0, byte);
        b.set(to, to + 1);
        b.set(from, from + 1);
    });
}

/// Refuses the path if the segment behind the slash at `at` is empty and not the last, or `.` or `..`, be it
/// with parameters.
fn refuse_segment(b: &mut Body, at: Local, refused: Label) {
    let byte = b.let_(at.load8(1));
    let is = |wanted: u8| byte.eq(i32::from(wanted));
    b.if_(is(b'.'), |b| {
        b.set(byte, at.load8(2));
        b.if_(is(b'.'), |b| b.set(byte, at.load8(3)));
        // `;` and `?`, which is `END`, differ in one bit.
        b.br_if(refused, (byte | (END ^ i32::from(b';'))).eq(END));
    });
    b.br_if(refused, is(b'/'));
}
