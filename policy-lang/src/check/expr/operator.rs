//! Operators: `!` `-` `*` `/` `%` `+` comparisons `in` `&&` `||` `?:`.

use super::super::errors::expression as errors;
use super::super::errors::later;
use super::super::header_name::{HeaderName, header_name};
use super::{Checker, Typed, unparenthesised};
use crate::budget::Work;
use crate::checked::{Attribute, BaseType, BinaryOp, ExprKind, Type, UnaryOp, Value};
use crate::lex::literal::is_least_without_sign;
use crate::source::Span;
use crate::syntax::ast::{self, AstNode, BinaryOperator, UnaryOperator};

impl Checker<'_> {
    pub(super) fn unary(&mut self, node: &ast::UnaryExpr) -> Option<Typed> {
        let (operator, operand_node) = (node.operator()?, node.operand()?);
        if let (UnaryOperator::Negate, ast::Expr::Literal(literal)) = (operator, &operand_node)
            && literal.token().is_some_and(|token| is_least_without_sign(token.text()))
        {
            return Some(Typed::literal(Value::Int(i64::MIN), self.tree.span(node.range())));
        }
        let operand = self.expr(&operand_node)?;
        let (op, base, sign) = match operator {
            UnaryOperator::Not => (UnaryOp::Not, BaseType::Bool, "!"),
            UnaryOperator::Negate => (UnaryOp::Negate, BaseType::Int, "-"),
        };
        if operand.base() != base {
            let place = self.span(&operand_node);
            return self.fail(errors::operand(place, sign, base, operand.expr.ty));
        }
        Typed::unary(op, operand, self.tree.span(node.range()), self.reporter())
    }

    pub(super) fn binary(&mut self, node: &ast::BinaryExpr) -> Option<Typed> {
        let (operator, left, right) = (node.operator()?, node.left()?, node.right()?);
        let span = self.span(node);
        let op = match operator {
            BinaryOperator::And => BinaryOp::And,
            BinaryOperator::Or => BinaryOp::Or,
            BinaryOperator::Equal => BinaryOp::Equal,
            BinaryOperator::NotEqual => BinaryOp::NotEqual,
            BinaryOperator::Less => BinaryOp::Less,
            BinaryOperator::LessOrEqual => BinaryOp::LessOrEqual,
            BinaryOperator::Greater => BinaryOp::Greater,
            BinaryOperator::GreaterOrEqual => BinaryOp::GreaterOrEqual,
            BinaryOperator::In => return self.is_in(&left, &right, span),
            BinaryOperator::Add => BinaryOp::Add,
            BinaryOperator::Subtract => BinaryOp::Subtract,
            BinaryOperator::Multiply => BinaryOp::Multiply,
            BinaryOperator::Divide => BinaryOp::Divide,
            BinaryOperator::Remainder => BinaryOp::Remainder,
        };
        let sign = node.operator_token().map(|token| token.text().to_owned()).unwrap_or_default();
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            return self.logic(node, operator, op, &sign);
        }
        // Both sides are checked even if one is wrong, so that each error is found.
        let (left_typed, right_typed) = (self.expr(&left), self.expr(&right));
        let (left_typed, right_typed) = (left_typed?, right_typed?);
        match op {
            BinaryOp::Add => {
                if let Some(joined) = self.joined_strings(&left_typed, &right_typed, span) {
                    return joined;
                }
                self.both_are(BaseType::Int, &sign, &left_typed, &right_typed)?;
            }
            BinaryOp::Subtract | BinaryOp::Multiply => {
                self.both_are(BaseType::Int, &sign, &left_typed, &right_typed)?;
            }
            BinaryOp::Divide | BinaryOp::Remainder => {
                self.both_are(BaseType::Int, &sign, &left_typed, &right_typed)?;
                if !matches!(right_typed.constant(), Some(Value::Int(divisor)) if *divisor != 0) {
                    return self.fail(errors::divisor(right_typed.expr.span));
                }
            }
            _ => self.comparable(op, &sign, &left_typed, &right_typed, span)?,
        }
        Typed::binary(op, left_typed, right_typed, span, self.reporter())
    }

    /// `a && b && …` or `a || b || …`: the operands of the whole chain, which may be long.
    fn logic(
        &mut self,
        node: &ast::BinaryExpr,
        operator: BinaryOperator,
        op: BinaryOp,
        sign: &str,
    ) -> Option<Typed> {
        let mut operands = Vec::new();
        let mut rest = ast::Expr::Binary(node.clone());
        while let ast::Expr::Binary(inner) = &rest
            && inner.operator() == Some(operator)
        {
            operands.push(inner.right()?);
            rest = inner.left()?;
        }
        operands.push(rest);
        let mut typed = Vec::new();
        let mut all_right = true;
        // They were found from the right.
        for operand in operands.iter().rev() {
            match self.expr(operand) {
                Some(found) if found.base() == BaseType::Bool => typed.push(found),
                Some(found) => {
                    self.diagnostics.push(errors::operand(
                        found.expr.span,
                        sign,
                        BaseType::Bool,
                        found.expr.ty,
                    ));
                    all_right = false;
                }
                None => all_right = false,
            }
        }
        if all_right { self.chain(op, typed) } else { None }
    }

    /// Operands joined by `&&` or `||`, as a tree of little depth. `None` also for no operands.
    fn chain(&mut self, op: BinaryOp, mut operands: Vec<Typed>) -> Option<Typed> {
        while operands.len() > 1 {
            let mut joined = Vec::with_capacity(operands.len().div_ceil(2));
            let mut waiting = operands.into_iter();
            while let Some(left) = waiting.next() {
                joined.push(match waiting.next() {
                    Some(right) => {
                        let span = left.expr.span.to(right.expr.span);
                        Typed::binary(op, left, right, span, self.reporter())?
                    }
                    None => left,
                });
            }
            operands = joined;
        }
        operands.pop()
    }

    fn both_are(&mut self, base: BaseType, sign: &str, left: &Typed, right: &Typed) -> Option<()> {
        for side in [left, right] {
            if side.base() != base {
                return self.fail(errors::operand(side.expr.span, sign, base, side.expr.ty));
            }
        }
        Some(())
    }

    /// `"a" + "b"` of constants is one; of others it is not supported. `None` if it is about ints.
    fn joined_strings(&mut self, left: &Typed, right: &Typed, span: Span) -> Option<Option<Typed>> {
        if left.base() != BaseType::String || right.base() != BaseType::String {
            return None;
        }
        Some(match (left.constant(), right.constant()) {
            (Some(Value::String(left)), Some(Value::String(right))) => {
                // Names for such sums can double at each step.
                let bytes = (left.len() + right.len()) as u64;
                let spent =
                    self.scope.session.spend(Work::FoldingSteps, 1 + bytes / 8, span, self.diagnostics);
                spent.map(|()| Typed::literal(Value::String(format!("{left}{right}").into()), span))
            }
            _ => self.fail(later::expression(span, "joining strings that are not constant")),
        })
    }

    /// Whether two values can be compared: one type, and an order only of ints and strings.
    fn comparable(
        &mut self,
        op: BinaryOp,
        sign: &str,
        left: &Typed,
        right: &Typed,
        span: Span,
    ) -> Option<()> {
        if left.base() != right.base() {
            return self.fail(errors::unlike(span, left, right));
        }
        let is_equality = matches!(op, BinaryOp::Equal | BinaryOp::NotEqual);
        match left.base() {
            BaseType::Int | BaseType::String => {}
            BaseType::Bool | BaseType::Ip if is_equality => {}
            BaseType::List => return self.fail(errors::list_comparison(span)),
            base => return self.fail(errors::no_order(span, sign, base)),
        }
        self.judge_comparison(op, left, right, span);
        Some(())
    }

    /// `x in list`, `x in [a, b]`, and `"x" in headers`.
    fn is_in(&mut self, left: &ast::Expr, right: &ast::Expr, span: Span) -> Option<Typed> {
        let right = unparenthesised(right);
        if let ast::Expr::Name(name) = &right
            && let Some(token) = name.name()
            && self.is_root(token.text())
        {
            return self.is_in_map(left, token.text(), span);
        }
        let left_typed = self.expr(left);
        if let ast::Expr::List(list) = &right {
            let elements: Vec<Option<Typed>> = list.elements().map(|element| self.expr(&element)).collect();
            let elements = elements.into_iter().collect::<Option<Vec<_>>>()?;
            return self.is_one_of(left_typed?, elements, self.span(&right), span);
        }
        let right_typed = self.expr(&right);
        let (left_typed, right_typed) = (left_typed?, right_typed?);
        if right_typed.base() != BaseType::List {
            return self.fail(errors::not_a_list(right_typed.expr.span, right_typed.expr.ty));
        }
        if left_typed.base() != BaseType::String {
            return self.fail(errors::operand(
                left_typed.expr.span,
                "in",
                BaseType::String,
                left_typed.expr.ty,
            ));
        }
        self.judge_element(&left_typed, &right_typed, span);
        Typed::binary(BinaryOp::In, left_typed, right_typed, span, self.reporter())
    }

    /// Membership of a written list: of constant strings as a list, of others as comparisons.
    fn is_one_of(&mut self, left: Typed, elements: Vec<Typed>, list_span: Span, span: Span) -> Option<Typed> {
        if left.base() == BaseType::List {
            return self.fail(errors::list_comparison(span));
        }
        for element in &elements {
            if element.base() != left.base() {
                return self.fail(errors::unlike(element.expr.span, &left, element));
            }
            self.judge_equality(&left, element, element.expr.span);
        }
        let strings = elements.iter().map(|element| match element.constant() {
            Some(Value::String(value)) => Some(value.clone()),
            _ => None,
        });
        if let (BaseType::String, Some(strings)) = (left.base(), strings.collect::<Option<Vec<_>>>()) {
            let list = Typed::literal(Value::List(strings), list_span);
            return Typed::binary(BinaryOp::In, left, list, span, self.reporter());
        }
        if elements.is_empty() {
            return Some(Typed::literal(Value::Bool(false), span));
        }
        let mut equalities = Vec::with_capacity(elements.len());
        for element in elements {
            equalities.push(Typed::binary(BinaryOp::Equal, left.clone(), element, span, self.reporter())?);
        }
        self.chain(BinaryOp::Or, equalities)
    }

    /// `"x" in headers` and `"x" in query`: whether it is there.
    fn is_in_map(&mut self, left: &ast::Expr, map: &str, span: Span) -> Option<Typed> {
        if map == "cookies" {
            return self.fail(later::expression(span, "`cookies`"));
        }
        if !matches!(map, "headers" | "query") {
            return self.fail(errors::root_alone(span, map));
        }
        let key = self.expr(left)?;
        let Some(Value::String(name)) = key.constant() else {
            return self.fail(errors::name_not_constant(key.expr.span, map));
        };
        let attribute = match map {
            "query" => Attribute::Query(name.clone()),
            _ => match header_name(name) {
                HeaderName::Plain(lower) => Attribute::Header(lower.into()),
                HeaderName::Attribute(attribute) => {
                    return self.fail(super::super::errors::header_is_attribute(
                        key.expr.span,
                        name,
                        attribute,
                    ));
                }
                HeaderName::TakenAway => {
                    return self.fail(super::super::errors::header_taken_away(key.expr.span, name));
                }
                HeaderName::Bad => {
                    return self.fail(super::super::errors::bad_header_name(key.expr.span, name));
                }
            },
        };
        let ty = Type { base: BaseType::String, optional: true };
        let value = self.build(ExprKind::Attribute(attribute), ty, span, &[])?;
        self.build(ExprKind::Has(value.expr.clone()), super::present(BaseType::Bool), span, &[&value])
    }

    pub(super) fn conditional(&mut self, node: &ast::ConditionalExpr) -> Option<Typed> {
        let span = self.span(node);
        let condition_node = node.condition()?;
        let (condition, then, otherwise) =
            (self.expr(&condition_node), self.expr(&node.then()?), self.expr(&node.otherwise()?));
        let (condition, then, otherwise) = (condition?, then?, otherwise?);
        if condition.base() != BaseType::Bool {
            return self.fail(errors::not_a_condition(condition.expr.span, condition.expr.ty));
        }
        if then.base() != otherwise.base() {
            return self.fail(errors::branches(span, &then, &otherwise));
        }
        let ty = Type { base: then.base(), optional: then.is_optional() || otherwise.is_optional() };
        let kind = ExprKind::Conditional(condition.expr.clone(), then.expr.clone(), otherwise.expr.clone());
        self.build(kind, ty, span, &[&condition, &then, &otherwise])
    }
}
