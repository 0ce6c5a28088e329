//! Conditions: expressions as code.
//!
//! A value lies in local variables. What can be absent has a variable that says whether it is
//! there; of texts and lists that is the address, which is 0 when absent.

mod call;
mod operator;
mod place;

pub(super) use place::{List, Place, Text, empty_place, presence};

use super::answer::{decision_text, rule_text};
use super::code::{Body, I32, I64, Local, Operand, Value};
use super::cost::{Linear, Source, Tally};
use super::emitter::{Emitter, SizeId};
use super::entry::MALLOC;
use super::memory::SLOT_LENGTH;
use super::path::PATH_SEGMENT;
use super::query::{HOST, SCAN_QUERY, SIZE};
use super::source::{ADDRESS, ADDRESS_BYTES_MAX, MTLS, PRINCIPAL, PROPERTY_BYTES_MAX, PROTOCOL, SERVICE};
use super::strings::ELEMENT_BYTES;
use crate::bug::{Bug, OrBug as _};
use crate::checked::Value as Constant;
use crate::checked::{Attribute, BinaryOp, Conversion, Expr, ExprKind, Quantifier, UnaryOp};
use crate::literals::header_of;
use crate::response::{ANSWER_TEXT_BYTES_MAX, FLAGS};
use operator::{contains_ip, halves};
use place::{assign, global_text};
use std::collections::BTreeMap;

/// The most bytes of a rule's id: two names and a slash.
const RULE_BYTES_MAX: u64 = 2 * 128 + 1;

