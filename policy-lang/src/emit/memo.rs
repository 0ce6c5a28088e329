//! Parts of conditions that are computed once a request, however often they are asked for: lists that are
//! split, and what is computed from whole texts in more than one place or inside of a quantifier.

use super::code::{Body, I32, I64, Value};
use super::condition::{Bound, List, Place, Text};
use super::cost::Linear;
use super::emitter::Emitter;
use super::parts::Part;
use crate::bug::{Bug, OrBug as _};
use crate::checked::{BaseType, Builtin, Conversion, Expr, ExprKind};
use crate::literals::{children, expression_text, is_closed};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Computes a part once a request; numbered by the memos.
const MEMO: Part = Part::new("memo", |emitter, number| emitter.write_memo(number));

/// The function that computes a memo.
pub(super) const fn memo(number: u32) -> Part {
    MEMO.numbered(number)
}

/// The parts that are computed once.
#[derive(Default)]
pub(super) struct Memos {
    parts: Vec<Arc<Expr>>,
    /// By normal form.
    numbers: BTreeMap<String, u32>,
}

impl Memos {
    /// By number what is computed.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Arc<Expr>> {
        self.parts.iter()
    }

    /// What is worth remembering in these expressions.
    pub(super) fn of<'e>(expressions: impl Iterator<Item = &'e Arc<Expr>>) -> Self {
        let mut uses: BTreeMap<String, (Arc<Expr>, bool)> = BTreeMap::new();
        expressions.for_each(|expr| collect(expr, false, &mut uses));
        let mut this = Self::default();
        for (text, (expr, _)) in uses.into_iter().filter(|(_, (_, is_repeated))| *is_repeated) {
            this.numbers.insert(text, this.parts.len() as u32);
            this.parts.push(expr);
        }
        this
    }
}

/// Adds what is worth remembering: closed parts whose cost grows with a text, with whether each is
/// computed more than once unless it is remembered.
fn collect(expr: &Arc<Expr>, is_inside: bool, uses: &mut BTreeMap<String, (Arc<Expr>, bool)>) {
    if grows(expr) && is_closed(expr) {
        let is_list = expr.ty.base == BaseType::List;
        let entry = uses.entry(expression_text(expr));
        entry
            .and_modify(|(_, is_repeated)| *is_repeated = true)
            .or_insert_with(|| (expr.clone(), is_inside || is_list));
    }
    let is_quantifier = matches!(expr.kind, ExprKind::Quantify { .. });
    children(expr, &mut |inner| collect(inner, is_inside || is_quantifier, uses));
}

/// Whether an expression itself costs more for a longer text, and is no question that a walk answers.
fn grows(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call(builtin, arguments) => match builtin {
            Builtin::ListSize | Builtin::StartsWith | Builtin::EndsWith => false,
            // What a walk answers about a text of the request is remembered by the walk.
            Builtin::Contains => !arguments.iter().any(|part| matches!(part.kind, ExprKind::Literal(_))),
            _ => true,
        },
        ExprKind::Convert(Conversion::Int | Conversion::List(_), _) => true,
        ExprKind::Binary(op, left, right) => {
            let whole = |side: &Expr| {
                matches!(side.ty.base, BaseType::String | BaseType::List)
                    && !matches!(side.kind, ExprKind::Literal(_))
            };
            !matches!(op, crate::checked::BinaryOp::And | crate::checked::BinaryOp::Or)
                && whole(left)
                && whole(right)
        }
        // Whoever loops over what does not change, loops once.
        ExprKind::Quantify { .. } => true,
        _ => false,
    }
}

impl Emitter<'_> {
    /// The number of the memo of an expression, if it has one.
    pub(super) fn memo_of(&self, expr: &Expr) -> Option<u32> {
        if self.memos.parts.is_empty() || !grows(expr) || !is_closed(expr) {
            return None;
        }
        self.memos.numbers.get(&expression_text(expr)).copied()
    }

    /// The value of a memo.
    pub(super) fn remembered(&mut self, b: &mut Body, expr: &Expr, number: u32) -> Place {
        let (function, tally) = self.part_once(MEMO.numbered(number));
        b.call_uncounted(function);
        b.account(&tally);
        let name = |part: &str| format!("memo {number} {part}");
        let optional = expr.ty.optional;
        let first = self.global(&name("first"), if expr.ty.base == BaseType::Int { I64 } else { I32 });
        let second = self.global(&name("second"), I32);
        match expr.ty.base {
            BaseType::Bool => Place::Bool(b.let_(first), optional.then(|| b.let_(second))),
            BaseType::Int => Place::Int(b.let_(first), optional.then(|| b.let_(second))),
            BaseType::String => {
                let bound = self.bound_of(expr);
                let size = self.size(bound);
                Place::Text(Text { at: b.let_(first), length: b.let_(second), optional, size })
            }
            BaseType::List => {
                let bound = self.bound_of(expr);
                let size = self.size(bound);
                let count_max = super::condition::list_count_max(expr);
                Place::List(List { at: b.let_(first), count: b.let_(second), optional, count_max, size })
            }
            BaseType::Ip => {
                self.sound(Err(Bug::new("no address is remembered")), Place::Bool(b.let_(0), None))
            }
        }
    }

    /// ```text
    /// memo(): compute the part, unless that has been done
    /// ```
    fn write_memo(&mut self, number: u32) -> Body {
        let mut b = Body::new(&[], &[]);
        let found = self.memos.parts.get(number as usize).cloned();
        let Some(expr) = self.sound(found.map(Some).or_bug("a memo that is asked exists"), None) else {
            return b;
        };
        let name = |part: &str| format!("memo {number} {part}");
        let known = self.flag(&name("known"), I32);
        b.if_(known, |b| b.return_());
        b.set_global(known, 1);
        let first = self.global(&name("first"), if expr.ty.base == BaseType::Int { I64 } else { I32 });
        let second = self.global(&name("second"), I32);
        match self.computed(&mut b, &expr, &mut Bound::new()) {
            Place::Bool(value, present) | Place::Int(value, present) => {
                b.set_global(first, value);
                b.set_global(second, present.map_or(Value::from(1), Value::from));
            }
            Place::Text(text) => {
                b.set_global(first, text.at);
                b.set_global(second, text.length);
            }
            Place::List(list) => {
                b.set_global(first, list.at);
                b.set_global(second, list.count);
            }
            Place::Ip(..) => self.sound(Err(Bug::new("no address is remembered")), ()),
        }
        b
    }

    /// How long a closed text can be, or the texts of a list together.
    pub(super) fn bound_of(&mut self, expr: &Expr) -> Linear {
        match &expr.kind {
            ExprKind::Literal(crate::checked::Value::String(text)) => Linear::constant(text.len() as u64),
            ExprKind::Literal(crate::checked::Value::List(texts)) => {
                Linear::constant(texts.iter().map(|text| text.len() as u64).sum())
            }
            ExprKind::Attribute(attribute) => self.bound_of_attribute(attribute),
            ExprKind::Conditional(_, yes, no) => {
                let mut bound = self.bound_of(yes);
                let other = self.bound_of(no);
                bound.join(&other);
                bound
            }
            ExprKind::Convert(_, inner) | ExprKind::Kept(_, inner) => self.bound_of(inner),
            ExprKind::Call(_, arguments) => match arguments.first() {
                Some(text) => self.bound_of(text),
                None => Linear::default(),
            },
            _ => Linear::default(),
        }
    }
}
