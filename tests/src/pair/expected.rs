//! What a replica must do with a request: what it answers, what its application hears, what its line says.

use super::called::NO_FLAG;
use super::fate::Place;
use super::pages::{Said, said};
use super::same;
use super::shown::{Shown, shown_of_path};
use crate::mesh::wire::Answer;
use anyhow::{Context, Result, bail, ensure};
use chancery_control::policies::policy_runner::Ran;
use chancery_policy_lang::checked::{CorsRules, Respond, SampleRate};
use chancery_policy_lang::decision::Decision;
use chancery_policy_lang::eval::{
    Buckets, Change, Changes, Response, evaluate_at, header_changes, line, logged,
};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::log::{FIELDS_OF_SIDECAR, LogKey};
use chancery_policy_lang::request::{Headers, RawRequest, Request, received};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a page gets that asks for leave and gets it.
const TOLD_STATUS: u16 = 200;
/// When all requests of a set of policies are made: no bucket fills in between.
const NOW_NS: u64 = 1_700_000_000_000_000_000;
/// Headers that Envoys and the application's library make, or that belong to one hop.
const OF_THE_WAY: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "host",
    "transfer-encoding",
    "x-forwarded-client-cert",
    // Envoy adds the address of its machine to a copy.
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];
/// Beginning of further ones.
const OF_ENVOYS: &str = "x-envoy-";

/// What is in force for a replica.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce {
    /// What its sidecar decides; `None` if nothing.
    pub(super) program: Option<LinkedProgram>,
    /// What it says to pages of other origins.
    pub(super) pages: Option<CorsRules>,
    /// What lines show that no module writes.
    pub(super) shown: Shown,
}

/// A replica as the evaluator sees it.
#[derive(Debug)]
pub(super) struct Replica {
    in_force: InForce,
    buckets: Buckets,
    /// How often the application has failed for a name.
    failed: BTreeMap<String, u32>,
}

/// What becomes of one try of a request.
#[derive(Debug)]
pub(super) struct Try {
    /// The status; 0 if it was cut off before it was answered.
    pub(super) status: u16,
    request: Request,
    respond: Option<Respond>,
    changes: Changes,
    /// What the page is told that asks.
    said: Option<Said>,
    line: Option<Line>,
    shown: Shown,
}

/// A line of a log.
#[derive(Debug)]
struct Line {
    code: u16,
    shadow: String,
    passes: bool,
    /// By name.
    values: Map<String, Value>,
    /// The names of those that are hashes.
    hashed: Vec<String>,
    /// Whether the module says what is in it, and nothing else may be.
    is_stated: bool,
}

/// Under the key of the mesh, what stands for what stands under the key of this test.
pub(super) type Hashes = BTreeMap<String, String>;

impl Replica {
    pub(super) fn new(in_force: InForce) -> Self {
        Self { in_force, buckets: Buckets::default(), failed: BTreeMap::new() }
    }

    /// Whether what is decided depends on the order of requests.
    pub(super) fn has_limits(&self) -> bool {
        self.in_force.program.as_ref().is_some_and(LinkedProgram::has_limits)
    }

    /// Whether its Envoy shows the request to its filters.
    pub(super) fn sees(sent: &RawRequest) -> bool {
        received(sent.clone()).is_ok()
    }

    /// What becomes of a request, which is cut off if its answer must not take long.
    pub(super) fn take(&mut self, sent: &RawRequest, is_cut: bool) -> Result<Try> {
        let Ok(request) = received(sent.clone()) else { bail!("Envoy refuses it") };
        let said = said(self.in_force.pages.as_ref(), &request);
        if said.as_ref().is_some_and(|said| said.is_preflight) {
            return Ok(self.told(request, said));
        }
        let program = self.in_force.program.as_ref();
        let decision = program.map(|program| evaluate_at(program, &request, &mut self.buckets, NOW_NS));
        let respond = decision.as_ref().and_then(|decision| decision.respond.clone());
        let status = match &respond {
            Some(respond) => respond.status,
            None if is_cut => 0,
            None if self.fails(&request) => 503,
            None => 200,
        };
        let headers = if status == 0 { Headers::new() } else { asked_of_application(&request) };
        let response = Response { code: status, headers, ..Response::default() };
        let changes = match (&self.in_force.program, &respond) {
            (Some(program), None) => header_changes(program, &request, &response),
            _ => Changes::default(),
        };
        let line = self.line(&request, decision.as_ref(), &response)?;
        Ok(Try { status, request, respond, changes, said, line, shown: self.in_force.shown.clone() })
    }

