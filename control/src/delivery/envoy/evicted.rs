//! ECDS: the filter that refuses requests of sidecars that were evicted, also on connections that were open before.
//!
//! TLS looks at a certificate when a connection is opened and never again. This filter looks at each request: it is
//! configured anew without touching a connection, and of a request that comes on an old one it sees the certificate
//! that opened it. What it looks for is the number of the instance, which the subject of a certificate begins with
//! ([`crate::mesh::identity::evictions::subject`]); one look costs the same whether one was evicted or ten thousand. As long as nobody was,
//! it looks for nothing.

use super::extension::deny_all;
use super::matcher::{ByText, Matcher, OnMatch, Tree, named};
use super::message::{ads, any};
use super::{EVICTED, message};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::mesh::identity::evictions::{Serial, subject};
use envoy_types::pb::envoy::config::core::v3::{
    ExtensionConfigSource, TypedExtensionConfig as CoreExtension,
};
use envoy_types::pb::envoy::config::rbac::v3::Action;
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action as Verdict;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::matching::common_inputs::ssl::v3::SubjectInput;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};

/// Of Envoy's messages what is used here: its map has no order, and so no fixed bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct Rules {
    #[prost(message, optional, tag = "4")]
    matcher: Option<Matcher>,
}

/// The filter's place in a listener. Without a configuration it refuses everything.
pub(super) fn filter() -> HttpFilter {
    let source = ExtensionConfigSource {
        config_source: Some(ads()),
        default_config: Some(deny_all()),
        type_urls: vec![Rbac::type_url()],
        ..Default::default()
    };
    HttpFilter {
        name: EVICTED.to_owned(),
        config_type: Some(ConfigType::ConfigDiscovery(source)),
        ..Default::default()
    }
}

/// The filter's configuration: who was evicted.
#[must_use]
pub fn resource(evicted: &[Serial]) -> Resource {
    let filter = if evicted.is_empty() { any(&Rbac::default()) } else { refusing(evicted) };
    let config = CoreExtension { name: EVICTED.to_owned(), typed_config: Some(filter) };
    message::resource(ResourceType::Extension, EVICTED, &config)
}

fn refusing(evicted: &[Serial]) -> Any {
    let input = named("subject", &SubjectInput::default());
    let refused = verdict(EVICTED, Verdict::Deny);
    let prefixes = ByText { map: evicted.iter().map(|serial| (subject(serial), refused.clone())).collect() };
    let matcher = Matcher {
        tree: Some(Tree { input: Some(input), prefixes: Some(prefixes), exact: None }),
        on_no_match: Some(Box::new(verdict("others", Verdict::Allow))),
        list: None,
    };
    Any { type_url: Rbac::type_url(), value: Rules { matcher: Some(matcher) }.encode_to_vec() }
}

fn verdict(name: &str, action: Verdict) -> OnMatch {
    OnMatch::action("verdict", &Action { name: name.to_owned(), action: action.into() })
}
