//! CDS: the application beside the sidecar, and the services of the mesh that it calls.

use super::message::{ads, any, number, resource, seconds};
use super::{ConnectionLife, LOCAL_APP, endpoints, message, tls};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::mesh::model::Protocol;
use crate::policies::filters::attached::mesh_cluster;
use chancery_policy_lang::checked::{Balance, Destination, Ejection, HealthCheck as LinkedCheck, Pool};
use chancery_policy_lang::link::LinkedSettings;
use chancery_policy_lang::request::ServiceIdentity;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::thresholds::RetryBudget;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::health_check::{HealthChecker, HttpHealthCheck};
use envoy_types::pb::envoy::config::core::v3::{HealthCheck, RequestMethod};
use envoy_types::pb::envoy::config::core::v3::{Http2ProtocolOptions, HttpProtocolOptions as CommonOptions};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::{CodecClientType, Int64Range, Percent};
use prost::Message as _;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long a TCP connection and its TLS handshake may take.
const CONNECT_TIMEOUT_S: i64 = 2;
/// How long a connection to the application is kept without a request. Less than what applications do: one that ends
/// a connection just as a request is sent on it leaves nobody to say whether it has seen the request. Of those that
/// are widely used, the least patient ones wait for two seconds.
const APPLICATION_IDLE_S: i64 = 1;
/// The extension that says how a cluster is spoken to.
const SPEAKING: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Envoy's own limit of 1024 refuses requests of a busy service. Limits are for policies to state.
const CONCURRENCY_MAX: u32 = 1_000_000;
/// Headers of an answer, and their size. More than the 100 and 60 KiB that the sidecar beside the
/// application takes, so that an answer that is too large is refused there, with the reason.
const RESPONSE_HEADERS_MAX: u32 = 128;
const RESPONSE_HEADERS_KB_MAX: u32 = 80;
/// Retries under way at once. Only requests that never reached a replica are retried (see `route`).
const RETRIES_MAX: u32 = 1024;
/// Retries under way at once that a stated budget allows in any case.
const RETRIES_MIN: u32 = 3;
/// Connections in a row that must fail before a replica is left alone for a while.
const EJECT_AFTER_FAILURES: u32 = 3;
/// How long it is left alone at first.
const EJECT_S: i64 = 5;

/// The application, in what it speaks.
#[must_use]
pub fn local_app(application: SocketAddr, protocol: Protocol) -> Resource {
    let assignment = endpoints::assignment(LOCAL_APP.to_owned(), std::iter::once(application));
    let cluster = Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(assignment),
        typed_extension_protocol_options: [(SPEAKING.to_owned(), any(&to_application(protocol)))].into(),
        ..common(LOCAL_APP.to_owned())
    };
    resource(ResourceType::Cluster, LOCAL_APP, &cluster)
}

/// A destination in the mesh: replicas of a service, each of which must show the service's identity. It is said to be
/// of the policies by whose settings they are treated, and of the statements that lead there.
///
/// Envoy does not use a cluster with health checks before each replica was checked, which may take as long as one that
/// hangs is waited for; a cluster that it has serves until then. So who has none is given one without checks first.
#[must_use]
pub fn mesh(
    destination: &Destination,
    settings: &LinkedSettings,
    led_by: &BTreeSet<Arc<str>>,
    trust_domain: &str,
    life: ConnectionLife,
) -> Resource {
    let name = mesh_cluster(destination);
    let leading = led_by.iter().filter_map(|id| id.split('/').next());
    let policies: BTreeSet<&str> = settings.policies.iter().map(String::as_str).chain(leading).collect();
    let policies: Arc<[String]> = policies.into_iter().map(str::to_owned).collect();
    let of = |cluster: &Cluster| {
        Resource::new(ResourceType::Cluster, name.as_str(), cluster.encode_to_vec(), policies.clone())
            .stated_by(settings.stated_by.iter().chain(led_by))
    };
    let cluster = of_settings(destination, settings, trust_domain, life);
    let unchecked = Cluster { health_checks: Vec::new(), ..cluster.clone() };
    of(&cluster).after((!cluster.health_checks.is_empty()).then(|| of(&unchecked)))
}

fn of_settings(
    destination: &Destination,
    settings: &LinkedSettings,
    trust_domain: &str,
    life: ConnectionLife,
) -> Cluster {
    let name = mesh_cluster(destination);
    let service = &destination.service;
    let sni = format!("{}.{}", service.name, service.namespace);
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), service_name: name.clone() }),
        lb_policy: balance(settings.balance.as_ref()).into(),
        health_checks: settings.check.iter().map(|check| health_check(check, &sni)).collect(),
        circuit_breakers: Some(circuit_breakers(settings.pool.as_ref())),
        transport_socket: Some(tls::to_identity(
            ServiceIdentity::new(trust_domain, service).to_string(),
            sni.clone(),
        )),
        typed_extension_protocol_options: [(SPEAKING.to_owned(), any(&http2(life)))].into(),
        outlier_detection: Some(ejection(settings.ejection.as_ref())),
        // A replica that has left is not used until its last health check, but not at all.
        ignore_health_on_host_removal: true,
        ..common(name)
    }
}