    /// What becomes of a page that asks for leave: Envoy answers it before any policy is asked.
    fn told(&self, request: Request, said: Option<Said>) -> Try {
        let respond = Respond { status: TOLD_STATUS, body: String::new() };
        let line = Line { passes: false, ..self.line_of_envoy(&request, TOLD_STATUS) };
        Try {
            status: TOLD_STATUS,
            request,
            respond: Some(respond),
            changes: Changes::default(),
            said,
            line: Some(line),
            shown: self.in_force.shown.clone(),
        }
    }

    /// The line of a request that no module decides.
    fn line_of_envoy(&self, request: &Request, code: u16) -> Line {
        let path = shown_of_path(request.raw_path());
        let principal = request.source.principal.as_deref().unwrap_or_default();
        let fields = [("method", request.method()), ("path", path), ("principal", principal)];
        let values = fields.map(|(name, value)| (name.to_owned(), self.in_force.shown.of_field(name, value)));
        Line {
            code,
            shadow: String::new(),
            passes: true,
            values: values.into_iter().collect(),
            hashed: Vec::new(),
            is_stated: false,
        }
    }

    fn fails(&mut self, request: &Request) -> bool {
        let Some(value) = request.header("x-fails") else { return false };
        let value = String::from_utf8_lossy(&value).into_owned();
        let times: u32 = value.split('/').next().and_then(|times| times.parse().ok()).unwrap_or_default();
        let so_far = self.failed.entry(value).or_default();
        *so_far += 1;
        *so_far <= times
    }

    fn line(
        &self,
        request: &Request,
        decision: Option<&Decision>,
        response: &Response,
    ) -> Result<Option<Line>> {
        let code = response.code;
        let shadow = decision.and_then(|decision| Ran::of(decision).shadow);
        let shadow = shadow.map(|shadow| shadow.rule).unwrap_or_default();
        let passes = decision.is_none_or(|decision| decision.outcome.allows());
        let Some((program, log, decision)) = self
            .in_force
            .program
            .as_ref()
            .and_then(|program| Some((program, program.log.as_ref()?, decision?)))
        else {
            let mut line = Line { shadow, passes, ..self.line_of_envoy(request, code) };
            if let Some(decision) = decision {
                line.values.insert("rule".to_owned(), Value::from(&*decision.rule));
            }
            return Ok(Some(line));
        };
        let response = &response.delivered(program, request, decision);
        let rate = logged(program, request, decision, response);
        if rate == SampleRate::default() {
            return Ok(None);
        }
        ensure!(rate == SampleRate::ALL, "a share of requests is logged: {rate:?}");
        let under = |key: u8| -> Result<Map<String, Value>> {
            let text = line(program, log, request, decision, response, Some(LogKey([key; 16])));
            Ok(serde_json::from_slice(&[b"{\"\":0", text.as_slice(), b"}"].concat())?)
        };
        let (mut values, other) = (under(1)?, under(2)?);
        values.remove("");
        let hashed = values.iter().filter(|(name, value)| other.get(*name) != Some(value));
        let hashed = hashed.map(|(name, _)| name.clone()).collect();
        Ok(Some(Line { code, shadow, passes, values, hashed, is_stated: true }))
    }
}

impl Try {
    /// Whether a page is told that it may ask, or see the answer.
    pub(super) fn tells_a_page(&self) -> bool {
        self.said.is_some()
    }

    /// Whether the application hears of it.
    pub(super) fn is_heard(&self) -> bool {
        self.respond.is_none()
    }

    /// Whether the log has a line of it.
    pub(super) fn has_line(&self) -> bool {
        self.line.is_some()
    }

    /// What is wrong with what an application says that it was asked.
    ///
    /// # Errors
    /// That.
    pub(super) fn check_heard(&self, heard: &str) -> Result<()> {
        let heard: Value = serde_json::from_str(heard)?;
        let text = |name: &str| heard.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        same("the application's method", &text("method"), &said(&self.request.method))?;
        same("the application's path", &text("path"), &said(&self.request.path))?;
        let mut headers = self.request.headers.clone();
        self.changes.request.iter().for_each(|change| change.apply(&mut headers));
        let of = heard.get("headers").and_then(Value::as_object).context("no headers")?;
        let got: BTreeMap<String, String> = of
            .iter()
            .map(|(name, values)| {
                let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
                (name.clone(), values.collect::<Vec<_>>().join(","))
            })
            .collect();
        same(
            "the application's host",
            &got.get("host").cloned().unwrap_or_default(),
            &said(&self.request.authority),
        )?;
        same("the application's headers", &without_those_of_the_way(got), &joined(headers))
    }

