//! Operators of conditions: arithmetic, comparisons, `in`, networks.

use super::Bound;
use super::place::{List, Place, Text, both, presence};
use crate::checked::{BinaryOp, Expr};
use crate::emit::address::V4_MAPPED;
use crate::emit::code::{Body, I32, I64, Local, Operand, Value};
use crate::emit::cost::{Linear, Tally};
use crate::emit::emitter::Emitter;
use crate::emit::keys::EQUAL;
use crate::emit::strings::ELEMENT_BYTES;
use crate::emit::strings::{COMPARE, LIST_CONTAINS, MULTIPLY};
use ipnet::IpNet;
use std::net::IpAddr;

impl Emitter<'_> {
    pub(super) fn binary(
        &mut self,
        b: &mut Body,
        op: BinaryOp,
        sides: (&Expr, &Expr),
        bound: &mut Bound,
    ) -> Place {
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let left = self.holds(b, sides.0, bound);
                let result = b.let_(left);
                let undecided = if op == BinaryOp::And { Value::from(left) } else { left.eqz() };
                b.if_(undecided, |b| {
                    let right = self.holds(b, sides.1, bound);
                    b.set(result, right);
                });
                Place::Bool(result, None)
            }
            BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::Remainder => {
                let (left, left_present) = self.int(b, sides.0, bound);
                let (right, right_present) = self.int(b, sides.1, bound);
                let present = both(b, left_present, right_present);
                Place::Int(self.arithmetic(b, op, left, right), present)
            }
            BinaryOp::In => {
                let (text, list) = (self.value(b, sides.0, bound), self.value(b, sides.1, bound));
                self.is_in(b, text, list)
            }
            _ => {
                let (left, right) = (self.value(b, sides.0, bound), self.value(b, sides.1, bound));
                self.comparison(b, op, left, right)
            }
        }
    }

    /// Saturating. A division by 0, which no checked policy has, gives 0.
    pub(super) fn arithmetic(&mut self, b: &mut Body, op: BinaryOp, left: Local, right: Local) -> Local {
        match op {
            BinaryOp::Add | BinaryOp::Subtract => {
                let result = b.let_(if op == BinaryOp::Add { left + right } else { left - right });
                let second = if op == BinaryOp::Add { Value::from(right) ^ result } else { left ^ right };
                // It overflows if both signs tell against that of the result.
                b.if_(((left ^ result) & second).lt_s(0_i64), |b| {
                    b.set(result, Value::from(i64::MAX) ^ left.shr_s(63_i64));
                });
                result
            }
            BinaryOp::Multiply => {
                let multiply = self.part(MULTIPLY);
                b.let_(Value::call(multiply, &[left.into(), right.into()], I64))
            }
            _ => {
                let result = b.let_(0_i64);
                let is_division = op == BinaryOp::Divide;
                b.if_(right.eqz().eqz(), |b| {
                    // The smallest number divided by -1 would trap.
                    let overflows = left.eq(i64::MIN) & right.eq(-1_i64);
                    let overflow = if is_division { i64::MAX } else { 0 };
                    b.if_else(
                        overflows,
                        |b| b.set(result, overflow),
                        |b| b.set(result, if is_division { left.div_s(right) } else { left.rem_s(right) }),
                    );
                });
                result
            }
        }
    }

    /// `==` and its kin: false if a side is absent, but `!=` true.
    pub(super) fn comparison(&mut self, b: &mut Body, op: BinaryOp, left: Place, right: Place) -> Place {
        let result = b.let_(0);
        let (left_there, right_there) = (presence(b, left), presence(b, right));
        b.if_(left_there & right_there, |b| match (left, right) {
            (Place::Bool(left, _), Place::Bool(right, _)) => b.set(result, left.eq(right)),
            (Place::Int(left, _), Place::Int(right, _)) => b.set(result, compared(op, left, right)),
            (Place::Ip(high, low), Place::Ip(other_high, other_low)) => {
                b.set(result, high.eq(other_high) & low.eq(other_low));
            }
            (Place::Text(left), Place::Text(right)) => self.compare_texts(b, op, left, right, result),
            (Place::List(left), Place::List(right)) => self.equal_lists(b, left, right, result),
            _ => {}
        });
        if op == BinaryOp::NotEqual {
            b.set(result, result.eqz());
        }
        Place::Bool(result, None)
    }

    fn compare_texts(&mut self, b: &mut Body, op: BinaryOp, left: Text, right: Text, result: Local) {
        if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) {
            let equal = self.part(EQUAL);
            let shorter = self.shorter_sized(left.size, right.size);
            b.if_(left.length.eq(right.length), |b| {
                let arguments = [left.at.into(), right.at.into(), left.length.into()];
                b.set(result, Value::call_over(equal, &arguments, I32, shorter));
            });
            return;
        }
        let compare = self.part(COMPARE);
        let arguments = [left.at.into(), left.length.into(), right.at.into(), right.length.into()];
        let shorter = self.shorter_sized(left.size, right.size);
        let ordering = b.let_(Value::call_over(compare, &arguments, I32, shorter));
        let zero = b.let_(0);
        b.set(result, compared(op, ordering, zero));
    }

    fn equal_lists(&mut self, b: &mut Body, left: List, right: List, result: Local) {
        let equal = self.part(EQUAL);
        let count_max = left.count_max.min(right.count_max).into();
        let size = self.shorter_sized(left.size, right.size);
        // Texts are compared where they are of one length, so that all together are no longer than a list.
        b.account(&Tally::calls(equal, count_max, size));
        b.if_(left.count.eq(right.count), |b| {
            b.set(result, 1);
            let at = b.let_(0);
            b.while_times(count_max, at.lt_u(left.count), |b, out| {
                let (one, other) =
                    (b.let_(left.at + at * ELEMENT_BYTES), b.let_(right.at + at * ELEMENT_BYTES));
                let length = b.let_(one.load32(4));
                let same = b.let_(length.eq(other.load32(4)));
                b.if_(same, |b| {
                    let arguments = [one.load32(0), other.load32(0), length.into()];
                    b.set(same, Value::call_uncounted(equal, &arguments, I32));
                });
                b.set(result, same);
                b.br_if(out, same.eqz());
                b.set(at, at + 1);
            });
        });
    }

    pub(super) fn is_in(&mut self, b: &mut Body, text: Place, list: Place) -> Place {
        let result = b.let_(0);
        if let (Place::Text(text), Place::List(elements)) = (text, list) {
            let contains = self.part(LIST_CONTAINS);
            let (there, list_there) = (presence(b, Place::Text(text)), presence(b, list));
            // Each element is a step, and the bytes of those that are as long as the text.
            let mut size = self.sized(elements.size);
            size.add(&Linear::constant(elements.count_max.into()));
            b.if_(there & list_there, |b| {
                let arguments =
                    [elements.at.into(), elements.count.into(), text.at.into(), text.length.into()];
                b.set(result, Value::call_over(contains, &arguments, I32, size));
            });
        }
        Place::Bool(result, None)
    }
}

