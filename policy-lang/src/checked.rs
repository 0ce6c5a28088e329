//! Checked policies: names, types and phases resolved. Made by `check`, read by everything after.
//!
//! Expressions are two-valued and total. An optional value that is absent makes every comparison
//! false (`!=` true), every predicate false, and every value computed from it absent; an absent
//! bool counts as false where a condition is asked for. `let` names are already replaced by their
//! expressions (shared by [`Arc`]), and a name of a later phase never gets here.

mod calls;
mod cors;
mod filter;
mod headers;
mod log;
mod plaintext;
mod settings;
mod sink;
mod test_block;
mod traffic;

pub use calls::{
    Calls, Cause, Choice, Destination, ExpectedWay, ExpectedWayKind, Fault, FaultKind, Milliseconds, Mirror,
    Piece, Retry, Template, Way, Weighted,
};
pub use cors::{Cors, CorsRules, Origin};
pub use filter::{Attached, FilterBody, FilterPhase, FilterVersion, Grants, OnFailure};
pub use headers::{HeaderChange, HeaderStatement, Message};
pub use log::{Field, LogBody, Redact, Redaction, Sample, SampleRate, Sending};
pub use plaintext::Plaintext;
pub use settings::{Balance, Ejection, HealthCheck, Pool, Setting, Settings};
pub use sink::{Goal, Sink};
pub use test_block::{CheckedTest, Expectation, HeaderExpectation, Leaving, TestCase, Verdict};
pub use traffic::{Limit, Rate, TrafficBody};

