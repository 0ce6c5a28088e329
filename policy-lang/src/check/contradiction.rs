//! Conditions of which two parts exclude each other, so that no request fulfils both:
//! `request.port < 80 && request.port > 90`.
//!
//! ```text
//! a && !(b || c)  ->  a, not b, not c        parts that hold together
//!     -> facts: what a part says of a value   a number's range, a text's questions
//!     -> of one value two facts that exclude each other
//! ```
//!
//! Facts are compared two by two, and what is not understood says nothing: what is found never holds, and what
//! is not found may.

use super::errors::warnings;
use super::expr::Reporter;
use super::values::{Around, Numbers, Question, Texts, holds_of, numbers};
use crate::budget::Work;
use crate::checked::{BaseType, BinaryOp, Builtin, Expr, ExprKind, Guard, UnaryOp, Value};
use crate::literals::{children, expression_text, is_closed};
use crate::source::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many facts of one value are compared with each other.
const FACTS_MAX: usize = 32;

/// A part of a condition, and whether it is to hold or not to hold.
#[derive(Clone, Copy)]
struct Part<'e> {
    expr: &'e Arc<Expr>,
    holds: bool,
    /// Where it stands, with the `!` in front of it.
    span: Span,
}

/// What a part says of a value.
#[derive(Clone)]
enum Fact<'e> {
    /// The number is one of these.
    Within(Numbers),
    /// The number is not this one.
    IsNot(i64),
    /// The text is one of these.
    OneOf(Vec<&'e str>),
    /// The text is so.
    Is(Question<'e>),
    /// The text is not so.
    IsNo(Question<'e>),
    /// The text is none of these.
    NoneOf(Vec<&'e str>),
}

/// What parts say of one value, and where.
struct Said<'e> {
    value: &'e Expr,
    facts: Vec<(Span, Fact<'e>)>,
}

/// Says where two parts of a rule's condition exclude each other.
pub(super) fn warn(condition: &Arc<Expr>, guard: &Guard, reporter: Reporter<'_>) {
    let around = Around { guard: Some(guard), variables: &[] };
    let mut search = Search { around, reporter };
    search.look_into(condition);
}

struct Search<'a, 'r> {
    around: Around<'a>,
    reporter: Reporter<'r>,
}

impl Search<'_, '_> {
    /// Looks at the parts that hold together where this holds, and into each of them.
    fn look_into(&mut self, expr: &Arc<Expr>) {
        let mut parts = Vec::new();
        collect(Part { expr, holds: true, span: expr.span }, &mut parts);
        if parts.len() > 1 && self.is_affordable(parts.len(), expr.span) {
            self.compare(&parts);
        }
        for part in parts {
            match &part.expr.kind {
                // What is to be false as a whole may be so because of a part that never holds.
                ExprKind::Binary(BinaryOp::And, ..) => self.look_into(part.expr),
                _ => children(part.expr, &mut |inner| {
                    if inner.ty.base == BaseType::Bool {
                        self.look_into(inner);
                    }
                }),
            }
        }
    }

    fn compare(&mut self, parts: &[Part<'_>]) {
        let mut whole: BTreeMap<String, Part<'_>> = BTreeMap::new();
        let mut values: BTreeMap<String, Said<'_>> = BTreeMap::new();
        for part in parts.iter().filter(|part| is_closed(part.expr)) {
            let text = expression_text(part.expr);
            match whole.get(&text) {
                Some(other) if other.holds != part.holds => return self.say(part.span, other.span),
                Some(_) => {}
                None => drop(whole.insert(text, *part)),
            }
            if let Some((value, fact)) = fact_of(*part) {
                let said =
                    values.entry(expression_text(value)).or_insert_with(|| Said { value, facts: Vec::new() });
                if said.facts.len() < FACTS_MAX {
                    said.facts.push((part.span, fact));
                }
            }
        }
        for Said { value, facts } in values.values() {
            for (at, (place, fact)) in facts.iter().enumerate() {
                let mut before = facts.iter().take(at);
                if let Some((first, _)) = before.find(|(_, other)| self.exclude(value, fact, other)) {
                    return self.say(*place, *first);
                }
            }
        }
    }

    /// Whether no request has a value of which both is true.
    fn exclude(&mut self, value: &Expr, one: &Fact<'_>, other: &Fact<'_>) -> bool {
        match (one, other) {
            (Fact::Within(one), Fact::Within(other)) => {
                let possible = numbers(value, &self.around);
                let is_possible = |range: &Numbers| !possible.never(BinaryOp::Equal, *range);
                // What neither can be alone is said already.
                is_possible(one) && is_possible(other) && one.never(BinaryOp::Equal, *other)
            }
            (Fact::Within(range), Fact::IsNot(number)) | (Fact::IsNot(number), Fact::Within(range)) => {
                range.least == *number && range.most == *number
            }
            (Fact::OneOf(texts), fact) | (fact, Fact::OneOf(texts)) => {
                let steps = texts.iter().map(|text| text.len()).sum::<usize>().saturating_mul(weight(fact));
                self.is_affordable(steps, value.span)
                    && !texts.is_empty()
                    && texts.iter().all(|text| is_false(fact, text))
            }
            (Fact::Is(one), Fact::Is(other)) => self.never_both(value, *one, *other),
            (Fact::Is(Question::Begins(long)), Fact::IsNo(Question::Begins(short)))
            | (Fact::IsNo(Question::Begins(short)), Fact::Is(Question::Begins(long))) => {
                long.starts_with(short)
            }
            _ => false,
        }
    }

    fn never_both(&mut self, value: &Expr, one: Question<'_>, other: Question<'_>) -> bool {
        if self.reporter.session.budget.left(Work::Values) == 0 {
            return false;
        }
        let Some(texts) = Texts::of(value, &self.around) else { return false };
        let (never, mut steps) = texts.never_both(one, other);
        let mut is_said = false;
        if never {
            for question in [one, other] {
                let (alone, more) = texts.never(question);
                steps += more;
                is_said |= alone.is_some();
            }
        }
        self.reporter.session.budget.settle(Work::Values, steps as u64, value.span);
        never && !is_said
    }

    /// Whether there is time left for so many steps, which are counted.
    fn is_affordable(&mut self, steps: usize, span: Span) -> bool {
        let budget = &mut self.reporter.session.budget;
        let is_affordable = budget.left(Work::Values) >= steps as u64;
        if is_affordable {
            budget.settle(Work::Values, steps as u64, span);
        }
        is_affordable
    }

    fn say(&mut self, place: Span, first: Span) {
        self.reporter.findings.push(warnings::never_together(place, first));
    }
}

/// The parts that hold, or do not, where this one does.
fn collect<'e>(part: Part<'e>, parts: &mut Vec<Part<'e>>) {
    match (&part.expr.kind, part.holds) {
        (ExprKind::Binary(BinaryOp::And, left, right), true)
        | (ExprKind::Binary(BinaryOp::Or, left, right), false) => {
            for expr in [left, right] {
                collect(Part { expr, span: expr.span, ..part }, parts);
            }
        }
        (ExprKind::Unary(UnaryOp::Not, expr), holds) => collect(Part { expr, holds: !holds, ..part }, parts),
        _ => parts.push(part),
    }
}

/// The value that a part speaks of and what it says, if it compares one with a constant.
fn fact_of(part: Part<'_>) -> Option<(&Arc<Expr>, Fact<'_>)> {
    let asked = |question| if part.holds { Fact::Is(question) } else { Fact::IsNo(question) };
    match &part.expr.kind {
        ExprKind::Binary(BinaryOp::In, value, list) => match &list.kind {
            ExprKind::Literal(Value::List(texts)) => {
                let texts = texts.iter().map(|text| &**text).collect();
                Some((value, if part.holds { Fact::OneOf(texts) } else { Fact::NoneOf(texts) }))
            }
            _ => None,
        },
        ExprKind::Binary(op, left, right) => match (&left.kind, &right.kind) {
            (ExprKind::Literal(_), ExprKind::Literal(_)) => None,
            (_, ExprKind::Literal(constant)) => compared(*op, left, constant, part.holds),
            (ExprKind::Literal(constant), _) => compared(turned(*op), right, constant, part.holds),
            _ => None,
        },
        ExprKind::Matches(value, regex) => Some((value, asked(Question::Matches(regex.dfa())))),
        ExprKind::Call(builtin, arguments) => {
            let [value, constant] = arguments.as_slice() else { return None };
            let ExprKind::Literal(Value::String(text)) = &constant.kind else { return None };
            let question = match builtin {
                Builtin::StartsWith => Question::Begins(text),
                Builtin::Contains => Question::Contains(text),
                Builtin::EndsWith => Question::Ends(text),
                _ => return None,
            };
            Some((value, asked(question)))
        }
        _ => None,
    }
}

/// What a comparison with a constant says. An absent value is not less and not equal, but unlike.
fn compared<'e>(
    op: BinaryOp,
    value: &'e Arc<Expr>,
    constant: &'e Value,
    holds: bool,
) -> Option<(&'e Arc<Expr>, Fact<'e>)> {
    let fact =
        match (constant, op, holds) {
            (Value::String(text), BinaryOp::Equal, true)
            | (Value::String(text), BinaryOp::NotEqual, false) => Fact::OneOf(vec![text]),
            (Value::String(text), BinaryOp::NotEqual, true)
            | (Value::String(text), BinaryOp::Equal, false) => Fact::NoneOf(vec![text]),
            (Value::Int(number), BinaryOp::NotEqual, true) | (Value::Int(number), BinaryOp::Equal, false) => {
                Fact::IsNot(*number)
            }
            (Value::Int(number), BinaryOp::NotEqual, false) => {
                Fact::Within(Numbers { least: *number, most: *number })
            }
            (Value::Int(number), op, true) => Fact::Within(within(op, *number)?),
            (Value::Int(number), op, false) if !value.ty.optional => {
                Fact::Within(within(opposite(op)?, *number)?)
            }
            _ => return None,
        };
    Some((value, fact))
}

/// The numbers that are so, if there are any.
fn within(op: BinaryOp, number: i64) -> Option<Numbers> {
    let (least, most) = match op {
        BinaryOp::Equal => (number, number),
        BinaryOp::Less => (i64::MIN, number.checked_sub(1)?),
        BinaryOp::LessOrEqual => (i64::MIN, number),
        BinaryOp::Greater => (number.checked_add(1)?, i64::MAX),
        BinaryOp::GreaterOrEqual => (number, i64::MAX),
        _ => return None,
    };
    Some(Numbers { least, most })
}

/// The comparison with its sides changed.
fn turned(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        op => op,
    }
}

/// The comparison that holds where this one does not.
fn opposite(op: BinaryOp) -> Option<BinaryOp> {
    match op {
        BinaryOp::Less => Some(BinaryOp::GreaterOrEqual),
        BinaryOp::LessOrEqual => Some(BinaryOp::Greater),
        BinaryOp::Greater => Some(BinaryOp::LessOrEqual),
        BinaryOp::GreaterOrEqual => Some(BinaryOp::Less),
        _ => None,
    }
}

/// How much there is to compare a text with.
fn weight(fact: &Fact<'_>) -> usize {
    match fact {
        Fact::OneOf(texts) | Fact::NoneOf(texts) => texts.len(),
        Fact::Is(question) | Fact::IsNo(question) => match question {
            Question::Equal(text)
            | Question::Begins(text)
            | Question::Contains(text)
            | Question::Ends(text) => 1 + text.len(),
            Question::Matches(_) => 1,
        },
        Fact::Within(_) | Fact::IsNot(_) => 0,
    }
}

/// Whether what is said of a text is false of this one.
fn is_false(fact: &Fact<'_>, text: &str) -> bool {
    match fact {
        Fact::OneOf(texts) => !texts.contains(&text),
        Fact::NoneOf(texts) => texts.contains(&text),
        Fact::Is(question) => !holds_of(*question, text),
        Fact::IsNo(question) => holds_of(*question, text),
        Fact::Within(_) | Fact::IsNot(_) => false,
    }
}
