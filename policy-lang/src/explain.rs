//! `explain`: the evaluator's decision with what the evaluator saw of each rule.
//!
//! Nothing is computed a second way: that a rule matches, that a caller is a peer and that a
//! condition holds are all asked of [`crate::eval`]. A condition is taken apart at its `&&` only,
//! so that the part that failed can be named together with the values it looked at.

use crate::checked::{BinaryOp, Effect, Expr, ExprKind, Guard, Redact, SampleRate, UnaryOp};
use crate::decision::{Decision, Outcome};
use crate::eval::{self, Changes, Computed, Scope};
use crate::linked::{LinkedLog, LinkedProgram, Workload};
use crate::literals::expression_text;
use crate::request::Request;
use crate::sinks::Goals;
use crate::source::Span;
use std::sync::Arc;

/// A decision and what stood behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// What becomes of headers whatever the answer; nothing unless the request passes.
    pub changes: Changes,
    /// What becomes of the answer's headers beside that, by what it is.
    pub by_answer: Vec<HeaderByAnswer>,
    /// All rules that concern the target, in decision order, each once, then all limits in theirs if they are asked,
    /// then all operations on headers if the request passes.
    pub rules: Vec<RuleFinding>,
    /// What is logged of the request; `None` if no `log` policy concerns the target.
    pub logged: Option<LogFinding>,
}

/// An operation on a header of the answer that asks about the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderByAnswer {
    /// The statement.
    pub by: Arc<str>,
    /// The header.
    pub header: Arc<str>,
    /// What becomes of it: `set`, `add` or `remove`.
    pub does: &'static str,
    /// Where its value is written.
    pub value: Option<Span>,
    /// What must hold of the answer.
    pub when: Option<Written>,
}

/// A condition in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// As it is written there.
    There(Span),
    /// In normal form, for it stands in several places, or behind `unless`.
    So(String),
}

impl Written {
    fn of(condition: &Expr) -> Self {
        match condition.kind {
            ExprKind::Unary(UnaryOp::Not, _) | ExprKind::Binary(BinaryOp::And, ..) => {
                Self::So(expression_text(condition))
            }
            _ => Self::There(condition.span),
        }
    }
}

/// What is logged of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFinding {
    /// How many of such requests are logged whatever the answer.
    pub rate: SampleRate,
    /// Where the statement is that says so, if one does.
    pub by: Option<Span>,
    /// More are, where the answer is such: how many, what must hold of it, and the whole statement.
    pub later: Vec<(SampleRate, Written, Span)>,
    /// The fields of its line beside those that each line has.
    pub fields: Vec<Arc<str>>,
    /// What is redacted in it, and how.
    pub redacted: Vec<(String, Redact)>,
    /// The sinks that it goes to; none if it goes to the log of the sidecar alone.
    pub goals: Goals,
}

/// What a statement does when it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    /// `exempt`, `deny` or `allow`.
    Decides(Effect),
    /// `limit`.
    Counts {
        /// In the bucket of these values of its keys, in the order in which they are written.
        keys: Vec<AttributeFinding>,
        /// Whether all replicas share it.
        shared: bool,
    },
    /// `set`, `add` or `remove`.
    ChangesHeader(&'static str),
}

/// How one rule met the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFinding {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Where it is written.
    pub span: Span,
    /// What it does when it matches.
    pub does: Does,
    /// Whether its policy is in shadow mode.
    pub shadow: bool,
    /// Whether the request's method is one of the rule's.
    pub method: bool,
    /// Whether its path is.
    pub path: bool,
    /// Whether its caller is.
    pub peer: bool,
    /// The parts of the condition that `&&` joins; empty if the rule has none.
    pub conditions: Vec<ConditionFinding>,
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionFinding {
    /// Where it is written, without a `!` or `unless` around it.
    pub span: Span,
    /// What the text under `span` is for this request.
    pub value: bool,
    /// Whether the rule can match with that.
    pub satisfied: bool,
    /// What the request's attributes in it are, in the order in which they are written.
    pub attributes: Vec<AttributeFinding>,
}

/// An attribute of the request and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeFinding {
    /// Where it is written.
    pub span: Span,
    /// Its value as a literal of the language, or `None` if it is absent.
    pub value: Option<String>,
}

impl RuleFinding {
    /// Whether the rule matches the request.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.method && self.path && self.peer && self.conditions.iter().all(|part| part.satisfied)
    }
}

