//! Running a request through the evaluator and through the module, and comparing what they say.

use chancery_policy_lang::check::{CheckOptions, check};
use chancery_policy_lang::checked::{Direction, SampleRate};
use chancery_policy_lang::decision::Decision;
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use chancery_policy_lang::eval::{Buckets, Response, evaluate_at, line, logged};
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::log::LogKey;
use chancery_policy_lang::module::Module;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::{SourceSet, parse};
use chancery_sdk_host::abi::Action;
use chancery_sdk_host::{HeaderMap, Host, Limits, Plugin, PluginConfiguration, Properties, PropertyValue};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The workload that tests compile for.
pub(crate) fn target() -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: BTreeMap::from([("version".to_owned(), "v2".to_owned())]),
        trust_domain: "chancery.local".to_owned(),
    }
}

/// Policies as a linked program; they must be right and concern the target.
pub(crate) fn link_text(text: &str) -> LinkedProgram {
    link_texts(&[text])
}

/// Policies of several files as a linked program.
pub(crate) fn link_texts(texts: &[&str]) -> LinkedProgram {
    let mut sources = SourceSet::new();
    let mut trees = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let file = sources.add(format!("{at}.writ"), *text);
        let parsed = parse::parse(file, text);
        assert!(parsed.diagnostics.is_empty(), "{:?} in\n{text}", parsed.diagnostics);
        trees.push(parsed.tree);
    }
    let checked = check(&sources, &trees, CheckOptions::default());
    let errors: Vec<_> = checked.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    link(&checked.policies, &target(), Direction::Inbound).unwrap().unwrap()
}

/// A program beside its module.
pub(crate) struct Pair {
    pub(crate) program: LinkedProgram,
    pub(crate) module: Module,
    plugin: Plugin,
    buckets: Buckets,
    now_ns: u64,
    /// What a request is answered that passes.
    response: Response,
    /// Filter state after the last request.
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    answered: Option<HeaderMap>,
}

/// By what values are hashed.
pub(crate) const KEY: LogKey = LogKey(*b"sixteen bytes...");

/// What was decided, in words that both sides can say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    allowed: bool,
    status: u32,
    body: Vec<u8>,
    rule: String,
    shadow: Option<String>,
    counters: Vec<String>,
}

impl Pair {
    pub(crate) fn of_text(text: &str) -> Self {
        Self::new(link_text(text))
    }

    pub(crate) fn new(program: LinkedProgram) -> Self {
        // What is refused for its cost alone shall be decided right, too.
        let options = ModuleOptions { steps_max: u64::MAX, ..ModuleOptions::default() };
        let module = compile_with(&program, options).unwrap();
        validate(&module.bytes);
        let host = Host::new(Limits::default()).unwrap();
        let loaded = host.load(&module.bytes).unwrap();
        let configuration = KEY.0.to_vec();
        let plugin =
            loaded.start(PluginConfiguration { configuration, ..PluginConfiguration::default() }).unwrap();
        let (buckets, response) = (Buckets::default(), Response { code: 200, ..Response::default() });
        let (now_ns, state, answered) = (0, BTreeMap::new(), None);
        Self { program, module, plugin, buckets, now_ns, response, answered, state }
    }

    /// Asserts that both sides say the same of a request, and gives it.
    pub(crate) fn agree(&mut self, request: &Request) -> Said {
        let decision = evaluate_at(&self.program, request, &mut self.buckets, self.now_ns);
        let wanted = said_by(&decision);
        let found = self.run(request);
        assert_eq!(found, wanted, "module (left) and evaluator differ on {request:?}");
        self.agree_on_logs(request, &decision);
        found
    }

    /// Asserts that the module says for logs what the evaluator does.
    fn agree_on_logs(&self, request: &Request, decision: &Decision) {
        let response = &self.response.delivered(&self.program, request, decision);
        let rate = logged(&self.program, request, decision, response);
        let log = self.program.log.as_ref();
        let wanted = log.map(|log| line(&self.program, log, request, decision, response, Some(KEY)));
        let shown = |line: Option<&Vec<u8>>| line.map(|line| String::from_utf8_lossy(line).into_owned());
        let found = self.line();
        assert_eq!(self.state.contains_key(b"log".as_slice()), wanted.is_some());
        match (rate, wanted.as_ref()) {
            (_, None) | (SampleRate::NONE, _) => assert_eq!(shown(found), None, "{request:?}"),
            (SampleRate::ALL, wanted) => assert_eq!(shown(found), shown(wanted), "{request:?}"),
            (_, wanted) => assert!(found.is_none() || shown(found) == shown(wanted), "{request:?}"),
        }
    }

