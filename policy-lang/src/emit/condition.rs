//! Conditions: expressions as code.
//!
//! A value lies in local variables. What can be absent has a variable that says whether it is
//! there; of texts and lists that is the address, which is 0 when absent.

mod call;
mod operator;
mod place;

pub(super) use super::entry::MALLOC;
use super::path::PATH_SEGMENT;
use super::query::{HOST, SIZE};
use super::source::{ADDRESS, MTLS, PRINCIPAL, PROTOCOL, SERVICE};
use place::Text;

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::emitter::Emitter;
use super::strings::ELEMENT_BYTES;
use crate::checked::Value as Constant;
use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, Quantifier, Type, UnaryOp};
use operator::{contains_ip, halves};
use place::{Place, assign, empty_place, global_text, presence};
use std::collections::BTreeMap;

/// Texts that quantifiers have bound.
type Bound = BTreeMap<u32, Text>;

impl Emitter<'_> {
    /// Leaves on the stack whether a condition holds.
    pub(super) fn condition(&mut self, b: &mut Body, expr: &Expr) {
        let holds = self.holds(b, expr, &mut Bound::new());
        b.push(holds);
    }

    /// The text of an attribute that is one.
    pub(super) fn text(&mut self, b: &mut Body, attribute: &Attribute) -> Text {
        let optional = true;
        match attribute {
            Attribute::Header(name) => {
                // The method is classified as a header, and is never absent.
                let optional = !name.starts_with(':');
                self.slot_text(b, name, optional)
            }
            Attribute::Id => self.slot_text(b, "x-request-id", true),
            Attribute::Method => self.slot_text(b, ":method", false),
            Attribute::Scheme => self.slot_text(b, ":scheme", false),
            Attribute::Path => {
                let slot = self.path_slot();
                let at = b.let_(Value::from(0).load32(slot));
                let end = self.path_end();
                let length = b.let_(Value::from(end) - at);
                Text { at, length, optional: false }
            }
            Attribute::Host => {
                b.call(self.part(HOST), &[], &[]);
                let text = self.host_text();
                global_text(b, text, false)
            }
            Attribute::Protocol => {
                b.call(self.part(PROTOCOL), &[], &[]);
                let text = self.protocol();
                global_text(b, text, false)
            }
            Attribute::Query(name) => {
                let find = self.query_function(name);
                b.call(find, &[], &[]);
                let text = self.query(name);
                global_text(b, text, true)
            }
            Attribute::SourcePrincipal => {
                b.call(self.part(PRINCIPAL), &[], &[]);
                let text = self.principal();
                global_text(b, text, true)
            }
            Attribute::PathSegment(number) => {
                let text = Text { at: b.local(I32), length: b.local(I32), optional };
                let segment = self.part(PATH_SEGMENT);
                b.call(segment, &[i32::from(*number).into()], &[text.at, text.length]);
                text
            }
            Attribute::SourceNamespace => {
                let text = Text { at: b.let_(0), length: b.let_(0), optional };
                let (service, namespace) = (self.part(SERVICE), self.namespace());
                b.if_(Value::call(service, &[], I32), |b| {
                    b.set(text.at, namespace.at);
                    b.set(text.length, namespace.length);
                });
                text
            }
            Attribute::SourceService => self.service_text(b),
            Attribute::TargetService
            | Attribute::TargetNamespace
            | Attribute::TargetLabel(_)
            | Attribute::Port
            | Attribute::Size
            | Attribute::SourceIp
            | Attribute::SourcePort
            | Attribute::SourceMtls => Text { at: b.let_(0), length: b.let_(0), optional },
        }
    }

    fn slot_text(&mut self, b: &mut Body, name: &str, optional: bool) -> Text {
        let slot = self.slot(name);
        let at = b.let_(Value::from(0).load32(slot));
        let length = b.let_(Value::from(0).load32(slot + 4));
        Text { at, length, optional }
    }

    /// `namespace/name` of the caller, put together in the arena.
    fn service_text(&mut self, b: &mut Body) -> Text {
        let (service, malloc) = (self.part(SERVICE), self.part(MALLOC));
        let (namespace, name) = (self.namespace(), self.service_name());
        let text = Text { at: b.let_(0), length: b.let_(0), optional: true };
        b.if_(Value::call(service, &[], I32), |b| {
            b.set(text.length, Value::from(namespace.length) + name.length + 1);
            b.set(text.at, Value::call(malloc, &[text.length.into()], I32));
            b.if_(text.at, |b| {
                let slash = text.at + namespace.length;
                b.copy(text.at, namespace.at, namespace.length);
                b.store8(slash.clone(), 0, i32::from(b'/'));
                b.copy(slash + 1, name.at, name.length);
            });
        });
        text
    }

    /// Whether a bool is there and true.
    fn holds(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> Local {
        match self.value(b, expr, bound) {
            Place::Bool(value, None) => value,
            Place::Bool(value, Some(present)) => b.let_(value & present),
            _ => b.let_(0),
        }
    }

    fn value(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> Place {
        match &expr.kind {
            ExprKind::Literal(constant) => self.constant(b, constant),
            ExprKind::Attribute(attribute) => self.attribute(b, attribute),
            ExprKind::Unary(UnaryOp::Not, operand) => {
                let holds = self.holds(b, operand, bound);
                Place::Bool(b.let_(holds.eqz()), None)
            }
            ExprKind::Unary(UnaryOp::Negate, operand) => {
                let (value, present) = self.int(b, operand, bound);
                let zero = b.let_(0_i64);
                Place::Int(self.arithmetic(b, BinaryOp::Subtract, zero, value), present)
            }
            ExprKind::Binary(op, left, right) => self.binary(b, *op, (left, right), bound),
            ExprKind::Conditional(test, yes, no) => self.conditional(b, (test, yes, no), expr.ty, bound),
            ExprKind::Call(builtin, arguments) => {
                let arguments: Vec<Place> =
                    arguments.iter().map(|argument| self.value(b, argument, bound)).collect();
                self.call(b, *builtin, &arguments)
            }
            ExprKind::Matches(text, regex) => {
                let text = self.value(b, text, bound);
                self.matches(b, text, regex.dfa())
            }
            ExprKind::ContainsIp(net, address) => {
                let address = self.value(b, address, bound);
                contains_ip(b, *net, address)
            }
            ExprKind::Has(operand) => {
                let value = self.value(b, operand, bound);
                Place::Bool(presence(b, value), None)
            }
            ExprKind::Convert(conversion, operand) => {
                let text = self.value(b, operand, bound);
                self.convert(b, conversion, text)
            }
            ExprKind::Quantify { quantifier, variable, list, body } => {
                let list = self.value(b, list, bound);
                self.quantify(b, (*quantifier, *variable), list, body, bound)
            }
            ExprKind::Variable(number) => match bound.get(number) {
                Some(text) => Place::Text(*text),
                None => Place::Text(Text { at: b.let_(0), length: b.let_(0), optional: true }),
            },
        }
    }

    fn constant(&mut self, b: &mut Body, constant: &Constant) -> Place {
        match constant {
            Constant::Bool(value) => Place::Bool(b.let_(i32::from(*value)), None),
            Constant::Int(value) => Place::Int(b.let_(*value), None),
            Constant::String(text) => {
                let (at, length) = self.string(text.as_bytes());
                Place::Text(Text { at: b.let_(at), length: b.let_(length), optional: false })
            }
            Constant::Ip(address) => {
                let (high, low) = halves(*address);
                Place::Ip(b.let_(high), b.let_(low))
            }
            Constant::List(elements) => {
                let mut bytes = Vec::new();
                for element in elements {
                    let (at, length) = self.string(element.as_bytes());
                    bytes.extend(at.to_le_bytes());
                    bytes.extend(length.to_le_bytes());
                }
                let count = b.let_(self.number(elements.len()));
                Place::List(b.let_(self.data.table(&bytes)), count, false)
            }
        }
    }

    fn attribute(&mut self, b: &mut Body, attribute: &Attribute) -> Place {
        match attribute {
            Attribute::Size => {
                let (present, value) = (b.local(I32), b.local(I64));
                b.call(self.part(SIZE), &[], &[present, value]);
                Place::Int(value, Some(present))
            }
            Attribute::SourceIp => {
                b.call(self.part(ADDRESS), &[], &[]);
                let (high, low) = self.address();
                Place::Ip(b.let_(high), b.let_(low))
            }
            Attribute::Port => {
                // The authority was read when it was looked at for a refusal.
                let port = self.stated_port();
                let port = b.let_(port);
                let value = b.let_(port.extend());
                Place::Int(value, Some(b.let_(port.ge_s(0))))
            }
            Attribute::SourcePort => {
                b.call(self.part(ADDRESS), &[], &[]);
                let port = self.port();
                Place::Int(b.let_(Value::from(port).extend()), None)
            }
            Attribute::SourceMtls => {
                let mtls = self.part(MTLS);
                Place::Bool(b.let_(Value::call(mtls, &[], I32)), None)
            }
            // No header that a client sends has such a name.
            Attribute::Header(name) if name.starts_with(':') => {
                Place::Text(Text { at: b.let_(0), length: b.let_(0), optional: true })
            }
            _ => Place::Text(self.text(b, attribute)),
        }
    }

    fn int(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> (Local, Option<Local>) {
        match self.value(b, expr, bound) {
            Place::Int(value, present) => (value, present),
            _ => (b.let_(0_i64), Some(b.let_(0))),
        }
    }

    fn conditional(
        &mut self,
        b: &mut Body,
        parts: (&Expr, &Expr, &Expr),
        ty: Type,
        bound: &mut Bound,
    ) -> Place {
        let (test, yes, no) = parts;
        let result = empty_place(b, ty);
        let holds = self.holds(b, test, bound);
        // Both branches are written by this function, one after the other.
        let is_no = b.let_(holds.eqz());
        b.if_(holds, |b| {
            let value = self.value(b, yes, bound);
            assign(b, result, value);
        });
        b.if_(is_no, |b| {
            let value = self.value(b, no, bound);
            assign(b, result, value);
        });
        result
    }

    fn quantify(
        &mut self,
        b: &mut Body,
        (quantifier, variable): (Quantifier, u32),
        list: Place,
        body: &Expr,
        bound: &mut Bound,
    ) -> Place {
        let Place::List(elements, count, _) = list else { return Place::Bool(b.let_(0), None) };
        let there = presence(b, list);
        let (at, holding) = (b.let_(0), b.let_(0));
        let element = Text { at: b.local(I32), length: b.local(I32), optional: false };
        bound.insert(variable, element);
        b.while_(at.lt_u(count), |b, _| {
            b.set(element.at, (elements + at * ELEMENT_BYTES).load32(0));
            b.set(element.length, (elements + at * ELEMENT_BYTES).load32(4));
            let holds = self.holds(b, body, bound);
            b.set(holding, holding + holds);
            b.set(at, at + 1);
        });
        bound.remove(&variable);
        let answer = match quantifier {
            Quantifier::Exists => holding.ne(0),
            Quantifier::All => holding.eq(count),
            Quantifier::ExistsOne => holding.eq(1),
        };
        Place::Bool(b.let_(answer & there), None)
    }
}