/// The decision on a request and how each rule met it.
#[must_use]
pub fn explain(program: &LinkedProgram, request: &Request) -> Explanation {
    let decision = eval::evaluate(program, request);
    let mut rules: Vec<RuleFinding> = Vec::new();
    let of_rules = program.auth.rules.iter().map(|linked| {
        let rule = &linked.rule;
        let does = Does::Decides(rule.effect);
        finding((&rule.id, rule.span, linked.shadow), &rule.guard, does, &program.workload, request)
    });
    let asked = program.traffic.limits.iter().filter(|linked| limits_are_asked(&decision, linked.shadow));
    let of_limits = asked.map(|linked| {
        let limit = &linked.limit;
        let keys = values(&limit.keys, &program.workload, request);
        let does = Does::Counts { keys, shared: limit.shared };
        finding((&limit.id, limit.span, linked.shadow), &limit.guard, does, &program.workload, request)
    });
    let passes = decision.outcome.allows();
    let of_headers = program.traffic.headers.iter().filter(|_| passes).map(|linked| {
        let statement = &linked.statement;
        let does = Does::ChangesHeader(statement.change.as_str());
        let known_by = (&statement.id, statement.span, linked.shadow);
        finding(known_by, &statement.guard, does, &program.workload, request)
    });
    for finding in of_rules.chain(of_limits).chain(of_headers) {
        // One rule may stand as several entries, of which any may match; they differ in paths and peers.
        match rules.iter_mut().find(|known| known.rule == finding.rule) {
            Some(known) if finding.matches() => *known = finding,
            Some(known) if known.matches() => {}
            Some(known) => {
                known.path |= finding.path;
                known.peer |= finding.peer;
            }
            None => rules.push(finding),
        }
    }
    let (mut changes, mut by_answer) = (Changes::default(), Vec::new());
    if passes {
        (changes, by_answer) = changed(program, request);
    }
    let logged = program.log.as_ref().map(|log| logged(program, log, request, &decision));
    Explanation { decision, changes, by_answer, rules, logged }
}

/// What becomes of headers whatever the answer, and what by it.
fn changed(program: &LinkedProgram, request: &Request) -> (Changes, Vec<HeaderByAnswer>) {
    let (late, early): (Vec<_>, Vec<_>) =
        program.traffic.headers.iter().cloned().partition(|linked| linked.statement.is_late());
    let mut without = program.clone();
    without.traffic.headers = early;
    // Whatever it is: nothing asks about it.
    let any = eval::Response { code: 200, ..eval::Response::default() };
    let changes = eval::header_changes(&without, request, &any);
    let matching = late.iter().filter(|linked| {
        !linked.shadow && eval::guard_matches(&linked.statement.guard, &program.workload, request)
    });
    let mut by_answer: Vec<HeaderByAnswer> = Vec::new();
    for linked in matching {
        let statement = &linked.statement;
        let found = HeaderByAnswer {
            by: statement.id.clone(),
            header: statement.header.clone(),
            does: statement.change.as_str(),
            value: statement.change.value().map(|value| value.span),
            when: statement.late.as_ref().map(|late| Written::of(late)),
        };
        if !by_answer.contains(&found) {
            by_answer.push(found);
        }
    }
    by_answer.sort_by(|one, other| (&one.header, &one.by).cmp(&(&other.header, &other.by)));
    (changes, by_answer)
}

/// Whether limits are asked of a request that is decided so: those of the policies that are enforced if the rules let it
/// pass, all if the rules let it pass with the shadow policies enforced too.
fn limits_are_asked(decision: &Decision, shadow: bool) -> bool {
    let asks = |decision: &Decision| decision.outcome.allows() || decision.outcome == Outcome::Limited;
    decision.shadow.as_deref().is_some_and(asks) || (!shadow && asks(decision))
}

/// What is logged of a request that is decided so.
fn logged(program: &LinkedProgram, log: &LinkedLog, request: &Request, decision: &Decision) -> LogFinding {
    let is_judged = decision.outcome != Outcome::Refused;
    let speaking = if is_judged { eval::speaking(program, log, request, decision) } else { Vec::new() };
    let best = speaking.iter().find(|sample| sample.later.is_none());
    let rate = match (best, &log.samples) {
        (Some(best), _) => best.rate,
        (None, None) => SampleRate::ALL,
        (None, Some(_)) if is_judged => SampleRate::NONE,
        (None, Some(_)) => log.refused(),
    };
    let more = speaking.iter().filter(|sample| sample.rate > rate);
    let later =
        more.filter_map(|sample| Some((sample.rate, Written::of(sample.later.as_ref()?), sample.span)));
    LogFinding {
        rate,
        by: best.map(|sample| sample.span),
        later: later.collect(),
        fields: log.fields.keys().cloned().collect(),
        redacted: log.redacted.iter().map(|(source, how)| (source.clone(), *how)).collect(),
        goals: log.goals.clone(),
    }
}

