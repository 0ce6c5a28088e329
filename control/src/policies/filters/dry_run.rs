//! A dry run of an admitted module in the wasmtime host: it is started as a sidecar would, and asked about a few
//! ordinary requests.

use crate::policies::filters::errors;
use chancery_sdk_admission::{AdmittedModule, Finding, Terms};
use chancery_sdk_host::abi::host_calls;
use chancery_sdk_host::{
    Clusters, Exchange, HeaderMap, Host, HostError, Limits, Message, PluginConfiguration, Properties, Proxy,
    Script,
};

/// The host's own fuel for a unit of a module's budget: it counts what counts, too.
const FUEL_OF_UNIT: u64 = 64;

/// When a dry run happens: the beginning of 2026. Not at zero, which is no time for a runtime that looks whether its clock
/// goes, as Go's does.
const NOW_NS: u64 = 1_767_225_600_000_000_000;

/// Host calls that ask other services, of which a dry run has none: they are silent until the module waits no longer. A module
/// that can make these calls may fail for that alone.
const NOT_ANSWERED: [&str; 3] =
    [host_calls::HTTP_CALL.name, host_calls::GRPC_CALL.name, host_calls::GRPC_STREAM.name];

/// Method, path and body of the requests that are tried.
const REQUESTS: [(&str, &str, Option<&str>); 3] = [
    ("GET", "/", None),
    ("POST", "/a/b?c=d", Some(r#"{"id": 1, "name": "x"}"#)),
    ("DELETE", "/%20?", Some("")),
];

/// How far a dry run came without a finding that refuses the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// It started and answered so many requests.
    Requests(usize),
    /// It started; a request failed, maybe for a call that nobody answered.
    Started,
    /// It did not accept that there is no configuration.
    NotConfigured,
}

impl DryRun {
    /// What happened, in words.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            Self::Requests(count) => format!("started, {count} requests"),
            Self::Started => "started; a request failed".to_owned(),
            Self::NotConfigured => "not configured".to_owned(),
        }
    }
}

/// A host in which the budgets of a module are used up before the host's own.
///
/// # Errors
/// When wasmtime cannot be set up on this machine.
pub fn host(terms: &Terms) -> Result<Host, HostError> {
    let budget = terms.callback_budget.max(terms.start_budget);
    Host::for_few_calls(Limits {
        callback_fuel: budget.saturating_mul(FUEL_OF_UNIT),
        module_bytes_max: chancery_sdk_admission::limits::INSTRUMENTED_BYTES_MAX,
        ..Limits::default()
    })
}

/// Runs a module with a configuration, if there is one.
///
/// # Errors
/// The finding that refuses the module, or a warning with what was reached.
pub fn dry_run(
    host: &Host,
    module: &AdmittedModule,
    configuration: Option<&[u8]>,
) -> Result<DryRun, (Box<Finding>, Option<DryRun>)> {
    let refused = |finding| (Box::new(finding), None);
    let loaded =
        host.load(&module.bytes).map_err(|error| refused(errors::does_not_start(&error.to_string())))?;
    let start = || {
        let configuration = configuration.unwrap_or_default().to_vec();
        let clusters = Clusters::All;
        loaded.start(PluginConfiguration {
            configuration,
            clusters,
            time_ns: NOW_NS,
            ..PluginConfiguration::default()
        })
    };
    let mut proxy = match start() {
        Ok(plugin) => Proxy::new(plugin, Script::new()),
        Err(HostError::Refused { callback, words }) => {
            let finding = errors::not_accepted(callback, configuration.is_some(), words.as_deref());
            let reached = (!finding.refuses()).then_some(DryRun::NotConfigured);
            return Err((Box::new(finding), reached));
        }
        Err(error) => return Err(refused(errors::does_not_start(&error.to_string()))),
    };
    let asks_for_more = module.allowed.iter().any(|name| NOT_ANSWERED.contains(&name.as_str()));
    for (method, path, body) in REQUESTS {
        ask(&mut proxy, method, path, body).map_err(|error| {
            let (request, words) = (format!("{method} {path}"), error.to_string());
            if asks_for_more {
                (Box::new(errors::request_may_fail(&request, &words)), Some(DryRun::Started))
            } else {
                refused(errors::request_fails(&request, &words))
            }
        })?;
    }
    Ok(DryRun::Requests(REQUESTS.len()))
}

/// One request with its answer. A module that holds the stream gets as much time as Envoy would give it.
fn ask(proxy: &mut Proxy, method: &str, path: &str, body: Option<&str>) -> Result<(), HostError> {
    let request: HeaderMap = [
        (":method", method),
        (":path", path),
        (":authority", "service.example"),
        (":scheme", "http"),
        ("user-agent", "chancery"),
        ("accept", "*/*"),
        ("x-request-id", "1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
    ]
    .into_iter()
    .collect();
    let pieces = body.map(|body| body.as_bytes().to_vec()).into_iter().collect();
    let response: HeaderMap = [(":status", "200"), ("content-type", "text/plain")].into_iter().collect();
    let exchanged = proxy.exchange(Exchange {
        properties: Properties::new(),
        request: Message { headers: request, pieces, trailers: None },
        response: Message::new(response, b"hello"),
    })?;
    exchanged.failure.map_or(Ok(()), Err)
}
