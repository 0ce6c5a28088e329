//! An Envoy that is configured as the sidecar of a service, and says of each request all it knows.
//!
//! The listener is the one that a sidecar of the mesh gets, with the policy that it gets. What differs:
//! it is plaintext and answers by itself; a filter in front of the policy writes down what it is shown;
//! and each answer, also Envoy's own, has headers that say what became of the request.

use super::opinion::{Opinions, Seen, Verdict};
use super::{http1, http2};
use crate::envoy::Envoy;
use anyhow::{Context, Result};
use chancery_control::delivery::envoy::{
    ConnectionLife, EVICTED, INBOUND, INBOUND_POLICY, evicted, extension, listener,
};
use chancery_control::delivery::snapshot::Resource;
use chancery_control::mesh::model::{self, Inbound};
use chancery_control::policies::policy_runner::PolicyRunner;
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::log::LogKey;
use chancery_policy_lang::request::{Protocol, RawRequest};
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::comparison_filter::Op;
use envoy_types::pb::envoy::config::accesslog::v3::{AccessLogFilter, ComparisonFilter, StatusCodeFilter};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, HeaderValue, HeaderValueOption, RuntimeUInt32, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::lua::v3::Lua;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, LocalReplyConfig, ResponseMapper,
};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What the answers say, and from what Envoy makes it.
const SEEN: (&str, &str) = ("x-model-seen", "%DYNAMIC_METADATA(model:seen)%");
const RULE: (&str, &str) = ("x-model-rule", "%FILTER_STATE(wasm.rule:PLAIN)%");
const DETAILS: (&str, &str) = ("x-model-details", "%RESPONSE_CODE_DETAILS%");
/// What Envoy writes for something that is not there.
const ABSENT: &[u8] = b"-";

/// Writes down the protocol and all headers, in hexadecimal digits since they may be any bytes.
const DUMP: &str = r"
local function hex(text)
  return (text:gsub('.', function(byte) return string.format('%02x', string.byte(byte)) end))
end
function envoy_on_request(handle)
  local seen = { handle:streamInfo():protocol() }
  for name, value in pairs(handle:headers()) do
    seen[#seen + 1] = hex(name) .. '=' .. hex(value)
  end
  handle:streamInfo():dynamicMetadata():set('model', 'seen', table.concat(seen, ' '))
end
";

/// An answer of Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The Envoy, and all who have an opinion on a request beside it.
#[derive(Debug)]
pub struct Proxy {
    envoy: Envoy,
    address: SocketAddr,
    http2: http2::Client,
    program: LinkedProgram,
    runner: PolicyRunner,
}

impl Proxy {
    /// Starts an Envoy with this policy.
    ///
    /// # Errors
    /// When it does not become ready, or the module does not start.
    pub async fn start(program: LinkedProgram) -> Result<Self> {
        let module = compile(&program)?;
        let runner = PolicyRunner::new(&module)?;
        let listener = observed(&[
            (INBOUND_POLICY, configuration(&extension::policy(&module, LogKey::default()))?),
            (EVICTED, configuration(&evicted::resource(&[]))?),
        ])?;
        let envoy = Envoy::start_with_listener(tempfile::tempdir()?, listener).await?;
        let address = envoy.listener(INBOUND).await?;
        Ok(Self { envoy, address, http2: http2::Client::new(address), program, runner })
    }

    /// What everybody says of a request.
    ///
    /// # Errors
    /// When somebody could not be asked.
    pub fn ask(&mut self, request: &RawRequest) -> Result<Opinions> {
        let answer = match request.protocol {
            Protocol::Http1 => http1::send(self.address, request),
            Protocol::Http2 => self.http2.send(request),
        };
        let answer = answer.with_context(|| super::literal(request))?;
        let (envoy, seen) = match answer {
            Some(answer) => (verdict(&answer), header(&answer, SEEN.0).map(Seen::parse).transpose()?),
            None => (Verdict::Refused("closed".to_owned()), None),
        };
        Opinions::gather(envoy, seen, request, &self.program, &mut self.runner)
    }

    /// Stops Envoy.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn stop(self) -> Result<()> {
        self.envoy.stop().await
    }
}

