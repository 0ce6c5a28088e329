//! Addresses: read from text, and found among intervals.

use super::class::AttributeCode;
use super::code::{Body, I32, I64, Operand, Value};
use super::cost::Linear;
use super::data::Data;
use super::emitter::Emitter;
use super::memory::ADDRESS_GROUPS;
use super::parts::Part;
use super::path::HEX_DIGIT;
use super::path::NO_DIGIT;
use super::source::{ADDRESS, ADDRESS_BYTES_MAX};
use crate::bug::{Bug, number};
use crate::classify::AddressClasses;

/// Reads an IPv4 address in text.
pub(super) const ADDRESS_V4: Part = Part::new("address v4", |emitter, _| emitter.write_address_v4());
/// Reads an IPv6 address in text.
pub(super) const ADDRESS_V6: Part = Part::new("address v6", |emitter, _| emitter.write_address_v6());
/// Finds an address among IPv4 intervals.
pub(super) const INTERVAL_V4: Part = Part::new("interval v4", |emitter, _| emitter.write_interval_v4());
/// Finds an address among IPv6 intervals.
pub(super) const INTERVAL_V6: Part = Part::new("interval v6", |emitter, _| emitter.write_interval_v6());

/// The low half of `::ffff:0.0.0.0`; the high half is 0.
pub(super) const V4_MAPPED: i64 = 0xffff_0000_0000;

/// An interval: its beginning and its class.
const V4_BYTES: u32 = 8;
const V4_CLASS: u32 = 4;
/// An interval: high and low half of its beginning, and its class.
const V6_BYTES: u32 = 20;
const V6_LOW: u32 = 8;
const V6_CLASS: u32 = 16;

/// The most halvings of a number of intervals.
const INTERVAL_STEPS_MAX: u64 = 32;

/// Groups of an IPv6 address.
const GROUPS: i32 = 8;

/// Lays out the intervals of an attribute.
pub(super) fn lay_out(classes: &AddressClasses, data: &mut Data) -> Result<AttributeCode, Bug> {
    let v4: Vec<u8> = classes
        .v4
        .iter()
        .flat_map(|(start, class)| [start.to_le_bytes(), class.to_le_bytes()].concat())
        .collect();
    let mut v6: Vec<u8> = Vec::new();
    for (start, class) in &classes.v6 {
        v6.extend(((start >> 64) as u64).to_le_bytes());
        v6.extend((*start as u64).to_le_bytes());
        v6.extend(class.to_le_bytes());
    }
    Ok(AttributeCode {
        table: data.table(&v4),
        count: number(classes.v4.len())?,
        second_table: data.table(&v6),
        second_count: number(classes.v6.len())?,
        ..AttributeCode::default()
    })
}

