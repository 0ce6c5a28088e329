//! What lines of logs show of the requests of a listener. It comes with the listener's routes, as metadata of their virtual
//! host: Envoy knows that also of a request that no filter sees, and another one drains nothing.
//!
//! ```text
//! revision   the newest of those in which the policies got their texts
//! shown      `all`, or `some`; then of each field that is not dropped:
//! path       `shown`, or what stands in its place
//! ```

use crate::mesh::model::Revision;
use chancery_policy_lang::checked::Redact;
use chancery_policy_lang::log::{HIDEABLE, MASK};
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use std::collections::BTreeMap;

/// The metadata's name.
pub(super) const METADATA: &str = "chancery";
/// Its field that says which of the fields are shown.
pub(super) const SHOWN: &str = "shown";
/// What that says if all are.
pub(super) const ALL: &str = "all";
/// What it says else.
const SOME: &str = "some";
/// What is said of a field that is shown as it is.
pub(super) const AS_IT_IS: &str = "shown";

/// What lines show that the sidecar writes by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The newest of the revisions in which the policies got their texts that concern the requests.
    pub revision: Option<Revision>,
    /// What is redacted, by the names of fields.
    pub hidden: BTreeMap<&'static str, Redact>,
}

/// The metadata as a field of a virtual host, in order. Messages that follow each other are one.
#[derive(Clone, PartialEq, prost::Message)]
struct Host {
    #[prost(message, optional, tag = "24")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    filter_metadata: BTreeMap<String, Struct>,
}

impl Shown {
    /// What a virtual host has of it.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        fields.extend(self.revision.map(|revision| ("revision", revision.0.to_string())));
        fields.insert(SHOWN, if self.hidden.is_empty() { ALL } else { SOME }.to_owned());
        if !self.hidden.is_empty() {
            fields.extend(HIDEABLE.into_iter().filter_map(|(name, _)| match self.hidden.get(name) {
                None => Some((name, AS_IT_IS.to_owned())),
                // Nobody but a module can hash.
                Some(Redact::Hash | Redact::Mask) => Some((name, MASK.to_owned())),
                Some(Redact::Drop) => None,
            }));
        }
        let text =
            |(name, text): (&str, String)| (name.to_owned(), Value { kind: Some(Kind::StringValue(text)) });
        let fields = Struct { fields: fields.into_iter().map(text).collect() };
        let metadata = Metadata { filter_metadata: [(METADATA.to_owned(), fields)].into() };
        Host { metadata: Some(metadata) }.encode_to_vec()
    }
}
