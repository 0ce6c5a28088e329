//! The names that may stand in SPIFFE ids; [`ServiceIdentity`](chancery_policy_lang::request::ServiceIdentity) reads and writes the ids.

use chancery_policy_lang::checked::ServiceRef;

/// The longest namespace, service or instance name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The longest trust domain, in bytes.
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

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
