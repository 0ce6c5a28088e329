//! Values of expressions for one request. Absent is `None`; nothing is an error.

use super::strings;
use crate::checked::{Attribute, BinaryOp, Builtin, Conversion, Expr, ExprKind, Quantifier, UnaryOp, Value};
use crate::decision::Decision;
use crate::eval::Response;
use crate::linked::Workload;
use crate::path;
use crate::request::{Request, parse_decimal, service_of};
use std::net::IpAddr;
use std::sync::Arc;

/// A value that was computed. Strings are bytes: a header may hold any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Computed {
    /// bool
    Bool(bool),
    /// int
    Int(i64),
    /// string
    String(Vec<u8>),
    /// ip, never an IPv4-mapped one
    Ip(IpAddr),
    /// list of strings
    List(Vec<Vec<u8>>),
}

/// What an expression can refer to.
pub(crate) struct Scope<'a> {
    request: &'a Request,
    workload: &'a Workload,
    /// What became of the request, as far as that is known.
    known: Known<'a>,
    /// Elements bound by enclosing quantifiers, innermost last.
    variables: Vec<(u32, Vec<u8>)>,
    /// How many steps may still be made; only the compiler sets a limit.
    steps_left: u64,
    steps_are_out: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// How it was decided.
    pub(crate) decision: Option<&'a Decision>,
    /// How it was answered.
    pub(crate) response: Option<&'a Response>,
}

/// So many bytes are looked at or copied in a step.
const BYTES_PER_STEP: usize = 16;

impl<'a> Scope<'a> {
    /// The scope of a rule's condition.
    pub(crate) fn new(request: &'a Request, workload: &'a Workload) -> Self {
        Self::within(request, workload, u64::MAX)
    }

    /// The same for at most so many steps: an expression that takes more has no value, and
    /// [`Scope::steps_are_out`] says so.
    pub(crate) fn within(request: &'a Request, workload: &'a Workload, steps_max: u64) -> Self {
        Self {
            request,
            workload,
            known: Known::default(),
            variables: Vec::new(),
            steps_left: steps_max,
            steps_are_out: false,
        }
    }

    /// The same where it is known what became of the request.
    pub(crate) fn knowing(self, known: Known<'a>) -> Self {
        Self { known, ..self }
    }

    /// How many steps are left.
    pub(crate) fn steps_left(&self) -> u64 {
        self.steps_left
    }

    /// Whether more steps were needed than there were.
    pub(crate) fn steps_are_out(&self) -> bool {
        self.steps_are_out
    }

    /// Counts a step, and those for so many bytes, before they are made.
    fn step(&mut self, bytes: usize) -> Option<()> {
        let steps = 1 + (bytes / BYTES_PER_STEP) as u64;
        match self.steps_left.checked_sub(steps) {
            Some(left) if !self.steps_are_out => {
                self.steps_left = left;
                Some(())
            }
            _ => {
                self.steps_are_out = true;
                None
            }
        }
    }

    /// Whether a bool expression is true; absent counts as false.
    pub(crate) fn holds(&mut self, condition: &Expr) -> bool {
        self.value(condition) == Some(Computed::Bool(true))
    }

