//! Runs the module of a caller's sidecar in the proxy-wasm host, and reads what it tells Envoy.

use super::policy_runner::{RunError, contradiction, headers_of, properties_of, start};
use chancery_policy_lang::checked::{Fault, FaultKind, Milliseconds, Way};
use chancery_policy_lang::eval::Course;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::routes::{self, NO_PART};
use chancery_sdk_host::abi::Action;
use chancery_sdk_host::{HeaderMap, Host, LocalResponse, Plugin};

/// The filter state by which Envoy finds a route.
const ROUTE_STATE: &[u8] = b"route";
/// The headers by which Envoy learns how long an answer may take, and how long a request waits.
const TIMEOUT_HEADER: &[u8] = b"x-envoy-upstream-rq-timeout-ms";
const DELAY_HEADER: &[u8] = b"x-envoy-fault-delay-request";

/// The module of a caller's sidecar, ready for requests.
#[derive(Debug)]
pub struct CourseRunner {
    plugin: Plugin,
}

/// What a module told Envoy of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RanCourse {
    /// The answer, if it gave one: its status, by which statement, and where it leads to.
    pub answer: Option<(u32, String, Option<Vec<u8>>)>,
    /// By what Envoy finds the route.
    pub key: Option<String>,
    /// `:path` as it came.
    pub sent: Vec<u8>,
    /// `:path`, if it is another.
    pub path: Option<Vec<u8>>,
    /// How long the answer may take, in ms.
    pub timeout_ms: Option<u32>,
    /// How long it waits, in ms.
    pub delay_ms: Option<u32>,
}

impl CourseRunner {
    /// A runner of these bytes in a host that others may use too.
    ///
    /// # Errors
    /// When the module breaks the contract of proxy-wasm or does not start.
    pub fn on_host(host: &Host, module: &[u8]) -> Result<Self, RunError> {
        Ok(Self { plugin: start(&host.load(module)?)? })
    }

    /// What the module tells Envoy of a request.
    ///
    /// # Errors
    /// When the module fails or contradicts itself.
    pub fn run(&mut self, request: &Request) -> Result<RanCourse, RunError> {
        let mut stream = self.plugin.open(properties_of(request))?;
        let outcome = stream.on_request_headers(headers_of(request), request.end_of_stream)?;
        let closed = stream.close()?;
        if outcome.local_response.is_none() && outcome.action != Action::Continue {
            return Err(contradiction("it holds a request without answering it"));
        }
        let headers = closed.request_headers.unwrap_or_default();
        let path = headers.first(b":path").map(<[u8]>::to_vec).filter(|path| *path != request.path);
        Ok(RanCourse {
            answer: closed.local_response.as_ref().map(answer),
            key: closed.filter_state.get(ROUTE_STATE).map(|key| String::from_utf8_lossy(key).into_owned()),
            sent: request.path.clone(),
            path,
            timeout_ms: number(&headers, TIMEOUT_HEADER)?,
            delay_ms: number(&headers, DELAY_HEADER)?,
        })
    }

    /// The instructions that the last request took.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.plugin.fuel_used()
    }
}

fn answer(response: &LocalResponse) -> (u32, String, Option<Vec<u8>>) {
    let location = response.headers.first(b"location").map(<[u8]>::to_vec);
    (response.status, String::from_utf8_lossy(&response.details).into_owned(), location)
}

fn number(headers: &HeaderMap, name: &[u8]) -> Result<Option<u32>, RunError> {
    let Some(value) = headers.first(name) else { return Ok(None) };
    let text = String::from_utf8_lossy(value);
    text.parse().map(Some).map_err(|_| contradiction(format!("`{text}` is no number of milliseconds")))
}

