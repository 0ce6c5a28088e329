//! One line of JSON per request on Envoy's standard output, with the rule that decided.
//!
//! The query is never logged: it carries secrets. Whatever a client can make long is cut off, so that a
//! line never is: the sidecar reads lines of at most 64 KiB, and JSON writes a byte with up to six.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType;
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

/// Fields of a line and where Envoy takes them from. A value that is not there is left out.
const FIELDS: [(&str, &str); 14] = [
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("code", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("duration", "%DURATION%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("method", "%REQUEST_HEADER(:METHOD):64%"),
    ("path", "%PATH(NQ):4096%"),
    ("principal", "%DOWNSTREAM_PEER_URI_SAN%"),
    ("request_id", "%REQUEST_HEADER(X-REQUEST-ID):64%"),
    ("rule", "%FILTER_STATE(wasm.rule:PLAIN)%"),
    ("shadow", "%FILTER_STATE(wasm.shadow:PLAIN)%"),
    ("time", "%START_TIME%"),
    ("upstream", "%UPSTREAM_HOST%"),
];

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
}

/// The log of a listener; `direction` tells its lines from those of others.
pub(super) fn to_stdout(direction: &str) -> AccessLog {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let mut fields: std::collections::BTreeMap<_, _> =
        FIELDS.iter().map(|(name, source)| ((*name).to_owned(), text(source))).collect();
    fields.insert("direction".to_owned(), text(direction));
    let format = Format { json_format: Some(Struct { fields }), omit_empty_values: true };
    let config = Any {
        type_url: "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog".to_owned(),
        value: StdoutAccessLog { log_format: Some(format) }.encode_to_vec(),
    };
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
