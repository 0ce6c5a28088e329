//! Guards as conjunctions of literals: what each asks of each thing that can be asked about.
//!
//! A *subject* is something whose values fall into classes (a header, the path, the caller's
//! identity, a condition). A *literal* is a [`Formula`] over one subject; a guard holds when all its
//! literals do. `link` orders rules by their literals, `classify` makes classes from them.
//!
//! ```text
//! allow GET /api/** when headers["x"] == "1" && request.size < 9
//!       {method: = GET} {path: /api/**} {header x: = 1} {condition `request.size < 9`: holds}
//! ```

mod condition;
mod formula;

pub(crate) use condition::attribute_text;
pub(crate) use condition::{Condition, expression_text};
pub(crate) use formula::{Atom, Formula};

use crate::checked::{
    Attribute, BinaryOp, Builtin, Expr, ExprKind, Guard, Peer, Segment, ServiceRef, UnaryOp, Value,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something whose values fall into classes. The order is the preference as a pivot: subjects that
/// cost little to ask and tell rules apart come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// The path, as far as patterns with `*` at these depths are concerned.
    Path(BTreeSet<u16>),
    /// A string of the request: a header (pseudo-headers too), the host or a query parameter.
    Text(Attribute),
    /// The caller's verified identity: principal, service and namespace together.
    Identity,
    /// The caller's address.
    Ip,
    /// A condition that no other subject expresses; its classes are false and true.
    Condition(Condition),
    /// The method.
    Method,
}

/// The literals of one guard, one formula for each subject.
pub(crate) type Literals = BTreeMap<Subject, Formula>;

impl Subject {
    /// How dear it is to find rules by this subject: paths and headers are at hand, the caller's
    /// identity and address must be fetched, conditions computed, and a method finds too many.
    #[must_use]
    pub(crate) fn pivot_cost(&self) -> u8 {
        match self {
            Self::Path(_) | Self::Text(_) => 0,
            Self::Identity => 1,
            Self::Ip => 2,
            Self::Condition(_) => 3,
            Self::Method => 4,
        }
    }

    /// Whether a formula is false for requests that say nothing about the subject, so that rules
    /// can be found by it.
    #[must_use]
    pub(crate) fn selects(&self, formula: &Formula) -> bool {
        !formula.evaluate(&|_| false)
    }
}

/// The depths at which a pattern has `*`.
#[must_use]
pub(crate) fn star_positions(pattern: &crate::checked::PathPattern) -> BTreeSet<u16> {
    let stars = pattern.segments.iter().enumerate().filter(|(_, segment)| **segment == Segment::Any);
    stars.map(|(depth, _)| u16::try_from(depth).unwrap_or(u16::MAX)).collect()
}

/// The literals of a guard whose paths share their star positions and whose peers are of one kind
/// (as `link` makes them; a guard that mixes them gives a literal that is not exact).
#[must_use]
pub(crate) fn literals_of(guard: &Guard) -> Literals {
    let mut literals = Literals::new();
    if !guard.methods.is_empty() {
        let equal = guard.methods.iter().map(|method| Formula::Atom(Atom::Equals(method.as_str().into())));
        add(&mut literals, Subject::Method, Formula::any(equal.collect()));
    }
    if let Some(first) = guard.paths.first() {
        let patterns = guard.paths.iter().map(|pattern| Formula::Atom(Atom::Path(pattern.clone())));
        add(&mut literals, Subject::Path(star_positions(first)), Formula::any(patterns.collect()));
    }
    add_peers(&mut literals, &guard.peers);
    if let Some(condition) = &guard.condition {
        add_condition(&mut literals, condition, true);
    }
    literals
}

/// Adds a literal, joined by `and` with what is already asked of the subject.
fn add(literals: &mut Literals, subject: Subject, formula: Formula) {
    match literals.remove(&subject) {
        Some(before) => literals.insert(subject, Formula::all(vec![before, formula])),
        None => literals.insert(subject, formula),
    };
}

fn add_peers(literals: &mut Literals, peers: &[Peer]) {
    if peers.is_empty() || peers.contains(&Peer::Anyone) {
        return;
    }
    let mut subject = Subject::Identity;
    let mut atoms = Vec::new();
    for peer in peers {
        atoms.push(Formula::Atom(match peer {
            Peer::Service(service) if service.name == "*" => {
                Atom::Namespace(service.namespace.as_str().into())
            }
            Peer::Service(service) => Atom::Service(service.clone()),
            Peer::Namespace(namespace) => Atom::Namespace(namespace.as_str().into()),
            Peer::Spiffe(principal) => Atom::Equals(principal.as_str().into()),
            Peer::Anyone => continue,
            Peer::Ip(net) => {
                subject = Subject::Ip;
                Atom::Net(*net)
            }
        }));
    }
    add(literals, subject, Formula::any(atoms));
}

