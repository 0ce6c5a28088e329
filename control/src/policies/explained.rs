//! An explanation of a decision, as it is shown: with places in files and the author's own words.
//!
//! The same value is printed for people and serialised for programs, so that both say the same. The
//! JSON is a stable format, documented in `docs/command-line.md`.

mod course;
mod filters;

use crate::policies::workloads;
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::checked::{CheckedPolicy, Direction, Effect, Goal, Message};
use chancery_policy_lang::decision::{Decision, Outcome};
use chancery_policy_lang::eval::{Change, What, course};
use chancery_policy_lang::explain::{
    AttributeFinding, ConditionFinding, Does, HeaderByAnswer, LogFinding, RuleFinding, Written, explain,
};
use chancery_policy_lang::link::{link, link_calls};
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::request::{RawRequest, Refusal, Request, received, service_of};
use chancery_policy_lang::{Diagnostic, SourceSet, Span};
use course::Step;
use filters::Passed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The id that stands for the decision where no policy concerns the workload.
pub const NO_POLICY: &str = "no-policy";

/// A decision and how each rule met the request.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The request line as Envoy shows it to the policy, or as it was sent if Envoy refuses it.
    request: String,
    /// The workload.
    target: String,
    decision: Decided,
    /// Why the request is refused before any rule is asked, if it is.
    refusal: Option<&'static str>,
    /// What would be decided with the shadow policies enforced too; `None` if there are none.
    shadow: Option<Decided>,
    /// What becomes of headers of the request and of the answer to it, if it passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<ChangedHeader>,
    /// What the sidecar says to pages of other origins, whatever becomes of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<Pages>,
    /// What the `outbound` policies of the caller make of it in the caller's sidecar, before all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Box<Explained>>,
    /// The filters of others in its way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filters: Vec<Passed>,
    /// What is done to it in its caller's sidecar.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caller: Vec<Step>,
    /// All rules that concern the workload, in the order in which they are asked, then all limits if they are asked,
    /// then all operations on headers if it passes.
    rules: Vec<Rule>,
    /// What is logged of it, where `log` policies speak of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    logged: Option<Logged>,
}

#[derive(Debug, Serialize)]
struct Logged {
    /// How many of such requests, such as `1%`.
    rate: String,
    /// `file:line` of the statement that says so, if one does.
    place: Option<String>,
    /// More of them, where the answer is such.
    by_answer: Vec<ByAnswer>,
    /// Fields beside those that each line has.
    fields: Vec<String>,
    /// What is redacted, such as `headers["authorization"] with drop`.
    redacted: Vec<String>,
    /// The sinks that it goes to, such as `audit (file audit.jsonl)`; none if it goes to the log of the sidecar alone.
    sinks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ByAnswer {
    rate: String,
    when: String,
    place: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Decided {
    allow: bool,
    outcome: &'static str,
    rule: String,
    /// `file:line` of the rule, if it is written somewhere.
    place: Option<String>,
    status: Option<u16>,
    body: Option<String>,
}

#[derive(Debug, Serialize)]
struct Pages {
    /// As it is written.
    rules: String,
    /// The statement.
    by: String,
}

#[derive(Debug, Serialize)]
struct ChangedHeader {
    /// `request` or `response`.
    message: &'static str,
    header: String,
    /// `set`, `added` or `removed`.
    change: &'static str,
    value: Option<String>,
    /// The expression in the place of a value that is known when there is an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    computed: Option<String>,
    /// What must hold of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    /// The statement.
    by: String,
}

#[derive(Debug, Serialize)]
struct Rule {
    rule: String,
    effect: &'static str,
    place: String,
    shadow: bool,
    matches: bool,
    /// Of a limit, by what values it counts the request, in words; empty if it counts all in one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counted_by: Vec<String>,
    /// Of a limit, whether all replicas of the service share it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    /// Each part of the rule that the request does not meet, in words; empty if it matches.
    failed: Vec<String>,
}

/// Policies, and the texts that their spans point into.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a> {
    /// The texts.
    pub sources: &'a SourceSet,
    /// The policies.
    pub checked: &'a [CheckedPolicy],
}

impl Explained {
    /// Explains what these policies decide of a request to a workload, of a caller with these labels.
    ///
    /// # Errors
    /// The conflicts of policies that meet there.
    pub fn new(
        policies: Policies<'_>,
        workload: &Workload,
        caller_labels: &BTreeMap<String, String>,
        raw: &RawRequest,
    ) -> Result<Self, Vec<Diagnostic>> {
        let line = |method: &[u8], path: &[u8]| {
            format!("{} {}", String::from_utf8_lossy(method), String::from_utf8_lossy(path))
        };
        let received = received(raw.clone());
        let shown = match &received {
            Ok(request) => line(&request.method, &request.path),
            Err(_) => line(&raw.method, &raw.path),
        };
        let mut explained = Self::of_no_policy(shown, workloads::shown(workload));
        let program = link(policies.checked, workload, Direction::Inbound)?;
        let request = match received {
            Ok(request) => request,
            Err(refusal) => {
                explained.decision = decided(policies, &[], &refusal.decision());
                explained.refusal = Some(refusal.as_str());
                return Ok(explained);
            }
        };
        let target = Workload { labels: BTreeMap::new(), ..workload.clone() };
        let caller = request.source.principal.as_deref();
        let caller = caller.and_then(|principal| service_of(principal, &workload.trust_domain));
        let caller = caller.map(|service| Workload {
            labels: caller_labels.clone(),
            ..Workload::of_service(&service, &workload.trust_domain)
        });
        explained.filters = filters::passed(policies, caller.as_ref(), workload)?;
        let calls = link_calls(policies.checked, &target, caller.as_ref(), &mut Budget::new())?;
        let course = calls.as_ref().and_then(|calls| course(calls, &request));
        let own = calls.filter(LinkedProgram::decides_beside_calls).map(|calls| calls.without_calls());
        let mut request = request;
        if let (Some(own), Some(caller)) = (&own, &caller) {
            let mut sender = Self::of_no_policy(explained.request.clone(), workloads::shown(caller));
            let changes = sender.fill(policies, own, &request);
            let is_denied = !sender.decision.allow;
            if is_denied {
                explained.decision = sender.decision.clone();
            }
            explained.sender = Some(Box::new(sender));
            if is_denied {
                return Ok(explained);
            }
            changes.iter().for_each(|change| change.apply(&mut request.headers));
        }
        if let Some(answered) = course.as_ref().and_then(|course| course::answered(policies, course)) {
            explained.decision = answered;
            explained.caller = course.map(|course| course::steps(policies, &course)).unwrap_or_default();
            return Ok(explained);
        }
        // What the target sees is what its caller's sidecar sends.
        let path = course.as_ref().and_then(|course| course.path.clone());
        let request = Request { path: path.unwrap_or_else(|| request.path.clone()), ..request };
        explained.caller = course.map(|course| course::steps(policies, &course)).unwrap_or_default();
        if let Some(program) = program {
            explained.fill(policies, &program, &request);
        }
        Ok(explained)
    }

