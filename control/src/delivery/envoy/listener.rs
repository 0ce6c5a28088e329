//! LDS: the mTLS listener that other sidecars connect to, and the plain local ones that lead out.

use super::message::{self, address, ads, any, number, resource, seconds, yes};
use super::route::{DELAY, DELAY_SHARE};
use super::filter::{self, Slot};
use super::{
    ConnectionLife, INBOUND, INBOUND_POLICY, PROBES, PROBES_POLICY, UNSENT, access_log, cors, evicted, extension, one_identity, outbound_listener,
    outbound_policy, route, tls,
};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::mesh::model::Inbound;
use chancery_policy_lang::checked::{FilterPhase, ServiceRef};
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::{AccessLogFilter, ResponseFlagFilter};
use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{
    ExtensionConfigSource, HeaderValue, HeaderValueOption, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions, SubstitutionFormatString, TrafficDirection, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType as ListenerFilterConfig;
use envoy_types::pb::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
};
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
    SetCurrentClientCertDetails, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, LocalReplyConfig, Rds, ResponseMapper,
};
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation as EarlyHeaderMutation;
use envoy_types::pb::envoy::extensions::filters::network::connection_limit::v3::ConnectionLimit;
use envoy_types::pb::google::protobuf::{Any, BoolValue, UInt64Value};
use std::net::SocketAddr;

/// Headers of a request that an application sends. Fewer than the 100 that the other sidecar takes, for
/// on the way some are added: what is too much there would end in a reset and not in an answer.
const OUTBOUND_HEADERS_MAX: u32 = 90;
/// What a request of HTTP/1.1 may ask the connection to become.
const UPGRADES: [&str; 1] = ["websocket"];
/// How long a client may take to send its request's headers.
const HEADERS_TIMEOUT_S: i64 = 15;

/// Who is let in beside those of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plaintext {
    /// Nobody.
    #[default]
    Closed,
    /// Whoever connects without TLS: to the policies somebody without an identity.
    Open,
}

/// The listener [`INBOUND`]: mTLS, then the policies and the filters around them, then the application. Connections
/// without TLS have a chain of their own, or none; the one that has an identity is not touched by that.
#[must_use]
pub fn inbound(
    inbound: &Inbound,
    service: &ServiceRef,
    filters: &[Slot],
    plaintext: Plaintext,
    trust_domain: &str,
    life: ConnectionLife,
) -> Resource {
    // Browsers ask without saying who they are before they ask in somebody's name, so that is answered first.
    let mut http_filters = vec![evicted::filter(), cors::filter()];
    http_filters.extend(filter::places(filters, FilterPhase::BeforeAuth));
    http_filters.push(discovered(INBOUND_POLICY.to_owned(), extension::deny_all()));
    http_filters.extend(filter::places(filters, FilterPhase::AfterAuth));
    http_filters.extend(filter::places(filters, FilterPhase::Last));
    http_filters.push(router());
    let manager = HttpConnectionManager {
        http_filters,
        // What a client says of its certificate is dropped, and what it showed is said instead.
        forward_client_cert_details: ForwardClientCertDetails::SanitizeSet.into(),
        set_current_client_cert_details: Some(SetCurrentClientCertDetails {
            uri: true,
            ..Default::default()
        }),
        access_log: access_log::of_policies("inbound", service),
        local_reply_config: Some(LocalReplyConfig { mappers: vec![unsent()], ..Default::default() }),
        common_http_protocol_options: Some(HttpProtocolOptions {
            max_connection_duration: Some(seconds(life.seconds)),
            ..Default::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            connection_keepalive: Some(message::keepalive()),
            ..message::http2()
        }),
        ..manager(INBOUND.to_owned(), life)
    };
    let mut chains = vec![FilterChain {
        name: "mesh".to_owned(),
        filter_chain_match: spoken("tls"),
        filters: vec![one_identity::filter(), connection_manager(&manager)],
        transport_socket: Some(tls::from_trust_domain(trust_domain)),
        ..Default::default()
    }];
    if plaintext == Plaintext::Open {
        let mut manager = manager;
        manager.access_log.push(access_log::of_plaintext());
        chains.push(FilterChain {
            name: "plaintext".to_owned(),
            filter_chain_match: spoken("raw_buffer"),
            filters: vec![connection_manager(&manager)],
            ..Default::default()
        });
    }
    let listener = Listener {
        name: INBOUND.to_owned(),
        address: Some(address(inbound.listen)),
        // With it there in any case, plaintext is opened and closed without a word to connections of the mesh.
        listener_filters: vec![tls_inspector()],
        filter_chains: chains,
        traffic_direction: TrafficDirection::Inbound.into(),
        enable_reuse_port: alone(),
        ..Default::default()
    };
    resource(ResourceType::Listener, INBOUND, &listener)
}

