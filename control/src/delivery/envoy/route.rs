//! RDS: where requests go. Apart from listeners, so that a route changes without draining anything.

use super::message::{milliseconds, number, resource, seconds};
use super::{INBOUND, LOCAL_APP, UNSENT, mesh_cluster, outbound_listener};
use crate::delivery::snapshot::{Resource, ResourceType};
use chancery_policy_lang::checked::ServiceRef;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

/// What is tried again: requests of which no byte has reached an application, so that trying again is safe. Of those
/// that reached the other sidecar, that one says so ([`UNSENT`]).
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request,retriable-headers";
/// Tries after the first.
const RETRIES: u32 = 3;
/// The first pause before a retry.
const RETRY_PAUSE_MS: i32 = 10;
/// The longest pause before a retry.
const RETRY_PAUSE_MAX_MS: i32 = 250;
/// How often a host that was tried already may be drawn before it is taken nevertheless.
const OTHER_HOST_ATTEMPTS: i64 = 5;

/// The status of a request whose host cannot be said over HTTP/2.
const BAD_HOST_STATUS: u32 = 400;
/// What its client is told.
const BAD_HOST_BODY: &str = "the Host header is empty or has an `@`";

/// All that comes in goes to the application.
#[must_use]
pub fn inbound() -> Resource {
    configuration(INBOUND.to_owned(), vec![all_to(LOCAL_APP.to_owned())])
}

/// All that comes to the listener of a service goes to the service, except what the other sidecar would
/// refuse as a message: of hosts, Envoy's HTTP/1 side takes all that its HTTP/2 side takes, an empty one
/// and those with an `@`.
#[must_use]
pub fn outbound(service: &ServiceRef) -> Resource {
    let routes = vec![
        refuse_host("no-host", MatchPattern::Exact(String::new())),
        refuse_host("user-in-host", MatchPattern::Contains("@".to_owned())),
        all_to(mesh_cluster(service)),
    ];
    configuration(outbound_listener(service), routes)
}

fn refuse_host(name: &str, pattern: MatchPattern) -> Route {
    let host = HeaderMatcher {
        name: ":authority".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(pattern),
            ..Default::default()
        })),
        ..Default::default()
    };
    let answer = DirectResponseAction {
        status: BAD_HOST_STATUS,
        body: Some(super::message::inline_text(BAD_HOST_BODY)),
        ..Default::default()
    };
    Route {
        name: name.to_owned(),
        r#match: Some(RouteMatch { headers: vec![host], ..everything() }),
        action: Some(Action::DirectResponse(answer)),
        ..Default::default()
    }
}

fn everything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..Default::default() }
}

fn all_to(cluster: String) -> Route {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        // Envoy's own is 15 s. A limit on time is for policies to state.
        timeout: Some(seconds(0)),
        retry_policy: Some(retry_unsent()),
        ..Default::default()
    };
    Route {
        name: "all".to_owned(),
        r#match: Some(everything()),
        action: Some(Action::Route(action)),
        ..Default::default()
    }
}

fn configuration(name: String, routes: Vec<Route>) -> Resource {
    let host =
        VirtualHost { name: name.clone(), domains: vec!["*".to_owned()], routes, ..Default::default() };
    let configuration = RouteConfiguration {
        name: name.clone(),
        virtual_hosts: vec![host],
        // An application's own is no word of its sidecar, and the word of a sidecar is for the other one alone.
        response_headers_to_remove: vec![UNSENT.to_owned()],
        ..Default::default()
    };
    resource(ResourceType::Route, name, &configuration)
}

fn is_unsent() -> HeaderMatcher {
    HeaderMatcher {
        name: UNSENT.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        ..Default::default()
    }
}

fn retry_unsent() -> RetryPolicy {
    let name = "envoy.retry_host_predicates.previous_hosts".to_owned();
    let predicate = super::message::any(&PreviousHostsPredicate {});
    RetryPolicy {
        retry_on: RETRY_ON.to_owned(),
        num_retries: number(RETRIES),
        retriable_headers: vec![is_unsent()],
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
