//! RDS: where requests go. Apart from listeners, so that a route changes without draining anything.

use super::matcher::{self, ByText, Matcher, OnMatch, Tree, named};
use super::message::{any, milliseconds, number, of_milliseconds, seconds};
use super::shown::Shown;
use super::{INBOUND, LOCAL_APP, UNSENT, cors, outbound_listener};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::policies::call_programs::CallProgram;
use crate::policies::filters::attached::mesh_cluster;
use chancery_policy_lang::checked::{
    Cause, CorsRules, Destination, Milliseconds, Mirror, Retry, ServiceRef, Weighted,
};
use chancery_policy_lang::routes::{RouteEntry, RouteTable};
use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{Header, PolicySpecifier};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HashPolicy, RequestMirrorPolicy,
};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost, WeightedCluster,
};
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::FaultDelay;
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::fault_delay::{
    FaultDelaySecifier, HeaderDelay,
};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::HttpFault;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3::FilterStateInput;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{HttpRequestHeaderMatchInput, StringMatcher};
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use envoy_types::pb::xds::r#type::matcher::v3::StringMatcher as XdsStringMatcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::MatcherList;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{
    self, SinglePredicate, single_predicate,
};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::string_matcher::MatchPattern as XdsPattern;
use prost::Message as _;
use std::collections::HashMap;

/// What is tried again: requests of which no byte has reached an application, so that trying again is safe. Of those
/// that reached the other sidecar, that one says so ([`UNSENT`]).
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request,retriable-headers";
/// Tries after the first.
const RETRIES: u32 = 3;
/// The first pause before a retry.
const RETRY_PAUSE_MS: i32 = 10;
/// The longest pause before a retry.
const RETRY_PAUSE_MAX_MS: i32 = 250;
/// How many times as long as the first the longest pause of a stated retry is.
const PAUSE_GROWS: u32 = 10;
/// How often a host that was tried already may be drawn before it is taken nevertheless.
const OTHER_HOST_ATTEMPTS: i64 = 5;

/// The most statements that a route is named after.
const NAMED_MAX: usize = 3;

/// The filter that makes requests wait.
const FAULT: &str = "envoy.filters.http.fault";
/// The header by which it learns how long.
pub(super) const DELAY: &str = "x-envoy-fault-delay-request";
/// The header by which a client could tell it of how many requests.
pub(super) const DELAY_SHARE: &str = "x-envoy-fault-delay-request-percentage";
/// The filter state in which a module says which route a request has.
const KEY: &str = "wasm.route";

/// The header that names the host.
const AUTHORITY: &str = ":authority";
/// The status of a request whose host cannot be said over HTTP/2.
const BAD_HOST_STATUS: u32 = 400;
/// What its client is told.
const BAD_HOST_BODY: &str = "the Host header is empty or has an `@`";

/// All that comes in goes to the application. Pages of other origins are told this, by these policies; lines of logs show
/// this of requests.
#[must_use]
pub fn inbound(cors: Option<&CorsRules>, policies: &[String], shown: &Shown) -> Resource {
    let routes = vec![all_to(LOCAL_APP.to_owned())];
    let host = VirtualHost {
        name: INBOUND.to_owned(),
        domains: vec!["*".to_owned()],
        routes,
        typed_per_filter_config: cors.map(cors::of_route).into_iter().collect(),
        ..Default::default()
    };
    configuration(INBOUND.to_owned(), vec![encoded(&host, shown)], policies)
}

/// A virtual host of whose requests lines of logs show this.
fn encoded(host: &VirtualHost, shown: &Shown) -> Vec<u8> {
    [host.encode_to_vec(), shown.encoded()].concat()
}

