//! Listeners that an Envoy took and does not listen at, as its sidecar says it on its stream.
//!
//! Envoy acknowledges a listener before it opens it, and says in its log alone if it cannot open it after that. The sidecar
//! looks. What it sees is a request about a type of resources that there is not, like what is said of the
//! [application](super::application): the names, and the reason as an error.

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::rpc::Status;
use std::collections::BTreeSet;
use tonic::Code;

/// What such a request says that it is about.
pub const TYPE_URL: &str = "type.googleapis.com/chancery.sidecar.v1.UnopenedListeners";
/// The most names that are heard; one of the mesh has a listener for its inbound and at most 256 for outbounds.
const NAMES_MAX: usize = 257;
/// The longest name, and the longest reason, in bytes; of longer ones the beginning is kept.
const TEXT_BYTES_MAX: usize = 256;

/// Listeners that an Envoy took and does not listen at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnopenedListeners {
    /// Their names; none if all are open.
    pub names: BTreeSet<String>,
    /// Why that is thought to be.
    pub reason: String,
}

impl UnopenedListeners {
    /// The request that says so.
    #[must_use]
    pub fn report(&self) -> DeltaDiscoveryRequest {
        let error =
            Status { code: Code::Unavailable.into(), message: self.reason.clone(), ..Default::default() };
        DeltaDiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            resource_names_subscribe: self.names.iter().cloned().collect(),
            error_detail: Some(error).filter(|_| !self.names.is_empty()),
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// What a request says of listeners; `None` if it is about something else.
    #[must_use]
    pub fn read(request: &DeltaDiscoveryRequest) -> Option<Self> {
        if request.type_url != TYPE_URL {
            return None;
        }
        let names = request.resource_names_subscribe.iter().take(NAMES_MAX);
        let reason = request.error_detail.as_ref().map_or("", |status| status.message.as_str());
        Some(Self { names: names.map(|name| beginning(name)).collect(), reason: beginning(reason) })
    }
}

fn beginning(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let unopened = |names: &[&str], reason: &str| UnopenedListeners {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            reason: reason.to_owned(),
        };
        for said in [unopened(&["inbound", "outbound/shop/cart"], "in use"), UnopenedListeners::default()] {
            assert_eq!(UnopenedListeners::read(&said.report()), Some(said));
        }
        let endless = unopened(&["é".repeat(1000).as_str()], "in use").report();
        let half = "é".repeat(TEXT_BYTES_MAX / 2);
        assert_eq!(UnopenedListeners::read(&endless), Some(unopened(&[half.as_str()], "in use")));
        let mut many = DeltaDiscoveryRequest { type_url: TYPE_URL.to_owned(), ..Default::default() };
        many.resource_names_subscribe = (0..1000).map(|number| format!("{number:04}")).collect();
        assert_eq!(UnopenedListeners::read(&many).map(|heard| heard.names.len()), Some(NAMES_MAX));
        assert_eq!(UnopenedListeners::read(&DeltaDiscoveryRequest::default()), None);
    }
}
