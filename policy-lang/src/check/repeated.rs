//! Bans that a client passes by sending a header or a parameter several times:
//! `deny … when headers["x"] == "v"`.
//!
//! A repeated header or parameter is seen joined, so a client that sends `v` twice is not equal to `v`, is no
//! number, and is none of the words of an enum; and a list with more elements than its bound is absent. An
//! allowance that is written so is safe: it is refused more, not less.
//!
//! What is found is tried: a value that is banned when it is sent once, and not when it is sent again.

use super::errors::warnings;
use super::session::Session;
use super::values::recogniser::{Case, Found, Recogniser, common};
use crate::budget::Work;
use crate::checked::{Attribute, BinaryOp, Conversion, Expr, ExprKind, Quantifier, UnaryOp, Value};
use crate::diagnostic::Findings;
use crate::eval::Scope;
use crate::linked::Workload;
use crate::literals::{attribute_text, attributes_of, expression_text};
use crate::request::Request;
use std::collections::{BTreeMap, BTreeSet};

/// So many values are tried with a comparison.
const VALUES_MAX: usize = 16;

/// Says which comparisons of a ban's condition a client can evade by sending a value again.
pub(super) fn warn(condition: &Expr, session: &mut Session, diagnostics: &mut Findings) {
    let mut search = Search { session, diagnostics, banned: BTreeSet::new() };
    search.find_banned(condition, true);
    search.look_at(condition, true);
}

struct Search<'a> {
    session: &'a mut Session,
    diagnostics: &'a mut Findings,
    /// Attributes of which the ban also speaks where they have not the shape of their type.
    banned: BTreeSet<Attribute>,
}

impl Search<'_> {
    /// Looks for `!has(headers["x"])` of a typed header; `wanted` is what the expression is where the ban holds.
    fn find_banned(&mut self, expr: &Expr, wanted: bool) {
        match &expr.kind {
            ExprKind::Unary(UnaryOp::Not, inner) => self.find_banned(inner, !wanted),
            ExprKind::Binary(BinaryOp::And | BinaryOp::Or, left, right) => {
                self.find_banned(left, wanted);
                self.find_banned(right, wanted);
            }
            ExprKind::Has(inner) if !wanted => {
                if let ExprKind::Convert(_, of) = &inner.kind
                    && let ExprKind::Attribute(attribute) = &of.kind
                {
                    self.banned.insert(attribute.clone());
                }
            }
            _ => {}
        }
    }

    fn look_at(&mut self, expr: &Expr, wanted: bool) {
        match &expr.kind {
            ExprKind::Unary(UnaryOp::Not, inner) => self.look_at(inner, !wanted),
            ExprKind::Binary(BinaryOp::And | BinaryOp::Or, left, right) => {
                self.look_at(left, wanted);
                self.look_at(right, wanted);
            }
            _ => self.try_out(expr, wanted),
        }
    }

    /// Sends values that a condition bans once, and again.
    fn try_out(&mut self, expr: &Expr, wanted: bool) {
        let Some(attribute) = repeatable(expr) else { return };
        let mut values = Values::default();
        values.find(expr);
        for value in values.found.iter().take(VALUES_MAX) {
            let mut is_banned = |times| Some(self.holds(expr, &sent(&attribute, value, times))? == wanted);
            if is_banned(1) != Some(true) {
                continue;
            }
            let evading = [2, values.elements_max + 1];
            let Some(times) = evading.into_iter().find(|times| is_banned(*times) == Some(false)) else {
                continue;
            };
            let text = compared(expr).map_or_else(|| attribute_text(&attribute), expression_text);
            let warning = match (values.is_typed, times) {
                (true, _) if self.banned.contains(&attribute) => return,
                (true, 2) => warnings::evaded_by_shape(expr.span, "the value twice", &attribute),
                (true, _) => {
                    let what = format!("more than {} values", values.elements_max);
                    warnings::evaded_by_shape(expr.span, &what, &attribute)
                }
                (false, _) if values.is_compared => warnings::evaded_by_repetition(
                    expr.span,
                    &format!("write `{text}.contains({:?})`", String::from_utf8_lossy(value)),
                ),
                (false, _) => warnings::evaded_by_repetition(
                    expr.span,
                    &format!("ask with `{text}.contains(…)` for what stands anywhere"),
                ),
            };
            self.diagnostics.push(warning);
            return;
        }
    }

    /// Whether a condition holds of a request; `None` if there is no time left to see that.
    fn holds(&mut self, expr: &Expr, request: &Request) -> Option<bool> {
        let workload = Workload {
            namespace: String::new(),
            service: String::new(),
            labels: BTreeMap::new(),
            trust_domain: String::new(),
        };
        let steps_max = self.session.budget.left(Work::Values);
        let mut scope = Scope::within(request, &workload, steps_max);
        let holds = scope.holds(expr);
        self.session.budget.settle(Work::Values, steps_max - scope.steps_left(), expr.span);
        (!scope.steps_are_out()).then_some(holds)
    }
}