fn verdict(answer: &Answer) -> Verdict {
    let text = |name: &str| header(answer, name).map(|value| String::from_utf8_lossy(value).into_owned());
    let details = text(DETAILS.0).unwrap_or_default();
    match text(RULE.0) {
        Some(rule) if rule == details => Verdict::Denied { rule, status: answer.status },
        Some(rule) => Verdict::Allowed { rule },
        None => Verdict::Refused(details),
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a [u8]> {
    let found = answer.headers.iter().find(|(key, _)| key == name.as_bytes());
    found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty() && *value != ABSENT)
}

/// The configuration of a filter that a control plane would send.
fn configuration(resource: &Resource) -> Result<Any> {
    let extension = TypedExtensionConfig::decode(resource.body.as_ref())?;
    extension.typed_config.with_context(|| format!("{} has no configuration", resource.name))
}

/// The inbound listener of a sidecar, made to answer by itself and to say what it knows. Its filters have these
/// configurations in it, for nobody is there to send them.
fn observed(filters: &[(&str, Any)]) -> Result<Listener> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let resource = listener::inbound(
        &Inbound {
            listen: nowhere,
            advertised: nowhere,
            application: nowhere,
            protocol: model::Protocol::Http1,
            probes: None,
        },
        &ServiceRef { namespace: "model".to_owned(), name: "model".to_owned() },
        &[],
        listener::Plaintext::Open,
        "chancery.local",
        ConnectionLife::default(),
    );
    let mut listener = Listener::decode(resource.body.as_ref())?;
    // Certificates would have to be sent to it.
    listener.filter_chains.retain(|chain| chain.transport_socket.is_none());
    let chain = listener.filter_chains.first_mut().context("the listener has no chain for plaintext")?;
    let filter = chain.filters.last_mut().context("the chain has no filter")?;
    let Some(FilterConfig::TypedConfig(config)) = &mut filter.config_type else {
        anyhow::bail!("the listener has no connection manager");
    };
    let mut manager = HttpConnectionManager::decode(config.value.as_slice())?;
    manager.access_log.clear();
    // A connection that Envoy closes shall not be waited for.
    manager.delayed_close_timeout = Some(Default::default());
    manager.route_specifier = Some(RouteSpecifier::RouteConfig(answer_all()));
    manager.local_reply_config = Some(saying(&[SEEN, RULE, DETAILS]));
    let at = manager.http_filters.iter().position(|filter| filter.name == INBOUND_POLICY);
    let at = at.context("the listener has no policy")?;
    for filter in &mut manager.http_filters {
        if let Some((_, config)) = filters.iter().find(|(name, _)| *name == filter.name) {
            filter.config_type = Some(ConfigType::TypedConfig(config.clone()));
        }
    }
    let dump = any(&Lua { default_source_code: Some(inline(DUMP)), ..Default::default() });
    manager.http_filters.insert(at, http_filter("dump", dump));
    *config = any(&manager);
    Ok(listener)
}

fn answer_all() -> RouteConfiguration {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix(String::new())),
            ..Default::default()
        }),
        action: Some(Action::DirectResponse(DirectResponseAction { status: 200, ..Default::default() })),
        ..Default::default()
    };
    let host = VirtualHost {
        name: "all".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..Default::default()
    };
    RouteConfiguration { virtual_hosts: vec![host], ..Default::default() }
}

/// These headers on whatever Envoy answers by itself.
fn saying(headers: &[(&str, &str)]) -> LocalReplyConfig {
    let any_status = StatusCodeFilter {
        comparison: Some(ComparisonFilter {
            op: Op::Ge.into(),
            value: Some(RuntimeUInt32 { default_value: 0, runtime_key: "model.any_status".to_owned() }),
        }),
    };
    let headers = headers.iter().map(|(key, value)| HeaderValueOption {
        header: Some(HeaderValue {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    });
    let mapper = ResponseMapper {
        filter: Some(AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::StatusCodeFilter(any_status)),
        }),
        headers_to_add: headers.collect(),
        ..Default::default()
    };
    LocalReplyConfig { mappers: vec![mapper], body_format: None }
}

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}
