//! The comparison: a mesh, set after set of policies, and request after request.

use super::called::{Called, End, check_refused};
use super::expected::{Hashes, InForce, Replica, Try};
use super::fate::{By, Fate, Place, fate, seen_by_caller};
use super::followed::Followed;
use super::shares::Shares;
use super::shown::Shown;
use super::steady;
use crate::differential::{requests_of, sketch_with_calls};
use crate::envoy_model::literal;
use crate::mesh::client::Client;
use crate::mesh::wire::Answer;
use crate::mesh::{LOOK_AGAIN, Member, Mesh, PATIENCE, Sidecar};
use crate::programs::{checked, linked_calls, linked_of, workload};
use crate::random::Random;
use anyhow::{Context, Error, Result, bail, ensure};
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::lower::lower;
use chancery_policy_lang::request::{Protocol, RawRequest, Request, ServiceIdentity};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::time::{Instant, sleep};

/// The target of the policies.
const TARGET: [&str; 2] = ["shop", "orders"];
/// The longest body that a request has.
const BODY_BYTES_MAX: usize = 1 << 16;
/// More headers are refused by Envoy.
const HEADERS_MAX: usize = 70;
/// Requests that meet a short timeout, of a set: each takes as long.
const SHORT_MAX: usize = 1;
/// So long takes an answer that comes too late for a short timeout.
const LATE_MS: &str = "20000";
/// Where pages come from that ask.
const ORIGINS: &[&str] = &[
    "https://shop.example",
    "https://a.shop.example",
    "https://a.b-c.shop.example",
    "http://localhost:3000",
    "https://shop.example.evil",
    "https://evilshop.example",
    "https://.shop.example",
    "https://A.shop.example",
];
/// What becomes seldom of generated requests, and so many requests of each of the paths.
const CERTAIN: &str = "traffic certain on service shop/orders {
  cors origins \"https://shop.example\", \"https://*.shop.example\" methods PUT expose x-a age 1m
  timeout at_most 400ms for /late/**
  retry 1 on 5xx backoff 5ms for /again/**
  again: route /again/** -> service shop/orders@v1
  away: redirect /away/{id} -> \"/home/{id}\"
  nobody: route /nobody/** -> service shop/nowhere
  waits: fault 100% delay 20ms for /nobody/**, /waits
  mirror 100% -> service shop/copies for /copied/**
}
";
const CERTAIN_PATHS: [&str; 10] = [
    "/late/7",
    "/again/7",
    "/again/8",
    "/again/9",
    "/away/a%20b",
    "/nobody/7",
    "/waits",
    "/copied/7",
    "/else",
    "/again/with%2Fslash",
];
const CERTAIN_REQUESTS: usize = 12;
/// Routes by weight, and so many requests of each of the paths.
const BY_WEIGHT: &str = "traffic weights on service shop/orders {
  route /half/** -> service shop/orders@v1 50%, service shop/orders@v2 50%
  route /few/** -> service shop/basket 1%, service shop/orders@v2 99%
  route /** -> service shop/basket 30%, service shop/orders@v2 70%
}
";
const WEIGHED_PATHS: [&str; 3] = ["/half/7", "/few/7", "/else"];
const WEIGHED_REQUESTS: usize = 400;
/// Texts that are thrown away before one can be applied.
const REFUSED_MAX: usize = 200;

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Sets of policies.
    pub sets: usize,
    /// Requests that are generated for each.
    pub requests_per_set: usize,
}

/// What was compared.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Sets of policies in force.
    pub sets: usize,
    /// Texts that were refused; they test nothing.
    pub refused: usize,
    /// Requests that were made.
    pub requests: usize,
    /// Requests that were not, for nobody can foretell what becomes of them.
    pub left_out: usize,
    /// What became of them, and how often.
    pub became: BTreeMap<&'static str, usize>,
    /// Where routes by weight led.
    pub shares: Shares,
}

struct Caller {
    service: ServiceRef,
    principal: String,
    sidecar: Sidecar,
    client: Client,
    lines: usize,
}

pub(super) struct Target {
    pub(super) place: Place,
    workload: Workload,
    sidecar: Sidecar,
    lines: usize,
}

struct Pair {
    mesh: Mesh,
    callers: Vec<Caller>,
    targets: Vec<Target>,
    hashes: Hashes,
}

/// A set of policies as programs.
pub(super) struct Programs {
    text: String,
    /// Of each caller.
    calls: Vec<Option<LinkedProgram>>,
    /// Of each target.
    pub(super) inbound: Vec<InForce>,
    /// What lines of each caller show.
    shown: Vec<Shown>,
}

/// A request that was made.
pub(super) struct Made {
    raw: RawRequest,
    caller: usize,
    fate: Fate,
    answer: Answer,
}

/// Compares so many generated sets of policies that follow from a seed.
///
/// # Errors
/// The first difference; or what does not work.
pub async fn compare(chancery: &Path, seed: u64, extent: Extent) -> Result<Summary> {
    let mut pair = Pair::start(chancery).await?;
    let mut random = Random::new(seed);
    let mut summary = Summary::default();
    for set in 0..extent.sets {
        pair.compare_set(set, extent.requests_per_set, &mut random, &mut summary).await?;
    }
    pair.compare_certain(&mut random, &mut summary).await?;
    pair.compare_weights(&mut summary).await?;
    Ok(summary)
}

impl Pair {
    async fn start(chancery: &Path) -> Result<Self> {
        let mesh = Mesh::start(chancery).await?;
        let orders = "shop/orders";
        let callers = ["shop/cart", "pay/ledger"];
        let replica = |service: &str, instance: &str, version: &str| {
            let member = Member::new(service, instance)?.labelled("tier=public");
            Ok::<_, Error>(member.labelled(&format!("version={version}")))
        };
        let [cart, ledger, one, two, basket, copies] = mesh
            .join([
                Member::new(callers[0], "cart")?.calling(&[orders])?,
                Member::new(callers[1], "ledger")?.calling(&[orders])?,
                replica(orders, "one", "v1")?,
                replica(orders, "two", "v2")?,
                replica("shop/basket", "basket", "v1")?,
                replica("shop/copies", "copies", "v1")?,
            ])
            .await?;
        let callers = callers.into_iter().zip([cart, ledger]);
        let callers = callers.map(|(name, sidecar)| {
            let (namespace, name) = name.split_once('/').context("a namespace and a name")?;
            let service = ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() };
            let principal = ServiceIdentity::new("chancery.local", &service).to_string();
            let client = Client::new(sidecar.outbound(orders)?);
            Ok::<_, Error>(Caller { service, principal, sidecar, client, lines: 0 })
        });
        let targets = [
            (Place::One, "orders", "v1", one),
            (Place::Two, "orders", "v2", two),
            (Place::Basket, "basket", "v1", basket),
            (Place::Copies, "copies", "v1", copies),
        ];
        let targets = targets.into_iter().map(|(place, service, version, sidecar)| {
            let labels = [("tier", "public"), ("version", version)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let workload = Workload { labels, ..workload("shop", service) };
            Target { place, workload, sidecar, lines: 0 }
        });
        Ok(Self {
            callers: callers.collect::<Result<_>>()?,
            targets: targets.collect(),
            mesh,
            hashes: Hashes::default(),
        })
    }

    async fn compare_set(
        &mut self,
        set: usize,
        requests: usize,
        random: &mut Random,
        summary: &mut Summary,
    ) -> Result<()> {
        let (programs, requests) = self.put_in_force(set, requests, random, summary).await?;
        summary.sets += 1;
        self.compare_requests(&programs, requests, random, summary).await
    }

    /// Compares what must become of some requests in any case.
    async fn compare_certain(&mut self, random: &mut Random, summary: &mut Summary) -> Result<()> {
        let mut programs = self.programs(CERTAIN.to_owned()).map_err(Error::msg)?;
        programs.is_in_force_at(self.mesh.apply_alone(CERTAIN).await?);
        let request = |path: &str| Request { path: path.into(), ..Request::default() };
        let requests = CERTAIN_PATHS.repeat(CERTAIN_REQUESTS).into_iter().map(request).collect();
        self.compare_requests(&programs, requests, random, summary).await
    }

    async fn compare_requests(
        &mut self,
        programs: &Programs,
        requests: Vec<Request>,
        random: &mut Random,
        summary: &mut Summary,
    ) -> Result<()> {
        let mut made = Vec::new();
        let mut short = 0;
        for request in requests {
            let caller = random.below(self.callers.len());
            let Some((raw, body_bytes)) = on_the_wire(random, request) else {
                summary.left_out += 1;
                continue;
            };
            let Some((raw, fate)) = self.foretold(programs, caller, raw, &mut short, random) else {
                summary.left_out += 1;
                continue;
            };
            made.push(self.make(programs, caller, raw, body_bytes, fate).await?);
        }
        summary.requests += made.len();
        self.check(programs, &made, summary).await
    }

    /// Compares where many requests go that have routes by weight with the shares that are stated.
    async fn compare_weights(&mut self, summary: &mut Summary) -> Result<()> {
        let mut programs = self.programs(BY_WEIGHT.to_owned()).map_err(Error::msg)?;
        programs.is_in_force_at(self.mesh.apply_alone(BY_WEIGHT).await?);
        let mut made = Vec::new();
        for path in WEIGHED_PATHS.repeat(WEIGHED_REQUESTS) {
            let raw = RawRequest {
                protocol: Protocol::Http1,
                authority: None,
                scheme: b"http".to_vec(),
                path: path.into(),
                hosts: vec![b"orders.example".to_vec()],
                ..RawRequest::default()
            };
            let of = self.callers.first().context("there is a caller")?;
            let request = seen_by_caller(&raw, &of.principal).context("Envoy shows it to its filters")?;
            let fate = fate(programs.calls.first().and_then(Option::as_ref), &request);
            made.push(self.make(&programs, 0, raw, 0, fate).await?);
        }
        summary.requests += made.len();
        self.check(&programs, &made, summary).await?;
        summary.shares.check()
    }

    async fn make(
        &mut self,
        programs: &Programs,
        caller: usize,
        raw: RawRequest,
        body_bytes: usize,
        fate: Fate,
    ) -> Result<Made> {
        let of = self.callers.get_mut(caller).context("there are two callers")?;
        let answer = of.client.ask(&raw, body_bytes).await;
        let answer = answer.with_context(|| report("no answer comes", &raw, caller, programs))?;
        Ok(Made { raw, caller, fate, answer })
    }

    /// Generates policies until some can be in force, and requests near them.
    async fn put_in_force(
        &self,
        set: usize,
        requests: usize,
        random: &mut Random,
        summary: &mut Summary,
    ) -> Result<(Programs, Vec<Request>)> {
        for _ in 0..REFUSED_MAX {
            let sketch = sketch_with_calls(random);
            let Ok(mut programs) = self.programs(steady(&sketch, set)) else {
                summary.refused += 1;
                continue;
            };
            // What is too dear, and what contradicts itself for others, is found out by the control plane.
            let Ok(revision) = self.mesh.apply_alone(&programs.text).await else {
                summary.refused += 1;
                continue;
            };
            programs.is_in_force_at(revision);
            return Ok((programs, requests_of(&sketch, requests, random)));
        }
        bail!("{REFUSED_MAX} generated texts one after the other are refused")
    }

    fn programs(&self, text: String) -> Result<Programs, String> {
        let policies = checked(&text)?;
        let [namespace, name] = TARGET;
        let target = workload(namespace, name);
        let calls = self.callers.iter().map(|caller| linked_calls(&policies, &target, &caller.service));
        let linked = self.targets.iter().map(|target| linked_of(&policies, &target.workload));
        let linked: Vec<Option<LinkedProgram>> = linked.collect::<Result<_, _>>()?;
        // Of which replica of the service that is called, the caller does not know.
        let called = self.targets.iter().zip(&linked);
        let called = called.filter(|(target, _)| matches!(target.place, Place::One | Place::Two));
        let hiding = Shown::of(called.filter_map(|(_, program)| program.as_ref()));
        let calls: Vec<Option<LinkedProgram>> = calls.collect::<Result<_, _>>()?;
        let shown = calls.iter().map(|program| Shown { is_concerned: program.is_some(), ..hiding.clone() });
        Ok(Programs {
            shown: shown.collect(),
            calls,
            inbound: linked.into_iter().map(in_force).collect(),
            text,
        })
    }

    /// A request, and what becomes of it; `None` if that cannot be foretold.
    fn foretold(
        &self,
        programs: &Programs,
        caller: usize,
        mut raw: RawRequest,
        short: &mut usize,
        random: &mut Random,
    ) -> Option<(RawRequest, Fate)> {
        let principal = &self.callers.get(caller)?.principal;
        let program = programs.calls.get(caller)?.as_ref();
        let Some(request) = seen_by_caller(&raw, principal) else { return Some((raw, Fate::Refused)) };
        let Fate::Sent(sent) = fate(program, &request) else { return Some((raw, fate(program, &request))) };
        if !Replica::sees(&sent.request) {
            return None;
        }
        let (tries, is_retried) = sent.tries();
        if tries > 1 && sent.to.len() > 1 && is_retried(503) && programs.text.contains("respond 503") {
            return None;
        }
        let mut add = |name: &str, value: &str| raw.headers.push((name.into(), value.into()));
        if sent.is_short {
            *short += 1;
            if *short > SHORT_MAX || sent.is_copied {
                return None;
            }
            add("x-slow", LATE_MS);
        } else if sent.to.len() == 1 && random.chance(30) {
            add("x-fails", &format!("{}/{}", random.one_of(&[1, 1, 2, 4]), random.next_u64()));
        }
        let request = seen_by_caller(&raw, principal)?;
        let fate = fate(program, &request);
        Some((raw, fate))
    }

    async fn check(&mut self, programs: &Programs, made: &[Made], summary: &mut Summary) -> Result<()> {
        let lines = self.lines_of_callers(made).await?;
        let mut followed = Followed::of(programs, &self.targets);
        for (made, line) in made.iter().zip(&lines) {
            let problem = |what: &str| Error::msg(report(what, &made.raw, made.caller, programs));
            let place = self.place_of(line)?;
            let end = match (&made.fate, place) {
                (Fate::Refused, None) => {
                    // Some of them in a way of its own: a transfer coding that it does not know is 501.
                    let is_refused = made.answer.status >= 400;
                    ensure!(is_refused, problem(&format!("it is answered: {:?}", made.answer)));
                    *summary.became.entry("refused by the caller's Envoy").or_default() += 1;
                    End::Answered
                }
                (Fate::Answered { statuses, location, by, .. }, None) => {
                    check_answered(&made.answer, statuses, location.as_deref())
                        .map_err(|error| problem(&error.to_string()))?;
                    let became = match by {
                        By::NoReplica => "without a replica",
                        _ if location.is_some() => "redirected",
                        _ => "answered by the caller's",
                    };
                    *summary.became.entry(became).or_default() += 1;
                    End::Answered
                }
                (Fate::Sent(sent), Some(place)) if sent.to.contains(&place) => {
                    followed.follow(made, sent, place, &self.targets, summary)?
                }
                (fate, place) => {
                    let answer = &made.answer;
                    return Err(problem(&format!(
                        "it came to {place:?}, which is foretold as {fate:#?}; {answer:?}"
                    )));
                }
            };
            self.check_line(made, line, end, programs).map_err(|error| {
                problem(&format!("{error:#}; it went to {place:?} and ended as {end:?}: {line}"))
            })?;
        }
        let Followed { replicas, tries, finals } = followed;
        for (number, (replica, of)) in replicas.iter().zip(tries).enumerate() {
            let last = finals.iter().filter(|(target, _)| *target == number).map(|(_, index)| *index);
            let last: Vec<usize> = last.collect();
            self.check_target(number, &of, &last, replica.has_limits(), programs).await?;
        }
        Ok(())
    }

    /// The line that its caller's sidecar wrote of each request.
    async fn lines_of_callers(&mut self, made: &[Made]) -> Result<Vec<Value>> {
        let mut lines = Vec::new();
        for (number, caller) in self.callers.iter_mut().enumerate() {
            let count = made.iter().filter(|made| made.caller == number).count();
            let of = entries(&caller.sidecar, &mut caller.lines, count).await?;
            ensure!(
                of.len() == count,
                "the caller's sidecar wrote {} lines of {count} requests: {of:#?}",
                of.len()
            );
            lines.push(of.into_iter());
        }
        let of = |made: &Made| lines.get_mut(made.caller).and_then(Iterator::next).context("a line");
        made.iter().map(of).collect()
    }

    /// Where a request went to, by the caller's line.
    fn place_of(&self, line: &Value) -> Result<Option<Place>> {
        let upstream = line.get("upstream").and_then(Value::as_str).unwrap_or_default();
        for target in &self.targets {
            if target.sidecar.inbound()?.to_string() == upstream {
                return Ok(Some(target.place));
            }
        }
        Ok(None)
    }

    /// What is wrong with the line that its caller's sidecar wrote of a request.
    fn check_line(&self, made: &Made, line: &Value, end: End, programs: &Programs) -> Result<()> {
        let shown = programs.shown.get(made.caller).context("a caller")?;
        let principal = &self.callers.get(made.caller).context("a caller")?.principal;
        let status = made.answer.status;
        match seen_by_caller(&made.raw, principal) {
            Some(request) => Called { request: &request, fate: &made.fate, status, end }.check(line, shown),
            None => check_refused(line, status, shown),
        }
    }

    /// What a replica's application heard, what its sidecar wrote, and what was answered.
    async fn check_target(
        &mut self,
        number: usize,
        tries: &[(&Made, Try)],
        last: &[usize],
        has_limits: bool,
        programs: &Programs,
    ) -> Result<()> {
        let hashes = &mut self.hashes;
        let target = self.targets.get_mut(number).context("a target")?;
        let with_line = tries.iter().filter(|(_, attempt)| attempt.has_line()).count();
        let with_words = tries.iter().filter(|(_, attempt)| attempt.is_heard()).count();
        let mut lines = entries(&target.sidecar, &mut target.lines, with_line).await?;
        let mut heard = until_heard(&target.sidecar, with_words).await;
        if target.place == Place::Copies && has_limits {
            // Copies may overtake each other.
            return Ok(());
        }
        let application = target.sidecar.application().to_string();
        let place = target.place;
        for (index, (made, attempt)) in tries.iter().enumerate() {
            let problem = |error: Error| {
                Error::msg(report(&format!("at {place:?}: {error:#}"), &made.raw, made.caller, programs))
            };
            if attempt.has_line() {
                let check = |line: &Value| attempt.check_line(line, place, &application, &mut hashes.clone());
                let line = take_first(&mut lines, check).map_err(problem)?;
                attempt.check_line(&line, place, &application, hashes).map_err(problem)?;
            }
            let words = match attempt.is_heard() {
                true => Some(take_first(&mut heard, |words| attempt.check_heard(words)).map_err(problem)?),
                false => None,
            };
            if last.contains(&index) {
                attempt.check_answer(&made.answer, words.as_deref()).map_err(problem)?;
            }
        }
        ensure!(lines.is_empty(), "{place:?} wrote of requests, too: {lines:#?}\nby\n{}", programs.text);
        ensure!(heard.is_empty(), "{place:?} heard, too: {heard:#?}\nby\n{}", programs.text);
        Ok(())
    }
}

impl Programs {
    /// It is in force since this revision.
    fn is_in_force_at(&mut self, revision: u64) {
        let of_targets = self.inbound.iter_mut().map(|in_force| &mut in_force.shown);
        self.shown.iter_mut().chain(of_targets).for_each(|shown| shown.revision = revision);
    }
}

/// What is in force for a replica by what concerns it.
fn in_force(linked: Option<LinkedProgram>) -> InForce {
    let shown = Shown::of(&linked);
    let pages = linked.as_ref().and_then(|program| program.traffic.cors.as_ref());
    let pages = pages.map(|cors| cors.rules.clone());
    // What does nothing is not sent.
    let does_something = |program: &LinkedProgram| lower(program).is_ok_and(|plan| plan.does_something());
    InForce { program: linked.filter(does_something), pages, shown }
}

fn check_answered(answer: &Answer, statuses: &[u16], location: Option<&[u8]>) -> Result<()> {
    ensure!(statuses.contains(&answer.status), "the answer is {answer:?}, not {statuses:?}");
    let location = location.map(|location| String::from_utf8_lossy(location).into_owned());
    ensure!(
        answer.header("location") == location.as_deref(),
        "the answer is {answer:?}, not to {location:?}"
    );
    Ok(())
}

/// The first of these that is right; else what is wrong with the first.
fn take_first<T>(items: &mut Vec<T>, check: impl Fn(&T) -> Result<()>) -> Result<T> {
    match items.iter().position(|item| check(item).is_ok()) {
        Some(at) => Ok(items.remove(at)),
        None => match items.first() {
            Some(first) => Err(check(first).err().context("it was not right")?),
            None => bail!("nothing is there"),
        },
    }
}

/// What a sidecar wrote since so many lines, once there is so much.
async fn entries(sidecar: &Sidecar, lines: &mut usize, count: usize) -> Result<Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (entries, behind) = sidecar.entries_behind(*lines);
        if entries.len() >= count || Instant::now() > deadline {
            *lines = behind;
            return Ok(entries);
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn until_heard(sidecar: &Sidecar, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut heard = sidecar.heard();
    while heard.len() < count && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
        heard.extend(sidecar.heard());
    }
    heard
}

/// A generated request as a client of HTTP/1.1 can make it, and how many bytes its body has; `None` if none can.
fn on_the_wire(random: &mut Random, request: Request) -> Option<(RawRequest, usize)> {
    let lengths = request.headers.iter().filter(|(name, _)| name == b"content-length");
    let mut lengths = lengths.map(|(_, value)| value.clone());
    let length = lengths.next().filter(|length| length.iter().all(u8::is_ascii_digit));
    let body_bytes: usize = match &length {
        Some(length) => String::from_utf8_lossy(length).parse().ok()?,
        None => 0,
    };
    if body_bytes > BODY_BYTES_MAX || request.headers.len() > HEADERS_MAX || request.path.contains(&b' ') {
        return None;
    }
    let mut headers = request.headers;
    headers.retain(|(name, _)| name != b"content-length");
    headers.extend(length.map(|length| (b"content-length".to_vec(), length)));
    for asked in ["x-a: own", "server: application", "x-new: a", "x-new: b"] {
        if random.chance(20) {
            headers.push((b"x-answer".to_vec(), asked.into()));
        }
    }
    let mut method = request.method;
    if random.chance(25) {
        headers.push((b"origin".to_vec(), random.one_of(ORIGINS).into()));
        if random.chance(40) {
            method = b"OPTIONS".to_vec();
            headers.push((b"access-control-request-method".to_vec(), b"PUT".to_vec()));
        }
    }
    let raw = RawRequest {
        protocol: Protocol::Http1,
        method,
        path: request.path,
        authority: None,
        hosts: vec![request.authority],
        scheme: b"http".to_vec(),
        headers,
        has_body: body_bytes > 0,
        source: request.source,
    };
    Some((raw, body_bytes))
}

fn report(what: &str, raw: &RawRequest, caller: usize, programs: &Programs) -> String {
    format!("by\n{}for this request of caller {caller}:\n{}\n{what}", programs.text, literal(raw))
}