/// What a client can send several times, if that is all that an expression asks for.
fn repeatable(expr: &Expr) -> Option<Attribute> {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    let attribute = asked.pop_first().filter(|_| asked.is_empty())?;
    matches!(attribute, Attribute::Header(_) | Attribute::Query(_)).then_some(attribute)
}

/// What is compared with a constant.
fn compared(expr: &Expr) -> Option<&Expr> {
    let ExprKind::Binary(_, left, right) = &expr.kind else { return None };
    [left, right].into_iter().map(AsRef::as_ref).find(|side| !matches!(side.kind, ExprKind::Literal(_)))
}

/// A request that says a value so many times.
fn sent(attribute: &Attribute, value: &[u8], times: usize) -> Request {
    match attribute {
        Attribute::Header(name) => {
            let header = (name.as_bytes().to_vec(), value.to_vec());
            Request { headers: vec![header; times], ..Request::default() }
        }
        Attribute::Query(name) => {
            let escaped = |text: &[u8]| text.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let parameter = format!("{}={}", escaped(name.as_bytes()), escaped(value));
            Request { path: format!("/?{}", vec![parameter; times].join("&")).into(), ..Request::default() }
        }
        _ => Request::default(),
    }
}

/// Values with which a condition may hold.
#[derive(Default)]
struct Values {
    found: BTreeSet<Vec<u8>>,
    /// Whether they are read as another type than text.
    is_typed: bool,
    /// Whether they are compared as they are.
    is_compared: bool,
    /// The most elements of a list that they are read as; 1 if they are not.
    elements_max: usize,
}

impl Values {
    fn find(&mut self, expr: &Expr) {
        self.elements_max = self.elements_max.max(1);
        match &expr.kind {
            ExprKind::Literal(value) => self.constant(value),
            ExprKind::Matches(_, regex) => {
                let asked = [Recogniser::Matches(regex.dfa())];
                if let (Found::Text(text), _) = common(&[], Case::Kept, &asked) {
                    self.found.insert(text);
                }
            }
            ExprKind::Convert(conversion, _) => self.conversion(conversion),
            ExprKind::Binary(BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::In, _, _) => {
                self.is_compared = true
            }
            ExprKind::Quantify { quantifier: Quantifier::Exists, .. } => self.is_compared = true,
            _ => {}
        }
        expr.parts().into_iter().for_each(|part| self.find(part));
    }

    fn constant(&mut self, value: &Value) {
        match value {
            Value::String(text) => drop(self.found.insert(text.as_bytes().to_vec())),
            Value::List(texts) => {
                let texts = texts.iter().take(VALUES_MAX).map(|text| text.as_bytes().to_vec());
                self.found.extend(texts);
            }
            Value::Int(number) => {
                let near = [number.saturating_sub(1), *number, number.saturating_add(1)];
                self.found.extend(near.map(|number| number.to_string().into_bytes()));
            }
            Value::Bool(_) | Value::Ip(_) => {}
        }
    }

    fn conversion(&mut self, conversion: &Conversion) {
        self.is_typed = true;
        match conversion {
            Conversion::Int => drop(self.found.insert(b"1".to_vec())),
            Conversion::Bool => self.found.extend([b"true".to_vec(), b"false".to_vec()]),
            Conversion::Enum(values) => {
                let values = values.iter().take(VALUES_MAX).map(|value| value.as_bytes().to_vec());
                self.found.extend(values);
            }
            Conversion::List(elements) => self.elements_max = *elements as usize,
            Conversion::BoundedString(_) => {}
        }
    }
}
