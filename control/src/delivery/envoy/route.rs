//! RDS: where requests go. Apart from listeners, so that a route changes without draining anything.

use super::message::{milliseconds, number, resource, seconds};
use super::{INBOUND, LOCAL_APP, mesh_cluster, outbound_listener};
use crate::delivery::snapshot::{Resource, ResourceType};
use chancery_policy_lang::checked::ServiceRef;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

/// What is tried again: requests of which no byte has reached an application, so that trying again is safe.
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request";
/// Tries after the first.
const RETRIES: u32 = 3;
/// The first pause before a retry.
const RETRY_PAUSE_MS: i32 = 10;
/// The longest pause before a retry.
const RETRY_PAUSE_MAX_MS: i32 = 250;
/// How often a host that was tried already may be drawn before it is taken nevertheless.
const OTHER_HOST_ATTEMPTS: i64 = 5;

/// All that comes in goes to the application.
#[must_use]
pub fn inbound() -> Resource {
    all_to(INBOUND.to_owned(), LOCAL_APP.to_owned())
}

/// All that comes to the listener of a service goes to the service.
#[must_use]
pub fn outbound(service: &ServiceRef) -> Resource {
    all_to(outbound_listener(service), mesh_cluster(service))
}

fn all_to(name: String, cluster: String) -> Resource {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        // Envoy's own is 15 s. A limit on time is for policies to state.
        timeout: Some(seconds(0)),
        retry_policy: Some(retry_unsent()),
        ..Default::default()
    };
    let route = Route {
        name: "all".to_owned(),
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        action: Some(Action::Route(action)),
        ..Default::default()
    };
    let host = VirtualHost {
        name: name.clone(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..Default::default()
    };
    let configuration =
        RouteConfiguration { name: name.clone(), virtual_hosts: vec![host], ..Default::default() };
    resource(ResourceType::Route, name, &configuration)
}

fn retry_unsent() -> RetryPolicy {
    let name = "envoy.retry_host_predicates.previous_hosts".to_owned();
    let predicate = super::message::any(&PreviousHostsPredicate {});
    RetryPolicy {
        retry_on: RETRY_ON.to_owned(),
        num_retries: number(RETRIES),
        retry_host_predicate: vec![RetryHostPredicate {
            name,
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(predicate)),
        }],
        host_selection_retry_max_attempts: OTHER_HOST_ATTEMPTS,
        retry_back_off: Some(RetryBackOff {
            base_interval: Some(milliseconds(RETRY_PAUSE_MS)),
            max_interval: Some(milliseconds(RETRY_PAUSE_MAX_MS)),
        }),
        ..Default::default()
    }
}