    /// The value of an expression. An expression whose operands are not of the types that `check`
    /// guarantees has none.
    pub(crate) fn value(&mut self, expr: &Expr) -> Option<Computed> {
        self.step(0)?;
        match &expr.kind {
            ExprKind::Literal(value) => {
                self.step(match value {
                    Value::String(text) => text.len(),
                    Value::List(elements) => {
                        elements.iter().map(|element| BYTES_PER_STEP + element.len()).sum()
                    }
                    Value::Bool(_) | Value::Int(_) | Value::Ip(_) => 0,
                })?;
                Some(constant(value))
            }
            ExprKind::Attribute(attribute) => self.attribute(attribute),
            ExprKind::Unary(UnaryOp::Not, operand) => Some(Computed::Bool(!self.holds(operand))),
            ExprKind::Unary(UnaryOp::Negate, operand) => {
                Some(Computed::Int(0_i64.saturating_sub(self.int(operand)?)))
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Conditional(condition, then, otherwise) => {
                if self.holds(condition) {
                    self.value(then)
                } else {
                    self.value(otherwise)
                }
            }
            ExprKind::Call(builtin, arguments) => self.call(*builtin, arguments),
            ExprKind::Matches(text, regex) => {
                let text = self.string(text);
                self.step(regex.matching_steps(text.as_ref().map_or(0, Vec::len)))?;
                Some(Computed::Bool(text.is_some_and(|text| regex.is_match(&text))))
            }
            ExprKind::ContainsIp(network, address) => {
                let inside = matches!(self.value(address), Some(Computed::Ip(ip)) if network.contains(&ip));
                Some(Computed::Bool(inside))
            }
            ExprKind::Has(operand) => Some(Computed::Bool(self.value(operand).is_some())),
            ExprKind::Convert(conversion, operand) => convert(conversion, &self.string(operand)?),
            ExprKind::Quantify { quantifier, variable, list, body } => {
                Some(Computed::Bool(self.quantify(*quantifier, *variable, list, body)))
            }
            ExprKind::Variable(number) => {
                let bound = self.variables.iter().rev().find(|(bound, _)| bound == number)?;
                let text = bound.1.clone();
                self.step(text.len())?;
                Some(Computed::String(text))
            }
            ExprKind::Kept(_, value) => self.value(value),
        }
    }

    fn attribute(&self, attribute: &Attribute) -> Option<Computed> {
        let request = self.request;
        let source = &request.source;
        let caller = || service_of(source.principal.as_deref()?, &self.workload.trust_domain);
        let text = match attribute {
            Attribute::Method => request.method().to_vec(),
            Attribute::Path => request.decoded_path(),
            Attribute::Host => request.host(),
            Attribute::Scheme => request.scheme().to_vec(),
            Attribute::Id => request.header("x-request-id")?,
            Attribute::Port => return request.port().map(|port| Computed::Int(i64::from(port))),
            Attribute::Size => return request.size().map(Computed::Int),
            Attribute::Protocol => request.protocol.clone(),
            Attribute::PathSegment(at) => {
                path::segments(&request.decoded_path()).nth(usize::from(*at))?.to_vec()
            }
            Attribute::Header(name) => request.header(name)?,
            Attribute::Query(name) => request.query(name)?,
            Attribute::SourceService => {
                caller().map(|caller| format!("{}/{}", caller.namespace, caller.name))?.into()
            }
            Attribute::SourceNamespace => caller()?.namespace.into_bytes(),
            Attribute::SourcePrincipal => source.principal.clone()?,
            Attribute::SourceIp => return Some(Computed::Ip(source.canonical_ip())),
            Attribute::SourcePort => return Some(Computed::Int(i64::from(source.port))),
            Attribute::SourceMtls => return Some(Computed::Bool(source.mtls)),
            Attribute::TargetService => {
                format!("{}/{}", self.workload.namespace, self.workload.service).into()
            }
            Attribute::TargetNamespace => self.workload.namespace.clone().into(),
            Attribute::TargetLabel(name) => self.workload.labels.get(&**name)?.clone().into(),
            Attribute::Decision => self.known.decision?.outcome.as_str().into(),
            Attribute::Rule => self.known.decision?.rule.as_bytes().to_vec(),
            Attribute::ResponseCode
            | Attribute::ResponseDuration
            | Attribute::ResponseHeader(_)
            | Attribute::ResponseSize
            | Attribute::ResponseFlags
            | Attribute::UpstreamAddress
            | Attribute::UpstreamAttempts
            | Attribute::UpstreamFailure => return of_answer(attribute, self.known.response?),
        };
        Some(Computed::String(text))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<Computed> {
        let answer = match op {
            BinaryOp::And => self.holds(left) && self.holds(right),
            BinaryOp::Or => self.holds(left) || self.holds(right),
            BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::Remainder => {
                return arithmetic(op, self.int(left)?, self.int(right)?).map(Computed::Int);
            }
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let equal = matches!((self.value(left), self.value(right)), (Some(a), Some(b)) if a == b);
                equal == (op == BinaryOp::Equal)
            }
            BinaryOp::In => match (self.value(left), self.value(right)) {
                (Some(Computed::String(text)), Some(Computed::List(list))) => list.contains(&text),
                _ => false,
            },
            BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                self.ordered(op, left, right)
            }
        };
        Some(Computed::Bool(answer))
    }