    /// A request that no policy speaks of.
    fn of_no_policy(request: String, target: String) -> Self {
        Self {
            request,
            target,
            decision: Decided {
                allow: true,
                outcome: NO_POLICY,
                rule: NO_POLICY.to_owned(),
                place: None,
                status: None,
                body: None,
            },
            refusal: None,
            shadow: None,
            headers: Vec::new(),
            cors: None,
            sender: None,
            filters: Vec::new(),
            caller: Vec::new(),
            rules: Vec::new(),
            logged: None,
        }
    }

    /// Takes in what a program makes of a request; gives what becomes of its headers.
    fn fill(&mut self, policies: Policies<'_>, program: &LinkedProgram, request: &Request) -> Vec<Change> {
        let cors = program.traffic.cors.as_deref();
        self.cors = cors.map(|cors| Pages { rules: cors.rules.to_string(), by: cors.id.to_string() });
        let explanation = explain(program, request);
        let (decision, rules) = (&explanation.decision, &explanation.rules);
        self.decision = decided(policies, rules, decision);
        self.shadow = decision.shadow.as_deref().map(|shadow| decided(policies, rules, shadow));
        let of_request = explanation.changes.request.iter().map(|change| (Message::Request, change));
        let of_response = explanation.changes.response.iter().map(|change| (Message::Response, change));
        let by_answer = explanation.by_answer.iter().map(|found| ChangedHeader::by_answer(policies, found));
        let known = of_request.chain(of_response).map(ChangedHeader::new);
        self.headers = known.chain(by_answer).collect();
        self.refusal = program.refusal(request).map(Refusal::as_str);
        self.logged = explanation.logged.as_ref().map(|found| Logged::new(policies, found));
        if decision.outcome != Outcome::Refused {
            let workload = &program.workload;
            self.rules =
                rules.iter().map(|finding| Rule::new(policies, finding, workload, request)).collect();
        }
        explanation.changes.request
    }
}

fn decided(policies: Policies<'_>, rules: &[RuleFinding], decision: &Decision) -> Decided {
    let rule = rules.iter().find(|finding| finding.rule == decision.rule).map(|finding| finding.span);
    let place = rule.or_else(|| otherwise_span(policies, &decision.rule));
    Decided {
        allow: decision.outcome.allows(),
        outcome: decision.outcome.as_str(),
        rule: decision.rule.to_string(),
        place: place.map(|span| policies.sources.location(span)),
        status: decision.respond.as_ref().map(|respond| respond.status),
        body: decision.respond.as_ref().map(|respond| respond.body.clone()),
    }
}

/// Where the `otherwise` of this id is written.
fn otherwise_span(policies: Policies<'_>, id: &str) -> Option<Span> {
    let name = id.strip_suffix("/otherwise")?;
    let policy = policies.checked.iter().find(|policy| policy.name == name)?;
    policy.otherwise().map(|otherwise| otherwise.span)
}

impl ChangedHeader {
    fn new((message, change): (Message, &Change)) -> Self {
        let (word, value) = match &change.what {
            What::Set(value) => ("set", Some(value)),
            What::Added(value) => ("added", Some(value)),
            What::Removed => ("removed", None),
        };
        Self {
            message: message.as_str(),
            header: change.header.to_string(),
            change: word,
            value: value.map(|value| String::from_utf8_lossy(value).into_owned()),
            computed: None,
            when: None,
            by: change.by.to_string(),
        }
    }

