//! One line of JSON per request on Envoy's standard output, with the rule that decided.
//!
//! Where no `log` policy speaks of a request, each is logged, with fields of Envoy's own. Where one does, the module
//! says in filter state whether the request is logged (`wasm.line` is there) and what of it, as JSON; here stands
//! around that what Envoy alone knows, and nothing that a client can choose. In front stands in which sinks the line
//! belongs, if not in the log of the sidecar alone (`wasm.sinks`): it is the sidecar that hands it on. So loggers are
//! the same whatever the policies say, and neither another policy nor another sink changes a listener.
//!
//! What redactions hide of the fields of Envoy's own, the virtual host says (`shown`).
//!
//! The query is never logged: it carries secrets. Whatever a client can make long is cut off, so that a
//! line never is: the sidecar reads lines of at most 64 KiB, and JSON writes a byte with up to six.

use super::message::any;
use super::shown::{ALL, AS_IT_IS, METADATA, SHOWN};
use crate::delivery::xds::PLAINTEXT_LINE;
use chancery_policy_lang::checked::ServiceRef;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType;
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::comparison_filter::Op;
use envoy_types::pb::envoy::config::accesslog::v3::extension_filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLogFilter, ComparisonFilter, ExtensionFilter, OrFilter, ResponseFlagFilter, StatusCodeFilter,
};
use envoy_types::pb::envoy::config::core::v3::RuntimeUInt32;
use envoy_types::pb::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// Fields of a line and where Envoy takes them from. A value that is not there is left out.
const FIELDS: [(&str, &str); 11] = [
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("code", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("duration", "%DURATION%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("revision", REVISION),
    ("rule", "%FILTER_STATE(wasm.rule:PLAIN)%"),
    ("shadow", "%FILTER_STATE(wasm.shadow:PLAIN)%"),
    ("time", "%START_TIME%"),
    ("upstream", "%UPSTREAM_HOST%"),
];

/// Fields that a redaction can name.
const HIDEABLE: [Hideable; 4] = [
    Hideable::of("method", "%REQUEST_HEADER(:METHOD):64%", "request.method", 64),
    Hideable::of("path", "%PATH(NQ):4096%", "request.url_path", 4096),
    Hideable::of("principal", "%DOWNSTREAM_PEER_URI_SAN%", "connection.uri_san_peer_certificate", 2048),
    Hideable::of("request_id", "%REQUEST_HEADER(X-REQUEST-ID):64%", "request.id", 64),
];

/// A field, where Envoy takes it from, and the same in an expression and how much of that is shown. Expressions are
/// dearer, so they are asked only where something is hidden.
struct Hideable {
    name: &'static str,
    source: &'static str,
    expression: &'static str,
    bytes_max: u32,
}

/// The newest revision of what is in force for the listener, which comes with its routes: Envoy knows the virtual host
/// also of a request for which there is no route.
const REVISION: &str = "%METADATA(VIRTUAL_HOST:chancery:revision)%";

/// Of a request that goes out, the statements by which it goes where it goes. Their names have nothing to escape.
const ROUTE: &str = "%ROUTE_NAME%";
/// The statement that answered one of them in the sidecar: a redirect or a fault.
const ANSWERED: &str = "%FILTER_STATE(wasm.answered:PLAIN)%";
/// The direction of such requests.
const OUTBOUND: &str = "outbound";

/// No log policy speaks of the request.
const UNCONCERNED: &str = "!('wasm.log' in filter_state)";
/// A log policy speaks of the request, and it is logged.
const LOGGED: &str = "'wasm.line' in filter_state";

/// Nothing is hidden of the request; of what is not known to be shown, it is.
fn is_shown() -> String {
    format!("xds.virtual_host_metadata.filter_metadata['{METADATA}']['{SHOWN}'] == '{ALL}'")
}

/// Of Envoy's message what is used here: its map of fields has no order, and so no fixed bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct StdoutAccessLog {
    #[prost(message, optional, tag = "1")]
    log_format: Option<Format>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Format {
    #[prost(message, optional, tag = "2")]
    json_format: Option<Struct>,
    #[prost(bool, tag = "3")]
    omit_empty_values: bool,
    #[prost(message, optional, tag = "5")]
    text_format: Option<InlineText>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InlineText {
    #[prost(string, tag = "3")]
    inline_string: String,
}

/// The logs of a listener in which a module says what is logged where a log policy speaks of the request.
pub(super) fn of_policies(direction: &str, target: &ServiceRef) -> Vec<AccessLog> {
    let is_shown = is_shown();
    // An error on one side of `||` counts as false if the other one holds.
    let knows = "has(xds.virtual_host_metadata)";
    let hides = format!(
        "(!({is_shown}) || !{knows} || !('{METADATA}' in xds.virtual_host_metadata.filter_metadata))"
    );
    let shown = fields(direction, target, |field| field.source.to_owned());
    let hidden = fields(direction, target, Hideable::unless_hidden);
    vec![
        to_stdout(shown, &format!("{UNCONCERNED} && {is_shown}")),
        to_stdout(hidden, &format!("{UNCONCERNED} && {hides}")),
        to_stdout(line(direction, target), LOGGED),
    ]
}

impl Hideable {
    const fn of(name: &'static str, source: &'static str, expression: &'static str, bytes_max: u32) -> Self {
        Self { name, source, expression, bytes_max }
    }

    /// What is shown of it where something is hidden. A value of which nothing is said is an error, and left out.
    fn unless_hidden(&self) -> String {
        let Self { name, expression, bytes_max, .. } = self;
        let said = format!("xds.virtual_host_metadata.filter_metadata['{METADATA}']['{name}']");
        format!("%CEL({said} == '{AS_IT_IS}' ? {expression} : {said}):{bytes_max}%")
    }
}

/// What Envoy says of each request; of what a redaction can name this.
fn fields(direction: &str, target: &ServiceRef, hideable: impl Fn(&Hideable) -> String) -> Format {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let mut fields: std::collections::BTreeMap<_, _> =
        FIELDS.iter().map(|(name, source)| ((*name).to_owned(), text(source))).collect();
    fields.extend(HIDEABLE.iter().map(|field| (field.name.to_owned(), text(&hideable(field)))));
    fields.insert("direction".to_owned(), text(direction));
    fields.insert("target".to_owned(), text(&name(target)));
    if direction == OUTBOUND {
        fields.insert("answered".to_owned(), text(ANSWERED));
        fields.insert("route".to_owned(), text(ROUTE));
    }
    Format { json_format: Some(Struct { fields }), omit_empty_values: true, text_format: None }
}

/// What Envoy says around what the module says.
fn line(direction: &str, target: &ServiceRef) -> Format {
    let target = name(target);
    let way = match direction {
        OUTBOUND => format!("\"route\":\"{ROUTE}\",\"answered\":\"{ANSWERED}\","),
        _ => String::new(),
    };
    let text = format!(
        "%FILTER_STATE(wasm.sinks:PLAIN)%{{\"time\":\"%START_TIME%\",\"direction\":\"{direction}\",\"target\":\"{target}\",\
         \"revision\":\"{REVISION}\",\"code\":%RESPONSE_CODE%,\
         \"flags\":\"%RESPONSE_FLAGS%\",\"duration\":%DURATION%,\"bytes_received\":%BYTES_RECEIVED%,\
         \"bytes_sent\":%BYTES_SENT%,{way}\"upstream\":\"%UPSTREAM_HOST%\",\
         \"shadow\":\"%FILTER_STATE(wasm.shadow:PLAIN)%\"%FILTER_STATE(wasm.line:PLAIN)%}}\n"
    );
    let text_format = Some(InlineText { inline_string: text });
    Format { json_format: None, omit_empty_values: true, text_format }
}

/// The least status of an answer that did not go well.
const REFUSED_FROM: u32 = 400;

/// The log of a listener whose requests come by themselves again and again: those that did not end well.
pub(super) fn of_refused(direction: &str, target: &ServiceRef) -> Vec<AccessLog> {
    let fields = fields(direction, target, |field| field.source.to_owned());
    let status = StatusCodeFilter {
        comparison: Some(ComparisonFilter {
            op: Op::Ge.into(),
            value: Some(RuntimeUInt32 {
                default_value: REFUSED_FROM,
                runtime_key: "chancery.refused_from".to_owned(),
            }),
        }),
    };
    // Of a request that has no answer, a flag says why.
    let either = [
        FilterSpecifier::StatusCodeFilter(status),
        FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter::default()),
    ];
    let filters = either.map(|filter| AccessLogFilter { filter_specifier: Some(filter) }).to_vec();
    let filter = FilterSpecifier::OrFilter(OrFilter { filters });
    vec![AccessLog { filter: Some(AccessLogFilter { filter_specifier: Some(filter) }), ..stdout(fields) }]
}

/// One line more for each request that came without TLS, for the sidecar alone.
pub(super) fn of_plaintext() -> AccessLog {
    let text = format!("{PLAINTEXT_LINE}%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\n");
    let text_format = Some(InlineText { inline_string: text });
    stdout(Format { json_format: None, omit_empty_values: true, text_format })
}

/// As it stands in a line; names of services have nothing to escape.
fn name(service: &ServiceRef) -> String {
    format!("{}/{}", service.namespace, service.name)
}

/// The log of the requests for which an expression holds.
fn to_stdout(format: Format, expression: &str) -> AccessLog {
    AccessLog { filter: Some(by_expression(expression)), ..stdout(format) }
}

fn stdout(format: Format) -> AccessLog {
    let config = Any {
        type_url: "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog".to_owned(),
        value: StdoutAccessLog { log_format: Some(format) }.encode_to_vec(),
    };
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(config)),
    }
}

fn by_expression(expression: &str) -> AccessLogFilter {
    let expression = ExpressionFilter { expression: expression.to_owned(), ..Default::default() };
    let filter = ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(any(&expression))),
    };
    AccessLogFilter { filter_specifier: Some(FilterSpecifier::ExtensionFilter(filter)) }
}
