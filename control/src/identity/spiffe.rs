//! SPIFFE ids of services, and the names that may stand in them.

use chancery_policy_lang::checked::ServiceRef;

/// The longest namespace, service or instance name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The longest trust domain, in bytes.
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The SPIFFE id of a service.
#[must_use]
pub fn spiffe_id(trust_domain: &str, service: &ServiceRef) -> String {
    format!("spiffe://{trust_domain}/ns/{}/sa/{}", service.namespace, service.name)
}

/// The service that a SPIFFE id names; `None` unless it has exactly the form of [`spiffe_id`] and
/// the trust domain is the same.
#[must_use]
pub fn parse_spiffe_id(trust_domain: &str, id: &str) -> Option<ServiceRef> {
    let path = id.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?;
    let (namespace, name) = path.strip_prefix("/ns/")?.split_once("/sa/")?;
    (is_name(namespace) && is_name(name))
        .then(|| ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Reads `namespace/name`.
///
/// # Errors
/// Says what is wrong with it and how it is written.
pub fn parse_service(text: &str) -> Result<ServiceRef, String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => {
            Ok(ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err(format!(
            "`{text}` is not the name of a service: write NAMESPACE/NAME such as shop/orders, each part \
             1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`, beginning with a letter or digit"
        )),
    }
}

/// Whether this can be a namespace, a service or an instance: nothing in it needs an escape in a
/// URI, a file name or a shell.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether this can be a trust domain: lower case, as SPIFFE demands.
#[must_use]
pub fn is_trust_domain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TRUST_DOMAIN_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_its_service() {
        let service = parse_service("shop/orders").unwrap();
        let id = spiffe_id("chancery.local", &service);
        assert_eq!(id, "spiffe://chancery.local/ns/shop/sa/orders");
        assert_eq!(parse_spiffe_id("chancery.local", &id), Some(service));
    }

    #[test]
    fn ids_of_any_other_form_are_nobody() {
        for id in [
            "spiffe://chancery.local.evil/ns/shop/sa/orders",
            "spiffe://evil/ns/shop/sa/orders",
            "spiffe://chancery.local/ns/shop/sa/",
            "spiffe://chancery.local/ns//sa/orders",
            "spiffe://chancery.local/ns/shop/sa/orders/x",
            "spiffe://chancery.local/ns/shop/sa/a/sa/b",
            "spiffe://chancery.local/ns/shop/sa/%6frders",
            "SPIFFE://chancery.local/ns/shop/sa/orders",
            "https://chancery.local/ns/shop/sa/orders",
            "",
        ] {
            assert_eq!(parse_spiffe_id("chancery.local", id), None, "{id}");
        }
    }

    #[test]
    fn a_name_that_needs_an_escape_is_refused_with_the_right_form() {
        for text in ["orders", "shop/", "/orders", "shop/or/ders", "shop/ord ers", "shop/..", "shop/é", ""] {
            assert!(parse_service(text).unwrap_err().contains("NAMESPACE/NAME"), "{text}");
        }
        assert!(parse_service(&format!("shop/{}", "a".repeat(NAME_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn trust_domains_are_lower_case() {
        assert!(is_trust_domain("mesh-1.example"));
        assert!(!is_trust_domain("Mesh.example") && !is_trust_domain("") && !is_trust_domain("a/b"));
    }
}
