//! The text form of checked policies and tests (`--emit checked`).

use crate::checked::{
    Body, Calls, CheckedPolicy, CheckedTest, Choice, Effect, Expectation, ExpectedWayKind, Fault, FaultKind,
    Guard, HeaderExpectation, HeaderStatement, Limit, Message, Mirror, Mode, Peer, Piece, Respond, Retry,
    Rule, Sample, Setting, Target, Template, Way, Weighted,
};
use crate::eval::Response;
use crate::literals::{attribute_text, expression_text};
use crate::request::RawRequest;
use crate::response::FLAGS;
use std::fmt::Write as _;

/// The policies and tests as text, one statement a line, every part resolved. Conditions stand in
/// their normal form.
#[must_use]
pub fn dump(policies: &[CheckedPolicy], tests: &[CheckedTest]) -> String {
    let mut out = String::new();
    for policy in policies {
        dump_policy(&mut out, policy);
    }
    for test in tests {
        dump_test(&mut out, test);
    }
    out
}

// Writing to a string does not fail, so the results below are of no interest.

fn dump_policy(out: &mut String, policy: &CheckedPolicy) {
    let kind = match policy.body {
        Body::Auth(_) => "auth",
        Body::Traffic(_) => "traffic",
        Body::Log(_) => "log",
        Body::Filter(_) => "filter",
        Body::Sink(_) => "sink",
    };
    let _ = writeln!(out, "{kind} {}", policy.name);
    for scope in &policy.targets {
        let _ = writeln!(out, "  on {}", target_text(&scope.target));
    }
    let mode = match &policy.mode {
        Mode::Enforce => "enforce".to_owned(),
        Mode::Shadow { until: Some(until) } => format!("shadow until {until}"),
        Mode::Shadow { until: None } => "shadow".to_owned(),
        Mode::Off => "off".to_owned(),
    };
    let _ = writeln!(out, "  mode {mode}");
    for rule in policy.rules() {
        let _ = writeln!(out, "  {}", rule_text(rule));
    }
    if let Some(otherwise) = policy.otherwise() {
        let effect = if otherwise.allow { "allow" } else { "deny" };
        let _ = writeln!(out, "  otherwise {effect}{}", respond_text(otherwise.respond.as_ref()));
    }
    if let Some(plaintext) = policy.plaintext() {
        let _ = writeln!(out, "  plaintext {}", if plaintext.allow { "allow" } else { "deny" });
    }
    for limit in policy.limits() {
        let _ = writeln!(out, "  {}", limit_text(limit));
    }
    for cors in policy.cors() {
        let _ = writeln!(out, "  {}: {}", cors.id, cors.rules);
    }
    for header in policy.headers() {
        let _ = writeln!(out, "  {}", header_text(header));
    }
    policy.calls().into_iter().flat_map(calls_text).for_each(|line| {
        let _ = writeln!(out, "  {line}");
    });
    if let Some(sink) = policy.sink() {
        let _ = writeln!(out, "  {}", sink.goal);
        return;
    }
    if let Some(filter) = policy.filter() {
        let _ = writeln!(out, "  use {}", filter.attached);
        let _ = writeln!(out, "  phase {}", filter.phase.as_str());
        if let Some(config) = &filter.config {
            let _ = writeln!(out, "  config {config}");
        }
        let _ = writeln!(out, "  on failure {}", filter.on_failure.as_str());
        for words in filter.may.words() {
            let _ = writeln!(out, "  may {words}");
        }
    }
    if let Some(log) = policy.log() {
        for sample in &log.samples {
            let _ = writeln!(out, "  {}", sample_text(sample));
        }
        for field in &log.fields {
            let _ = writeln!(out, "  field {}: {}", field.name, expression_text(&field.value));
        }
        for redaction in &log.redactions {
            let source = attribute_text(&redaction.source);
            let _ = writeln!(out, "  redact {source} with {}", redaction.how.as_str());
        }
        for send in &log.sends {
            let _ = writeln!(out, "  send to {}", send.sink);
        }
    }
}

