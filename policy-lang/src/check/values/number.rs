//! The numbers that an expression can be.

use super::{Around, Texts};
use crate::checked::{Attribute, BinaryOp, Builtin, Conversion, Expr, ExprKind, UnaryOp, Value};

/// All numbers from one to another, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::check) struct Numbers {
    pub(in crate::check) least: i64,
    pub(in crate::check) most: i64,
}

const ALL: Numbers = Numbers { least: i64::MIN, most: i64::MAX };
const PORTS: Numbers = Numbers { least: 0, most: u16::MAX as i64 };

impl Numbers {
    /// Whether a comparison holds of none of these and those.
    pub(in crate::check) fn never(self, op: BinaryOp, other: Self) -> bool {
        match op {
            BinaryOp::Equal => self.most < other.least || other.most < self.least,
            BinaryOp::Less => self.least >= other.most,
            BinaryOp::LessOrEqual => self.least > other.most,
            BinaryOp::Greater => self.most <= other.least,
            BinaryOp::GreaterOrEqual => self.most < other.least,
            _ => false,
        }
    }
}

/// The numbers that an expression of ints can be.
pub(in crate::check) fn numbers(expr: &Expr, around: &Around<'_>) -> Numbers {
    match &expr.kind {
        ExprKind::Literal(Value::Int(value)) => Numbers { least: *value, most: *value },
        ExprKind::Attribute(Attribute::Port | Attribute::SourcePort) => PORTS,
        ExprKind::Attribute(Attribute::Size) => Numbers { least: 0, ..ALL },
        ExprKind::Unary(UnaryOp::Negate, operand) => {
            let Numbers { least, most } = numbers(operand, around);
            Numbers { least: 0_i64.saturating_sub(most), most: 0_i64.saturating_sub(least) }
        }
        ExprKind::Binary(op, left, right) => {
            arithmetic(*op, numbers(left, around), numbers(right, around)).unwrap_or(ALL)
        }
        ExprKind::Conditional(_, then, otherwise) => {
            let (then, otherwise) = (numbers(then, around), numbers(otherwise, around));
            Numbers { least: then.least.min(otherwise.least), most: then.most.max(otherwise.most) }
        }
        ExprKind::Call(builtin, arguments) => of_call(*builtin, arguments, around),
        _ => ALL,
    }
}

/// What comes out of two ranges; the ends of the one with the ends of the other make the ends.
fn arithmetic(op: BinaryOp, left: Numbers, right: Numbers) -> Option<Numbers> {
    let compute: fn(i64, i64) -> i64 = match op {
        BinaryOp::Add => i64::saturating_add,
        BinaryOp::Subtract => i64::saturating_sub,
        BinaryOp::Multiply => i64::saturating_mul,
        BinaryOp::Divide if right.least == right.most && right.least != 0 => i64::saturating_div,
        BinaryOp::Remainder if right.least == right.most && right.least != 0 => {
            let most = right.least.saturating_abs().saturating_sub(1);
            return Some(Numbers { least: if left.least < 0 { -most } else { 0 }, most });
        }
        _ => return None,
    };
    let ends = [
        compute(left.least, right.least),
        compute(left.least, right.most),
        compute(left.most, right.least),
        compute(left.most, right.most),
    ];
    Some(Numbers { least: ends.into_iter().min()?, most: ends.into_iter().max()? })
}

fn of_call(builtin: Builtin, arguments: &[std::sync::Arc<Expr>], around: &Around<'_>) -> Numbers {
    match (builtin, arguments) {
        (Builtin::StringSize, [text]) => match Texts::of(text, around).map(|texts| texts.sizes()) {
            Some((least, most)) => Numbers { least, most },
            None => Numbers { least: 0, ..ALL },
        },
        (Builtin::ListSize, [list]) => match &list.kind {
            // Nothing between no commas is one element, an empty one.
            ExprKind::Convert(Conversion::List(most), _) => Numbers { least: 1, most: i64::from(*most) },
            _ => Numbers { least: 0, ..ALL },
        },
        (Builtin::IndexOf, _) => Numbers { least: -1, ..ALL },
        _ => ALL,
    }
}