use crate::source::Span;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A reference to a service: `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceRef {
    /// The namespace.
    pub namespace: String,
    /// The service's name in it.
    pub name: String,
}

/// One policy.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedPolicy {
    /// Unique among all policies of a mesh.
    pub name: String,
    /// Where it applies; at least one, and none of a sink.
    pub targets: Vec<Scope>,
    /// Whether it decides, only reports, or sleeps.
    pub mode: Mode,
    /// What it says.
    pub body: Body,
    /// The whole policy block.
    pub span: Span,
    /// The policy's name in its header.
    pub name_span: Span,
}

/// What a policy says, by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Of an `auth` policy.
    Auth(AuthBody),
    /// Of a `traffic` policy.
    Traffic(TrafficBody),
    /// Of a `log` policy.
    Log(LogBody),
    /// Of a `filter` policy.
    Filter(FilterBody),
    /// Of a `sink`.
    Sink(Sink),
}

/// The statements of an `auth` policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthBody {
    /// All `exempt`, `deny` and `allow` statements.
    pub rules: Vec<Rule>,
    /// The `otherwise` statement; its rule id is `policy/otherwise`.
    pub otherwise: Option<Otherwise>,
    /// The `plaintext` statement.
    pub plaintext: Option<Plaintext>,
}

impl CheckedPolicy {
    /// Its rules; a policy of another kind than `auth` has none.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        match &self.body {
            Body::Auth(auth) => &auth.rules,
            Body::Traffic(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => &[],
        }
    }

    /// Its `otherwise`; a policy of another kind than `auth` has none.
    #[must_use]
    pub fn otherwise(&self) -> Option<&Otherwise> {
        match &self.body {
            Body::Auth(auth) => auth.otherwise.as_ref(),
            Body::Traffic(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => None,
        }
    }

    /// Its `plaintext`; a policy of another kind than `auth` has none.
    #[must_use]
    pub fn plaintext(&self) -> Option<Plaintext> {
        match &self.body {
            Body::Auth(auth) => auth.plaintext,
            Body::Traffic(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => None,
        }
    }

    /// Its limits; a policy of another kind than `traffic` has none.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        match &self.body {
            Body::Auth(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => &[],
            Body::Traffic(traffic) => &traffic.limits,
        }
    }

    /// Its operations on headers; a policy of another kind than `traffic` has none.
    #[must_use]
    pub fn headers(&self) -> &[HeaderStatement] {
        match &self.body {
            Body::Auth(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => &[],
            Body::Traffic(traffic) => &traffic.headers,
        }
    }

    /// What it says of logs; `None` for a policy of another kind than `log`.
    #[must_use]
    pub fn log(&self) -> Option<&LogBody> {
        match &self.body {
            Body::Log(log) => Some(log),
            _ => None,
        }
    }

    /// Where it lets lines of logs go; `None` for what is no sink.
    #[must_use]
    pub fn sink(&self) -> Option<&Sink> {
        match &self.body {
            Body::Sink(sink) => Some(sink),
            _ => None,
        }
    }

    /// The module that it attaches; `None` for a policy of another kind than `filter`.
    #[must_use]
    pub fn filter(&self) -> Option<&FilterBody> {
        match &self.body {
            Body::Filter(filter) => Some(filter),
            _ => None,
        }
    }

    /// What callers' sidecars do with requests to its targets; a policy of another kind than `traffic` says nothing.
    #[must_use]
    pub fn calls(&self) -> Option<&Calls> {
        match &self.body {
            Body::Auth(_) | Body::Log(_) | Body::Filter(_) | Body::Sink(_) => None,
            Body::Traffic(traffic) => Some(&traffic.calls),
        }
    }

    /// Whether something of it is part of the program of its targets' sidecars: what only callers' sidecars carry out
    /// is not, nor is a filter, which is a program by itself.
    #[must_use]
    pub fn acts_at_target(&self) -> bool {
        match &self.body {
            Body::Auth(_) | Body::Log(_) => true,
            // What it says is said by the policies that name it.
            Body::Filter(_) | Body::Sink(_) => false,
            Body::Traffic(TrafficBody { limits, headers, calls, cors }) => {
                !limits.is_empty() || !headers.is_empty() || !cors.is_empty() || calls.is_empty()
            }
        }
    }

    /// What it states of pages of other origins; a policy of another kind than `traffic` states nothing.
    #[must_use]
    pub fn cors(&self) -> &[Cors] {
        match &self.body {
            Body::Traffic(traffic) => &traffic.cors,
            _ => &[],
        }
    }

    /// The requests that its statements speak of, each with the whole statement's place.
    pub fn guards(&self) -> impl Iterator<Item = (&Guard, Span)> {
        let rules = self.rules().iter().map(|rule| (&rule.guard, rule.span));
        let limits = self.limits().iter().map(|limit| (&limit.guard, limit.span));
        let headers = self.headers().iter().map(|header| (&header.guard, header.span));
        let samples = self.log().into_iter().flat_map(|log| &log.samples);
        let samples = samples.map(|sample| (&sample.guard, sample.span));
        let calls = self.calls().into_iter().flat_map(Calls::guards).map(|(guard, _, span)| (guard, span));
        rules.chain(limits).chain(headers).chain(samples).chain(calls)
    }

    /// All expressions of its statements: conditions, and what is [computed](Self::computed).
    pub fn expressions(&self) -> impl Iterator<Item = &Arc<Expr>> {
        let conditions = self.guards().filter_map(|(guard, _)| guard.condition.as_ref());
        conditions.chain(self.computed())
    }

    /// What its statements compute beside conditions of requests: keys of limits, values of headers, and what is logged.
    pub fn computed(&self) -> impl Iterator<Item = &Arc<Expr>> {
        let keys = self.limits().iter().flat_map(|limit| &limit.keys);
        let values = self.headers().iter().filter_map(|header| header.change.value());
        let values = values.chain(self.headers().iter().filter_map(|header| header.late.as_ref()));
        let samples = self.log().into_iter().flat_map(|log| &log.samples);
        let fields = self.log().into_iter().flat_map(|log| &log.fields);
        let later = samples.filter_map(|sample| sample.later.as_ref());
        keys.chain(values).chain(later).chain(fields.map(|field| &field.value))
    }

    /// The ids of its statements: `policy/name`.
    pub fn ids(&self) -> impl Iterator<Item = Arc<str>> {
        let otherwise = self.otherwise().map(|_| Arc::from(format!("{}/otherwise", self.name)));
        let rules = self.rules().iter().map(|rule| rule.id.clone());
        let limits = self.limits().iter().map(|limit| limit.id.clone());
        let headers = self.headers().iter().map(|header| header.id.clone());
        let cors = self.cors().iter().map(|cors| cors.id.clone());
        let calls = self.calls().into_iter().flat_map(Calls::ids).cloned();
        rules.chain(limits).chain(headers).chain(cors).chain(calls).chain(otherwise)
    }
}

/// What a policy is attached to, with where the author wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// The target.
    pub target: Target,
    /// Which of its requests the policy speaks of.
    pub direction: Direction,
    /// Its place.
    pub span: Span,
}

/// What a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Every workload.
    Mesh,
    /// Every workload of a namespace.
    Namespace(String),
    /// Every replica of a service; name `*` means every service of the namespace.
    Service(ServiceRef),
    /// Workloads of a namespace that carry all these labels.
    Workload {
        /// The namespace.
        namespace: String,
        /// Labels, all of which must be equal; not empty.
        labels: BTreeMap<String, String>,
    },
}

/// Which requests of a workload are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Requests *to* the workload.
    #[default]
    Inbound,
    /// Requests that leave it.
    Outbound,
}

/// `mode` of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Decides.
    Enforce,
    /// Is evaluated and reported but decides nothing.
    Shadow {
        /// The date after which a forgotten shadow is warned about, `YYYY-MM-DD`.
        until: Option<String>,
    },
    /// Is checked and nothing more.
    Off,
}

/// The effect of a rule. The order is the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Allows before any deny is asked.
    Exempt,
    /// Denies unless exempt.
    Deny,
    /// Allows unless denied.
    Allow,
}

/// One `exempt`, `deny` or `allow` statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `policy/name`, or for a rule without a name `policy/effect-hhhhhh`, the first six hex digits
    /// of the SHA-256 of its normalised text, so that no id depends on the order of statements.
    pub id: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// The requests that it speaks of.
    pub guard: Guard,
    /// The answer to a denied request; `None` is 403 without a body. Only on `deny`.
    pub respond: Option<Respond>,
    /// The whole statement.
    pub span: Span,
}

/// The requests that a statement speaks of: those that meet all four parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guard {
    /// Methods, of which one must be the request's; empty means any.
    pub methods: BTreeSet<String>,
    /// Paths, of which one must match; empty means any.
    pub paths: Vec<PathPattern>,
    /// Peers, of which one must be the caller; empty means any, as does `anyone`.
    pub peers: Vec<Peer>,
    /// A bool expression that must hold; all `when` and `unless` of the statement in one.
    pub condition: Option<Arc<Expr>>,
}

/// `otherwise allow|deny`.
#[derive(Clone, Debug, PartialEq)]
pub struct Otherwise {
    /// Whether it allows.
    pub allow: bool,
    /// The answer to a denied request; `None` is 403 without a body.
    pub respond: Option<Respond>,
    /// The whole statement.
    pub span: Span,
}

/// A stated answer to a denied request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Respond {
    /// 400 to 599.
    pub status: u16,
    /// Sent as `text/plain`; may be empty.
    pub body: String,
}

impl Respond {
    /// The answer of a statement, which may say what decided: in the text the first `{rule}` stands for its id, the
    /// first `{policy}` for the policy. The text grows by no more than these.
    #[must_use]
    pub fn of(self, rule: &str) -> Self {
        let policy = rule.split_once('/').map_or(rule, |(policy, _)| policy);
        // Neither id nor policy has a brace.
        let body = self.body.replacen("{rule}", rule, 1).replacen("{policy}", policy, 1);
        Self { body, ..self }
    }
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A service by verified identity; name `*` means every service of the namespace.
    Service(ServiceRef),
    /// Any service of a namespace.
    Namespace(String),
    /// The connection's remote address.
    Ip(IpNet),
    /// A whole SPIFFE id, compared byte for byte.
    Spiffe(String),
    /// Any caller, also one without an identity.
    Anyone,
}

/// `/seg/*/{id}/**`, over the decoded path without its query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    /// The segments between slashes; `/` itself is one empty literal, `/a/` is `a` and an empty one.
    pub segments: Vec<Segment>,
    /// Whether it ends in `/**`: zero or more further segments (`/a/**` matches `/a`, `/a/`, `/a/b`).
    pub rest: bool,
}

/// A segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// These bytes exactly, decoded.
    Literal(Vec<u8>),
    /// `*` or `{name}`: one segment that is not empty.
    Any,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// What it is when present.
    pub base: BaseType,
    /// Whether it can be absent.
    pub optional: bool,
}

/// A type without optionality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BaseType {
    /// true or false
    Bool,
    /// 64 bits, signed, saturating
    Int,
    /// Bytes, UTF-8 as a rule; lengths and positions count characters (bytes that do not continue one).
    String,
    /// An address; IPv4-mapped IPv6 addresses are IPv4 addresses.
    Ip,
    /// A list of strings of bounded length.
    List,
}

/// A typed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its type.
    pub ty: Type,
    /// Where it was written.
    pub span: Span,
}

impl Expr {
    /// The expressions that it is made of, in the order in which they are written.
    #[must_use]
    pub fn parts(&self) -> Vec<&Arc<Self>> {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Attribute(_) | ExprKind::Variable(_) | ExprKind::Kept(..) => {
                Vec::new()
            }
            ExprKind::Unary(_, part)
            | ExprKind::Matches(part, _)
            | ExprKind::ContainsIp(_, part)
            | ExprKind::Has(part)
            | ExprKind::Convert(_, part) => vec![part],
            ExprKind::Binary(_, left, right) => vec![left, right],
            ExprKind::Conditional(test, yes, no) => vec![test, yes, no],
            ExprKind::Call(_, arguments) => arguments.iter().collect(),
            ExprKind::Quantify { list, body, .. } => vec![list, body],
        }
    }

    /// The same of other parts, each made of the one that stands there; itself if all stay as they are.
    pub(crate) fn with_parts(self: &Arc<Self>, part: &mut impl FnMut(&Arc<Self>) -> Arc<Self>) -> Arc<Self> {
        let before = self.parts();
        let parts: Vec<Arc<Self>> = before.iter().map(|before| part(before)).collect();
        if parts.iter().zip(&before).all(|(after, before)| Arc::ptr_eq(after, before)) {
            return self.clone();
        }
        let kind = match (&self.kind, parts.as_slice()) {
            (ExprKind::Unary(op, _), [part]) => ExprKind::Unary(*op, part.clone()),
            (ExprKind::Matches(_, regex), [part]) => ExprKind::Matches(part.clone(), regex.clone()),
            (ExprKind::ContainsIp(net, _), [part]) => ExprKind::ContainsIp(*net, part.clone()),
            (ExprKind::Has(_), [part]) => ExprKind::Has(part.clone()),
            (ExprKind::Convert(conversion, _), [part]) => ExprKind::Convert(conversion.clone(), part.clone()),
            (ExprKind::Binary(op, ..), [left, right]) => ExprKind::Binary(*op, left.clone(), right.clone()),
            (ExprKind::Conditional(..), [test, yes, no]) => {
                ExprKind::Conditional(test.clone(), yes.clone(), no.clone())
            }
            (ExprKind::Call(builtin, _), _) => ExprKind::Call(*builtin, parts),
            (ExprKind::Quantify { quantifier, variable, .. }, [list, body]) => ExprKind::Quantify {
                quantifier: *quantifier,
                variable: *variable,
                list: list.clone(),
                body: body.clone(),
            },
            // What has no parts has none that changed.
            (kind, _) => kind.clone(),
        };
        Arc::new(Self { kind, ty: self.ty, span: self.span })
    }
}

/// The forms of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A constant.
    Literal(Value),
    /// Something of the request, the caller or the target.
    Attribute(Attribute),
    /// `!x` (bool) and `-x` (int).
    Unary(UnaryOp, Arc<Expr>),
    /// Two operands of one base type (for [`BinaryOp::In`]: a string and a list).
    Binary(BinaryOp, Arc<Expr>, Arc<Expr>),
    /// `c ? a : b`; an absent `c` counts as false.
    Conditional(Arc<Expr>, Arc<Expr>, Arc<Expr>),
    /// A function of strings or ints; the arguments are of the types that [`Builtin`] states.
    Call(Builtin, Vec<Arc<Expr>>),
    /// `x.matches("…")`: whether the pattern matches anywhere in the string.
    Matches(Arc<Expr>, Arc<crate::regex::Regex>),
    /// `cidr("…").containsIP(x)`.
    ContainsIp(IpNet, Arc<Expr>),
    /// `has(x)`: whether an optional is present.
    Has(Arc<Expr>),
    /// A header, query parameter or string read as another type: absent unless it has that shape.
    Convert(Conversion, Arc<Expr>),
    /// `list.exists(x, body)` and its kin. An absent list gives false.
    Quantify {
        /// Which.
        quantifier: Quantifier,
        /// The bound variable; unique within the rule.
        variable: u32,
        /// The list.
        list: Arc<Expr>,
        /// A bool over [`ExprKind::Variable`].
        body: Arc<Expr>,
    },
    /// The element (a string) bound by the enclosing [`ExprKind::Quantify`] of this number.
    Variable(u32),
    /// What this was when the request was decided, by the number under which it is kept until there is an answer. Only
    /// in plans: `lower` puts it where a question about the answer asks about the request.
    Kept(u32, Arc<Expr>),
}

/// A constant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// bool
    Bool(bool),
    /// int
    Int(i64),
    /// string
    String(Arc<str>),
    /// ip
    Ip(IpAddr),
    /// list of strings
    List(Vec<Arc<str>>),
}

/// What a condition can ask about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// `request.method`: string, as sent.
    Method,
    /// `request.path`: string, canonical, without the query.
    Path,
    /// `request.host`: string, lower case, without port and without a dot at its end.
    Host,
    /// `request.port`: int?, the port that is named with the host.
    Port,
    /// `request.scheme`: string.
    Scheme,
    /// `request.id`: string?, the `x-request-id` header.
    Id,
    /// `request.size`: int?, 0 if there is no body, else the `content-length`, absent if unknown.
    Size,
    /// `request.protocol`: string, such as `HTTP/2`.
    Protocol,
    /// `path.<capture>`: string?, the segment of the path with this number, from 0.
    PathSegment(u16),
    /// `headers["x"]`: string?, lower-case name; a repeated header is joined with `,`.
    Header(Arc<str>),
    /// `query["x"]`: string?, names and values percent-decoded with `+` as space; repeated: joined with `,`.
    Query(Arc<str>),
    /// `source.service`: string?, `namespace/name` from the verified certificate.
    SourceService,
    /// `source.namespace`: string?, from the verified certificate.
    SourceNamespace,
    /// `source.principal`: string?, the URI SAN of the verified certificate.
    SourcePrincipal,
    /// `source.ip`: ip.
    SourceIp,
    /// `source.port`: int.
    SourcePort,
    /// `source.mtls`: bool.
    SourceMtls,
    /// `target.service`: string, `namespace/name`. Folded to a constant by `link`.
    TargetService,
    /// `target.namespace`: string. Folded by `link`.
    TargetNamespace,
    /// `target.labels["x"]`: string?; `target.version` is label `version`. Folded by `link`.
    TargetLabel(Arc<str>),
    /// `decision`: string, how it was decided, as in counters. Known from the decision on; only in `log` policies.
    Decision,
    /// `rule`: string, the id of what decided. Known from the decision on; only in `log` policies.
    Rule,
    /// `response.code`: int, 0 if there was no answer. Known when the answer begins.
    ResponseCode,
    /// `response.duration`: int, how many ms went by from the first byte of the request to the last of its answer.
    /// Known when the answer is over.
    ResponseDuration,
    /// `response.headers["x"]`: string?, lower-case name; a repeated header is joined with `,`; one that is longer than
    /// [`ANSWER_TEXT_BYTES_MAX`](crate::response::ANSWER_TEXT_BYTES_MAX) is absent. Known when the answer begins.
    ResponseHeader(Arc<str>),
    /// `response.size`: int, the bytes of the answer's body. Known when the answer is over.
    ResponseSize,
    /// `response.flags`: list of [`FLAGS`](crate::response::FLAGS), why the answer is what it is. Known when the
    /// answer is over.
    ResponseFlags,
    /// `upstream.address`: string?, where the request was sent to last. Known when the answer is over.
    UpstreamAddress,
    /// `upstream.attempts`: int, how often it was sent, or was to be. Known when the answer is over.
    UpstreamAttempts,
    /// `upstream.failure`: string?, why the connection failed. Known when the answer is over.
    UpstreamFailure,
}

/// One operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnaryOp {
    /// `!`; an absent operand counts as false
    Not,
    /// `-`, saturating
    Negate,
}

/// Two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinaryOp {
    /// `&&`; as in `||`, an absent operand counts as false
    And,
    /// `||`
    Or,
    /// `==`; false when an operand is absent
    Equal,
    /// `!=`; true when an operand is absent
    NotEqual,
    /// `<` on ints and strings (bytewise)
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `x in list`
    In,
    /// `+` on ints, saturating
    Add,
    /// `-` on ints, saturating
    Subtract,
    /// `*` on ints, saturating
    Multiply,
    /// `/` on ints, towards zero; the divisor is a constant that is not 0
    Divide,
    /// `%` on ints, sign of the dividend; the divisor is a constant that is not 0
    Remainder,
}

/// Functions; positions and sizes of strings are in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Builtin {
    /// `size(string) -> int`
    StringSize,
    /// `size(list) -> int`
    ListSize,
    /// `string.contains(string) -> bool`
    Contains,
    /// `string.startsWith(string) -> bool`
    StartsWith,
    /// `string.endsWith(string) -> bool`
    EndsWith,
    /// `string.lowerAscii() -> string`
    LowerAscii,
    /// `string.upperAscii() -> string`
    UpperAscii,
    /// `string.trim() -> string`, ASCII white space
    Trim,
    /// `string.indexOf(string) -> int`, -1 if it is not there
    IndexOf,
    /// `string.substring(int, int) -> string`, clamped to the string (so total)
    Substring,
}

/// How a string is read as another type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conversion {
    /// `-?[0-9]+` that fits 64 bits; else absent.
    Int,
    /// `true` or `false`; else absent.
    Bool,
    /// At most this many bytes; else absent.
    BoundedString(u32),
    /// One of these; else absent.
    Enum(Vec<Arc<str>>),
    /// Split at `,` with white space around elements removed; more than this many elements: absent.
    List(u32),
}

/// Loops over a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantifier {
    /// At least one.
    Exists,
    /// Each one.
    All,
    /// Exactly one.
    ExistsOne,
}