/// All that comes to the listener of a service goes where the table says, except what the other sidecar would
/// refuse as a message: of hosts, Envoy's HTTP/1 side takes all that its HTTP/2 side takes, an empty one
/// and those with an `@`. Lines of logs show this of requests.
#[must_use]
pub fn outbound(
    service: &ServiceRef,
    calls: Option<&CallProgram>,
    hashed: Option<&str>,
    shown: &Shown,
) -> Resource {
    let unsaid = RouteTable::default();
    let table = calls.map_or(&unsaid, |calls| &calls.table);
    let delays = calls.is_some_and(|calls| calls.delays);
    let policies = calls.map(|calls| calls.policies.as_slice()).unwrap_or_default();
    let all = |entry: &RouteEntry| Route {
        typed_per_filter_config: if delays {
            [(FAULT.to_owned(), any(&delaying()))].into()
        } else {
            HashMap::new()
        },
        ..all_by(entry, service, table, hashed)
    };
    let name = outbound_listener(service);
    let host = VirtualHost { name: name.clone(), domains: vec!["*".to_owned()], ..Default::default() };
    if table.entries.is_empty() {
        let refusing = bad_hosts().into_iter().map(|(name, pattern, _)| refuse_host(name, pattern));
        let routes = refusing.chain([all(&table.default)]).collect();
        return configuration(name, vec![encoded(&VirtualHost { routes, ..host }, shown)], policies)
            .stated_by(&table.default.stated_by);
    }
    // The route is looked up, and not looked for in a list.
    let entry = |entry: &RouteEntry| OnMatch::action("route", &all(entry));
    let by_key =
        ByText { map: table.entries.iter().map(|(key, value)| (key.clone(), entry(value))).collect() };
    let input = named("key", &FilterStateInput { key: KEY.to_owned(), ..Default::default() });
    let tree = Tree { input: Some(input), exact: Some(by_key), prefixes: None };
    let default = OnMatch::action("default", &all(&table.default));
    let by_key = Matcher { tree: Some(tree), on_no_match: Some(Box::new(default)), list: None };
    let refusing = bad_hosts().into_iter().map(|(name, _, pattern)| refuse_matched_host(name, pattern));
    let matchers = refusing.collect();
    let matcher = Matcher {
        list: Some(MatcherList { matchers }),
        on_no_match: Some(Box::new(OnMatch::ask(by_key))),
        tree: None,
    };
    let mut host = encoded(&host, shown);
    host.extend(HostMatcher { matcher: Some(matcher) }.encode_to_vec());
    let entries = table.entries.values().chain([&table.default]);
    configuration(name, vec![host], policies).stated_by(entries.flat_map(|entry| &entry.stated_by))
}

/// What a virtual host has beside what `VirtualHost` keeps in order. Messages that follow each other are one.
#[derive(Clone, PartialEq, prost::Message)]
struct HostMatcher {
    #[prost(message, optional, tag = "21")]
    matcher: Option<Matcher>,
}

/// Virtual hosts that are encoded.
#[derive(Clone, PartialEq, prost::Message)]
struct Hosts {
    #[prost(bytes = "vec", repeated, tag = "2")]
    hosts: Vec<Vec<u8>>,
}

/// The hosts that cannot be said over HTTP/2, as routes ask for them and as matchers do.
fn bad_hosts() -> [(&'static str, MatchPattern, XdsPattern); 2] {
    let (none, user) = (String::new(), "@".to_owned());
    [
        ("no-host", MatchPattern::Exact(none.clone()), XdsPattern::Exact(none)),
        ("user-in-host", MatchPattern::Contains(user.clone()), XdsPattern::Contains(user)),
    ]
}

fn refuse_host(name: &str, pattern: MatchPattern) -> Route {
    let host = HeaderMatcher {
        name: AUTHORITY.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(pattern),
            ..Default::default()
        })),
        ..Default::default()
    };
    let found = RouteMatch { headers: vec![host], ..everything() };
    Route { r#match: Some(found), ..bad_host(name) }
}

fn refuse_matched_host(name: &str, pattern: XdsPattern) -> FieldMatcher {
    let value = XdsStringMatcher { match_pattern: Some(pattern), ignore_case: false };
    let input = named("authority", &HttpRequestHeaderMatchInput { header_name: AUTHORITY.to_owned() });
    let single =
        SinglePredicate { input: Some(input), matcher: Some(single_predicate::Matcher::ValueMatch(value)) };
    FieldMatcher {
        predicate: Some(Predicate { match_type: Some(predicate::MatchType::SinglePredicate(single)) }),
        on_match: Some(matcher::simple(name, &bad_host(name))),
    }
}

/// Refuses what gets so far.
fn bad_host(name: &str) -> Route {
    let answer = DirectResponseAction {
        status: BAD_HOST_STATUS,
        body: Some(super::message::inline_text(BAD_HOST_BODY)),
        ..Default::default()
    };
    Route {
        name: name.to_owned(),
        r#match: Some(everything()),
        action: Some(Action::DirectResponse(answer)),
        ..Default::default()
    }
}

fn everything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..Default::default() }
}

fn all_to(cluster: String) -> Route {
    route_of("all", RouteAction { cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)), ..action() })
}