    /// What the module said of the last request for its line.
    pub(crate) fn line(&self) -> Option<&Vec<u8>> {
        self.state.get(b"line".as_slice())
    }

    /// Sets what requests are answered that pass.
    pub(crate) fn answer(&mut self, code: u16, duration_ms: u64) {
        self.answer_with(Response { code, duration_ms, ..Response::default() });
    }

    /// The same of all that is known of an answer.
    pub(crate) fn answer_with(&mut self, response: Response) {
        self.response = response;
    }

    /// The program.
    pub(crate) fn program(&self) -> &LinkedProgram {
        &self.program
    }

    /// The headers of the answer that the caller got to the last request.
    pub(crate) fn answered(&self) -> Option<&HeaderMap> {
        self.answered.as_ref()
    }

    /// Lets time pass.
    pub(crate) fn wait_ns(&mut self, ns: u64) {
        self.set_time_ns(self.now_ns + ns);
    }

    /// Sets the clock.
    pub(crate) fn set_time_ns(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.plugin.set_time_ns(now_ns);
    }

    /// What the module says.
    pub(crate) fn run(&mut self, request: &Request) -> Said {
        self.run_raw(headers(request), properties(request), request.end_of_stream)
    }

    /// What the module says of any headers and properties.
    pub(crate) fn run_raw(
        &mut self,
        headers: HeaderMap,
        properties: Properties,
        end_of_stream: bool,
    ) -> Said {
        self.plugin.reset_metrics();
        let mut stream = self.plugin.open(properties).unwrap();
        let outcome = stream.on_request_headers(headers, end_of_stream).unwrap();
        let response = match &outcome.local_response {
            Some(local) => Response {
                code: u16::try_from(local.status).unwrap(),
                size: local.body.len() as u64,
                ..Response::default()
            },
            None => self.response.clone(),
        };
        if response.code != 0 {
            let status = (b":status".to_vec(), response.code.to_string().into_bytes());
            let headers = [status].into_iter().chain(response.headers.clone()).collect();
            stream.on_response_headers(headers, false).unwrap();
        }
        show(stream.properties_mut().unwrap(), &response);
        let closed = stream.close().unwrap();
        self.answered = closed.response_headers.clone();
        self.state = closed.filter_state.clone();
        let text = |name: &str| {
            closed.filter_state.get(name.as_bytes()).map(|value| String::from_utf8(value.clone()).unwrap())
        };
        let counters = self.plugin.metrics().iter().filter(|(_, _, value)| *value > 0);
        let counters = counters.map(|(_, name, value)| {
            assert_eq!(value, 1, "{name}");
            name.to_owned()
        });
        let mut counters: Vec<String> = counters.collect();
        counters.sort();
        let (status, body) = match &outcome.local_response {
            Some(response) => {
                assert_eq!(String::from_utf8_lossy(&response.details), text("rule").unwrap());
                let is_text = response.headers.first(b"content-type") == Some(b"text/plain".as_slice());
                assert_eq!(is_text, !response.body.is_empty(), "a body, and only that, has a type");
                let grpc_status = match response.status {
                    400 => Some(3),
                    413 | 429 | 431 => Some(8),
                    _ => None,
                };
                assert_eq!(response.grpc_status, grpc_status, "of {}", response.status);
                (response.status, response.body.clone())
            }
            None => (0, Vec::new()),
        };
        let allowed = outcome.action == Action::Continue;
        assert_eq!(allowed, outcome.local_response.is_none());
        Said { allowed, status, body, rule: text("rule").unwrap(), shadow: text("shadow"), counters }
    }

    /// Fuel that the last request used.
    pub(crate) fn fuel(&self) -> u64 {
        self.plugin.fuel_used()
    }
}