    /// `<` and its kin, on ints and, byte by byte, on strings.
    fn ordered(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> bool {
        let ordering = match (self.value(left), self.value(right)) {
            (Some(Computed::Int(left)), Some(Computed::Int(right))) => left.cmp(&right),
            (Some(Computed::String(left)), Some(Computed::String(right))) => left.cmp(&right),
            _ => return false,
        };
        match op {
            BinaryOp::Less => ordering.is_lt(),
            BinaryOp::LessOrEqual => ordering.is_le(),
            BinaryOp::Greater => ordering.is_gt(),
            _ => ordering.is_ge(),
        }
    }

    fn call(&mut self, builtin: Builtin, arguments: &[Arc<Expr>]) -> Option<Computed> {
        match (builtin, arguments) {
            (Builtin::ListSize, [list]) => match self.value(list)? {
                Computed::List(list) => i64::try_from(list.len()).ok().map(Computed::Int),
                _ => None,
            },
            (Builtin::Substring, [text, start, end]) => {
                let (text, start, end) = (self.string(text)?, self.int(start)?, self.int(end)?);
                Some(Computed::String(strings::substring(&text, start, end).to_vec()))
            }
            (Builtin::Contains | Builtin::StartsWith | Builtin::EndsWith, [text, part]) => {
                let holds = match (self.string(text), self.string(part)) {
                    (Some(text), Some(part)) => match builtin {
                        Builtin::Contains => strings::contains(&text, &part),
                        Builtin::StartsWith => text.starts_with(&part),
                        _ => text.ends_with(&part),
                    },
                    _ => false,
                };
                Some(Computed::Bool(holds))
            }
            (Builtin::IndexOf, [text, part]) => {
                let (text, part) = (self.string(text)?, self.string(part)?);
                Some(Computed::Int(strings::index_of(&text, &part)))
            }
            (_, [text]) => of_string(builtin, &self.string(text)?),
            _ => None,
        }
    }

    /// `exists` is false, `all` true and `exists_one` false of an empty list; all are false if it is absent.
    fn quantify(&mut self, quantifier: Quantifier, variable: u32, list: &Expr, body: &Expr) -> bool {
        let Some(Computed::List(elements)) = self.value(list) else { return false };
        let total = elements.len();
        let mut holding = 0;
        for element in elements {
            if self.steps_are_out {
                return false;
            }
            self.variables.push((variable, element));
            holding += usize::from(self.holds(body));
            self.variables.pop();
        }
        match quantifier {
            Quantifier::Exists => holding > 0,
            Quantifier::All => holding == total,
            Quantifier::ExistsOne => holding == 1,
        }
    }

    fn int(&mut self, expr: &Expr) -> Option<i64> {
        match self.value(expr)? {
            Computed::Int(value) => Some(value),
            _ => None,
        }
    }

    fn string(&mut self, expr: &Expr) -> Option<Vec<u8>> {
        match self.value(expr)? {
            Computed::String(value) => Some(value),
            _ => None,
        }
    }
}

/// What is known of an answer.
fn of_answer(attribute: &Attribute, response: &Response) -> Option<Computed> {
    let number = |value: u64| Some(Computed::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    let text = |text: &Option<Vec<u8>>| text.clone().and_then(super::response::text).map(Computed::String);
    match attribute {
        Attribute::ResponseCode => number(response.code.into()),
        Attribute::ResponseDuration => number(response.duration_ms),
        Attribute::ResponseHeader(name) => response.header(name).map(Computed::String),
        Attribute::ResponseSize => number(response.size),
        Attribute::ResponseFlags => Some(Computed::List(response.flag_names())),
        Attribute::UpstreamAddress => text(&response.upstream),
        Attribute::UpstreamAttempts => number(response.attempts),
        Attribute::UpstreamFailure => text(&response.failure),
        _ => None,
    }
}

pub(super) fn constant(value: &Value) -> Computed {
    match value {
        Value::Bool(value) => Computed::Bool(*value),
        Value::Int(value) => Computed::Int(*value),
        Value::String(value) => Computed::String(value.as_bytes().to_vec()),
        Value::Ip(value) => Computed::Ip(value.to_canonical()),
        Value::List(list) => Computed::List(list.iter().map(|element| element.as_bytes().to_vec()).collect()),
    }
}

/// Saturating; `None` only for a divisor of 0, which `check` refuses.
fn arithmetic(op: BinaryOp, left: i64, right: i64) -> Option<i64> {
    match op {
        BinaryOp::Add => Some(left.saturating_add(right)),
        BinaryOp::Subtract => Some(left.saturating_sub(right)),
        BinaryOp::Multiply => Some(left.saturating_mul(right)),
        BinaryOp::Divide if right != 0 => Some(left.saturating_div(right)),
        BinaryOp::Remainder if right != 0 => Some(left.wrapping_rem(right)),
        _ => None,
    }
}

fn of_string(builtin: Builtin, text: &[u8]) -> Option<Computed> {
    match builtin {
        Builtin::StringSize => Some(Computed::Int(strings::size(text))),
        Builtin::LowerAscii => Some(Computed::String(text.to_ascii_lowercase())),
        Builtin::UpperAscii => Some(Computed::String(text.to_ascii_uppercase())),
        Builtin::Trim => Some(Computed::String(strings::trim(text).to_vec())),
        _ => None,
    }
}

/// A string read as another type; `None` if it has not that shape.
fn convert(conversion: &Conversion, text: &[u8]) -> Option<Computed> {
    match conversion {
        Conversion::Int => parse_decimal(text).map(Computed::Int),
        Conversion::Bool => match text {
            b"true" => Some(Computed::Bool(true)),
            b"false" => Some(Computed::Bool(false)),
            _ => None,
        },
        Conversion::BoundedString(bytes_max) => {
            (text.len() <= *bytes_max as usize).then(|| Computed::String(text.to_vec()))
        }
        Conversion::Enum(values) => {
            let is_one = values.iter().any(|value| value.as_bytes() == text);
            is_one.then(|| Computed::String(text.to_vec()))
        }
        Conversion::List(elements_max) => {
            let elements: Vec<Vec<u8>> = strings::split_list(text).map(<[u8]>::to_vec).collect();
            (elements.len() <= *elements_max as usize).then_some(Computed::List(elements))
        }
    }
}
