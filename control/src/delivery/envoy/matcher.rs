//! Matchers with the parts of Envoy's messages that are used here: their maps have an order, and so fixed bytes.

use super::message::any;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherList, OnMatch as SimpleOnMatch, on_match};
use prost::Name;
use std::collections::BTreeMap;

/// `xds.type.matcher.v3.Matcher`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Matcher {
    /// Predicates that are asked in turn.
    #[prost(message, optional, tag = "1")]
    pub(super) list: Option<MatcherList>,
    #[prost(message, optional, tag = "2")]
    pub(super) tree: Option<Tree>,
    #[prost(message, optional, boxed, tag = "3")]
    pub(super) on_no_match: Option<Box<OnMatch>>,
}

/// Looks a value up.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tree {
    #[prost(message, optional, tag = "1")]
    pub(super) input: Option<TypedExtensionConfig>,
    /// By the whole value.
    #[prost(message, optional, tag = "2")]
    pub(super) exact: Option<ByText>,
    /// By its beginning.
    #[prost(message, optional, tag = "3")]
    pub(super) prefixes: Option<ByText>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ByText {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) map: BTreeMap<String, OnMatch>,
}

/// What is done: another matcher is asked, or this is the answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OnMatch {
    #[prost(message, optional, boxed, tag = "1")]
    pub(super) matcher: Option<Box<Matcher>>,
    #[prost(message, optional, tag = "2")]
    pub(super) action: Option<TypedExtensionConfig>,
}

impl OnMatch {
    /// This action.
    pub(super) fn action(name: &str, action: &impl Name) -> Self {
        Self { matcher: None, action: Some(named(name, action)) }
    }

    /// What this matcher says.
    pub(super) fn ask(matcher: Matcher) -> Self {
        Self { matcher: Some(Box::new(matcher)), action: None }
    }
}

/// An action of a list of predicates.
pub(super) fn simple(name: &str, action: &impl Name) -> SimpleOnMatch {
    SimpleOnMatch { on_match: Some(on_match::OnMatch::Action(named(name, action))), ..Default::default() }
}

/// A configured extension.
pub(super) fn named(name: &str, config: &impl Name) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(any(config)) }
}