impl Said {
    pub(crate) fn rule(&self) -> &str {
        &self.rule
    }

    pub(crate) fn status(&self) -> u32 {
        self.status
    }
}

fn said_by(decision: &Decision) -> Said {
    let respond = decision.respond.as_ref();
    let mut counters = vec![format!("writ.{}.{}", decision.outcome.as_str(), decision.rule)];
    let differing = decision.shadow.as_ref().filter(|shadow| {
        shadow.rule != decision.rule || shadow.outcome.allows() != decision.outcome.allows()
    });
    if let Some(shadow) = differing {
        let verdict = if shadow.outcome.allows() { "allowed" } else { "denied" };
        counters.push(format!("writ.shadow-{verdict}.{}", shadow.rule));
    }
    counters.sort();
    Said {
        allowed: decision.outcome.allows(),
        status: respond.map_or(0, |respond| u32::from(respond.status)),
        body: respond.map_or_else(Vec::new, |respond| respond.body.clone().into_bytes()),
        rule: decision.rule.to_string(),
        shadow: differing.map(|shadow| shadow.rule.to_string()),
        counters,
    }
}

/// Lets a module know what became of an answer.
fn show(properties: &mut Properties, response: &Response) {
    let int = |value: u64| PropertyValue::Int(i64::try_from(value).unwrap());
    properties.set(&["response", "code"], int(response.code.into()));
    properties.set(&["request", "duration"], int(response.duration_ms * 1_000_000 + 999_999));
    properties.set(&["response", "size"], int(response.size));
    properties.set(&["response", "flags"], int(response.flags));
    properties.set(&["upstream", "request_attempt_count"], int(response.attempts));
    for (name, text) in [("address", &response.upstream), ("transport_failure_reason", &response.failure)] {
        if let Some(text) = text {
            properties.set(&["upstream", name], PropertyValue::Bytes(text.clone()));
        }
    }
}

/// The header map that Envoy gives for a request.
pub(crate) fn headers(request: &Request) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.add(b":authority", request.authority.clone());
    map.add(b":path", request.path.clone());
    map.add(b":method", request.method.clone());
    map.add(b":scheme", request.scheme.clone());
    for (name, value) in &request.headers {
        map.add(name, value.clone());
    }
    map
}

/// The properties that Envoy gives for a request.
pub(crate) fn properties(request: &Request) -> Properties {
    let mut properties = Properties::new();
    let source = &request.source;
    if let Some(principal) = &source.principal {
        let path = ["connection", "uri_san_peer_certificate"];
        properties.set(&path, PropertyValue::Bytes(principal.clone()));
    }
    let address = match source.ip {
        IpAddr::V4(ip) => format!("{ip}:{}", source.port),
        IpAddr::V6(ip) => format!("[{ip}]:{}", source.port),
    };
    properties.set(&["source", "address"], PropertyValue::Bytes(address.into_bytes()));
    properties.set(&["connection", "mtls"], PropertyValue::Bool(source.mtls));
    properties.set(&["request", "protocol"], PropertyValue::Bytes(request.protocol.clone()));
    properties
}

/// Asserts that a module is valid with no feature beyond the few that generated code may use.
pub(crate) fn validate(bytes: &[u8]) {
    use wasmparser::{Validator, WasmFeatures};
    let features = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::MULTI_VALUE;
    let result = Validator::new_with_features(features).validate_all(bytes);
    if let Err(error) = result {
        panic!("the module is not valid: {error}");
    }
}

/// A request of this method and path by a caller of this service.
pub(crate) fn request(method: &str, path: &str, service: Option<&str>) -> Request {
    let mut request = Request { method: method.into(), path: path.into(), ..Request::default() };
    request.source.principal = service.map(|service| {
        let (namespace, name) = service.split_once('/').unwrap();
        format!("spiffe://chancery.local/ns/{namespace}/sa/{name}").into_bytes()
    });
    request.source.mtls = service.is_some();
    request
}

/// The request with a further header.
pub(crate) fn with(mut request: Request, name: &str, value: impl AsRef<[u8]>) -> Request {
    request.headers.push((name.into(), value.as_ref().to_vec()));
    request
}