/// How a statement met the request: one of this id, at this place, in shadow mode or not.
fn finding(
    (id, span, shadow): (&Arc<str>, Span, bool),
    guard: &Guard,
    does: Does,
    workload: &Workload,
    request: &Request,
) -> RuleFinding {
    let mut conditions = Vec::new();
    if let Some(condition) = &guard.condition {
        take_apart(condition, true, &mut Scope::new(request, workload), &mut conditions);
    }
    RuleFinding {
        rule: id.clone(),
        span,
        does,
        shadow,
        method: eval::method_matches(guard, request),
        path: eval::path_matches(guard, request),
        peer: eval::caller_matches(guard, workload, request),
        conditions,
    }
}

/// What keys are for the request.
fn values(keys: &[Arc<Expr>], workload: &Workload, request: &Request) -> Vec<AttributeFinding> {
    let mut scope = Scope::new(request, workload);
    let value = |key: &Arc<Expr>| {
        let value = scope.value(key).as_ref().map(literal);
        AttributeFinding { span: key.span, value }
    };
    keys.iter().map(value).collect()
}

/// Adds the parts that must all hold for `expr` to be `wanted`.
fn take_apart(expr: &Expr, wanted: bool, scope: &mut Scope<'_>, parts: &mut Vec<ConditionFinding>) {
    match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => take_apart(inner, !wanted, scope, parts),
        ExprKind::Binary(BinaryOp::And, left, right) if wanted => {
            take_apart(left, wanted, scope, parts);
            take_apart(right, wanted, scope, parts);
        }
        ExprKind::Binary(BinaryOp::Or, left, right) if !wanted => {
            take_apart(left, wanted, scope, parts);
            take_apart(right, wanted, scope, parts);
        }
        _ => {
            let value = scope.holds(expr);
            let mut attributes = Vec::new();
            collect_attributes(expr, scope, &mut attributes);
            parts.push(ConditionFinding { span: expr.span, value, satisfied: value == wanted, attributes });
        }
    }
}

/// Adds the attributes of an expression with their values, each place once.
fn collect_attributes(expr: &Expr, scope: &mut Scope<'_>, found: &mut Vec<AttributeFinding>) {
    let mut inside = |inner: &Expr| collect_attributes(inner, scope, found);
    match &expr.kind {
        ExprKind::Attribute(_) => {
            let value = scope.value(expr).as_ref().map(literal);
            if !found.iter().any(|known| known.span == expr.span) {
                found.push(AttributeFinding { span: expr.span, value });
            }
        }
        ExprKind::Literal(_) | ExprKind::Variable(_) => {}
        ExprKind::Kept(_, inner) => inside(inner),
        ExprKind::Unary(_, inner)
        | ExprKind::Matches(inner, _)
        | ExprKind::ContainsIp(_, inner)
        | ExprKind::Has(inner)
        | ExprKind::Convert(_, inner) => inside(inner),
        ExprKind::Binary(_, left, right) => {
            inside(left);
            inside(right);
        }
        ExprKind::Conditional(test, yes, no) => {
            inside(test);
            inside(yes);
            inside(no);
        }
        ExprKind::Call(_, arguments) => arguments.iter().for_each(|argument| inside(argument)),
        ExprKind::Quantify { list, body, .. } => {
            inside(list);
            inside(body);
        }
    }
}