    /// What is wrong with the answer to it, which came through the caller's sidecar.
    ///
    /// # Errors
    /// That.
    pub(super) fn check_answer(&self, answer: &Answer, heard: Option<&str>) -> Result<()> {
        let status = if self.status == 0 { 504 } else { self.status };
        same("the status", &answer.status, &status)?;
        if self.status == 0 {
            return Ok(());
        }
        let is_head = self.request.method == b"HEAD";
        let body = self.respond.as_ref().map_or(heard.unwrap_or_default(), |respond| &respond.body);
        same("the body", &answer.body.as_str(), &if is_head { "" } else { body })?;
        let mut headers: Headers = Vec::new();
        if self.respond.is_none() {
            headers.extend(asked_of_application(&self.request));
        }
        self.changes.response.iter().for_each(|change: &Change| change.apply(&mut headers));
        for (name, value) in self.said.iter().flat_map(|said| &said.headers) {
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), value.clone()));
        }
        let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &answer.headers {
            got.entry(name.clone()).or_default().push(value.clone());
        }
        let mut got: BTreeMap<_, _> =
            got.into_iter().map(|(name, values)| (name, values.join(","))).collect();
        if self.respond.is_some() {
            got.remove("content-type");
        }
        same("the answer's headers", &without_those_of_the_way(got), &joined(headers))
    }

    /// What is wrong with a line about it of its replica's sidecar.
    ///
    /// # Errors
    /// That.
    pub(super) fn check_line(
        &self,
        entry: &Value,
        place: Place,
        application: &str,
        hashes: &mut Hashes,
    ) -> Result<()> {
        let line = self.line.as_ref().context("there is none")?;
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        same("the line's code", &entry.get("code"), &Some(&Value::from(line.code)))?;
        same("the line's direction", &text("direction"), &"inbound")?;
        same("the line's target", &text("target"), &place.service())?;
        same("the line's shadow", &text("shadow"), &line.shadow.as_str())?;
        // The caller ends what takes it too long.
        same("the line's flags", &text("flags"), &if line.code == 0 { "DR" } else { NO_FLAG })?;
        self.shown.check_revision(entry)?;
        same("the line's upstream", &text("upstream"), &if line.passes { application } else { "" })?;
        ensure!(entry.get("time").is_some_and(Value::is_string), "the line has no time: {entry}");
        let mut found = Vec::new();
        for (name, value) in &line.values {
            let got = entry.get(name);
            if line.hashed.contains(name) {
                let (got, value) = (got.and_then(Value::as_str), value.as_str());
                let (got, value) = got.zip(value).with_context(|| format!("{name} is no hash: {entry}"))?;
                ensure!(got.len() == 32, "{name} is no hash: {entry}");
                if let Some(known) = hashes.get(value) {
                    same(&format!("the line's hash {name}"), &got, &known.as_str())?;
                }
                found.push((value.to_owned(), got.to_owned()));
            } else if !line.is_stated {
                same(&format!("the line's {name}"), &got.unwrap_or(&Value::Null), &value)?;
            } else if name == "request_id" {
                ensure!(got.is_some_and(|got| got.is_string()), "the line has no id: {entry}");
            } else {
                same(&format!("the line's {name}"), &got, &Some(value))?;
            }
        }
        if line.is_stated {
            let names = entry.as_object().into_iter().flat_map(Map::keys);
            let more = names.filter(|name| {
                !line.values.contains_key(*name) && !FIELDS_OF_SIDECAR.contains(&name.as_str())
            });
            let more: Vec<_> = more.collect();
            ensure!(more.is_empty(), "the line has {more:?}, too: {entry}");
        }
        hashes.extend(found);
        Ok(())
    }
}

/// The headers that a request asks the application to answer with.
fn asked_of_application(request: &Request) -> Headers {
    let asked = request.headers.iter().filter(|(name, _)| name == b"x-answer");
    let asked = asked.filter_map(|(_, value)| {
        let (name, value) = std::str::from_utf8(value).ok()?.split_once(": ")?;
        Some((name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    });
    asked.collect()
}

/// Headers by name, several values of one as one.
fn joined(headers: Headers) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.trim_ascii()).into_owned();
        joined.entry(String::from_utf8_lossy(&name).into_owned()).or_default().push(value);
    }
    let joined = joined.into_iter().map(|(name, values)| (name, values.join(","))).collect();
    without_those_of_the_way(joined)
}

fn without_those_of_the_way(mut headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers.retain(|name, _| !OF_THE_WAY.contains(&name.as_str()) && !name.starts_with(OF_ENVOYS));
    headers
}