pub(crate) fn sample_text(sample: &Sample) -> String {
    let of = sample.passed.map_or("", |passed| if passed { " allowed" } else { " denied" });
    let mut text = format!("sample {}{of}", sample.rate);
    let guard = guard_text(&sample.guard);
    if !guard.is_empty() {
        let _ = write!(text, " for{guard}");
    }
    if let Some(later) = &sample.later {
        let _ = write!(text, " when {}", expression_text(later));
    }
    text
}

fn target_text(target: &Target) -> String {
    match target {
        Target::Mesh => "mesh".to_owned(),
        Target::Namespace(namespace) => format!("namespace {namespace}"),
        Target::Service(service) => format!("service {}/{}", service.namespace, service.name),
        Target::Workload { namespace, labels } => {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            format!("workload {namespace} {{{}}}", labels.join(", "))
        }
    }
}

pub(crate) fn rule_text(rule: &Rule) -> String {
    let effect = match rule.effect {
        Effect::Exempt => "exempt",
        Effect::Deny => "deny",
        Effect::Allow => "allow",
    };
    let mut text = format!("{}: {effect}", rule.id);
    text.push_str(&guard_text(&rule.guard));
    text + &respond_text(rule.respond.as_ref())
}

pub(crate) fn limit_text(limit: &Limit) -> String {
    let mut text = format!("{}: limit {} burst {}", limit.id, limit.rate, limit.burst);
    if !limit.keys.is_empty() {
        let keys: Vec<String> = limit.keys.iter().map(|key| expression_text(key)).collect();
        let _ = write!(text, " per {}", keys.join(", "));
    }
    if limit.shared {
        text.push_str(" shared");
    }
    let guard = guard_text(&limit.guard);
    if !guard.is_empty() {
        let _ = write!(text, " for{guard}");
    }
    text + &respond_text(Some(&limit.respond))
}

pub(crate) fn header_text(header: &HeaderStatement) -> String {
    let guard = guard_text(&header.guard);
    let guard = if guard.is_empty() { guard } else { format!(" for{guard}") };
    let late =
        header.late.as_ref().map(|late| format!(" when {}", expression_text(late))).unwrap_or_default();
    format!("{}: {}{guard}{late}", header.id, change_text(header))
}

/// `set request header x-a = source.service`
pub(crate) fn change_text(header: &HeaderStatement) -> String {
    let (change, message) = (header.change.as_str(), header.message.as_str());
    let value = header.change.value().map(|value| format!(" = {}", expression_text(value)));
    format!("{change} {message} header {}{}", header.header, value.unwrap_or_default())
}