/// Texts that quantifiers have bound.
pub(super) type Bound = BTreeMap<u32, Text>;

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
                let size = self.size_of_path();
                let size = self.size(size);
                let slot = self.path_slot();
                let at = b.let_(Value::from(0).load32(slot));
                let end = self.path_end();
                let length = b.let_(Value::from(end) - at);
                Text { at, length, optional: false, size }
            }
            Attribute::Host => {
                let size = self.header_size(":authority");
                b.call_over(self.part(HOST), &[], &[], self.sized(size));
                let text = self.host_text();
                global_text(b, text, false, size)
            }
            Attribute::Protocol => {
                b.call(self.part(PROTOCOL), &[], &[]);
                let text = self.protocol();
                let size = self.size(Linear::constant(PROPERTY_BYTES_MAX.into()));
                global_text(b, text, false, size)
            }
            Attribute::Query(name) => {
                let (scan, tally) = self.part_once(SCAN_QUERY);
                b.call_uncounted(scan);
                b.account(&tally);
                let found = self.layout.query_slots.get(name).copied();
                let slot = self.sound(found.or_bug("a parameter that is asked for has a slot"), 0);
                let at = b.let_(Value::from(0).load32(slot));
                let length = b.let_(Value::from(0).load32(slot + SLOT_LENGTH));
                let size = self.size_of_query();
                Text { at, length, optional: true, size: self.size(size) }
            }
            Attribute::SourcePrincipal => {
                b.call(self.part(PRINCIPAL), &[], &[]);
                let text = self.principal();
                let size = self.size(Linear::constant(PROPERTY_BYTES_MAX.into()));
                global_text(b, text, true, size)
            }
            Attribute::PathSegment(number) => {
                let size = self.size_of_path();
                let size = self.size(size);
                let text = Text { at: b.local(I32), length: b.local(I32), optional, size };
                let segment = self.part(PATH_SEGMENT);
                let number = i32::from(*number).into();
                b.call_over(segment, &[number], &[text.at, text.length], self.sized(size));
                text
            }
            Attribute::SourceNamespace => {
                let size = self.size(Linear::constant(PROPERTY_BYTES_MAX.into()));
                let text = Text { at: b.let_(0), length: b.let_(0), optional, size };
                let (service, namespace) = (self.part(SERVICE), self.namespace());
                b.if_(Value::call_over(service, &[], I32, self.sized(size)), |b| {
                    b.set(text.at, namespace.at);
                    b.set(text.length, namespace.length);
                });
                text
            }
            Attribute::SourceService => self.service_text(b),
            Attribute::Decision | Attribute::Rule => {
                let said = self.said();
                let record = b.let_(said);
                let (at, length) = match attribute {
                    Attribute::Rule => rule_text(record),
                    _ => decision_text(record),
                };
                let size = self.size(Linear::constant(RULE_BYTES_MAX));
                Text { at: b.let_(at), length: b.let_(length), optional: false, size }
            }
            Attribute::TargetService
            | Attribute::TargetNamespace
            | Attribute::TargetLabel(_)
            | Attribute::Port
            | Attribute::Size
            | Attribute::SourceIp
            | Attribute::SourcePort
            | Attribute::SourceMtls
            | Attribute::ResponseCode
            | Attribute::ResponseDuration
            | Attribute::ResponseSize
            | Attribute::ResponseFlags
            | Attribute::UpstreamAttempts => self.absent_text(b),
            Attribute::ResponseHeader(_) | Attribute::UpstreamAddress | Attribute::UpstreamFailure => {
                self.answer_text(b, attribute)
            }
        }
    }

    /// How long the text of an attribute can be.
    pub(super) fn bound_of_attribute(&mut self, attribute: &Attribute) -> Linear {
        match attribute {
            Attribute::Path | Attribute::PathSegment(_) => self.size_of_path(),
            Attribute::Query(_) => self.size_of_query(),
            Attribute::Protocol
            | Attribute::SourceService
            | Attribute::SourceNamespace
            | Attribute::SourcePrincipal => Linear::constant(PROPERTY_BYTES_MAX.into()),
            Attribute::ResponseHeader(_) | Attribute::UpstreamAddress | Attribute::UpstreamFailure => {
                Linear::constant(ANSWER_TEXT_BYTES_MAX as u64)
            }
            Attribute::Decision | Attribute::Rule => Linear::constant(RULE_BYTES_MAX),
            Attribute::Host => self.size_of_header(":authority"),
            Attribute::Method => self.size_of_header(":method"),
            // A pseudo-header that no client can send as a header.
            Attribute::Header(name) if name.starts_with(':') => Linear::default(),
            _ => match header_of(attribute) {
                Some(name) => self.size_of_header(&name),
                None => Linear::default(),
            },
        }
    }

    /// A text that is never there.
    fn absent_text(&mut self, b: &mut Body) -> Text {
        Text { at: b.let_(0), length: b.let_(0), optional: true, size: self.size(Linear::default()) }
    }

    /// The size of what a header holds.
    fn header_size(&mut self, name: &str) -> SizeId {
        let size = self.size_of_header(name);
        self.size(size)
    }

    fn slot_text(&mut self, b: &mut Body, name: &str, optional: bool) -> Text {
        let slot = self.slot(name);
        let at = b.let_(Value::from(0).load32(slot));
        let length = b.let_(Value::from(0).load32(slot + 4));
        Text { at, length, optional, size: self.header_size(name) }
    }

    /// `namespace/name` of the caller, put together in the arena.
    fn service_text(&mut self, b: &mut Body) -> Text {
        let (service, malloc) = (self.part(SERVICE), self.part(MALLOC));
        let (namespace, name) = (self.namespace(), self.service_name());
        let size = self.size(Linear::constant(PROPERTY_BYTES_MAX.into()));
        let text = Text { at: b.let_(0), length: b.let_(0), optional: true, size };
        b.account(&Tally::steps(PROPERTY_BYTES_MAX.into()));
        b.if_(Value::call_over(service, &[], I32, self.sized(size)), |b| {
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

    /// Where the value of an expression lies.
    pub(super) fn value(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> Place {
        match self.memo_of(expr) {
            Some(memo) => self.remembered(b, expr, memo),
            None => self.computed(b, expr, bound),
        }
    }

    /// The text that an expression of that type is.
    pub(super) fn text_of(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> Text {
        match self.value(b, expr, bound) {
            Place::Text(text) => text,
            _ => {
                let stand_in = self.absent_text(b);
                self.sound(Err(Bug::new("what is asked about is a text")), stand_in)
            }
        }
    }

    /// The value of an expression, computed here.
    pub(super) fn computed(&mut self, b: &mut Body, expr: &Expr, bound: &mut Bound) -> Place {
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
            ExprKind::Conditional(test, yes, no) => self.conditional(b, (test, yes, no), expr, bound),
            ExprKind::Call(builtin, arguments) => {
                if let Some(answer) = self.walk_answer(b, expr, bound) {
                    return Place::Bool(answer, None);
                }
                let arguments: Vec<Place> =
                    arguments.iter().map(|argument| self.value(b, argument, bound)).collect();
                self.call(b, *builtin, &arguments)
            }
            ExprKind::Matches(..) => {
                let answer = self.walk_answer(b, expr, bound).or_bug("a pattern is a question for a walk");
                let stand_in = b.let_(0);
                Place::Bool(self.sound(answer, stand_in), None)
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
                None => Place::Text(self.absent_text(b)),
            },
            ExprKind::Kept(number, value) => self.kept_value(b, *number, value),
        }
    }

    fn constant(&mut self, b: &mut Body, constant: &Constant) -> Place {
        match constant {
            Constant::Bool(value) => Place::Bool(b.let_(i32::from(*value)), None),
            Constant::Int(value) => Place::Int(b.let_(*value), None),
            Constant::String(text) => {
                let (at, length) = self.string(text.as_bytes());
                let size = self.size(Linear::constant(length.into()));
                Place::Text(Text { at: b.let_(at), length: b.let_(length), optional: false, size })
            }
            Constant::Ip(address) => {
                let (high, low) = halves(*address);
                Place::Ip(b.let_(high), b.let_(low))
            }
            Constant::List(elements) => {
                let mut bytes = Vec::new();
                let size = elements.iter().map(|element| element.len() as u64).sum();
                for element in elements {
                    let (at, length) = self.string(element.as_bytes());
                    bytes.extend(at.to_le_bytes());
                    bytes.extend(length.to_le_bytes());
                }
                let count_max = self.number(elements.len());
                Place::List(List {
                    at: b.let_(self.data.table(&bytes)),
                    count: b.let_(count_max),
                    optional: false,
                    count_max,
                    size: self.size(Linear::constant(size)),
                })
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
                self.read_address(b);
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
                self.read_address(b);
                let port = self.port();
                Place::Int(b.let_(Value::from(port).extend()), None)
            }
            Attribute::SourceMtls => {
                let mtls = self.part(MTLS);
                Place::Bool(b.let_(Value::call(mtls, &[], I32)), None)
            }
            Attribute::ResponseCode | Attribute::ResponseSize | Attribute::UpstreamAttempts => {
                Place::Int(self.number_property(b, attribute), None)
            }
            Attribute::ResponseFlags => Place::List(self.flags_of_answer(b)),
            Attribute::ResponseDuration => {
                let duration_ns = self.number_property(b, attribute);
                Place::Int(b.let_(duration_ns.div_s(1_000_000_i64)), None)
            }
            // No header that a client sends has such a name.
            Attribute::Header(name) if name.starts_with(':') => Place::Text(self.absent_text(b)),
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
        whole: &Expr,
        bound: &mut Bound,
    ) -> Place {
        let (test, yes, no) = parts;
        let size = self.size(Linear::default());
        let result = empty_place(b, whole.ty, size, list_count_max(whole));
        let holds = self.holds(b, test, bound);
        // Both branches are written by this function, one after the other.
        let is_no = b.let_(holds.eqz());
        b.if_(holds, |b| {
            let value = self.value(b, yes, bound);
            self.widen_to(size, value);
            assign(b, result, value);
        });
        b.if_(is_no, |b| {
            let value = self.value(b, no, bound);
            self.widen_to(size, value);
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
        let Place::List(elements) = list else { return Place::Bool(b.let_(0), None) };
        let there = presence(b, list);
        let (at, found) = (b.let_(0), b.let_(0));
        let size = self.size(Linear::of(Source::Variable(variable)));
        let element = Text { at: b.local(I32), length: b.local(I32), optional: false, size };
        bound.insert(variable, element);
        let all = self.sized(elements.size);
        b.while_elements((elements.count_max.into(), variable, &all), at.lt_u(elements.count), |b, out| {
            b.set(element.at, (elements.at + at * ELEMENT_BYTES).load32(0));
            b.set(element.length, (elements.at + at * ELEMENT_BYTES).load32(4));
            let holds = self.holds(b, body, bound);
            // What is counted decides as soon as there is one of it, or two.
            b.set(found, if quantifier == Quantifier::All { found + holds.eqz() } else { found + holds });
            let enough = if quantifier == Quantifier::ExistsOne { 1 } else { 0 };
            b.br_if(out, found.gt_u(enough));
            b.set(at, at + 1);
        });
        bound.remove(&variable);
        let answer = match quantifier {
            Quantifier::Exists => found.ne(0),
            Quantifier::All => found.eqz(),
            Quantifier::ExistsOne => found.eq(1),
        };
        Place::Bool(b.let_(answer & there), None)
    }

    /// Makes a size at least that of a value.
    fn widen_to(&mut self, size: SizeId, value: Place) {
        match value {
            Place::Text(text) => self.widen(size, text.size),
            Place::List(list) => self.widen(size, list.size),
            Place::Bool(..) | Place::Int(..) | Place::Ip(..) => {}
        }
    }

    /// Reads the caller's address once a request.
    fn read_address(&mut self, b: &mut Body) {
        let address = self.part(ADDRESS);
        b.call_over(address, &[], &[], Linear::constant(ADDRESS_BYTES_MAX.into()));
    }
}

/// The most elements that a list can have.
pub(super) fn list_count_max(expr: &Expr) -> u32 {
    match &expr.kind {
        ExprKind::Literal(Constant::List(elements)) => elements.len() as u32,
        ExprKind::Convert(Conversion::List(elements_max), _) => *elements_max,
        ExprKind::Attribute(Attribute::ResponseFlags) => FLAGS.len() as u32,
        ExprKind::Conditional(_, yes, no) => list_count_max(yes).max(list_count_max(no)),
        _ => 0,
    }
}
