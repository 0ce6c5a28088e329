//! The messages of OTLP for logs, as far as they are used here; the parts that other signals share are Envoy's copies.

use super::Origin;
use envoy_types::pb::opentelemetry::proto::common::v1::any_value::Value as Kind;
use envoy_types::pb::opentelemetry::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use jiff::Timestamp;
use prost::Message;
use serde_json::Value;

/// The number of the severity `INFO`.
const INFO: i32 = 9;
/// The fields of a line that are attributes of its record, beside its body.
const ATTRIBUTES: [&str; 8] =
    ["rule", "decision", "revision", "principal", "target", "direction", "code", "request_id"];

/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

/// `opentelemetry.proto.logs.v1.LogRecord`
#[derive(Clone, PartialEq, Message)]
pub(super) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
}

/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceResponse`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl ExportResponse {
    /// How many records were not taken.
    pub(super) fn rejected(&self) -> usize {
        let rejected = self.partial_success.as_ref().map_or(0, |partial| partial.rejected_log_records);
        usize::try_from(rejected).unwrap_or_default()
    }

    /// Why.
    pub(super) fn reason(&self) -> &str {
        self.partial_success.as_ref().map_or("", |partial| &partial.error_message)
    }
}

/// Records of one sidecar.
pub(super) fn request(origin: &Origin, log_records: Vec<LogRecord>) -> ExportRequest {
    let attributes = [
        ("service.namespace", &origin.namespace),
        ("service.name", &origin.service),
        ("service.instance.id", &origin.instance),
    ];
    let attributes = attributes.map(|(key, value)| attribute(key, text(value))).into();
    let scope = InstrumentationScope {
        name: "chancery".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let scope_logs = ScopeLogs { scope: Some(scope), log_records };
    let resource = Some(Resource { attributes });
    ExportRequest { resource_logs: vec![ResourceLogs { resource, scope_logs: vec![scope_logs] }] }
}

/// A line as a record.
pub(super) fn record(line: &str) -> LogRecord {
    let now = nanoseconds(Timestamp::now());
    let fields: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
    let attributes = ATTRIBUTES.iter().filter_map(|name| Some(attribute(name, value(fields.get(*name)?)?)));
    let time = fields.get("time").and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
    LogRecord {
        time_unix_nano: time.map_or(now, nanoseconds),
        severity_number: INFO,
        severity_text: "INFO".to_owned(),
        body: Some(text(line)),
        attributes: attributes.collect(),
        observed_time_unix_nano: now,
    }
}

/// A field as the value of an attribute; `None` if there is nothing to say.
fn value(field: &Value) -> Option<AnyValue> {
    match field {
        Value::String(value) if !value.is_empty() => Some(text(value)),
        Value::Number(number) => Some(AnyValue { value: Some(Kind::IntValue(number.as_i64()?)) }),
        _ => None,
    }
}

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Kind::StringValue(value.to_owned())) }
}

fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}