/// A value as the language writes it; bytes that are not UTF-8 are shown as the replacement character.
fn literal(value: &Computed) -> String {
    let quoted = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
    match value {
        Computed::Bool(value) => value.to_string(),
        Computed::Int(value) => value.to_string(),
        Computed::String(bytes) => quoted(bytes),
        Computed::Ip(address) => address.to_string(),
        Computed::List(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| quoted(element)).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;
    use crate::analyse::analyse;
    use crate::check::{CheckOptions, request_of};
    use crate::checked::Direction;
    use crate::link::link;
    use crate::request::received;
    use crate::source::{FileId, SourceSet};
    use std::collections::BTreeMap;

    const POLICY: &str = r#"auth p on mesh {
  mixed: allow /a/*, /*/b from service s/x, ip 10.0.0.0/8 when has(headers["h"]) && headers["i"] != "2"
  no: deny /a/** unless (headers["j"] == "1" || source.port > 5)
}
"#;

    fn explained(request: &str) -> Explanation {
        explained_by(POLICY, request)
    }

    fn explained_by(policies: &str, request: &str) -> Explanation {
        let mut sources = SourceSet::new();
        sources.add("p.writ", policies);
        let analysis = analyse(&sources, CheckOptions::default());
        assert!(analysis.is_ok(), "{:?}", analysis.diagnostics);
        let workload = Workload {
            namespace: "s".to_owned(),
            service: "t".to_owned(),
            labels: BTreeMap::new(),
            trust_domain: "mesh.local".to_owned(),
        };
        let program = link(&analysis.policies, &workload, Direction::Inbound).unwrap().unwrap();
        let request = received(request_of(FileId(0), request, "mesh.local").unwrap()).unwrap();
        explain(&program, &request)
    }

    /// The parts of a rule that failed, as `m`ethod, `p`ath, `c`aller and the text of conditions.
    #[track_caller]
    fn check(request: &str, rule: &str, decided_by: &str, failed: &[&str]) {
        let explanation = explained(request);
        assert_eq!(&*explanation.decision.rule, decided_by, "{request}");
        let finding = explanation.rules.iter().find(|finding| &*finding.rule == rule).unwrap();
        let parts = [(finding.method, "m"), (finding.path, "p"), (finding.peer, "c")];
        let mut found: Vec<String> =
            parts.iter().filter(|(met, _)| !met).map(|(_, part)| (*part).to_owned()).collect();
        for part in finding.conditions.iter().filter(|part| !part.satisfied) {
            let text = POLICY.get(part.span.start as usize..part.span.end as usize).unwrap();
            found.push(format!("{text} = {}", part.value));
        }
        assert_eq!(found, failed, "{request}");
        assert_eq!(finding.matches(), failed.is_empty(), "{request}");
    }

    #[test]
    fn a_rule_that_stands_as_several_entries_is_one_finding() {
        let identified = r#"GET /x/b from service s/x with header h = """#;
        check(identified, "p/mixed", "p/mixed", &[]);
        assert_eq!(explained(identified).rules.len(), 2);
        check(r#"GET /x/b with ip 10.1.1.1 with header h = """#, "p/mixed", "p/mixed", &[]);
        check(r#"GET /x/c with ip 10.1.1.1 with header h = """#, "p/mixed", "default-deny", &["p"]);
        check(r#"GET /x/b from service s/y with header h = """#, "p/mixed", "default-deny", &["c"]);
    }

    #[test]
    fn what_is_not_asked_is_not_said() {
        let policies = "auth p on mesh { read: allow GET }
traffic t on mesh { few: limit 1/s  set request header x-a = \"1\" }";
        let said = |policies: &str, request: &str| {
            let explanation = explained_by(policies, request);
            explanation.rules.iter().map(|finding| finding.rule.to_string()).collect::<Vec<_>>()
        };
        let passes = said(policies, "GET /");
        assert_eq!(passes.len(), 3, "{passes:?}");
        assert_eq!(said(policies, "POST /"), ["p/read"]);
        // A shadow policy would let it pass: then the limits would be asked.
        let shadow = format!("{policies}\nauth s on mesh {{ mode shadow  write: allow POST }}");
        assert_eq!(said(&shadow, "POST /"), ["p/read", "s/write", "t/few"]);
    }

    #[test]
    fn a_condition_is_taken_apart_at_what_must_all_hold() {
        check(
            r#"GET /x/b with ip 10.1.1.1 with header i = "2""#,
            "p/mixed",
            "default-deny",
            &[r#"has(headers["h"]) = false"#, r#"headers["i"] != "2" = false"#],
        );
        check(r#"GET /a/b with header j = "1""#, "p/no", "default-deny", &[r#"headers["j"] == "1" = true"#]);
        check("GET /a/b", "p/no", "p/no", &[]);
    }

    #[test]
    fn attributes_are_shown_with_their_values() {
        let explanation = explained(r#"GET /a/b with header h = "\"" with header i = "2""#);
        let values: Vec<Option<String>> = explanation
            .rules
            .iter()
            .flat_map(|finding| &finding.conditions)
            .flat_map(|part| part.attributes.iter().map(|attribute| attribute.value.clone()))
            .collect();
        let shown = |text: &str| Some(text.to_owned());
        assert_eq!(values, [None, shown("0"), shown(r#""\"""#), shown(r#""2""#)]);
    }
}