/// What Envoy does with requests of an entry of a table.
fn all_by(entry: &RouteEntry, service: &ServiceRef, table: &RouteTable, hashed: Option<&str>) -> Route {
    let itself = || Destination { service: service.clone(), version: None };
    let destination = match entry.to.as_slice() {
        [] => ClusterSpecifier::Cluster(mesh_cluster(&itself())),
        [only] => ClusterSpecifier::Cluster(mesh_cluster(&only.to)),
        several => {
            let cluster = |weighted: &Weighted| ClusterWeight {
                name: mesh_cluster(&weighted.to),
                weight: number(weighted.share),
                ..Default::default()
            };
            let clusters = several.iter().map(cluster).collect();
            ClusterSpecifier::WeightedClusters(WeightedCluster { clusters, ..Default::default() })
        }
    };
    let mirror = |mirror: &Mirror| RequestMirrorPolicy {
        cluster: mesh_cluster(&mirror.to),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(share(mirror.share)),
            ..Default::default()
        }),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    };
    let action = RouteAction {
        cluster_specifier: Some(destination),
        timeout: Some(table.timeout.map_or(seconds(0), of_milliseconds)),
        retry_policy: Some(entry.retry.as_ref().map_or_else(retry_unsent, retry_stated)),
        hash_policy: hashed.into_iter().map(by_header).collect(),
        request_mirror_policies: entry.mirror.iter().map(mirror).collect(),
        ..action()
    };
    // Hundreds may say the same.
    let stated: Vec<&str> = entry.stated_by.iter().map(|id| &**id).take(NAMED_MAX).collect();
    let named = if stated.is_empty() { "all".to_owned() } else { stated.join(" ") };
    let counted = entry.counted.as_deref().unwrap_or_default().to_owned();
    Route { stat_prefix: counted, ..route_of(&named, action) }
}

/// Requests with the same value of this header go to the same replica.
fn by_header(name: &str) -> HashPolicy {
    let header = Header { header_name: name.to_owned(), ..Default::default() };
    HashPolicy { policy_specifier: Some(PolicySpecifier::Header(header)), ..Default::default() }
}

fn action() -> RouteAction {
    RouteAction {
        // Envoy's own is 15 s. A limit on time is for policies to state.
        timeout: Some(seconds(0)),
        retry_policy: Some(retry_unsent()),
        ..Default::default()
    }
}

fn route_of(name: &str, action: RouteAction) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(everything()),
        action: Some(Action::Route(action)),
        ..Default::default()
    }
}

/// The place of the filter that makes requests wait; it does nothing where a route does not say so.
pub(super) fn fault_filter() -> HttpFilter {
    HttpFilter {
        name: FAULT.to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&HttpFault::default()))),
        ..Default::default()
    }
}

/// Requests wait as long as the header [`DELAY`] says.
fn delaying() -> HttpFault {
    let delay = FaultDelay {
        percentage: Some(share(1_000_000)),
        fault_delay_secifier: Some(FaultDelaySecifier::HeaderDelay(HeaderDelay {})),
    };
    HttpFault { delay: Some(delay), ..Default::default() }
}

fn share(millionths: u32) -> FractionalPercent {
    FractionalPercent { numerator: millionths, denominator: DenominatorType::Million.into() }
}

fn configuration(name: String, hosts: Vec<Vec<u8>>, policies: &[String]) -> Resource {
    let configuration = RouteConfiguration {
        name: name.clone(),
        // An application's own is no word of its sidecar, and the word of a sidecar is for the other one alone.
        response_headers_to_remove: vec![UNSENT.to_owned()],
        request_headers_to_remove: vec![DELAY.to_owned()],
        ..Default::default()
    };
    let mut bytes = configuration.encode_to_vec();
    bytes.extend(Hosts { hosts }.encode_to_vec());
    Resource::new(ResourceType::Route, name, bytes, policies)
}

fn is_unsent() -> HeaderMatcher {
    HeaderMatcher {
        name: UNSENT.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        ..Default::default()
    }
}

/// Tries again as is stated, and what was never sent in any case.
fn retry_stated(retry: &Retry) -> RetryPolicy {
    let causes = retry.on.iter().map(|cause| match cause {
        Cause::Connect => "connect-failure",
        Cause::Refused => "refused-stream",
        Cause::Reset => "reset",
        Cause::ServerError => "5xx",
        Cause::GatewayError => "gateway-error",
    });
    let mut retry_on: Vec<&str> = RETRY_ON.split(',').collect();
    retry_on.extend(causes);
    retry_on.sort_unstable();
    retry_on.dedup();
    let unsent = retry_unsent();
    let pause = retry.backoff.map(|Milliseconds(ms)| Milliseconds(ms.saturating_mul(PAUSE_GROWS)));
    let backoff = retry.backoff.zip(pause).map(|(base, most)| RetryBackOff {
        base_interval: Some(of_milliseconds(base)),
        max_interval: Some(of_milliseconds(most)),
    });
    RetryPolicy {
        retry_on: retry_on.join(","),
        num_retries: number(retry.times),
        per_try_timeout: retry.each.map(of_milliseconds),
        retry_back_off: backoff.or(unsent.retry_back_off),
        ..unsent
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