/// Adds the conjuncts of a condition, pushing negation inwards.
fn add_condition(literals: &mut Literals, expr: &Arc<Expr>, positive: bool) {
    match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => add_condition(literals, inner, !positive),
        ExprKind::Binary(BinaryOp::And, left, right) if positive => {
            add_condition(literals, left, true);
            add_condition(literals, right, true);
        }
        ExprKind::Binary(BinaryOp::Or, left, right) if !positive => {
            add_condition(literals, left, false);
            add_condition(literals, right, false);
        }
        ExprKind::Literal(Value::Bool(value)) if *value == positive => {}
        _ => {
            let (subject, formula) = literal(expr);
            add(literals, subject, if positive { formula } else { Formula::not(formula) });
        }
    }
}

/// A bool expression as one literal: over the one subject that it is about, else as a condition.
fn literal(expr: &Arc<Expr>) -> (Subject, Formula) {
    simple(expr).unwrap_or_else(|| match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => {
            let (subject, formula) = literal(inner);
            (subject, Formula::not(formula))
        }
        ExprKind::Binary(BinaryOp::NotEqual, left, right) => {
            let equal = ExprKind::Binary(BinaryOp::Equal, left.clone(), right.clone());
            let equal = Expr { kind: equal, ty: expr.ty, span: expr.span };
            (Subject::Condition(Condition::new(Arc::new(equal))), Formula::not(Formula::Atom(Atom::Holds)))
        }
        _ => (Subject::Condition(Condition::new(expr.clone())), Formula::Atom(Atom::Holds)),
    })
}

/// An expression that is about one subject alone, as a formula over it.
fn simple(expr: &Expr) -> Option<(Subject, Formula)> {
    match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => {
            let (subject, formula) = simple(inner)?;
            Some((subject, Formula::not(formula)))
        }
        ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), left, right) => {
            let (subject, left) = simple(left)?;
            let (other, right) = simple(right)?;
            let both = vec![left, right];
            let formula = if *op == BinaryOp::And { Formula::all(both) } else { Formula::any(both) };
            (subject == other).then_some((subject, formula))
        }
        ExprKind::Binary(BinaryOp::Equal, left, right) => {
            equality(left, right).or_else(|| equality(right, left))
        }
        ExprKind::Binary(BinaryOp::NotEqual, left, right) => {
            let (subject, formula) = equality(left, right).or_else(|| equality(right, left))?;
            Some((subject, Formula::not(formula)))
        }
        ExprKind::Binary(BinaryOp::In, element, list) => match &list.kind {
            ExprKind::Literal(Value::List(values)) => one_of(element, values),
            _ => None,
        },
        ExprKind::Call(Builtin::StartsWith, arguments) => match arguments.as_slice() {
            [text, prefix] => starts_with(text, prefix),
            _ => None,
        },
        ExprKind::Has(inner) => presence(inner),
        ExprKind::ContainsIp(net, address) => match &address.kind {
            ExprKind::Attribute(Attribute::SourceIp) => Some((Subject::Ip, Formula::Atom(Atom::Net(*net)))),
            _ => None,
        },
        _ => None,
    }
}

fn equality(asked: &Expr, value: &Expr) -> Option<(Subject, Formula)> {
    match &value.kind {
        ExprKind::Literal(Value::String(text)) => one_of(asked, std::slice::from_ref(text)),
        _ => None,
    }
}

fn one_of(asked: &Expr, values: &[Arc<str>]) -> Option<(Subject, Formula)> {
    let ExprKind::Attribute(attribute) = &asked.kind else { return None };
    let (subject, atom): (_, fn(&Arc<str>) -> Formula) = match attribute {
        Attribute::SourceService => (Subject::Identity, service_equals),
        Attribute::SourceNamespace => {
            (Subject::Identity, |name| Formula::Atom(Atom::Namespace(name.clone())))
        }
        _ => (subject_of(attribute)?, |text| Formula::Atom(Atom::Equals(text.clone()))),
    };
    Some((subject, Formula::any(values.iter().map(atom).collect())))
}

