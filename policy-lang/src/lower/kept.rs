//! What questions about an answer ask of the request: it is kept when the request is decided, for by the time of the
//! answer the request is out of sight.
//!
//! Of an expression that asks about both the largest parts are kept that ask about the request alone and have one value:
//! `response.code >= 500 && request.path == "/a" || …` keeps a bool. Of a list the text is kept from which it is
//! made, and of what is said of each element of a list what does not depend on the element.

use crate::bug::{Bug, number};
use crate::checked::{BaseType, Expr, ExprKind};
use crate::literals::{expression_text, is_closed, is_of_answer, is_of_target};
use crate::plan::Kept;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Collects what is kept, each value once.
pub(super) struct Keeping {
    kept: Kept,
    /// By normal form.
    numbers: BTreeMap<String, u32>,
    bug: Option<Bug>,
}

/// An expression in the making, and what it asks about.
struct Asked {
    expr: Arc<Expr>,
    /// Whether it asks about the request, and not about the answer: what is kept in it is not asked any more.
    request: bool,
    answer: bool,
    /// The outermost variable in it that something around it binds.
    free: Option<u32>,
}

impl Keeping {
    /// Nothing yet; the first value has this number.
    pub(super) fn from(first: u32) -> Self {
        Self { kept: Kept { first, values: Vec::new() }, numbers: BTreeMap::new(), bug: None }
    }

    /// What is kept.
    pub(super) fn finish(self) -> Result<Kept, Bug> {
        self.bug.map_or(Ok(self.kept), Err)
    }

    /// An expression that is asked when there is an answer, with what is kept in the place of what asks about the
    /// request.
    pub(super) fn late(&mut self, expr: &Arc<Expr>) -> Arc<Expr> {
        let asked = self.asked(expr);
        if asked.request { self.apart(&asked.expr) } else { asked.expr }
    }

    fn asked(&mut self, expr: &Arc<Expr>) -> Asked {
        let asked = |request, answer, free| Asked { expr: expr.clone(), request, answer, free };
        match &expr.kind {
            ExprKind::Attribute(attribute) if is_of_answer(attribute) => return asked(false, true, None),
            ExprKind::Attribute(attribute) => return asked(!is_of_target(attribute), false, None),
            ExprKind::Variable(number) => return asked(false, false, Some(*number)),
            _ => {}
        }
        let bound = match &expr.kind {
            ExprKind::Quantify { variable, .. } => Some(*variable),
            _ => None,
        };
        let parts: Vec<Asked> = expr.parts().into_iter().map(|part| self.asked(part)).collect();
        let free = parts.iter().filter_map(|part| part.free).filter(|free| Some(*free) != bound).min();
        let (request, answer) = (parts.iter().any(|part| part.request), parts.iter().any(|part| part.answer));
        let is_of_both = request && answer;
        let mut parts = parts.into_iter();
        let expr = expr.with_parts(&mut |whole| match parts.next() {
            Some(part) if is_of_both && part.request => self.apart(&part.expr),
            Some(part) => part.expr,
            None => whole.clone(),
        });
        Asked { expr, request: request && !answer, answer, free }
    }

    /// What asks about the request alone: kept, or made of what is.
    fn apart(&mut self, expr: &Arc<Expr>) -> Arc<Expr> {
        let asks_nothing = match &expr.kind {
            ExprKind::Literal(_) | ExprKind::Variable(_) => true,
            ExprKind::Attribute(attribute) => is_of_target(attribute),
            _ => false,
        };
        if asks_nothing {
            expr.clone()
        } else if expr.ty.base == BaseType::List || !is_closed(expr) {
            expr.with_parts(&mut |part| self.apart(part))
        } else {
            let kind = ExprKind::Kept(self.number_of(expr), expr.clone());
            Arc::new(Expr { kind, ty: expr.ty, span: expr.span })
        }
    }

    fn number_of(&mut self, expr: &Arc<Expr>) -> u32 {
        let text = expression_text(expr);
        if let Some(known) = self.numbers.get(&text) {
            return *known;
        }
        let place = number(self.kept.values.len()).unwrap_or_else(|bug| {
            self.bug = Some(bug);
            0
        });
        let fresh = self.kept.first.saturating_add(place);
        self.kept.values.push(expr.clone());
        self.numbers.insert(text, fresh);
        fresh
    }
}