fn common(name: String) -> Cluster {
    Cluster {
        name,
        connect_timeout: Some(seconds(CONNECT_TIMEOUT_S)),
        circuit_breakers: Some(circuit_breakers(None)),
        ..Default::default()
    }
}

fn circuit_breakers(pool: Option<&Pool>) -> CircuitBreakers {
    let most = |stated: Option<u32>| number(stated.unwrap_or(CONCURRENCY_MAX));
    let budget = pool.and_then(|pool| pool.retries).map(|share| RetryBudget {
        budget_percent: Some(Percent { value: percent(share) }),
        min_retry_concurrency: number(RETRIES_MIN),
        ..Default::default()
    });
    let thresholds = Thresholds {
        max_connections: most(pool.map(|pool| pool.connections)),
        max_pending_requests: most(pool.and_then(|pool| pool.pending)),
        max_requests: most(pool.and_then(|pool| pool.requests)),
        max_retries: number(RETRIES_MAX),
        retry_budget: budget,
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

fn balance(stated: Option<&Balance>) -> LbPolicy {
    match stated {
        None | Some(Balance::LeastRequest) => LbPolicy::LeastRequest,
        Some(Balance::RoundRobin) => LbPolicy::RoundRobin,
        Some(Balance::Random) => LbPolicy::Random,
        Some(Balance::RingHash(_)) => LbPolicy::RingHash,
        Some(Balance::Maglev(_)) => LbPolicy::Maglev,
    }
}

fn health_check(check: &LinkedCheck, host: &str) -> HealthCheck {
    let http = HttpHealthCheck {
        host: host.to_owned(),
        path: check.path.clone(),
        method: RequestMethod::from_str_name(&check.method).unwrap_or(RequestMethod::Get).into(),
        codec_client_type: CodecClientType::Http2.into(),
        // One answer that is not 200 counts, and is not the end of it.
        retriable_statuses: vec![Int64Range { start: 100, end: 600 }],
        ..Default::default()
    };
    HealthCheck {
        timeout: Some(message::of_milliseconds(check.timeout)),
        interval: Some(message::of_milliseconds(check.every)),
        // Also before there is any other request.
        no_traffic_interval: Some(message::of_milliseconds(check.every)),
        no_traffic_healthy_interval: Some(message::of_milliseconds(check.every)),
        unhealthy_threshold: number(check.fall),
        healthy_threshold: number(check.rise),
        health_checker: Some(HealthChecker::HttpHealthCheck(http)),
        ..Default::default()
    }
}

/// A share in millionths as a percentage.
fn percent(millionths: u32) -> f64 {
    f64::from(millionths) / 10_000.0
}

/// Leaves replicas alone that cannot be connected to; where a policy says so, those that go wrong in any way so many times
/// in a row. Envoy then counts all in one: counted apart, what is not answered in time would be forgotten by each
/// connection that can be made, and a replica that hangs can be connected to.
fn ejection(stated: Option<&Ejection>) -> OutlierDetection {
    let unreachable = unreachable_replicas();
    let Some(Ejection { errors, time, at_most }) = stated else { return unreachable };
    OutlierDetection {
        split_external_local_origin_errors: false,
        consecutive_5xx: number(*errors),
        enforcing_consecutive_5xx: number(100),
        base_ejection_time: Some(message::of_milliseconds(*time)),
        max_ejection_percent: number((at_most / 10_000).max(1)),
        ..unreachable
    }
}

fn to_application(protocol: Protocol) -> HttpProtocolOptions {
    let protocol = match protocol {
        Protocol::Http1 => ProtocolConfig::HttpProtocolOptions(message::http1()),
        Protocol::H2c => ProtocolConfig::Http2ProtocolOptions(message::http2()),
    };
    HttpProtocolOptions {
        upstream_protocol_options: speaking(protocol),
        common_http_protocol_options: Some(CommonOptions {
            idle_timeout: Some(seconds(APPLICATION_IDLE_S)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn speaking(protocol: ProtocolConfig) -> Option<UpstreamProtocolOptions> {
    let explicit = ExplicitHttpConfig { protocol_config: Some(protocol) };
    Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit))
}

fn http2(life: ConnectionLife) -> HttpProtocolOptions {
    let options =
        Http2ProtocolOptions { connection_keepalive: Some(message::keepalive()), ..message::http2() };
    HttpProtocolOptions {
        upstream_protocol_options: speaking(ProtocolConfig::Http2ProtocolOptions(options)),
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