/// What callers' sidecars do, one statement a line.
pub(crate) fn calls_text(calls: &Calls) -> Vec<String> {
    fn lines<T>(
        choices: &[Choice<T>],
        does: impl Fn(&T) -> (&'static str, String),
    ) -> impl Iterator<Item = String> {
        choices.iter().map(move |choice| {
            let (word, what) = does(&choice.does);
            let guard = guard_text(&choice.guard);
            let guard = if guard.is_empty() { String::new() } else { format!(" for{guard}") };
            format!("{}: {word} {what}{guard}", choice.id)
        })
    }
    let Calls { ways, rewrites, mirrors, timeouts, ceilings, retries, faults, settings } = calls;
    let mut all: Vec<String> = lines(ways, way_text).collect();
    all.extend(lines(rewrites, |template| ("rewrite", template_text(template))));
    all.extend(lines(mirrors, |mirror| ("mirror", mirror_text(mirror))));
    all.extend(lines(timeouts, |limit| ("timeout", format!("{}ms", limit.0))));
    all.extend(lines(ceilings, |limit| ("timeout", format!("at_most {}ms", limit.0))));
    all.extend(lines(retries, |retry| ("retry", retry_text(retry))));
    all.extend(lines(faults, |fault| ("fault", fault_text(fault))));
    fn settings_of<T: std::fmt::Display>(all: &mut Vec<String>, word: &str, stated: &[Setting<T>]) {
        all.extend(stated.iter().map(|setting| format!("{}: {word} {}", setting.id, setting.does)));
    }
    settings_of(&mut all, "connections", &settings.pools);
    settings_of(&mut all, "eject", &settings.ejections);
    settings_of(&mut all, "health", &settings.checks);
    settings_of(&mut all, "balance", &settings.balances);
    all
}

pub(crate) fn way_text(way: &Way) -> (&'static str, String) {
    match way {
        Way::Route(weighted) => {
            let each = |weighted: &Weighted| format!("{} {}", weighted.to, share_text(weighted.share));
            ("route", weighted.iter().map(each).collect::<Vec<_>>().join(", "))
        }
        Way::Redirect { location, status } => ("redirect", format!("{} {status}", template_text(location))),
    }
}

/// A template with the numbers of segments in the place of their names.
pub(crate) fn template_text(template: &Template) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Segment(number) => format!("{{{number}}}"),
        Piece::Rest(number) => format!("{{{number}..}}"),
    };
    template.pieces.iter().map(piece).collect()
}

/// `5% to shop/shadow`
#[must_use]
pub fn mirror_text(mirror: &Mirror) -> String {
    format!("{} to {}", share_text(mirror.share), mirror.to)
}

/// `2 on 5xx each 500ms`
#[must_use]
pub fn retry_text(retry: &Retry) -> String {
    let causes: Vec<&str> = retry.on.iter().map(|cause| cause.as_str()).collect();
    let mut text = format!("{} on {}", retry.times, causes.join(", "));
    let timed = [("each", retry.each), ("backoff", retry.backoff)];
    for (word, limit) in timed.into_iter().filter_map(|(word, limit)| Some((word, limit?))) {
        let _ = write!(text, " {word} {}ms", limit.0);
    }
    text
}

/// `1% delay 300ms`
#[must_use]
pub fn fault_text(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Delay(limit) => format!("{} delay {}ms", share_text(fault.share), limit.0),
        FaultKind::Abort(status) => format!("{} abort {status}", share_text(fault.share)),
    }
}

/// A share in millionths as a percentage: `0.1%`.
#[must_use]
pub fn share_text(millionths: u32) -> String {
    let fraction = format!("{:04}", millionths % 10_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}%", millionths / 10_000)
}

