//! Small pieces of Envoy's configuration that many resources share.

use super::{KEEPALIVE_INTERVAL_S, KEEPALIVE_TIMEOUT_S};
use crate::delivery::snapshot::{Resource, ResourceType};
use chancery_policy_lang::checked::Milliseconds;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, DataSource, Http1ProtocolOptions,
    Http2ProtocolOptions, KeepaliveSettings, SocketAddress,
};
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};
use prost::{Message, Name};
use std::net::SocketAddr;

/// How long Envoy waits for a resource before it goes on without, in seconds.
const INITIAL_FETCH_TIMEOUT_S: i64 = 15;
/// The longest time that Envoy takes, in seconds: about 10,000 years.
const TIME_MAX_S: i64 = 315_576_000_000;

/// Encodes a message as the resource of this name.
pub(super) fn resource(kind: ResourceType, name: impl Into<String>, message: &impl Message) -> Resource {
    Resource::new(kind, name, message.encode_to_vec(), [])
}

pub(super) fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// From the stream that the resource itself came on.
pub(super) fn ads() -> ConfigSource {
    ConfigSource {
        initial_fetch_timeout: Some(seconds(INITIAL_FETCH_TIMEOUT_S)),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

pub(super) fn address(address: SocketAddr) -> Address {
    let socket = SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(address.port().into())),
        ..Default::default()
    };
    Address { address: Some(AddressKind::SocketAddress(socket)) }
}

pub(super) fn inline_bytes(bytes: &[u8]) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(bytes.to_vec())), ..Default::default() }
}

pub(super) fn inline_text(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}

pub(super) fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

pub(super) fn milliseconds(milliseconds: i32) -> Duration {
    Duration { seconds: i64::from(milliseconds / 1000), nanos: milliseconds % 1000 * 1_000_000 }
}

/// This time; what is longer than Envoy can say is the longest that it can.
pub(super) fn time(time: std::time::Duration) -> Duration {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(TIME_MAX_S).min(TIME_MAX_S);
    Duration { seconds, nanos: time.subsec_nanos().cast_signed() }
}

/// HTTP/1.1 as either side speaks it.
pub(super) fn http1() -> Http1ProtocolOptions {
    Http1ProtocolOptions { enable_trailers: true, ..Default::default() }
}

/// HTTP/2 as either side speaks it.
pub(super) fn http2() -> Http2ProtocolOptions {
    Http2ProtocolOptions {
        // What is wrong with one message ends that one, and not all that share its connection.
        override_stream_error_on_invalid_http_message: yes(),
        // An upgrade of HTTP/1.1 is an extended CONNECT (RFC 8441) here.
        allow_connect: true,
        ..Default::default()
    }
}

/// Asks the other side from time to time whether it is there.
pub(super) fn keepalive() -> KeepaliveSettings {
    KeepaliveSettings {
        interval: Some(seconds(KEEPALIVE_INTERVAL_S)),
        timeout: Some(seconds(KEEPALIVE_TIMEOUT_S)),
        ..Default::default()
    }
}

/// At most an hour.
pub(super) fn of_milliseconds(duration: Milliseconds) -> Duration {
    milliseconds(i32::try_from(duration.0).unwrap_or(i32::MAX))
}

pub(super) fn yes() -> Option<BoolValue> {
    Some(BoolValue { value: true })
}

pub(super) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}
