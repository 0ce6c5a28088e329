//! Runs a compiled policy in the proxy-wasm host, and reads what it says as a decision.
//!
//! A module speaks through four things at once: the local reply, its details, filter state and
//! counters. The runner takes them for one statement, [`Ran`], and gives an error where they
//! contradict each other, for then one of them lies to whoever reads it.

mod changed;
mod logged;

pub use changed::{Changed, Differences, answer};
pub use logged::Logged;

use chancery_policy_lang::checked::Respond;
use chancery_policy_lang::decision::{Decision, Outcome};
use chancery_policy_lang::eval::Response;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::log::{LOG_KEY_BYTES, LogKey};
use chancery_policy_lang::module::Module;
use chancery_policy_lang::request::Request;
use chancery_sdk_host::abi::Action;
use chancery_sdk_host::{
    ClosedStream, HeaderMap, Host, HostError, Limits, LoadedModule, Plugin, PluginConfiguration, Properties,
    PropertyValue,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The filter state in which a module leaves the deciding rule.
pub const RULE_STATE: &str = "rule";
/// The filter state in which a module leaves the rule of a differing shadow decision.
pub const SHADOW_STATE: &str = "shadow";

/// By what values are hashed in tests.
pub const TEST_LOG_KEY: LogKey = LogKey([0x5a; LOG_KEY_BYTES]);

const OUTCOMES: [Outcome; 8] = [
    Outcome::Refused,
    Outcome::Exempt,
    Outcome::Denied,
    Outcome::Allowed,
    Outcome::OtherwiseAllowed,
    Outcome::OtherwiseDenied,
    Outcome::DefaultDenied,
    Outcome::Limited,
];

/// A module of a policy, ready for requests.
#[derive(Debug)]
pub struct PolicyRunner {
    module: LoadedModule,
    plugin: Plugin,
    /// Values of counters after the last request.
    counts: HashMap<String, u64>,
    /// The instructions that the last request took, with the answer to it.
    fuel_used: u64,
    /// What was said of the last request for logs.
    logged: Logged,
}

/// What a module said of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it was decided.
    pub outcome: Outcome,
    /// By which rule.
    pub rule: String,
    /// The answer to a denied request.
    pub respond: Option<Respond>,
    /// The shadow decision, if its verdict or its rule differs.
    pub shadow: Option<RanShadow>,
    /// What became of headers.
    pub changed: Changed,
}

/// What a module said that shadow policies would decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanShadow {
    /// Whether the request would pass.
    pub allows: bool,
    /// By which rule.
    pub rule: String,
}

/// Why a module gave no decision.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be loaded, or a callback failed.
    #[error("the module of the policy failed: {0}")]
    Host(#[from] HostError),
    /// It contradicts itself.
    #[error("the module of the policy contradicts itself: {0}")]
    Contradiction(String),
}

impl PolicyRunner {
    /// A runner in a host of its own.
    ///
    /// # Errors
    /// When the module breaks the contract of proxy-wasm or does not start.
    pub fn new(module: &Module) -> Result<Self, RunError> {
        Self::on_host(&Host::new(Limits::default())?, &module.bytes)
    }

    /// A runner of these bytes in a host that others may use too.
    ///
    /// # Errors
    /// When the module breaks the contract of proxy-wasm or does not start.
    pub fn on_host(host: &Host, module: &[u8]) -> Result<Self, RunError> {
        let module = host.load(module)?;
        let plugin = start(&module)?;
        Ok(Self { module, plugin, counts: HashMap::new(), fuel_used: 0, logged: Logged::default() })
    }

