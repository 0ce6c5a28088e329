//! A network filter that closes connections whose client certificate says more than one URI.
//!
//! A module is shown the first URI of a certificate and no other, so a certificate with two would be known
//! by whichever stands first. Chancery's CA issues exactly one; a CA that the operator brings might not.
//! The filter looks once a connection, so a request costs nothing. That there is at least one URI of the
//! trust domain is seen to by the TLS settings.

use super::message::any;
use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::rbac::v3::Action;
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action as Verdict;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::matching::common_inputs::ssl::v3::UriSanInput;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::single_predicate::Matcher as ValueMatcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{
    MatchType, SinglePredicate,
};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherList, MatcherType, OnMatch, on_match};
use envoy_types::pb::xds::r#type::matcher::v3::{Matcher, StringMatcher, string_matcher};

/// What Envoy puts between the URIs of a certificate. A URI that has one in it is refused too.
const SEPARATOR: &str = ",";

/// The filter, to stand in front of all that asks who is calling.
pub(super) fn filter() -> Filter {
    let uris =
        TypedExtensionConfig { name: "uris".to_owned(), typed_config: Some(any(&UriSanInput::default())) };
    let has_several = StringMatcher {
        match_pattern: Some(string_matcher::MatchPattern::Contains(SEPARATOR.to_owned())),
        ..Default::default()
    };
    let predicate =
        SinglePredicate { input: Some(uris), matcher: Some(ValueMatcher::ValueMatch(has_several)) };
    let several = FieldMatcher {
        predicate: Some(Predicate { match_type: Some(MatchType::SinglePredicate(predicate)) }),
        on_match: Some(verdict("several", Verdict::Deny)),
    };
    let matcher = Matcher {
        matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers: vec![several] })),
        on_no_match: Some(Box::new(verdict("one", Verdict::Allow))),
    };
    let rbac = Rbac { matcher: Some(matcher), stat_prefix: "identity.".to_owned(), ..Default::default() };
    Filter {
        name: "envoy.filters.network.rbac".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&rbac))),
    }
}

fn verdict(name: &str, action: Verdict) -> OnMatch {
    let action = Action { name: name.to_owned(), action: action.into() };
    let action = TypedExtensionConfig { name: "verdict".to_owned(), typed_config: Some(any(&action)) };
    OnMatch { on_match: Some(on_match::OnMatch::Action(action)), ..Default::default() }
}
