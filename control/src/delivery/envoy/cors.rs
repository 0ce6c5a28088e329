//! What a sidecar says to pages of other origins: Envoy's own filter, told by the route configuration.
//!
//! The filter does nothing where the route says nothing. It stands before the policies, for a browser asks for leave
//! (a preflight) without saying who it is; and it adds its headers to what policies refuse, so that a page can see that.

use super::message::any;
use chancery_policy_lang::checked::{CorsRules, Origin};
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::{Cors, CorsPolicy};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::{Any, BoolValue};

/// The filter, and what the route configuration calls it.
const NAME: &str = "envoy.filters.http.cors";

/// The filter.
pub(super) fn filter() -> HttpFilter {
    HttpFilter {
        name: NAME.to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&Cors {}))),
        ..Default::default()
    }
}

/// What a route configuration says to the filter, by its name.
pub(super) fn of_route(rules: &CorsRules) -> (String, Any) {
    let list = |names: &std::collections::BTreeSet<String>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.join(",")
    };
    let policy = CorsPolicy {
        allow_origin_string_match: rules.origins.iter().map(matcher).collect(),
        allow_methods: list(&rules.methods),
        allow_headers: list(&rules.headers),
        expose_headers: list(&rules.exposed),
        max_age: rules.age_s.map(|age| age.to_string()).unwrap_or_default(),
        allow_credentials: rules.credentials.then_some(BoolValue { value: true }),
        ..Default::default()
    };
    (NAME.to_owned(), any(&policy))
}

fn matcher(origin: &Origin) -> StringMatcher {
    let pattern = match origin {
        Origin::Any => MatchPattern::Exact("*".to_owned()),
        Origin::Exact(origin) => MatchPattern::Exact(origin.clone()),
        // A port behind the host is another origin, and so is a host with other characters.
        Origin::Below { scheme, parent } => MatchPattern::SafeRegex(RegexMatcher {
            regex: format!("{}[a-z0-9_-]+(\\.[a-z0-9_-]+)*{}", escaped(scheme), escaped(parent)),
            ..Default::default()
        }),
    };
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let piece = |letter: char| match letter {
        '.' | '+' => format!("\\{letter}"),
        letter => letter.to_string(),
    };
    text.chars().map(piece).collect()
}
