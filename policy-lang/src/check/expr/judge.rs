//! Comparisons and questions that hold of no request: each is a slip, and a ban that is written so bans
//! nobody.
//!
//! What a value can be is worked out in [`values`](super::super::values); here stands what is asked of it, and
//! what is said.

use super::super::errors::warnings;
use super::super::values::{Around, Never, Numbers, Question, Texts, numbers};
use super::{Checker, Typed, never};
use crate::budget::Work;
use crate::checked::{Attribute, BaseType, BinaryOp, Builtin, Conversion, Expr, ExprKind, Peer, Value};
use crate::regex::Regex;
use crate::source::Span;
use ipnet::IpNet;

/// How many of the values of an enum are named in a message.
const VALUES_SHOWN_MAX: usize = 20;

impl Checker<'_> {
    /// Two values of one type that are compared.
    pub(super) fn judge_comparison(&mut self, op: BinaryOp, left: &Typed, right: &Typed, span: Span) {
        match (left.base(), op) {
            (BaseType::Int, _) => self.judge_numbers(op, left, right, span),
            (_, BinaryOp::Equal | BinaryOp::NotEqual) => match (left.constant(), right.constant()) {
                (Some(_), None) => self.judge_equality(right, left, left.expr.span),
                (None, Some(_)) => self.judge_equality(left, right, right.expr.span),
                _ => self.judge_equality(left, right, span),
            },
            _ => {}
        }
    }

    /// Something and what it is equal to, perhaps a constant, which stands at `place`.
    pub(super) fn judge_equality(&mut self, side: &Typed, other: &Typed, place: Span) {
        match other.constant() {
            Some(Value::String(value)) => self.judge_text(side, Question::Equal(value), place),
            Some(Value::Ip(address)) => self.judge_range(IpNet::from(*address), side, place),
            Some(Value::Int(_)) => self.judge_numbers(BinaryOp::Equal, side, other, place),
            Some(Value::Bool(_) | Value::List(_)) => {}
            None if side.base() == BaseType::Int => self.judge_numbers(BinaryOp::Equal, side, other, place),
            None => {
                let around = self.around();
                let (one, two) = (Texts::of(&side.expr, &around), Texts::of(&other.expr, &around));
                let (Some(one), Some(two)) = (one, two) else { return };
                if self.may_judge() {
                    let (are_apart, steps) = one.are_apart(&two);
                    self.settle(steps, place);
                    if are_apart {
                        self.diagnostics.push(warnings::never_equal_to_each_other(place));
                    }
                }
            }
        }
    }

    /// `text.contains(part)` and its kin.
    pub(super) fn judge_part(&mut self, builtin: Builtin, text: &Typed, part: &Typed) {
        let Some(Value::String(value)) = part.constant() else { return };
        let question = match builtin {
            Builtin::StartsWith => Question::Begins(value),
            Builtin::Contains => Question::Contains(value),
            Builtin::EndsWith => Question::Ends(value),
            _ => return,
        };
        self.judge_text(text, question, part.expr.span);
    }

    /// `text.matches(pattern)`.
    pub(super) fn judge_pattern(&mut self, text: &Typed, pattern: &Regex, place: Span) {
        self.judge_text(text, Question::Matches(pattern.dfa()), place);
    }

    /// `text in list`, where the list is none that is written there.
    pub(super) fn judge_element(&mut self, text: &Typed, list: &Typed, span: Span) {
        let Some(elements) = Texts::elements_of(&list.expr) else { return };
        if !self.may_judge() {
            return;
        }
        if let Some(Value::String(value)) = text.constant() {
            let (never, steps) = elements.never(Question::Equal(value));
            self.settle(steps, span);
            if let Some(why) = never {
                let help = help_of(why, None, Question::Equal(value));
                self.diagnostics.push(warnings::never(text.expr.span, "has this value", &help));
            }
        } else if let Some(texts) = Texts::of(&text.expr, &self.around()) {
            let (are_apart, steps) = texts.are_apart(&elements);
            self.settle(steps, span);
            if are_apart {
                self.diagnostics.push(warnings::never_equal_to_each_other(span));
            }
        }
    }

    /// A range of addresses that is asked for an address.
    pub(super) fn judge_range(&mut self, range: IpNet, address: &Typed, place: Span) {
        let (ExprKind::Attribute(Attribute::SourceIp), Some(guard)) = (&address.expr.kind, self.guard) else {
            return;
        };
        let is_apart = |peer: &Peer| match peer {
            Peer::Ip(other) => !range.contains(other) && !other.contains(&range),
            _ => false,
        };
        if !guard.peers.is_empty() && guard.peers.iter().all(is_apart) {
            self.diagnostics.push(warnings::never_here(place, "has such an address"));
        }
    }

    fn judge_text(&mut self, side: &Typed, question: Question<'_>, place: Span) {
        if side.constant().is_some() || !self.may_judge() {
            return;
        }
        if let (ExprKind::Attribute(Attribute::Path), Question::Equal(text) | Question::Begins(text)) =
            (&side.expr.kind, question)
            && text.contains('?')
        {
            self.diagnostics.push(warnings::query_in_path(place));
            return;
        }
        let Some(texts) = Texts::of(&side.expr, &self.around()) else { return };
        let (never, steps) = texts.never(question);
        self.settle(steps, place);
        let Some(why) = never else { return };
        let what = match question {
            Question::Equal(_) => "has this value",
            Question::Begins(_) => "has a value that begins so",
            Question::Contains(_) => "has a value with this in it",
            Question::Ends(_) => "has a value that ends so",
            Question::Matches(_) => "has a value that matches this",
        };
        self.diagnostics.push(match why {
            Never::NotHere => warnings::never_here(place, what),
            why => warnings::never(place, what, &help_of(why, Some(&side.expr), question)),
        });
    }

    fn judge_numbers(&mut self, op: BinaryOp, left: &Typed, right: &Typed, span: Span) {
        if left.constant().is_some() && right.constant().is_some() || !self.may_judge() {
            return;
        }
        let around = self.around();
        let (one, two) = (numbers(&left.expr, &around), numbers(&right.expr, &around));
        self.settle(1, span);
        let asked = if op == BinaryOp::NotEqual { BinaryOp::Equal } else { op };
        if one.never(asked, two) {
            let known = match (left.constant(), right.constant()) {
                (None, Some(_)) => Some(one),
                (Some(_), None) => Some(two),
                _ => None,
            };
            self.diagnostics.push(warnings::never_such_a_number(
                span,
                &known.map_or_else(|| "correct one of the two".to_owned(), range_in_words),
            ));
        }
    }

    fn around(&self) -> Around<'_> {
        Around { guard: self.guard, variables: &self.variables }
    }

    /// Whether there is time left to look for such slips.
    fn may_judge(&self) -> bool {
        self.scope.session.budget.left(Work::Values) > 0
    }

    fn settle(&mut self, steps: usize, span: Span) {
        self.scope.session.budget.settle(Work::Values, steps as u64, span);
    }
}