    /// Starts the module anew: all buckets of limits are full.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> Result<(), RunError> {
        self.plugin = start(&self.module)?;
        self.counts.clear();
        Ok(())
    }

    /// What the module says of a request at a time, in ns since 1970, and makes of the application's [`answer`].
    ///
    /// # Errors
    /// When the module fails or contradicts itself.
    pub fn run(&mut self, request: &Request, now_ns: u64) -> Result<Ran, RunError> {
        self.run_answered(request, now_ns, &answer())
    }

    /// What it says of a request that is answered so if it passes.
    ///
    /// # Errors
    /// When the module fails or contradicts itself.
    pub fn run_answered(
        &mut self,
        request: &Request,
        now_ns: u64,
        response: &Response,
    ) -> Result<Ran, RunError> {
        self.plugin.set_time_ns(now_ns);
        let changes = self.plugin.metrics().changes();
        let headers = headers_of(request);
        let mut stream = self.plugin.open(properties_of(request))?;
        let context = stream.context();
        let outcome = stream.on_request_headers(headers.clone(), request.end_of_stream)?;
        self.fuel_used = self.plugin.fuel_used();
        let given = given(&outcome, response);
        let status = (b":status".to_vec(), given.code.to_string().into_bytes());
        let answered: HeaderMap = [status].into_iter().chain(given.headers.clone()).collect();
        if given.code != 0 {
            self.plugin.stream(context)?.on_response_headers(answered.clone(), false)?;
            if self.plugin.sees_response_headers() {
                self.fuel_used += self.plugin.fuel_used();
            }
        }
        let mut stream = self.plugin.stream(context)?;
        show_answer(stream.properties_mut()?, &given);
        let closed = stream.close()?;
        if self.plugin.sees_log() {
            self.fuel_used += self.plugin.fuel_used();
        }
        self.logged = Logged::of(&closed);
        if outcome.local_response.is_none() && outcome.action != Action::Continue {
            return Err(contradiction("it holds a request without answering it"));
        }
        let after =
            |map: &Option<HeaderMap>, before: &HeaderMap| map.clone().unwrap_or_else(|| before.clone());
        let (request_after, response_after) =
            (after(&closed.request_headers, &headers), after(&closed.response_headers, &answered));
        let changed = Changed::of_maps([&headers, &request_after], [&answered, &response_after]);
        Ok(Ran { changed, ..self.read(&closed, changes)? })
    }

    /// What it said of the last request for logs.
    #[must_use]
    pub fn logged(&self) -> &Logged {
        &self.logged
    }

    /// The instructions that the last decision took, with those for the answer.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    fn read(&mut self, closed: &ClosedStream, changes_before: u64) -> Result<Ran, RunError> {
        let rule = state(closed, RULE_STATE).ok_or_else(|| contradiction("it names no rule"))?;
        let outcome = self.counted_outcome(&rule)?;
        let shadow = match state(closed, SHADOW_STATE) {
            Some(rule) => Some(RanShadow { allows: self.counted_shadow(&rule)?, rule }),
            None => None,
        };
        let counted = self.plugin.metrics().changes() - changes_before;
        if counted != 1 + u64::from(shadow.is_some()) {
            return Err(contradiction(format!("it counted {counted} times")));
        }
        let respond = match &closed.local_response {
            Some(response) if response.details != rule.as_bytes() => {
                let details = String::from_utf8_lossy(&response.details);
                return Err(contradiction(format!("its answer is by `{details}`, its decision by `{rule}`")));
            }
            Some(response) => Some(Respond {
                status: u16::try_from(response.status)
                    .map_err(|_| contradiction(format!("its answer has the status {}", response.status)))?,
                body: String::from_utf8_lossy(&response.body).into_owned(),
            }),
            None => None,
        };
        if respond.is_some() == outcome.allows() {
            let answered = if respond.is_some() { "an answer" } else { "no answer" };
            return Err(contradiction(format!("it counted `{}` and gave {answered}", outcome.as_str())));
        }
        Ok(Ran { outcome, rule, respond, shadow, changed: Changed::default() })
    }

    /// The one outcome whose counter of this rule grew by one.
    fn counted_outcome(&mut self, rule: &str) -> Result<Outcome, RunError> {
        let mut grown = OUTCOMES.to_vec();
        grown.retain(|outcome| self.grew(&format!("writ.{}.{rule}", outcome.as_str())));
        match grown.as_slice() {
            [outcome] => Ok(*outcome),
            grown => Err(contradiction(format!("it counted {grown:?} for `{rule}`"))),
        }
    }

    /// Whether the shadow decision by this rule was counted as allowed.
    fn counted_shadow(&mut self, rule: &str) -> Result<bool, RunError> {
        let allowed = self.grew(&format!("writ.shadow-allowed.{rule}"));
        let denied = self.grew(&format!("writ.shadow-denied.{rule}"));
        if allowed == denied {
            return Err(contradiction(format!("it counted no single shadow verdict for `{rule}`")));
        }
        Ok(allowed)
    }

    /// Whether a counter grew by one since the last time.
    fn grew(&mut self, name: &str) -> bool {
        let value = self.plugin.metrics().value(name);
        let before = self.counts.get(name).copied().unwrap_or(0);
        if value != before {
            self.counts.insert(name.to_owned(), value);
        }
        value == before + 1
    }
}

