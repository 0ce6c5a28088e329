//! Who a verified certificate names: `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
//!
//! This is the one place that reads and writes such ids: evaluator, classes, the CA and the sidecars' TLS
//! settings use it, and the compiled module is compared with it.

use crate::checked::ServiceRef;
use std::fmt;

/// The most bytes of a SPIFFE id (SPIFFE-ID, section 2.3). A module does not judge callers with longer ones.
pub const IDENTITY_BYTES_MAX: usize = 2_048;

/// The identity of a service of some mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceIdentity {
    /// The mesh; without `/`.
    pub trust_domain: String,
    /// The service; namespace and name are of `A-Z a-z 0-9 . _ -` and not empty.
    pub service: ServiceRef,
}

impl ServiceIdentity {
    /// The identity of a service of a mesh.
    #[must_use]
    pub fn new(trust_domain: &str, service: &ServiceRef) -> Self {
        Self { trust_domain: trust_domain.to_owned(), service: service.clone() }
    }

    /// The identity that a URI SAN says, or `None` unless it has exactly the form that
    /// [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(uri: &[u8]) -> Option<Self> {
        let (trust_domain, path) =
            std::str::from_utf8(uri).ok()?.strip_prefix("spiffe://")?.split_once('/')?;
        let (namespace, name) = path.strip_prefix("ns/")?.split_once("/sa/")?;
        let service = ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() };
        (is_name(namespace) && is_name(name)).then(|| Self { trust_domain: trust_domain.to_owned(), service })
    }
}

impl fmt::Display for ServiceIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServiceRef { namespace, name } = &self.service;
        write!(out, "spiffe://{}/ns/{namespace}/sa/{name}", self.trust_domain)
    }
}

/// The service of this trust domain that a URI SAN names, if it does.
#[must_use]
pub fn service_of(principal: &[u8], trust_domain: &str) -> Option<ServiceRef> {
    let identity = ServiceIdentity::parse(principal)?;
    (identity.trust_domain == trust_domain).then_some(identity.service)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

/// Whether a byte may stand in the names of services and namespaces, and in those of hosts.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_is_written() {
        let text = "spiffe://mesh.local/ns/shop/sa/orders-2.a_B";
        let identity = ServiceIdentity::parse(text.as_bytes());
        let service = ServiceRef { namespace: "shop".into(), name: "orders-2.a_B".into() };
        assert_eq!(
            identity,
            Some(ServiceIdentity { trust_domain: "mesh.local".into(), service: service.clone() })
        );
        assert_eq!(identity.map(|identity| identity.to_string()).as_deref(), Some(text));
        assert_eq!(service_of(text.as_bytes(), "mesh.local"), Some(service));
    }

    #[test]
    fn only_the_exact_shape_names_a_service() {
        for other in [
            "",
            "spiffe://mesh.local",
            "spiffe:///ns/shop/sa/orders",
            "spiffe://mesh.local/ns/shop",
            "spiffe://mesh.local/ns/shop/sa/",
            "spiffe://mesh.local/ns//sa/orders",
            "spiffe://mesh.local/ns/shop/sa/orders/",
            "spiffe://mesh.local/ns/shop/sa/orders/x",
            "spiffe://mesh.local/ns/shop/sa/a/sa/b",
            "spiffe://mesh.local.evil/ns/shop/sa/orders",
            "spiffe://evil/ns/shop/sa/orders",
            "spiffe://MESH.local/ns/shop/sa/orders",
            "SPIFFE://mesh.local/ns/shop/sa/orders",
            "https://mesh.local/ns/shop/sa/orders",
            "spiffe://mesh.local/ns/shop/sa/ord%65rs",
            "spiffe://mesh.local/ns/shop,x/sa/orders",
            "spiffe://mesh.local/ns/shop/sa/orders,spiffe://mesh.local/ns/shop/sa/cart",
            " spiffe://mesh.local/ns/shop/sa/orders",
        ] {
            assert_eq!(service_of(other.as_bytes(), "mesh.local"), None, "{other}");
        }
        assert_eq!(service_of(b"spiffe://mesh.local/ns/shop/sa/\xff", "mesh.local"), None);
    }
}
