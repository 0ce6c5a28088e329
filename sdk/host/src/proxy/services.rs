//! Services that answer by a script, and the timetable of what is due: their answers and the module's ticks.

use crate::callouts::{Call, HttpAnswer};
use crate::{HeaderMap, HostError, Plugin};
use std::collections::{BTreeMap, VecDeque};

const NS_OF_MS: u64 = 1_000_000;
/// What a caller gets of a service that does not answer in time, and of one that cannot be reached: the router's answers.
const TIMEOUT: (u32, &str) = (504, "upstream request timeout");
const UNREACHABLE: (u32, &str) =
    (503, "upstream connect error or disconnect/reset before headers. reset reason: ");
/// gRPC's status `OK`, `DEADLINE_EXCEEDED`, `UNAVAILABLE`.
const GRPC_OK: u32 = 0;
const GRPC_DEADLINE_EXCEEDED: u32 = 4;
const GRPC_UNAVAILABLE: u32 = 14;

/// What services answer, by the names of their clusters: each call takes the next answer, and the last one stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    answers: BTreeMap<String, VecDeque<ScriptedAnswer>>,
}

/// An answer, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedAnswer {
    /// When it comes.
    pub after_ms: u64,
    /// What comes.
    pub answer: Result<HttpAnswer, Failure>,
}

/// How a service fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// It breaks off before it answered.
    Reset,
    /// It never answers.
    Silent,
}

impl Script {
    /// A script without a service.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next answer of a cluster. For a gRPC call, its body is the message, and `grpc-status` in its trailers or headers
    /// what the call ends with.
    pub fn add(&mut self, cluster: &str, answer: ScriptedAnswer) {
        self.answers.entry(cluster.to_owned()).or_default().push_back(answer);
    }

    /// The clusters that answer.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.answers.keys().map(String::as_str)
    }

    fn next(&mut self, cluster: &str) -> ScriptedAnswer {
        let silent = ScriptedAnswer { after_ms: 0, answer: Err(Failure::Silent) };
        let Some(answers) = self.answers.get_mut(cluster) else { return silent };
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        next.unwrap_or(silent)
    }
}

/// What is due when.
#[derive(Debug)]
pub(super) struct Timetable {
    script: Script,
    now_ns: u64,
    next_tick_ns: Option<u64>,
    tick_period_ms: Option<u32>,
    /// By time, and then in the order of the calls.
    events: BTreeMap<(u64, u64), Event>,
    last_number: u64,
    /// Streams by token, with what their cluster answers to their first message.
    streams: BTreeMap<u32, String>,
}