/// The most connections of probes at a time; further ones are closed.
const PROBE_CONNECTIONS_MAX: u64 = 64;
/// The most bytes of a probe, and of its answer, that wait at a time.
const PROBE_BYTES_MAX: u32 = 64 << 10;
/// How long a probe takes at most.
const PROBE_TIMEOUT_S: i64 = 15;

/// The listener [`PROBES`]: without TLS, to the application and no further, for what policies exempt. Whoever reaches it
/// is anybody, so all of it is little.
#[must_use]
pub fn probes(listen: SocketAddr, service: &ServiceRef, life: ConnectionLife) -> Resource {
    let inbound = manager(INBOUND.to_owned(), life);
    let manager = HttpConnectionManager {
        stat_prefix: PROBES.to_owned(),
        http_filters: vec![discovered(PROBES_POLICY.to_owned(), extension::deny_all()), router()],
        forward_client_cert_details: ForwardClientCertDetails::Sanitize.into(),
        access_log: access_log::of_refused("probe", service),
        request_timeout: Some(seconds(PROBE_TIMEOUT_S)),
        stream_idle_timeout: Some(seconds(PROBE_TIMEOUT_S)),
        upgrade_configs: Vec::new(),
        ..inbound
    };
    let limit = ConnectionLimit {
        stat_prefix: PROBES.to_owned(),
        max_connections: Some(UInt64Value { value: PROBE_CONNECTIONS_MAX }),
        ..Default::default()
    };
    let limit = Filter {
        name: "envoy.filters.network.connection_limit".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(any(&limit))),
    };
    let chain = FilterChain { filters: vec![limit, connection_manager(&manager)], ..Default::default() };
    let listener = Listener {
        name: PROBES.to_owned(),
        address: Some(address(listen)),
        filter_chains: vec![chain],
        per_connection_buffer_limit_bytes: number(PROBE_BYTES_MAX),
        traffic_direction: TrafficDirection::Inbound.into(),
        enable_reuse_port: alone(),
        ..Default::default()
    };
    resource(ResourceType::Listener, PROBES, &listener)
}

/// Connections on which this is spoken.
fn spoken(transport: &str) -> Option<FilterChainMatch> {
    Some(FilterChainMatch { transport_protocol: transport.to_owned(), ..Default::default() })
}

/// Tells whether a connection begins with TLS.
fn tls_inspector() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(ListenerFilterConfig::TypedConfig(any(&TlsInspector::default()))),
        ..Default::default()
    }
}

/// The listener through which the application reaches a service of the mesh, at one address or at several,
/// which are sorted.
#[must_use]
pub fn outbound(
    service: &ServiceRef,
    listens: &[SocketAddr],
    filters: &[Slot],
    life: ConnectionLife,
) -> Resource {
    let name = outbound_listener(service);
    let mut addresses = listens.iter().map(|listen| address(*listen));
    let mut http_filters: Vec<HttpFilter> = filter::places(filters, FilterPhase::BeforeAuth).collect();
    http_filters.push(discovered(outbound_policy(service), extension::deny_all()));
    http_filters.extend(filter::places(filters, FilterPhase::AfterAuth));
    http_filters.push(route::fault_filter());
    http_filters.extend(filter::places(filters, FilterPhase::Last));
    http_filters.push(router());
    let manager = HttpConnectionManager {
        http_filters,
        // Only the policy makes a request wait.
        early_header_mutation_extensions: vec![without(&[DELAY, DELAY_SHARE])],
        access_log: access_log::of_policies("outbound", service),
        local_reply_config: Some(LocalReplyConfig { mappers: vec![nowhere()], ..Default::default() }),
        common_http_protocol_options: Some(HttpProtocolOptions {
            max_headers_count: number(OUTBOUND_HEADERS_MAX),
            ..Default::default()
        }),
        http_protocol_options: Some(Http1ProtocolOptions {
            accept_http_10: true,
            default_host_for_http_10: host(service),
            ..message::http1()
        }),
        ..manager(name.clone(), life)
    };
    let chain = FilterChain { filters: vec![connection_manager(&manager)], ..Default::default() };
    let listener = Listener {
        name: name.clone(),
        address: addresses.next(),
        additional_addresses: addresses
            .map(|address| AdditionalAddress { address: Some(address), ..Default::default() })
            .collect(),
        filter_chains: vec![chain],
        traffic_direction: TrafficDirection::Outbound.into(),
        enable_reuse_port: alone(),
        ..Default::default()
    };
    resource(ResourceType::Listener, name, &listener)
}