/// How a request is answered: by the module itself, or so.
fn given(outcome: &chancery_sdk_host::Outcome, response: &Response) -> Response {
    match &outcome.local_response {
        Some(local) => Response {
            code: u16::try_from(local.status).unwrap_or(u16::MAX),
            size: local.body.len() as u64,
            ..Response::default()
        },
        None => response.clone(),
    }
}

/// Lets a module know what became of an answer that is over.
fn show_answer(properties: &mut Properties, response: &Response) {
    let int = |value: u64| PropertyValue::Int(i64::try_from(value).unwrap_or(i64::MAX));
    properties.set(&["response", "code"], int(response.code.into()));
    let duration_ns = int(response.duration_ms.saturating_mul(1_000_000));
    properties.set(&["request", "duration"], duration_ns);
    properties.set(&["response", "size"], int(response.size));
    properties.set(&["response", "flags"], int(response.flags));
    properties.set(&["upstream", "request_attempt_count"], int(response.attempts));
    let texts = [("address", &response.upstream), ("transport_failure_reason", &response.failure)];
    for (name, text) in texts {
        if let Some(text) = text {
            properties.set(&["upstream", name], PropertyValue::Bytes(text.clone()));
        }
    }
}

/// The module in a VM that shares buckets with no other.
pub(super) fn start(module: &LoadedModule) -> Result<Plugin, RunError> {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let vm_id = STARTED.fetch_add(1, Ordering::Relaxed).to_string();
    let configuration = TEST_LOG_KEY.0.to_vec();
    Ok(module.start(PluginConfiguration { vm_id, configuration, ..PluginConfiguration::default() })?)
}

impl Ran {
    /// What a module of a program must say of a request that is decided so, and make of its headers and those of this
    /// answer.
    #[must_use]
    pub fn by(program: &LinkedProgram, request: &Request, decision: &Decision, response: &Response) -> Self {
        let changed = match decision.outcome.allows() {
            true => Changed::by(program, request, response),
            false => Changed::default(),
        };
        Self { changed, ..Self::of(decision) }
    }

    /// What a module must say of a request that is decided so, whatever it makes of headers.
    #[must_use]
    pub fn of(decision: &Decision) -> Self {
        let differs = |shadow: &&Decision| {
            shadow.rule != decision.rule || shadow.outcome.allows() != decision.outcome.allows()
        };
        let shadow = decision.shadow.as_deref().filter(differs);
        Self {
            outcome: decision.outcome,
            rule: decision.rule.to_string(),
            respond: decision.respond.clone(),
            shadow: shadow
                .map(|shadow| RanShadow { allows: shadow.outcome.allows(), rule: shadow.rule.to_string() }),
            changed: Changed::default(),
        }
    }
}

/// The request's headers as Envoy hands them to a filter.
#[must_use]
pub fn headers_of(request: &Request) -> HeaderMap {
    let pseudo: [(&[u8], &[u8]); 4] = [
        (b":authority", &request.authority),
        (b":path", &request.path),
        (b":method", &request.method),
        (b":scheme", &request.scheme),
    ];
    let others = request.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    pseudo.into_iter().chain(others).collect()
}

/// What Envoy lets a filter know of the request's connection.
#[must_use]
pub fn properties_of(request: &Request) -> Properties {
    let source = &request.source;
    let mut properties = Properties::new();
    properties.set(&["request", "protocol"], PropertyValue::Bytes(request.protocol.clone()));
    let address = SocketAddr::new(source.ip, source.port).to_string();
    properties.set(&["source", "address"], PropertyValue::Bytes(address.into_bytes()));
    properties.set(&["source", "port"], PropertyValue::Int(source.port.into()));
    properties.set(&["connection", "mtls"], PropertyValue::Bool(source.mtls));
    if let Some(principal) = &source.principal {
        let value = PropertyValue::Bytes(principal.clone());
        properties.set(&["connection", "uri_san_peer_certificate"], value);
    }
    properties
}

fn state(closed: &ClosedStream, name: &str) -> Option<String> {
    closed.filter_state.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
}

pub(super) fn contradiction(text: impl Into<String>) -> RunError {
    RunError::Contradiction(text.into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests;