#[derive(Debug)]
enum Event {
    Http { token: u32, answer: HttpAnswer },
    Grpc { token: u32, answer: Result<HttpAnswer, (u32, &'static str)>, is_stream: bool },
}

impl Timetable {
    pub(super) fn new(script: Script, now_ns: u64) -> Self {
        Self {
            script,
            now_ns,
            next_tick_ns: None,
            tick_period_ms: None,
            events: BTreeMap::new(),
            last_number: 0,
            streams: BTreeMap::new(),
        }
    }

    pub(super) fn set_script(&mut self, script: Script) {
        self.script = script;
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Puts the answers to what was asked down.
    pub(super) fn plan(&mut self, calls: &[Call]) {
        for call in calls {
            match call {
                Call::Http(call) => {
                    let next = self.script.next(&call.cluster);
                    let (due_ms, answer) = http_answer(next, call.timeout_ms);
                    let Some(due_ms) = due_ms else { continue };
                    self.put(due_ms, Event::Http { token: call.token, answer });
                }
                Call::Grpc(call) => self.plan_grpc(call.token, &call.cluster, call.timeout_ms, false),
                Call::GrpcStream(call) => {
                    self.streams.insert(call.token, call.cluster.clone());
                }
                Call::GrpcSend { token, end_of_stream, .. } => self.plan_message(*token, *end_of_stream),
                Call::GrpcClose { token } | Call::GrpcCancel { token } => {
                    self.streams.remove(token);
                }
            }
        }
    }

    /// Each message of a stream is answered; the answer to the last one ends it.
    fn plan_message(&mut self, token: u32, is_last: bool) {
        let Some(cluster) = self.streams.get(&token).cloned() else { return };
        self.plan_grpc(token, &cluster, 0, !is_last);
    }

    fn plan_grpc(&mut self, token: u32, cluster: &str, timeout_ms: u32, is_stream: bool) {
        let next = self.script.next(cluster);
        let (due_ms, answer) = match next.answer {
            _ if is_late(next.after_ms, timeout_ms) => {
                (u64::from(timeout_ms), Err((GRPC_DEADLINE_EXCEEDED, TIMEOUT.1)))
            }
            Err(Failure::Silent) if timeout_ms == 0 => return,
            Err(Failure::Silent) => (u64::from(timeout_ms), Err((GRPC_DEADLINE_EXCEEDED, TIMEOUT.1))),
            Err(Failure::Refused | Failure::Reset) => (next.after_ms, Err((GRPC_UNAVAILABLE, UNREACHABLE.1))),
            Ok(answer) => (next.after_ms, Ok(answer)),
        };
        self.put(due_ms, Event::Grpc { token, answer, is_stream });
    }

    fn put(&mut self, after_ms: u64, event: Event) {
        self.last_number += 1;
        let due_ns = self.now_ns.saturating_add(after_ms.saturating_mul(NS_OF_MS));
        self.events.insert((due_ns, self.last_number), event);
    }

    /// Lets the time pass to whatever is due next, if it is due by then, and gives it to the module.
    pub(super) fn deliver_next(&mut self, plugin: &mut Plugin, until_ns: u64) -> Result<bool, HostError> {
        self.set_tick(plugin);
        let event = self.events.first_key_value().map(|((due_ns, _), _)| *due_ns);
        let tick = self.next_tick_ns.filter(|tick_ns| event.is_none_or(|event_ns| *tick_ns < event_ns));
        let Some(due_ns) = tick.or(event).filter(|due_ns| *due_ns <= until_ns) else { return Ok(false) };
        self.pass_to(due_ns, plugin);
        if tick.is_some() {
            let period_ns = u64::from(self.tick_period_ms.unwrap_or(0)) * NS_OF_MS;
            self.next_tick_ns = Some(due_ns.saturating_add(period_ns));
            plugin.tick()?;
            return Ok(true);
        }
        if let Some((_, event)) = self.events.pop_first() {
            deliver(plugin, event)?;
        }
        Ok(true)
    }

    /// Lets the time pass.
    pub(super) fn pass_to(&mut self, time_ns: u64, plugin: &mut Plugin) {
        self.now_ns = self.now_ns.max(time_ns);
        plugin.set_time_ns(self.now_ns);
    }

    /// A period that the module changed counts from now on.
    fn set_tick(&mut self, plugin: &Plugin) {
        let period_ms = plugin.tick_period_ms();
        if period_ms != self.tick_period_ms {
            self.tick_period_ms = period_ms;
            self.next_tick_ns =
                period_ms.map(|period_ms| self.now_ns.saturating_add(u64::from(period_ms) * NS_OF_MS));
        }
    }
}

fn deliver(plugin: &mut Plugin, event: Event) -> Result<(), HostError> {
    match event {
        Event::Http { token, answer } => plugin.on_http_call_response(token, Some(answer)),
        Event::Grpc { token, answer: Err((status, words)), .. } => plugin.on_grpc_close(token, status, words),
        Event::Grpc { token, answer: Ok(answer), is_stream } => {
            let status =
                answer.trailers.first(b"grpc-status").or_else(|| answer.headers.first(b"grpc-status"));
            let status = status.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            let status = status.unwrap_or(GRPC_OK);
            plugin.on_grpc_initial_metadata(token, answer.headers)?;
            if status == GRPC_OK {
                plugin.on_grpc_message(token, answer.body)?;
            }
            if !is_stream {
                // A call ended with its message.
                plugin.on_grpc_trailing_metadata(token, answer.trailers)?;
                plugin.on_grpc_close(token, status, "")?;
            }
            Ok(())
        }
    }
}

/// What comes of an HTTP call, and after how long; nothing comes of a service that is silent for ever.
fn http_answer(next: ScriptedAnswer, timeout_ms: u32) -> (Option<u64>, HttpAnswer) {
    let timed_out = || router_answer(TIMEOUT.0, TIMEOUT.1);
    match next.answer {
        _ if is_late(next.after_ms, timeout_ms) => (Some(u64::from(timeout_ms)), timed_out()),
        Err(Failure::Silent) => ((timeout_ms > 0).then_some(u64::from(timeout_ms)), timed_out()),
        Err(Failure::Refused) => {
            let words = format!("{}remote connection failure", UNREACHABLE.1);
            (Some(next.after_ms), router_answer(UNREACHABLE.0, &words))
        }
        Err(Failure::Reset) => {
            let words = format!("{}connection termination", UNREACHABLE.1);
            (Some(next.after_ms), router_answer(UNREACHABLE.0, &words))
        }
        Ok(answer) => (Some(next.after_ms), answer),
    }
}

fn is_late(after_ms: u64, timeout_ms: u32) -> bool {
    timeout_ms > 0 && after_ms > u64::from(timeout_ms)
}

/// An answer of the router, for a service.
fn router_answer(status: u32, words: &str) -> HttpAnswer {
    let mut headers = HeaderMap::new();
    headers.add(b":status", status.to_string());
    headers.add(b"content-length", words.len().to_string());
    headers.add(b"content-type", "text/plain");
    HttpAnswer { headers, body: words.as_bytes().to_vec(), trailers: HeaderMap::new() }
}
