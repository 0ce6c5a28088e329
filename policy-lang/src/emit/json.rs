//! Values as JSON, written one behind the other into the line of a request.
//!
//! The definition is `eval::line`. A text is cut off, and `null` where there is no room for it; what else a line
//! has, there is always room for. So nothing here can write behind the line's place.

use super::code::{Body, Global, I32, I64, Local, Operand, Value};
use super::cost::Linear;
use super::emitter::Emitter;
use super::parts::Part;
use crate::log::{ESCAPED_BYTES_MAX, KEY_BYTES_MAX, LINE_BYTES_MAX, TEXT_BYTES_MAX};

/// Writes the beginning of a text in quotes, or `null` where there is no room for it.
pub(super) const SHOW_TEXT: Part = Part::new("show text", |emitter, _| emitter.write_show_text());
/// Writes a number.
pub(super) const SHOW_INT: Part = Part::new("show int", |emitter, _| emitter.write_show_int());
/// Writes an address in quotes.
pub(super) const SHOW_ADDRESS: Part = Part::new("show address", |emitter, _| emitter.write_show_address());
/// Writes bytes as they are.
const RAW: Part = Part::new("raw", |emitter, _| emitter.write_raw());
/// Writes a text in quotes, for which there must be room.
const QUOTE: Part = Part::new("quote", |emitter, _| emitter.write_quote());
/// Writes a group of an IPv6 address.
const GROUP: Part = Part::new("group", |emitter, _| emitter.write_group());

/// What the rest of a line's place begins with: which samples may log the request.
pub(super) const HEAD_BYTES: u32 = 8;
/// A step writes four bytes where one is meant.
pub(super) const LINE_SLACK_BYTES: u32 = 8;
/// The most digits of a number, with its sign.
const INT_BYTES_MAX: u32 = 20;

impl Emitter<'_> {
    /// Where a line is put together: [`HEAD_BYTES`], then what is said.
    pub(super) fn line(&mut self) -> u32 {
        if let Some(known) = self.line_at {
            return known;
        }
        let bytes = HEAD_BYTES + LINE_SLACK_BYTES;
        let place = self.data.table(&vec![0; bytes as usize + LINE_BYTES_MAX]);
        self.line_at = Some(place);
        place
    }

    /// Where the line ends.
    pub(super) fn line_end(&mut self) -> Global {
        self.global("line end", I32)
    }

    /// The place behind which no text of the line may end.
    pub(super) fn line_last(&mut self) -> Global {
        self.global("line last", I32)
    }

    /// Writes a constant as it is.
    pub(super) fn show(&mut self, b: &mut Body, text: &str) {
        let (at, length) = self.string(text);
        self.show_bytes(b, at, length, length);
    }

    /// Writes so many bytes at most as they are.
    pub(super) fn show_bytes(
        &mut self,
        b: &mut Body,
        at: impl Into<Value>,
        length: impl Into<Value>,
        most: u32,
    ) {
        let raw = self.part(RAW);
        b.call_over(raw, &[at.into(), length.into()], &[], Linear::constant(most.into()));
    }

    /// `raw(at, length)`
    fn write_raw(&mut self) -> Body {
        let end = self.line_end();
        let mut b = Body::new(&[I32, I32], &[]);
        let (at, length) = (b.param(0), b.param(1));
        b.copy(end, at, length);
        b.set_global(end, Value::from(end) + length);
        b
    }

    /// Writes a byte.
    fn put(&mut self, b: &mut Body, byte: impl Into<Value>) {
        let end = self.line_end();
        b.store8(end, 0, byte);
        b.set_global(end, Value::from(end) + 1);
    }

    /// `show_text(at, length)`
    fn write_show_text(&mut self) -> Body {
        let (end, quote) = (self.line_end(), self.part(QUOTE));
        let mut b = Body::new(&[I32, I32], &[]);
        let (at, length) = (b.param(0), b.param(1));
        let last = match &self.plan.log {
            // A line that goes on when the answer is over lies elsewhere by then.
            Some(log) if !log.late.is_empty() => Value::from(self.line_last()),
            _ => Value::from(self.line() + HEAD_BYTES + (LINE_BYTES_MAX - KEY_BYTES_MAX) as u32),
        };
        let most = TEXT_BYTES_MAX as u32;
        b.set(length, length.when(length.lt_u(most), most));
        let needed = b.let_(length * ESCAPED_BYTES_MAX as u32);
        let has_room = Value::from(end).le_u(last.clone()) & needed.le_u(last - end);
        b.if_(has_room, |b| {
            b.call_over(quote, &[at.into(), length.into()], &[], Linear::constant(most.into()));
            b.return_();
        });
        self.show(&mut b, "null");
        b
    }

    /// ```text
    /// quote(at, length):
    ///     for each character: itself, or escaped; for each byte that is no part of one: U+FFFD
    /// ```
    fn write_quote(&mut self) -> Body {
        let line_end = self.line_end();
        let mut b = Body::new(&[I32, I32], &[]);
        let (at, length) = (b.param(0), b.param(1));
        let end = b.let_(at + length);
        let to = b.let_(line_end);
        b.store8(to, 0, i32::from(b'"'));
        b.set(to, to + 1);
        let (byte, bytes) = (b.local(I32), b.local(I32));
        b.while_(at.lt_u(end), |b, _| {
            b.set(byte, at.load8(0));
            b.if_else(
                byte.lt_u(0x80),
                |b| {
                    escape(b, byte, to);
                    b.set(at, at + 1);
                },
                |b| {
                    b.set(bytes, character_bytes(at, byte, end));
                    b.if_else(
                        bytes,
                        |b| {
                            b.store32(to, 0, at.load32(0));
                            b.set(to, to + bytes);
                            b.set(at, at + bytes);
                        },
                        |b| {
                            b.store32(to, 0, u32::from_le_bytes(*b"\\uff"));
                            b.store16(to, 4, i32::from(u16::from_le_bytes(*b"fd")));
                            b.set(to, to + 6);
                            b.set(at, at + 1);
                        },
                    );
                },
            );
        });
        b.store8(to, 0, i32::from(b'"'));
        b.set_global(line_end, to + 1);
        b
    }

    /// `show_int(value)`
    fn write_show_int(&mut self) -> Body {
        let digits = self.data.table(&[0; 24]);
        let mut b = Body::new(&[I64], &[]);
        let value = b.param(0);
        let (rest, digit) = (b.let_(value), b.local(I64));
        let behind = digits + INT_BYTES_MAX;
        let at = b.let_(behind);
        let more = b.let_(1);
        b.while_times(INT_BYTES_MAX.into(), more, |b, _| {
            b.set(digit, rest.rem_s(10_i64));
            b.set(digit, (Value::from(0_i64) - digit).when(digit.lt_s(0_i64), digit));
            b.set(at, at - 1);
            b.store8(at, 0, digit.wrap() + i32::from(b'0'));
            b.set(rest, rest.div_s(10_i64));
            b.set(more, rest.ne(0_i64));
        });
        b.if_(value.lt_s(0_i64), |b| {
            b.set(at, at - 1);
            b.store8(at, 0, i32::from(b'-'));
        });
        self.show_bytes(&mut b, at, Value::from(behind) - at, INT_BYTES_MAX);
        b
    }

    /// `show_address(high, low)`: of IPv4 four numbers, of IPv6 all eight groups.
    fn write_show_address(&mut self) -> Body {
        let (show_int, group) = (self.part(SHOW_INT), self.part(GROUP));
        let mut b = Body::new(&[I64, I64], &[]);
        let (high, low) = (b.param(0), b.param(1));
        self.put(&mut b, i32::from(b'"'));
        b.choose(high.eqz() & (low >> 32_i64).eq(0xffff_i64), |b, is_v4| {
            if is_v4 {
                for shift in [24_i64, 16, 8, 0] {
                    let number = (low >> shift) & 255_i64;
                    b.call_over(show_int, &[number], &[], Linear::default());
                    if shift > 0 {
                        self.put(b, i32::from(b'.'));
                    }
                }
            } else {
                for (number, half) in (0_i64..).zip([high, high, high, high, low, low, low, low]) {
                    if number > 0 {
                        self.put(b, i32::from(b':'));
                    }
                    let shift = 48 - 16 * (number % 4);
                    let value = ((half >> shift) & 0xffff_i64).wrap();
                    b.call_over(group, &[value], &[], Linear::default());
                }
            }
        });
        self.put(&mut b, i32::from(b'"'));
        b
    }

    /// `group(value)`: in hexadecimal digits without zeros in front.
    fn write_group(&mut self) -> Body {
        let mut b = Body::new(&[I32], &[]);
        let value = b.param(0);
        for shift in [12_i32, 8, 4] {
            b.if_(value >> shift, |b| self.put(b, hex_digit((value >> shift) & 15)));
        }
        self.put(&mut b, hex_digit(value & 15));
        b
    }
}