    fn by_answer(policies: Policies<'_>, found: &HeaderByAnswer) -> Self {
        let change = match found.does {
            "add" => "added",
            "remove" => "removed",
            set => set,
        };
        Self {
            message: Message::Response.as_str(),
            header: found.header.to_string(),
            change,
            value: None,
            computed: found.value.map(|span| snippet(policies, span)),
            when: found.when.as_ref().map(|when| written(policies, when)),
            by: found.by.to_string(),
        }
    }
}

/// `audit (file audit.jsonl)`
fn sink(name: &str, goal: &Goal) -> String {
    match goal.parts() {
        (kind, _) if kind == name => name.to_owned(),
        (kind, "") => format!("{name} ({kind})"),
        (kind, place) => format!("{name} ({kind} {place})"),
    }
}

impl Logged {
    fn new(policies: Policies<'_>, found: &LogFinding) -> Self {
        let by_answer = found.later.iter().map(|(rate, when, whole)| ByAnswer {
            rate: rate.to_string(),
            when: written(policies, when),
            place: policies.sources.location(*whole),
        });
        let redacted = found.redacted.iter().map(|(source, how)| format!("{source} with {}", how.as_str()));
        Self {
            rate: found.rate.to_string(),
            place: found.by.map(|span| policies.sources.location(span)),
            by_answer: by_answer.collect(),
            fields: found.fields.iter().map(ToString::to_string).collect(),
            redacted: redacted.collect(),
            sinks: found.goals.iter().map(|(name, goal)| sink(name, goal)).collect(),
        }
    }
}

impl fmt::Display for ChangedHeader {
    /// `request header x-a set to "1" by orders/tenant`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, header, change, value, computed, when, by } = self;
        write!(f, "{message} header {header} {change}")?;
        let value = value.as_ref().map(|value| format!("{value:?}"));
        match value.or_else(|| computed.as_ref().map(|written| format!("`{written}`"))) {
            Some(value) if *change == "set" => write!(f, " to {value}")?,
            Some(value) => write!(f, ": {value}")?,
            None => {}
        }
        if let Some(when) = when {
            write!(f, " when `{when}`")?;
        }
        write!(f, " by {by}")
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logged: {} of such requests", self.rate)?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        writeln!(f)?;
        for more in &self.by_answer {
            writeln!(f, "    {} when `{}` ({})", more.rate, more.when, more.place)?;
        }
        for (what, list) in [("fields", &self.fields), ("redacted", &self.redacted), ("sinks", &self.sinks)] {
            if !list.is_empty() {
                writeln!(f, "    {what}: {}", list.join(", "))?;
            }
        }
        Ok(())
    }
}

impl Rule {
    fn new(policies: Policies<'_>, finding: &RuleFinding, workload: &Workload, request: &Request) -> Self {
        let mut failed = Vec::new();
        if !finding.method {
            failed.push(format!("the method is {}", String::from_utf8_lossy(&request.method)));
        }
        if !finding.path {
            failed.push("the path is another".to_owned());
        }
        if !finding.peer {
            failed.push(format!("the caller is {}", caller_text(request, workload)));
        }
        let (counted_by, shared) = match &finding.does {
            Does::Decides(_) | Does::ChangesHeader(_) => (Vec::new(), false),
            Does::Counts { keys, shared } => {
                (keys.iter().map(|key| value_text(policies, key)).collect(), *shared)
            }
        };
        let unsatisfied = finding.conditions.iter().filter(|part| !part.satisfied);
        failed.extend(unsatisfied.map(|part| condition_text(policies, part)));
        Self {
            rule: finding.rule.to_string(),
            effect: word(&finding.does),
            place: policies.sources.location(finding.span),
            shadow: finding.shadow,
            matches: finding.matches(),
            counted_by,
            shared,
            failed,
        }
    }
}

