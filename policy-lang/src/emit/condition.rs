//! Conditions: expressions as code.
//!
//! A value lies in local variables. What can be absent has a variable that says whether it is
//! there; of texts and lists that is the address, which is 0 when absent.

use super::code::{Body, I32, I64, Local, Operand, Value};
use super::module::{Emitter, Part};
use super::source::GlobalText;
use super::strings::ELEMENT_BYTES;
use crate::checked::Value as Constant;
use crate::checked::{
    Attribute, BaseType, BinaryOp, Builtin, Conversion, Expr, ExprKind, Quantifier, Type, UnaryOp,
};
use crate::regex::Dfa;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where a text lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub(super) at: Local,
    pub(super) length: Local,
    /// Whether it can be absent; its address is 0 then.
    pub(super) optional: bool,
}

/// Where a value of an expression lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// 0 or 1, and whether it is present if it can be absent.
    Bool(Local, Option<Local>),
    Int(Local, Option<Local>),
    Text(Text),
    /// High and low half; IPv4 as `::ffff:a.b.c.d`.
    Ip(Local, Local),
    /// Address, number of elements, and whether it can be absent.
    List(Local, Local, bool),
}

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
                let at = b.let_(Value::from(0).load32(self.path_slot()));
                let end = self.path_end();
                let length = b.let_(Value::from(end) - at);
                Text { at, length, optional: false }
            }
            Attribute::Host => {
                b.call(self.part(Part::Host), &[], &[]);
                let text = self.host_text();
                global_text(b, text, false)
            }
            Attribute::Protocol => {
                b.call(self.part(Part::Protocol), &[], &[]);
                let text = self.protocol();
                global_text(b, text, false)
            }
            Attribute::Query(name) => {
                b.call(self.part(Part::Query(name.clone())), &[], &[]);
                let text = self.query(name);
                global_text(b, text, true)
            }
            Attribute::SourcePrincipal => {
                b.call(self.part(Part::Principal), &[], &[]);
                let text = self.principal();
                global_text(b, text, true)
            }
            Attribute::PathSegment(number) => {
                let text = Text { at: b.local(I32), length: b.local(I32), optional };
                let segment = self.part(Part::PathSegment);
                b.call(segment, &[i32::from(*number).into()], &[text.at, text.length]);
                text
            }
            Attribute::SourceNamespace => {
                let text = Text { at: b.let_(0), length: b.let_(0), optional };
                let (service, namespace) = (self.part(Part::Service), self.namespace());
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
            | Attribute::Size
            | Attribute::SourceIp
            | Attribute::SourcePort
            | Attribute::SourceMtls => Text { at: b.let_(0), length: b.let_(0), optional },
        }
    }

    fn slot_text(&mut self, b: &mut Body, name: &str, optional: bool) -> Text {
        let slot = self.slot(name).unwrap_or_default();
        let at = b.let_(Value::from(0).load32(slot));
        let length = b.let_(Value::from(0).load32(slot + 4));
        Text { at, length, optional }
    }

    /// `namespace/name` of the caller, put together in the arena.
    fn service_text(&mut self, b: &mut Body) -> Text {
        let (service, malloc) = (self.part(Part::Service), self.part(Part::Malloc));
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
                let at = b.let_(self.data.string(text.as_bytes()));
                let length = b.let_(u32::try_from(text.len()).unwrap_or(u32::MAX));
                Place::Text(Text { at, length, optional: false })
            }
            Constant::Ip(address) => {
                let (high, low) = halves(*address);
                Place::Ip(b.let_(high), b.let_(low))
            }
            Constant::List(elements) => {
                let mut bytes = Vec::new();
                for element in elements {
                    bytes.extend(self.data.string(element.as_bytes()).to_le_bytes());
                    bytes.extend(u32::try_from(element.len()).unwrap_or(u32::MAX).to_le_bytes());
                }
                let count = b.let_(u32::try_from(elements.len()).unwrap_or(u32::MAX));
                Place::List(b.let_(self.data.table(&bytes)), count, false)
            }
        }
    }

    fn attribute(&mut self, b: &mut Body, attribute: &Attribute) -> Place {
        match attribute {
            Attribute::Size => {
                let (present, value) = (b.local(I32), b.local(I64));
                b.call(self.part(Part::Size), &[], &[present, value]);
                Place::Int(value, Some(present))
            }
            Attribute::SourceIp => {
                b.call(self.part(Part::Address), &[], &[]);
                let (high, low) = self.address();
                Place::Ip(b.let_(high), b.let_(low))
            }
            Attribute::SourcePort => {
                b.call(self.part(Part::Address), &[], &[]);
                let port = self.port();
                Place::Int(b.let_(Value::from(port).extend()), None)
            }
            Attribute::SourceMtls => {
                let mtls = self.part(Part::Mtls);
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

    fn binary(&mut self, b: &mut Body, op: BinaryOp, sides: (&Expr, &Expr), bound: &mut Bound) -> Place {
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
    fn arithmetic(&mut self, b: &mut Body, op: BinaryOp, left: Local, right: Local) -> Local {
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
                let multiply = self.part(Part::Multiply);
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
    fn comparison(&mut self, b: &mut Body, op: BinaryOp, left: Place, right: Place) -> Place {
        let result = b.let_(0);
        let (left_there, right_there) = (presence(b, left), presence(b, right));
        b.if_(left_there & right_there, |b| match (left, right) {
            (Place::Bool(left, _), Place::Bool(right, _)) => b.set(result, left.eq(right)),
            (Place::Int(left, _), Place::Int(right, _)) => b.set(result, compared(op, left, right)),
            (Place::Ip(high, low), Place::Ip(other_high, other_low)) => {
                b.set(result, high.eq(other_high) & low.eq(other_low));
            }
            (Place::Text(left), Place::Text(right)) => self.compare_texts(b, op, left, right, result),
            (Place::List(left, count, _), Place::List(right, other_count, _)) => {
                self.equal_lists(b, (left, count), (right, other_count), result);
            }
            _ => {}
        });
        if op == BinaryOp::NotEqual {
            b.set(result, result.eqz());
        }
        Place::Bool(result, None)
    }

    fn compare_texts(&mut self, b: &mut Body, op: BinaryOp, left: Text, right: Text, result: Local) {
        if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) {
            let equal = self.part(Part::Equal);
            b.if_(left.length.eq(right.length), |b| {
                let same = Value::call(equal, &[left.at.into(), right.at.into(), left.length.into()], I32);
                b.set(result, same);
            });
            return;
        }
        let compare = self.part(Part::Compare);
        let arguments = [left.at.into(), left.length.into(), right.at.into(), right.length.into()];
        let ordering = b.let_(Value::call(compare, &arguments, I32));
        let zero = b.let_(0);
        b.set(result, compared(op, ordering, zero));
    }

    fn equal_lists(&mut self, b: &mut Body, left: (Local, Local), right: (Local, Local), result: Local) {
        let equal = self.part(Part::Equal);
        b.if_(left.1.eq(right.1), |b| {
            b.set(result, 1);
            let at = b.let_(0);
            b.while_(at.lt_u(left.1), |b, out| {
                let (one, other) =
                    (b.let_(left.0 + at * ELEMENT_BYTES), b.let_(right.0 + at * ELEMENT_BYTES));
                let length = b.let_(one.load32(4));
                let same = b.let_(length.eq(other.load32(4)));
                b.if_(same, |b| {
                    b.set(same, Value::call(equal, &[one.load32(0), other.load32(0), length.into()], I32));
                });
                b.set(result, same);
                b.br_if(out, same.eqz());
                b.set(at, at + 1);
            });
        });
    }

    fn is_in(&mut self, b: &mut Body, text: Place, list: Place) -> Place {
        let result = b.let_(0);
        if let (Place::Text(text), Place::List(elements, count, _)) = (text, list) {
            let contains = self.part(Part::ListContains);
            let (there, list_there) = (presence(b, Place::Text(text)), presence(b, list));
            b.if_(there & list_there, |b| {
                let arguments = [elements.into(), count.into(), text.at.into(), text.length.into()];
                b.set(result, Value::call(contains, &arguments, I32));
            });
        }
        Place::Bool(result, None)
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

    fn call(&mut self, b: &mut Body, builtin: Builtin, arguments: &[Place]) -> Place {
        match (builtin, arguments) {
            (Builtin::ListSize, [Place::List(_, count, _)]) => {
                let list = arguments.first().copied();
                let present = list.and_then(|list| optional_presence(b, list));
                Place::Int(b.let_(count.extend()), present)
            }
            (Builtin::StringSize, [Place::Text(text)]) => {
                let characters = self.part(Part::Characters);
                let count = Value::call(characters, &[text.at.into(), text.length.into()], I32);
                Place::Int(b.let_(count.extend()), optional_presence(b, Place::Text(*text)))
            }
            (
                Builtin::Contains | Builtin::StartsWith | Builtin::EndsWith,
                [Place::Text(text), Place::Text(part)],
            ) => self.contains(b, builtin, *text, *part),
            (Builtin::IndexOf, [Place::Text(text), Place::Text(part)]) => self.index_of(b, *text, *part),
            (Builtin::LowerAscii, [Place::Text(text)]) => self.change_case(b, *text, b'A'),
            (Builtin::UpperAscii, [Place::Text(text)]) => self.change_case(b, *text, b'a'),
            (Builtin::Trim, [Place::Text(text)]) => {
                let result = Text { at: b.local(I32), length: b.local(I32), optional: text.optional };
                let trim = self.part(Part::Trim);
                b.call(trim, &[text.at.into(), text.length.into()], &[result.at, result.length]);
                Place::Text(result)
            }
            (
                Builtin::Substring,
                [Place::Text(text), Place::Int(start, start_there), Place::Int(end, end_there)],
            ) => {
                let (at, length) = self.substring(b, (text.at, text.length), (*start, *end));
                let bounds = both(b, *start_there, *end_there);
                let text_there = optional_presence(b, Place::Text(*text));
                let present = both(b, text_there, bounds);
                if let Some(present) = present {
                    b.if_(present.eqz(), |b| b.set(at, 0));
                }
                Place::Text(Text { at, length, optional: present.is_some() })
            }
            _ => Place::Bool(b.let_(0), None),
        }
    }

    fn contains(&mut self, b: &mut Body, builtin: Builtin, text: Text, part: Text) -> Place {
        let result = b.let_(0);
        let (there, part_there) = (presence(b, Place::Text(text)), presence(b, Place::Text(part)));
        let fits = part.length.le_u(text.length);
        let (equal, find) = if builtin == Builtin::Contains {
            (None, Some(self.part(Part::Find)))
        } else {
            (Some(self.part(Part::Equal)), None)
        };
        b.if_(there & part_there & fits, |b| {
            if let Some(find) = find {
                let arguments = [text.at.into(), text.length.into(), part.at.into(), part.length.into()];
                b.set(result, Value::call(find, &arguments, I32).ge_s(0));
            }
            if let Some(equal) = equal {
                let at = match builtin {
                    Builtin::EndsWith => text.at + text.length - part.length,
                    _ => text.at.into(),
                };
                b.set(result, Value::call(equal, &[at, part.at.into(), part.length.into()], I32));
            }
        });
        Place::Bool(result, None)
    }

    fn index_of(&mut self, b: &mut Body, text: Text, part: Text) -> Place {
        let (find, characters) = (self.part(Part::Find), self.part(Part::Characters));
        let arguments = [text.at.into(), text.length.into(), part.at.into(), part.length.into()];
        let offset = b.let_(Value::call(find, &arguments, I32));
        let result = b.let_(-1_i64);
        b.if_(offset.ge_s(0), |b| {
            b.set(result, Value::call(characters, &[text.at.into(), offset.into()], I32).extend());
        });
        let text_there = optional_presence(b, Place::Text(text));
        let part_there = optional_presence(b, Place::Text(part));
        Place::Int(result, both(b, text_there, part_there))
    }

    fn change_case(&mut self, b: &mut Body, text: Text, first: u8) -> Place {
        let change_case = self.part(Part::ChangeCase);
        let at = b.let_(text.at);
        b.if_(text.at, |b| {
            let arguments = [text.at.into(), text.length.into(), i32::from(first).into()];
            b.set(at, Value::call(change_case, &arguments, I32));
        });
        Place::Text(Text { at, ..text })
    }

    fn matches(&mut self, b: &mut Body, text: Place, dfa: &Dfa) -> Place {
        let result = b.let_(0);
        let Place::Text(text) = text else { return Place::Bool(result, None) };
        let (classes, start) = self.lay_out_dfa(dfa);
        let matches = self.part(Part::Matches);
        let there = presence(b, Place::Text(text));
        b.if_(there, |b| {
            let arguments = [text.at.into(), text.length.into(), classes.into(), start.into()];
            b.set(result, Value::call(matches, &arguments, I32));
        });
        Place::Bool(result, None)
    }

    /// The tables of an automaton: the address of its classes and of the row of its first state.
    fn lay_out_dfa(&mut self, dfa: &Dfa) -> (u32, u32) {
        let classes = self.data.table(&dfa.classes);
        let width = 4 + 4 * u32::from(dfa.class_count);
        // A row refers to rows, so it must be known where the rows will begin.
        let rows = self.data.end().next_multiple_of(8);
        let row = |state: u16| rows + width * u32::from(state);
        let mut bytes = Vec::new();
        for (accepts, behind) in
            dfa.accepting.iter().zip(dfa.transitions.chunks(usize::from(dfa.class_count)))
        {
            bytes.extend(u32::from(*accepts).to_le_bytes());
            bytes.extend(behind.iter().flat_map(|state| row(*state).to_le_bytes()));
        }
        self.data.table(&bytes);
        (classes, row(dfa.start))
    }

    fn convert(&mut self, b: &mut Body, conversion: &Conversion, text: Place) -> Place {
        let Place::Text(text) = text else { return Place::Bool(b.let_(0), None) };
        let there = presence(b, Place::Text(text));
        match conversion {
            Conversion::Int => {
                let (value, present) = (b.let_(0_i64), b.let_(0));
                let parse = self.part(Part::ParseInt);
                b.if_(there, |b| b.call(parse, &[text.at.into(), text.length.into()], &[present, value]));
                Place::Int(value, Some(present))
            }
            Conversion::Bool => {
                let value = self.is_text(b, text, "true");
                let is_false = self.is_text(b, text, "false");
                let present = b.let_(there & (value | is_false));
                Place::Bool(value, Some(present))
            }
            Conversion::BoundedString(bytes_max) => {
                let result = Text { at: b.let_(0), length: text.length, optional: true };
                b.if_(text.length.le_u(*bytes_max), |b| b.set(result.at, text_address(text)));
                b.if_(there.eqz(), |b| b.set(result.at, 0));
                Place::Text(result)
            }
            Conversion::Enum(values) => {
                let result = Text { at: b.let_(0), length: text.length, optional: true };
                let list = self.constant(b, &Constant::List(values.clone()));
                let Place::Bool(is_one, _) = self.is_in(b, Place::Text(text), list) else {
                    return Place::Text(result);
                };
                b.if_(is_one, |b| b.set(result.at, text_address(text)));
                Place::Text(result)
            }
            Conversion::List(elements_max) => {
                let (list, count) = (b.let_(0), b.let_(0));
                let split = self.part(Part::Split);
                b.if_(there, |b| {
                    let arguments = [text.at.into(), text.length.into(), (*elements_max).into()];
                    b.call(split, &arguments, &[list, count]);
                });
                Place::List(list, count, true)
            }
        }
    }

    /// Whether a text, which may be absent, has these bytes.
    fn is_text(&mut self, b: &mut Body, text: Text, wanted: &str) -> Local {
        let wanted = self.constant(b, &Constant::String(wanted.into()));
        match self.comparison(b, BinaryOp::Equal, Place::Text(text), wanted) {
            Place::Bool(same, _) => same,
            _ => b.let_(0),
        }
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

fn global_text(b: &mut Body, text: GlobalText, optional: bool) -> Text {
    Text { at: b.let_(text.at), length: b.let_(text.length), optional }
}

/// The address of a text that is there: not 0, even where it is empty and nowhere.
fn text_address(text: Text) -> Value {
    text.at.when(text.at, super::source::SOMEWHERE)
}

/// 1 if a value is there.
fn presence(b: &mut Body, place: Place) -> Local {
    match optional_presence(b, place) {
        Some(present) => present,
        None => b.let_(1),
    }
}

/// The same, `None` for a value that cannot be absent.
fn optional_presence(b: &mut Body, place: Place) -> Option<Local> {
    match place {
        Place::Bool(_, present) | Place::Int(_, present) => present,
        Place::Text(text) if text.optional => Some(b.let_(text.at.eqz().eqz())),
        Place::List(at, _, true) => Some(b.let_(at.eqz().eqz())),
        Place::Text(_) | Place::Ip(..) | Place::List(..) => None,
    }
}

fn both(b: &mut Body, left: Option<Local>, right: Option<Local>) -> Option<Local> {
    match (left, right) {
        (Some(left), Some(right)) => Some(b.let_(left & right)),
        (left, right) => left.or(right),
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

/// New variables for a value of a type, absent.
fn empty_place(b: &mut Body, ty: Type) -> Place {
    match ty.base {
        BaseType::Bool => Place::Bool(b.let_(0), ty.optional.then(|| b.let_(0))),
        BaseType::Int => Place::Int(b.let_(0_i64), ty.optional.then(|| b.let_(0))),
        BaseType::String => Place::Text(Text { at: b.let_(0), length: b.let_(0), optional: ty.optional }),
        BaseType::Ip => Place::Ip(b.let_(0_i64), b.let_(0_i64)),
        BaseType::List => Place::List(b.let_(0), b.let_(0), ty.optional),
    }
}

/// Copies a value of the same type.
fn assign(b: &mut Body, to: Place, from: Place) {
    match (to, from) {
        (Place::Bool(to, to_there), Place::Bool(from, there))
        | (Place::Int(to, to_there), Place::Int(from, there)) => {
            b.set(to, from);
            if let Some(to_there) = to_there {
                let there = there.map_or(Value::from(1), Value::from);
                b.set(to_there, there);
            }
        }
        (Place::Text(to), Place::Text(from)) => {
            b.set(to.at, if from.optional { from.at.into() } else { text_address(from) });
            b.set(to.length, from.length);
        }
        (Place::Ip(high, low), Place::Ip(from_high, from_low)) => {
            b.set(high, from_high);
            b.set(low, from_low);
        }
        (Place::List(to, count, _), Place::List(from, from_count, _)) => {
            b.set(to, from);
            b.set(count, from_count);
        }
        _ => {}
    }
}

fn contains_ip(b: &mut Body, net: IpNet, address: Place) -> Place {
    let Place::Ip(high, low) = address else { return Place::Bool(b.let_(0), None) };
    let is_v4 = high.eqz() & (low >> 32_i64).eq(super::address::V4_MAPPED >> 32);
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
fn halves(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_ipv6_mapped().to_bits();
            ((bits >> 64) as u64, bits as u64)
        }
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, address.to_bits() as u64),
    }
}
