//! Who a verified certificate names: `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.

use crate::checked::ServiceRef;

/// The service that a URI SAN names, or `None` unless it is exactly
/// `spiffe://<trust domain>/ns/<namespace>/sa/<service>` with this trust domain and with names of
/// `A-Z a-z 0-9 . _ -` that are not empty.
#[must_use]
pub fn service_of(principal: &[u8], trust_domain: &str) -> Option<ServiceRef> {
    let text = std::str::from_utf8(principal).ok()?;
    let names = text.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix("/ns/")?;
    let (namespace, name) = names.split_once("/sa/")?;
    (is_name(namespace) && is_name(name))
        .then(|| ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() })
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_shape_names_a_service() {
        let service = service_of(b"spiffe://mesh.local/ns/shop/sa/orders-2.a_B", "mesh.local");
        assert_eq!(service, Some(ServiceRef { namespace: "shop".into(), name: "orders-2.a_B".into() }));
        for other in [
            "",
            "spiffe://mesh.local",
            "spiffe://mesh.local/ns/shop",
            "spiffe://mesh.local/ns/shop/sa/",
            "spiffe://mesh.local/ns//sa/orders",
            "spiffe://mesh.local/ns/shop/sa/orders/",
            "spiffe://mesh.local/ns/shop/sa/orders/x",
            "spiffe://mesh.local/ns/shop/sa/a/sa/b",
            "spiffe://mesh.local.evil/ns/shop/sa/orders",
            "spiffe://evil/ns/shop/sa/orders",
            "spiffe://MESH.local/ns/shop/sa/orders",
            "https://mesh.local/ns/shop/sa/orders",
            "spiffe://mesh.local/ns/shop/sa/ord%65rs",
            "spiffe://mesh.local/ns/shop,x/sa/orders",
            " spiffe://mesh.local/ns/shop/sa/orders",
        ] {
            assert_eq!(service_of(other.as_bytes(), "mesh.local"), None, "{other}");
        }
        assert_eq!(service_of(b"spiffe://mesh.local/ns/shop/sa/\xff", "mesh.local"), None);
    }
}