/// Says of an answer that stands for a replica of which there is none which statements led there.
fn nowhere() -> ResponseMapper {
    // There is no replica that is well, or no cluster.
    let flags = ResponseFlagFilter { flags: vec!["UH".to_owned(), "NC".to_owned()] };
    let text = message::inline_text("%LOCAL_REPLY_BODY% (route %ROUTE_NAME%)");
    ResponseMapper {
        filter: Some(AccessLogFilter { filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(flags)) }),
        body_format_override: Some(SubstitutionFormatString {
            format: Some(Format::TextFormatSource(text)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Says of an answer that stands for an application which could not be connected to, that it does.
fn unsent() -> ResponseMapper {
    let flags = ResponseFlagFilter { flags: vec!["UF".to_owned()] };
    let header = HeaderValue { key: UNSENT.to_owned(), value: "1".to_owned(), ..Default::default() };
    ResponseMapper {
        filter: Some(AccessLogFilter { filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(flags)) }),
        headers_to_add: vec![HeaderValueOption {
            header: Some(header),
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// No port is shared: with `SO_REUSEPORT`, Envoy's default, two sidecars that were given the same port
/// would both listen without a word, and each would get some of the other's connections.
fn alone() -> Option<BoolValue> {
    Some(BoolValue { value: false })
}

/// What both directions share; the route configuration has the listener's name.
fn manager(name: String, life: ConnectionLife) -> HttpConnectionManager {
    let rds = Rds { config_source: Some(ads()), route_config_name: name.clone() };
    HttpConnectionManager {
        stat_prefix: name.replace('/', "_"),
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        // What the policies see is what the application sees.
        normalize_path: yes(),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::RejectRequest.into(),
        // The address of the connection counts, not what a header says; and nobody is internal.
        use_remote_address: yes(),
        skip_xff_append: true,
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        request_headers_timeout: Some(seconds(HEADERS_TIMEOUT_S)),
        // For Envoy, 0 means for ever.
        stream_idle_timeout: Some(message::time(life.quiet.unwrap_or_default())),
        http_protocol_options: Some(message::http1()),
        http2_protocol_options: Some(message::http2()),
        upgrade_configs: UPGRADES.iter().map(|name| upgrade(name)).collect(),
        // It is the application who says that it waits for the body, or has something to say before its answer.
        proxy_100_continue: true,
        ..Default::default()
    }
}

/// What a connection may become. The filters of other requests decide on it.
fn upgrade(name: &str) -> UpgradeConfig {
    UpgradeConfig { upgrade_type: name.to_owned(), ..Default::default() }
}

/// The host of a request of HTTP/1.0, which need not name one.
fn host(service: &ServiceRef) -> String {
    format!("{}.{}", service.name, service.namespace)
}

/// Takes headers away before anything else sees the request.
fn without(headers: &[&str]) -> TypedExtensionConfig {
    let remove = |header: &&str| HeaderMutation { action: Some(Action::Remove((*header).to_owned())) };
    let mutations = EarlyHeaderMutation { mutations: headers.iter().map(remove).collect() };
    TypedExtensionConfig { name: "without-words-of-envoy".to_owned(), typed_config: Some(any(&mutations)) }
}

fn connection_manager(manager: &HttpConnectionManager) -> Filter {
    Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(any(manager))),
    }
}

/// The place of an extension, and what holds before there is one.
pub(super) fn discovered(name: String, default: Any) -> HttpFilter {
    let source = ExtensionConfigSource {
        config_source: Some(ads()),
        default_config: Some(default),
        type_urls: extension::type_urls(),
        ..Default::default()
    };
    HttpFilter { name, config_type: Some(ConfigType::ConfigDiscovery(source)), ..Default::default() }
}

fn router() -> HttpFilter {
    HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&Router::default()))),
        ..Default::default()
    }
}