/// What to write instead, as well as that can be said.
fn help_of(why: Never, side: Option<&Expr>, question: Question<'_>) -> String {
    let words = match why {
        Never::TooLong(bytes) => return format!("it has at most {bytes} bytes"),
        Never::NotHere => return "correct it".to_owned(),
        Never::Nowhere(words) => words,
    };
    let better = side.and_then(|side| match (&side.kind, question) {
        (ExprKind::Convert(Conversion::Enum(values), _), _) => {
            let shown = values.iter().take(VALUES_SHOWN_MAX).map(|value| format!("{value:?}"));
            let mut known = shown.collect::<Vec<_>>().join(", ");
            if values.len() > VALUES_SHOWN_MAX {
                known.push_str(", …");
            }
            Some(format!("it is one of {known}"))
        }
        (ExprKind::Attribute(attribute), Question::Equal(value)) => never::equal(attribute, value),
        (ExprKind::Attribute(attribute), Question::Begins(value)) => never::begins(attribute, value),
        _ => None,
    });
    better.unwrap_or_else(|| words.to_owned())
}

fn range_in_words(Numbers { least, most }: Numbers) -> String {
    match (least, most) {
        (i64::MIN, most) => format!("it is at most {most}"),
        (least, i64::MAX) => format!("it is at least {least}"),
        (least, most) => format!("it is {least} to {most}"),
    }
}