fn compared(op: BinaryOp, left: Local, right: Local) -> Value {
    match op {
        BinaryOp::Less => left.lt_s(right),
        BinaryOp::LessOrEqual => left.le_s(right),
        BinaryOp::Greater => left.gt_s(right),
        BinaryOp::GreaterOrEqual => left.ge_s(right),
        _ => left.eq(right),
    }
}

pub(super) fn contains_ip(b: &mut Body, net: IpNet, address: Place) -> Place {
    let Place::Ip(high, low) = address else { return Place::Bool(b.let_(0), None) };
    let is_v4 = high.eqz() & (low >> 32_i64).eq(V4_MAPPED >> 32);
    let family = if net.addr().is_ipv4() { is_v4 } else { is_v4.eqz() };
    // The bits of the mask are those that are equal in all addresses of the network.
    let (net_high, net_low) = halves(net.network());
    let (mask_high, mask_low) = match net {
        IpNet::V4(net) => (u64::MAX, u64::from(net.netmask().to_bits()) | u64::MAX << 32),
        IpNet::V6(net) => ((net.netmask().to_bits() >> 64) as u64, net.netmask().to_bits() as u64),
    };
    let inside = ((high ^ net_high) & mask_high).eqz() & ((low ^ net_low) & mask_low).eqz();
    Place::Bool(b.let_(family & inside), None)
}

/// An address as two halves of 64 bits; IPv4, also mapped into IPv6, as `::ffff:a.b.c.d`.
pub(super) fn halves(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_ipv6_mapped().to_bits();
            ((bits >> 64) as u64, bits as u64)
        }
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, address.to_bits() as u64),
    }
}