/// `source.service == "ns/name"`; a text that is no service's name equals none.
fn service_equals(text: &Arc<str>) -> Formula {
    match text.split_once('/') {
        Some((namespace, name)) => Formula::Atom(Atom::Service(ServiceRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })),
        None => Formula::any(Vec::new()),
    }
}

fn starts_with(text: &Expr, prefix: &Expr) -> Option<(Subject, Formula)> {
    let (ExprKind::Attribute(attribute), ExprKind::Literal(Value::String(prefix))) =
        (&text.kind, &prefix.kind)
    else {
        return None;
    };
    match subject_of(attribute)? {
        subject @ Subject::Text(_) => Some((subject, Formula::Atom(Atom::StartsWith(prefix.clone())))),
        _ => None,
    }
}

fn presence(inner: &Expr) -> Option<(Subject, Formula)> {
    let ExprKind::Attribute(attribute) = &inner.kind else { return None };
    let atom = match attribute {
        Attribute::SourceService | Attribute::SourceNamespace => Atom::AnyService,
        Attribute::SourcePrincipal | Attribute::Header(_) | Attribute::Query(_) | Attribute::Id => {
            Atom::Present
        }
        _ => return None,
    };
    Some((subject_of(attribute)?, Formula::Atom(atom)))
}

/// The subject that an attribute's text belongs to, if it is classified at all.
fn subject_of(attribute: &Attribute) -> Option<Subject> {
    match attribute {
        Attribute::Method => Some(Subject::Method),
        Attribute::Id => Some(Subject::Text(Attribute::Header("x-request-id".into()))),
        Attribute::Header(_) | Attribute::Query(_) | Attribute::Host | Attribute::Scheme => {
            Some(Subject::Text(attribute.clone()))
        }
        Attribute::SourceService | Attribute::SourceNamespace | Attribute::SourcePrincipal => {
            Some(Subject::Identity)
        }
        _ => None,
    }
}

/// The property of the host in which an attribute is read, if it is not a header of the request: the segments of its
/// path.
#[must_use]
pub(crate) fn property_of(attribute: &Attribute) -> Option<Vec<&str>> {
    if let Attribute::ResponseHeader(name) = attribute {
        return Some(vec!["response", "headers", name]);
    }
    let path = match attribute {
        Attribute::Protocol => Some("request.protocol"),
        Attribute::SourceService | Attribute::SourceNamespace | Attribute::SourcePrincipal => {
            Some("connection.uri_san_peer_certificate")
        }
        Attribute::SourceIp | Attribute::SourcePort => Some("source.address"),
        Attribute::SourceMtls => Some("connection.mtls"),
        Attribute::ResponseCode => Some("response.code"),
        Attribute::ResponseDuration => Some("request.duration"),
        Attribute::ResponseSize => Some("response.size"),
        Attribute::ResponseFlags => Some("response.flags"),
        Attribute::UpstreamAddress => Some("upstream.address"),
        Attribute::UpstreamAttempts => Some("upstream.request_attempt_count"),
        Attribute::UpstreamFailure => Some("upstream.transport_failure_reason"),
        _ => None,
    };
    path.map(|path| path.split('.').collect())
}

/// The header in which an attribute travels, beside those that are always read.
pub(crate) fn header_of(attribute: &Attribute) -> Option<Arc<str>> {
    match attribute {
        Attribute::Scheme => Some(":scheme".into()),
        Attribute::Id => Some("x-request-id".into()),
        Attribute::Header(name) => Some(name.clone()),
        _ => None,
    }
}

/// Adds what a guard asks about.
pub(crate) fn asked_by(guard: &Guard, into: &mut BTreeSet<Attribute>) {
    if !guard.methods.is_empty() {
        into.insert(Attribute::Method);
    }
    if !guard.paths.is_empty() {
        into.insert(Attribute::Path);
    }
    for peer in &guard.peers {
        match peer {
            Peer::Ip(_) => into.insert(Attribute::SourceIp),
            Peer::Anyone => false,
            Peer::Service(_) | Peer::Namespace(_) | Peer::Spiffe(_) => {
                into.insert(Attribute::SourcePrincipal)
            }
        };
    }
    if let Some(condition) = &guard.condition {
        attributes_of(condition, into);
    }
}