/// The caller as rules see it: a service, or another identity, and its address.
fn caller_text(request: &Request, workload: &Workload) -> String {
    let principal = request.source.principal.as_deref();
    let identity = match principal.and_then(|principal| service_of(principal, &workload.trust_domain)) {
        Some(service) => format!("service {}/{}", service.namespace, service.name),
        None => match principal {
            Some(principal) => format!("{:?}", String::from_utf8_lossy(principal)),
            None => "without an identity".to_owned(),
        },
    };
    format!("{identity}, at {}", request.source.canonical_ip())
}

/// `` `headers["x-role"] == "lead"` is false: headers["x-role"] is absent ``
fn condition_text(policies: Policies<'_>, part: &ConditionFinding) -> String {
    let attributes: Vec<String> =
        part.attributes.iter().map(|attribute| value_text(policies, attribute)).collect();
    let because = if attributes.is_empty() { String::new() } else { format!(": {}", attributes.join(", ")) };
    format!("`{}` is {}{because}", snippet(policies, part.span), part.value)
}

/// `headers["x-role"] is absent`
fn value_text(policies: Policies<'_>, attribute: &AttributeFinding) -> String {
    let value = attribute.value.as_deref().unwrap_or("absent");
    format!("{} is {value}", snippet(policies, attribute.span))
}

/// A condition, on one line.
fn written(policies: Policies<'_>, condition: &Written) -> String {
    match condition {
        Written::There(span) => snippet(policies, *span),
        Written::So(text) => text.clone(),
    }
}

/// What is written somewhere, on one line.
fn snippet(policies: Policies<'_>, span: Span) -> String {
    policies.sources.snippet(span).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn word(does: &Does) -> &'static str {
    match does {
        Does::Decides(Effect::Exempt) => "exempt",
        Does::Decides(Effect::Deny) => "deny",
        Does::Decides(Effect::Allow) => "allow",
        Does::Counts { .. } => "limit",
        Does::ChangesHeader(word) => word,
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}", self.request, self.target)?;
        writeln!(f, "{}", self.decision)?;
        if let Some(why) = self.refusal {
            writeln!(f, "refused before any rule is asked: {why}")?;
        }
        match &self.shadow {
            Some(shadow) if *shadow == self.decision => writeln!(f, "shadow: the same")?,
            Some(shadow) => writeln!(f, "shadow: {shadow}")?,
            None => {}
        }
        for header in &self.headers {
            writeln!(f, "{header}")?;
        }
        if let Some(Pages { rules, by }) = &self.cors {
            writeln!(f, "{rules} by {by}")?;
        }
        for filter in &self.filters {
            writeln!(f, "{filter}")?;
        }
        if let Some(sender) = &self.sender {
            writeln!(f, "\nin the sidecar of {}, which sends it:", sender.target)?;
            for line in sender.to_string().lines().skip(1) {
                let space = if line.is_empty() { "" } else { "    " };
                writeln!(f, "{space}{line}")?;
            }
        }
        if !self.caller.is_empty() {
            writeln!(f, "\nin the caller's sidecar:")?;
        }
        for step in &self.caller {
            writeln!(f, "    {step}")?;
        }
        if !self.rules.is_empty() {
            writeln!(f)?;
        }
        for rule in &self.rules {
            let shadow = if rule.shadow { " (shadow)" } else { "" };
            let met = if rule.matches { "matches" } else { "does not match" };
            writeln!(f, "{} {} ({}){shadow} {met}", rule.effect, rule.rule, rule.place)?;
            if rule.matches && !rule.counted_by.is_empty() {
                writeln!(f, "    {}", rule.counted_by.join(", "))?;
            }
            if rule.matches && rule.shared {
                writeln!(f, "    counted over all replicas")?;
            }
            for failed in &rule.failed {
                writeln!(f, "    {failed}")?;
            }
        }
        if let Some(logged) = &self.logged {
            write!(f, "\n{logged}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome == NO_POLICY {
            return f.write_str("allow: no policy concerns it");
        }
        f.write_str(match self.outcome {
            course::ABORTED | course::REDIRECTED => self.outcome,
            _ if self.allow => "allow",
            _ => "deny",
        })?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " by {}", self.rule)?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        match self.body.as_deref() {
            None | Some("") => Ok(()),
            Some(body) => write!(f, ": {body:?}"),
        }
    }
}