/// The digit of a number below 16.
pub(super) fn hex_digit(number: impl Into<Value>) -> Value {
    let number = number.into();
    number.clone().gt_u(9) * (i32::from(b'a') - 10 - i32::from(b'0')) + number + i32::from(b'0')
}

/// Writes a byte of ASCII.
fn escape(b: &mut Body, byte: Local, to: Local) {
    let quoted = b.let_(byte.eq(i32::from(b'"')) | byte.eq(i32::from(b'\\')));
    b.if_else(
        byte.lt_u(0x20) | byte.eq(0x7f),
        |b| {
            b.store32(to, 0, u32::from_le_bytes(*b"\\u00"));
            b.store8(to, 4, hex_digit(byte >> 4));
            b.store8(to, 5, hex_digit(byte & 15));
            b.set(to, to + 6);
        },
        |b| {
            b.if_(quoted, |b| {
                b.store8(to, 0, i32::from(b'\\'));
                b.set(to, to + 1);
            });
            b.store8(to, 0, byte);
            b.set(to, to + 1);
        },
    );
}

/// How many bytes the character has that begins with this byte, which is not of ASCII; 0 if none does.
fn character_bytes(at: Local, byte: Local, end: Local) -> Value {
    let goes_on = |offset| (at.load8(offset) & 0xc0).eq(0x80);
    let left = || end - at;
    let first_two = || (byte << 8) | at.load8(1);
    let two = (byte - 0xc2).lt_u(0xe0 - 0xc2) & goes_on(1) & left().ge_u(2);
    let three = (byte & 0xf0).eq(0xe0)
        & goes_on(1)
        & goes_on(2)
        & left().ge_u(3)
        & first_two().ge_u(0xe0a0)
        & ((byte.eq(0xed)) & at.load8(1).ge_u(0xa0)).eqz();
    let four = (byte & 0xf8).eq(0xf0)
        & goes_on(1)
        & goes_on(2)
        & goes_on(3)
        & left().ge_u(4)
        & first_two().ge_u(0xf090)
        & first_two().lt_u(0xf490);
    two * 2 + three * 3 + four * 4
}
