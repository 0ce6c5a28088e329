//! CDS: the application beside the sidecar, and the services of the mesh that it calls.

use super::message::{ads, any, number, resource, seconds, yes};
use super::{ConnectionLife, LOCAL_APP, endpoints, mesh_cluster, tls};
use crate::delivery::snapshot::{Resource, ResourceType};
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::request::ServiceIdentity;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::{
    Http2ProtocolOptions, HttpProtocolOptions as CommonOptions, KeepaliveSettings,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use std::net::SocketAddr;

/// How long a TCP connection and its TLS handshake may take.
const CONNECT_TIMEOUT_S: i64 = 2;
/// A silent connection between sidecars is probed after this, so that a dead host is noticed.
const KEEPALIVE_INTERVAL_S: i64 = 20;
/// How long the answer to a probe may take.
const KEEPALIVE_TIMEOUT_S: i64 = 5;
/// Envoy's own limit of 1024 refuses requests of a busy service. Limits are for policies to state.
const CONCURRENCY_MAX: u32 = 1_000_000;
/// Headers of an answer, and their size. More than the 100 and 60 KiB that the sidecar beside the
/// application takes, so that an answer that is too large is refused there, with the reason.
const RESPONSE_HEADERS_MAX: u32 = 128;
const RESPONSE_HEADERS_KB_MAX: u32 = 80;
/// Retries under way at once. Only requests that never reached a replica are retried (see `route`).
const RETRIES_MAX: u32 = 1024;
/// Connections in a row that must fail before a replica is left alone for a while.
const EJECT_AFTER_FAILURES: u32 = 3;
/// How long it is left alone at first.
const EJECT_S: i64 = 5;

/// The application, plain HTTP/1.1.
#[must_use]
pub fn local_app(application: SocketAddr) -> Resource {
    let assignment = endpoints::assignment(LOCAL_APP.to_owned(), std::iter::once(application));
    let cluster = Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(assignment),
        ..common(LOCAL_APP.to_owned())
    };
    resource(ResourceType::Cluster, LOCAL_APP, &cluster)
}

/// A service of the mesh: its replicas, each of which must show the service's identity.
#[must_use]
pub fn mesh(service: &ServiceRef, trust_domain: &str, life: ConnectionLife) -> Resource {
    let name = mesh_cluster(service);
    let sni = format!("{}.{}", service.name, service.namespace);
    let protocol = ("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), any(&http2(life)));
    let cluster = Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), service_name: name.clone() }),
        lb_policy: LbPolicy::LeastRequest.into(),
        transport_socket: Some(tls::to_identity(
            ServiceIdentity::new(trust_domain, service).to_string(),
            sni,
        )),
        typed_extension_protocol_options: [protocol].into(),
        outlier_detection: Some(unreachable_replicas()),
        // A replica that has left is not used until its last health check, but not at all.
        ignore_health_on_host_removal: true,
        ..common(name.clone())
    };
    resource(ResourceType::Cluster, name, &cluster)
}

fn common(name: String) -> Cluster {
    let thresholds = Thresholds {
        max_connections: number(CONCURRENCY_MAX),
        max_pending_requests: number(CONCURRENCY_MAX),
        max_requests: number(CONCURRENCY_MAX),
        max_retries: number(RETRIES_MAX),
        ..Default::default()
    };
    Cluster {
        name,
        connect_timeout: Some(seconds(CONNECT_TIMEOUT_S)),
        circuit_breakers: Some(CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }),
        ..Default::default()
    }
}

fn http2(life: ConnectionLife) -> HttpProtocolOptions {
    let options = Http2ProtocolOptions {
        connection_keepalive: Some(KeepaliveSettings {
            interval: Some(seconds(KEEPALIVE_INTERVAL_S)),
            timeout: Some(seconds(KEEPALIVE_TIMEOUT_S)),
            ..Default::default()
        }),
        // What is wrong with one answer ends that one, and not all that share its connection.
        override_stream_error_on_invalid_http_message: yes(),
        ..Default::default()
    };
    let explicit =
        ExplicitHttpConfig { protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(options)) };
    HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        common_http_protocol_options: Some(CommonOptions {
            max_connection_duration: Some(seconds(life.seconds)),
            max_headers_count: number(RESPONSE_HEADERS_MAX),
            max_response_headers_kb: number(RESPONSE_HEADERS_KB_MAX),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Leaves a replica alone that cannot be connected to. What the application answers is its own
/// affair: no status code counts.
fn unreachable_replicas() -> OutlierDetection {
    OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(EJECT_AFTER_FAILURES),
        enforcing_consecutive_local_origin_failure: number(100),
        enforcing_local_origin_success_rate: number(0),
        enforcing_consecutive_5xx: number(0),
        enforcing_consecutive_gateway_failure: number(0),
        enforcing_success_rate: number(0),
        interval: Some(seconds(1)),
        base_ejection_time: Some(seconds(EJECT_S)),
        max_ejection_percent: number(100),
        ..Default::default()
    }
}
