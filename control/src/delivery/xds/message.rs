//! What is said on an xDS stream, without protobuf: requests, responses, and what they mean.

use super::{Application, Counts, UnopenedListeners};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::mesh::model::Revision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name that subscribes to all resources of a type.
pub const WILDCARD: &str = "*";

/// What a proxy said about one type of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Names it wants from now on; [`WILDCARD`] wants all.
    pub subscribe: Vec<String>,
    /// Names it wants no more.
    pub unsubscribe: Vec<String>,
    /// Resources that it holds from an earlier stream, name to version. Counts only in the first
    /// request of a type.
    pub held: BTreeMap<String, String>,
    /// What it says of a response, if it answers one.
    pub answer: Option<Answer>,
}

/// A proxy's verdict on one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response's nonce.
    pub nonce: String,
    /// Why the proxy refused it; `None` if it took it.
    pub rejection: Option<String>,
}

/// What is sent to a proxy: resources of one type, or names of resources that are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The type of all of them.
    pub kind: ResourceType,
    /// Identifies the response on its stream.
    pub nonce: String,
    /// The revision that it belongs to.
    pub revision: Revision,
    /// New and changed resources.
    pub resources: Vec<Arc<Resource>>,
    /// Names that do not exist, or no longer.
    pub removed: Vec<String>,
}

/// What a proxy's request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its process is new: it holds nothing, and what stood in the way of a listener may be gone.
    Started,
    /// It uses this resource now.
    Accepted {
        /// The resource.
        resource: Arc<Resource>,
    },
    /// It refused this resource and keeps what it had.
    Rejected {
        /// The resource.
        resource: Arc<Resource>,
        /// The proxy's own words.
        message: String,
    },
    /// It has dropped the resource of this name.
    Removed {
        /// Its type.
        kind: ResourceType,
        /// The name.
        name: String,
    },
    /// The application beside it answers, or does not.
    Application(Application),
    /// It does not listen at these, which it took.
    Unopened(UnopenedListeners),
    /// It has answered so many requests.
    Counts(Counts),
}