impl RanCourse {
    /// Whether a module of this program may say this of a request of which the evaluator says that; faults happen or
    /// not.
    #[must_use]
    pub fn may_be(&self, defined: Option<&Course>, program: &LinkedProgram) -> bool {
        let Some(course) = defined else {
            // It is refused.
            return self.answer.as_ref().is_some_and(|(status, ..)| (400..500).contains(status));
        };
        let certain = |fault: &Fault| fault.share == 1_000_000;
        let possible = |fault: &Fault| fault.share > 0;
        let aborts = course.faults.iter().filter_map(|fault| match fault.does.kind {
            FaultKind::Abort(status) => Some((fault, status)),
            FaultKind::Delay(_) => None,
        });
        let aborts: Vec<_> = aborts.filter(|(fault, _)| possible(&fault.does)).collect();
        if let Some((status, by, None)) = &self.answer {
            return aborts.iter().any(|(fault, code)| u32::from(*code) == *status && *by == *fault.id);
        }
        if aborts.iter().any(|(fault, _)| certain(&fault.does)) || !self.delay_may_be(course) {
            return false;
        }
        if let Some(way) = &course.way
            && let Way::Redirect { status, .. } = &way.does
        {
            let answer = (u32::from(*status), way.id.to_string(), course.location.clone());
            return self.answer == Some(answer);
        }
        self.answer.is_none()
            && self.key == key(course, program)
            && (self.path.is_none() || self.path == course.path)
            && (course.path.is_none() || self.path.is_some() || course.path.as_ref() == Some(&self.sent))
            && self.timeout_ms == timeout(course, program)
    }

    fn delay_may_be(&self, course: &Course) -> bool {
        let delays = course.faults.iter().filter_map(|fault| match fault.does.kind {
            FaultKind::Delay(Milliseconds(ms)) => Some((fault.does.share, ms)),
            FaultKind::Abort(_) => None,
        });
        let delays: Vec<(u32, u32)> = delays.filter(|(share, _)| *share > 0).collect();
        let at_least = delays.iter().filter(|(share, _)| *share == 1_000_000).map(|(_, ms)| *ms).max();
        match self.delay_ms {
            Some(waits) => delays.iter().any(|(_, ms)| *ms == waits) && at_least.is_none_or(|ms| waits >= ms),
            None => at_least.is_none(),
        }
    }
}

/// The key that a module writes, if it is not the default's.
#[must_use]
pub fn key(course: &Course, program: &LinkedProgram) -> Option<String> {
    let calls = &program.calls;
    let is_otherwise = |id: &str, otherwise: Option<&str>| otherwise == Some(id);
    let way = course
        .way
        .as_ref()
        .filter(|way| !is_otherwise(&way.id, calls.ways.otherwise.as_ref().map(|choice| &*choice.id)));
    let retry = course
        .retry
        .as_ref()
        .filter(|retry| !is_otherwise(&retry.id, calls.retries.otherwise.as_ref().map(|choice| &*choice.id)));
    let mirror = course.mirror.as_ref().filter(|mirror| {
        !is_otherwise(&mirror.id, calls.mirrors.otherwise.as_ref().map(|choice| &*choice.id))
    });
    let part = |part: Option<String>| part.unwrap_or_else(|| NO_PART.to_owned());
    let parts = [
        part(way.map(|way| routes::part_of_way(&way.does))),
        part(retry.map(|retry| routes::part_of_retry(&retry.does))),
        part(mirror.map(|mirror| routes::part_of_mirror(&mirror.does))),
    ];
    parts.iter().any(|part| part != NO_PART).then(|| parts.concat())
}

/// The timeout that a module states, if it is not the route's.
fn timeout(course: &Course, program: &LinkedProgram) -> Option<u32> {
    let decided = !program.calls.timeouts.entries.is_empty() || !program.calls.ceilings.entries.is_empty();
    let stated = course
        .timeout
        .as_ref()
        .map(|choice| choice.does)
        .filter(|timeout| Some(*timeout) != routes::fixed_timeout(&program.calls));
    stated.filter(|_| decided).map(|Milliseconds(ms)| ms)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests;