/// Whether an attribute is folded to a constant for a workload.
#[must_use]
pub(crate) fn is_of_target(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::TargetService | Attribute::TargetNamespace | Attribute::TargetLabel(_))
}

/// Whether an attribute is known only when there is an answer.
#[must_use]
pub(crate) fn is_of_answer(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::ResponseCode
            | Attribute::ResponseDuration
            | Attribute::ResponseHeader(_)
            | Attribute::ResponseSize
            | Attribute::ResponseFlags
            | Attribute::UpstreamAddress
            | Attribute::UpstreamAttempts
            | Attribute::UpstreamFailure
    )
}

/// Whether an expression asks about the answer, or about what was kept for it.
pub(crate) fn asks_answer(expr: &Expr) -> bool {
    asks(expr, is_of_answer) || asks_kept(expr)
}

/// Whether an expression asks about something that is the request's and no answer tells. What a target is, is known
/// at any time.
pub(crate) fn asks_request(expr: &Expr) -> bool {
    asks(expr, |attribute| !is_of_answer(attribute) && !is_of_target(attribute))
}

/// Whether an expression asks about such an attribute.
fn asks(expr: &Expr, is: impl Fn(&Attribute) -> bool) -> bool {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    asked.iter().any(is)
}

/// Whether an expression asks about what was kept of the request.
pub(crate) fn asks_kept(expr: &Expr) -> bool {
    let mut kept = matches!(expr.kind, ExprKind::Kept(..));
    children(expr, &mut |inner| kept |= asks_kept(inner));
    kept
}

/// Whether an attribute is the identity of the caller.
pub(crate) fn is_of_caller(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::SourceService
            | Attribute::SourceNamespace
            | Attribute::SourcePrincipal
            | Attribute::SourceMtls
    )
}

/// Whether computing an expression can need a property of the host.
#[must_use]
pub(crate) fn reads_properties(expr: &Expr) -> bool {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    asked.iter().any(|attribute| property_of(attribute).is_some())
}

/// Calls `visit` with each part of an expression that stands directly in it.
pub(crate) fn children<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Arc<Expr>)) {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Attribute(_) | ExprKind::Kept(..) => {}
        ExprKind::Unary(_, inner)
        | ExprKind::Matches(inner, _)
        | ExprKind::ContainsIp(_, inner)
        | ExprKind::Has(inner)
        | ExprKind::Convert(_, inner) => visit(inner),
        ExprKind::Binary(_, left, right) | ExprKind::Quantify { list: left, body: right, .. } => {
            visit(left);
            visit(right);
        }
        ExprKind::Conditional(test, yes, no) => [test, yes, no].into_iter().for_each(visit),
        ExprKind::Call(_, arguments) => arguments.iter().for_each(visit),
    }
}

/// Whether an expression refers to no variable but those that it binds itself.
pub(crate) fn is_closed(expr: &Expr) -> bool {
    fn closed(expr: &Expr, bound: &mut Vec<u32>) -> bool {
        match &expr.kind {
            ExprKind::Variable(number) => bound.contains(number),
            ExprKind::Quantify { variable, list, body, .. } => {
                if !closed(list, bound) {
                    return false;
                }
                bound.push(*variable);
                let is_closed = closed(body, bound);
                bound.pop();
                is_closed
            }
            _ => {
                let mut all = true;
                children(expr, &mut |inner| all = all && closed(inner, bound));
                all
            }
        }
    }
    closed(expr, &mut Vec::new())
}

/// Adds the attributes that an expression asks about.
pub(crate) fn attributes_of(expr: &Expr, into: &mut BTreeSet<Attribute>) {
    match &expr.kind {
        ExprKind::Attribute(attribute) => drop(into.insert(attribute.clone())),
        // What is kept is asked when the request is decided.
        ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Kept(..) => {}
        ExprKind::Unary(_, inner)
        | ExprKind::Matches(inner, _)
        | ExprKind::ContainsIp(_, inner)
        | ExprKind::Has(inner)
        | ExprKind::Convert(_, inner) => attributes_of(inner, into),
        ExprKind::Binary(_, left, right) | ExprKind::Quantify { list: left, body: right, .. } => {
            attributes_of(left, into);
            attributes_of(right, into);
        }
        ExprKind::Conditional(test, yes, no) => {
            [test, yes, no].iter().for_each(|inner| attributes_of(inner, into))
        }
        ExprKind::Call(_, arguments) => arguments.iter().for_each(|inner| attributes_of(inner, into)),
    }
}