/// The parts of a guard, each with a space in front of it.
pub(crate) fn guard_text(guard: &Guard) -> String {
    let mut text = String::new();
    let Guard { methods, paths, peers, condition } = guard;
    if !methods.is_empty() {
        let _ = write!(text, " {}", methods.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    if !paths.is_empty() {
        let _ = write!(text, " {}", paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    if !peers.is_empty() {
        let _ = write!(text, " from {}", peers.iter().map(peer_text).collect::<Vec<_>>().join(", "));
    }
    if let Some(condition) = condition {
        let _ = write!(text, " when {}", expression_text(condition));
    }
    text
}

fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Service(service) => format!("service {}/{}", service.namespace, service.name),
        Peer::Namespace(namespace) => format!("namespace {namespace}"),
        Peer::Ip(network) => format!("ip {network}"),
        Peer::Spiffe(id) => format!("spiffe {id:?}"),
        Peer::Anyone => "anyone".to_owned(),
    }
}

pub(crate) fn respond_text(respond: Option<&Respond>) -> String {
    match respond {
        Some(respond) if respond.body.is_empty() => format!(" respond {}", respond.status),
        Some(respond) => format!(" respond {} {:?}", respond.status, respond.body),
        None => String::new(),
    }
}

fn dump_test(out: &mut String, test: &CheckedTest) {
    let _ = writeln!(out, "test {:?} for {}", test.name, test.policies.join(", "));
    for case in &test.cases {
        let ways = case.ways.iter().map(|way| match &way.kind {
            ExpectedWayKind::To(to) => format!("to service {to}"),
            ExpectedWayKind::Redirected(location) => format!("to {location:?}"),
        });
        let of_headers = case.headers.iter().map(header_expectation_text);
        let logged = case.logged.map(|logged| if logged { "logged" } else { "not logged" });
        let expect = case.expect.iter().map(expectation_text).chain(of_headers).chain(ways);
        let expect: Vec<String> = expect.chain(logged.map(str::to_owned)).collect();
        let repeat = if case.repeat == 1 { String::new() } else { format!("{} x ", case.repeat) };
        let mut request = request_text(&case.request);
        request.push_str(&response_text(&case.response));
        let _ = writeln!(out, "  given {repeat}{request} expect {}", expect.join(", "));
    }
}

/// An answer in the words in which it is written; nothing of what is usual.
fn response_text(response: &Response) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = String::new();
    if (response.code, response.duration_ms) != (200, 0) {
        let _ = write!(text, " with response {} after {}ms", response.code, response.duration_ms);
    }
    for (name, value) in &response.headers {
        let _ = write!(text, " with response header {} = {:?}", lossy(name), lossy(value));
    }
    if response.size > 0 {
        let _ = write!(text, " with response size {}", response.size);
    }
    let flags = FLAGS.iter().enumerate().filter(|(bit, _)| response.flags >> bit & 1 == 1);
    let flags: Vec<String> = flags.map(|(_, flag)| format!("{flag:?}")).collect();
    if !flags.is_empty() {
        let _ = write!(text, " with response flags {}", flags.join(", "));
    }
    if let Some(upstream) = &response.upstream {
        let _ = write!(text, " with upstream {:?} attempts {}", lossy(upstream), response.attempts);
    }
    if let Some(failure) = &response.failure {
        let _ = write!(text, " failure {:?}", lossy(failure));
    }
    text
}

/// A request in the words in which it is written.
fn request_text(request: &RawRequest) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = format!("{} {}", lossy(&request.method), path_text(&lossy(&request.path)));
    if let Some(principal) = &request.source.principal {
        let _ = write!(text, " from spiffe {:?}", lossy(principal));
    }
    let usual = RawRequest::default();
    if request.source.ip != usual.source.ip {
        let _ = write!(text, " with ip {}", request.source.ip);
    }
    for host in
        request.authority.iter().chain(&request.hosts).filter(|host| usual.authority.as_ref() != Some(*host))
    {
        let _ = write!(text, " with host {:?}", lossy(host));
    }
    for (name, value) in &request.headers {
        let _ = write!(text, " with header {} = {:?}", lossy(name), lossy(value));
    }
    text
}

/// A path as a token, or as a string where it is none.
fn path_text(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'*+;=:@%/?".contains(&byte);
    if path.starts_with('/') && path.bytes().all(is_plain) { path.to_owned() } else { format!("{path:?}") }
}

pub(crate) fn header_expectation_text(expectation: &HeaderExpectation) -> String {
    let message = match expectation.message {
        Message::Request => "",
        Message::Response => "response ",
    };
    match &expectation.value {
        Some(value) => {
            format!("{message}header {} = {:?}", expectation.header, String::from_utf8_lossy(value))
        }
        None => format!("not {message}header {}", expectation.header),
    }
}

fn expectation_text(expectation: &Expectation) -> String {
    let count = expectation.count.map(|count| format!("{count} ")).unwrap_or_default();
    let mut text = count + expectation.verdict.as_str();
    if let Some(status) = expectation.status {
        let _ = write!(text, " {status}");
    }
    if let Some(by) = &expectation.by {
        let _ = write!(text, " by {by}");
    }
    text
}