impl Emitter<'_> {
    /// The class of the interval that the caller's address lies in.
    pub(super) fn address_class(&mut self, b: &mut Body, code: AttributeCode) {
        let (high, low) = self.address();
        b.call_over(self.part(ADDRESS), &[], &[], Linear::constant(ADDRESS_BYTES_MAX.into()));
        let (v4, v6) = (self.part(INTERVAL_V4), self.part(INTERVAL_V6));
        let is_v4 = Value::from(high).eqz() & (Value::from(low) >> 32_i64).eq(V4_MAPPED >> 32);
        b.if_(is_v4, |b| {
            let arguments = [code.table.into(), code.count.into(), Value::from(low).wrap()];
            b.return_value(Value::call(v4, &arguments, I32));
        });
        let arguments = [code.second_table.into(), code.second_count.into(), high.into(), low.into()];
        b.push(Value::call(v6, &arguments, I32));
    }

    /// ```text
    /// interval(intervals, count, address):
    ///     of the `count` intervals from `intervals` on, one has it: halve
    /// ```
    pub(super) fn write_interval_v4(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I32], &[I32]);
        let (first, count, address) = (b.param(0), b.param(1), b.param(2));
        b.while_times(INTERVAL_STEPS_MAX, count.gt_u(1), |b, _| {
            let half = b.let_(count >> 1);
            let middle = b.let_(first + half * V4_BYTES);
            b.if_else(
                middle.load32(0).le_u(address),
                |b| {
                    b.set(first, middle);
                    b.set(count, count - half);
                },
                |b| b.set(count, half),
            );
        });
        b.push(first.load32(V4_CLASS));
        b
    }

    /// As for IPv4, over two halves.
    pub(super) fn write_interval_v6(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32, I64, I64], &[I32]);
        let (first, count, high, low) = (b.param(0), b.param(1), b.param(2), b.param(3));
        b.while_times(INTERVAL_STEPS_MAX, count.gt_u(1), |b, _| {
            let half = b.let_(count >> 1);
            let middle = b.let_(first + half * V6_BYTES);
            let not_behind =
                middle.load64(0).lt_u(high) | (middle.load64(0).eq(high) & middle.load64(V6_LOW).le_u(low));
            b.if_else(
                not_behind,
                |b| {
                    b.set(first, middle);
                    b.set(count, count - half);
                },
                |b| b.set(count, half),
            );
        });
        b.push(first.load32(V6_CLASS));
        b
    }

    /// `address_v4(text, end)`: the 32 bits of `1.2.3.4`, or -1.
    pub(super) fn write_address_v4(&mut self) -> Body {
        let mut b = Body::new(&[I32, I32], &[I64]);
        let (at, end) = (b.param(0), b.param(1));
        let address = b.local(I32);
        let octet = b.local(I32);
        let digits = b.local(I32);
        let dots = b.local(I32);
        let byte = b.local(I32);
        let no = |b: &mut Body, condition: Value| b.if_(condition, |b| b.return_value(-1_i64));
        b.while_(at.lt_u(end), |b, _| {
            b.set(byte, at.load8(0));
            b.if_else(
                byte.eq(i32::from(b'.')),
                |b| {
                    no(b, digits.eqz());
                    b.set(address, (address << 8) | octet);
                    b.set(octet, 0);
                    b.set(digits, 0);
                    b.set(dots, dots + 1);
                },
                |b| {
                    b.set(byte, byte - i32::from(b'0'));
                    no(b, byte.gt_u(9));
                    b.set(octet, octet * 10 + byte);
                    no(b, octet.gt_u(255));
                    b.set(digits, digits + 1);
                },
            );
            b.set(at, at + 1);
        });
        no(&mut b, dots.ne(3) | digits.eqz());
        b.push(((address << 8) | octet).extend());
        b
    }

    /// ```text
    /// address_v6(text, end):
    ///     groups of up to four hex digits between colons; :: is a gap of zeros; the last two may
    ///     be written as IPv4; %zone is ignored. Gives whether it is one.
    /// ```
    pub(super) fn write_address_v6(&mut self) -> Body {
        let (hex_digit, v4) = (self.part(HEX_DIGIT), self.part(ADDRESS_V4));
        let mut b = Body::new(&[I32, I32], &[I32]);
        let (at, end) = (b.param(0), b.param(1));
        let count = b.local(I32);
        let gap = b.let_(-1);
        let (start, value, digit) = (b.local(I32), b.local(I32), b.local(I32));
        let no = |b: &mut Body, condition: Value| b.if_(condition, |b| b.return_value(0));
        let is = |at: super::code::Local, byte: u8| at.lt_u(end) & at.load8(0).eq(i32::from(byte));
        b.store64(0, ADDRESS_GROUPS, 0_i64);
        b.store64(0, ADDRESS_GROUPS + 8, 0_i64);
        b.if_((end - at).ge_u(2) & at.load16(0).eq(i32::from(u16::from_le_bytes(*b"::"))), |b| {
            b.set(gap, 0);
            b.set(at, at + 2);
        });
        b.while_(at.lt_u(end), |b, out| {
            b.set(start, at);
            b.set(value, 0);
            b.while_(at.lt_u(end), |b, out| {
                b.set(digit, Value::call(hex_digit, &[at.load8(0)], I32));
                b.br_if(out, digit.eq(NO_DIGIT));
                b.set(value, (value << 4) | digit);
                b.set(at, at + 1);
                no(b, (at - start).gt_u(4));
            });
            b.if_(is(at, b'.'), |b| {
                no(b, count.gt_u(GROUPS - 2));
                let tail = b.let_(Value::call(v4, &[start.into(), end.into()], I64));
                no(b, tail.lt_s(0_i64));
                b.store16(count << 1, ADDRESS_GROUPS, tail.wrap() >> 16);
                b.store16(count << 1, ADDRESS_GROUPS + 2, tail.wrap());
                b.set(count, count + 2);
                b.br(out);
            });
            no(b, at.eq(start) | count.ge_u(GROUPS));
            b.store16(count << 1, ADDRESS_GROUPS, value);
            b.set(count, count + 1);
            b.br_if(out, at.ge_u(end) | is(at, b'%'));
            no(b, at.load8(0).ne(i32::from(b':')));
            b.set(at, at + 1);
            no(b, at.ge_u(end));
            b.if_(is(at, b':'), |b| {
                no(b, gap.ge_s(0));
                b.set(gap, count);
                b.set(at, at + 1);
            });
        });
        no(&mut b, count.eq(GROUPS).eq(gap.ge_s(0)));
        self.join_groups(&mut b, count, gap);
        b.push(1);
        b
    }

    /// Joins the groups to 128 bits, with zeros where the gap is.
    fn join_groups(&mut self, b: &mut Body, count: super::code::Local, gap: super::code::Local) {
        let (high, low) = self.address();
        let zeros = b.let_(Value::from(GROUPS) - count);
        let place = b.let_(0);
        let group = b.local(I32);
        b.set_global(high, 0_i64);
        b.set_global(low, 0_i64);
        b.while_times(GROUPS as u64, place.lt_u(GROUPS), |b, _| {
            b.set(group, (place << 1).load16(ADDRESS_GROUPS));
            b.if_(gap.ge_s(0) & place.ge_u(gap), |b| {
                let behind = place - gap;
                b.set(group, 0);
                b.if_(behind.ge_u(zeros), |b| b.set(group, ((place - zeros) << 1).load16(ADDRESS_GROUPS)));
            });
            b.set_global(high, (Value::from(high) << 16_i64) | (Value::from(low) >> 48_i64));
            b.set_global(low, (Value::from(low) << 16_i64) | group.extend());
            b.set(place, place + 1);
        });
    }
}
