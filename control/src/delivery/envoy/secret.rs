//! SDS: the secrets that a sidecar gives its own Envoy. They never come from the control plane.

use super::message::{inline_bytes, resource};
use super::{IDENTITY, TRUST};
use crate::delivery::snapshot::{Resource, ResourceType};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};

/// The secret [`IDENTITY`]: a certificate chain and its private key, both PEM.
#[must_use]
pub fn identity(certificate_chain_pem: &str, private_key_pem: &str) -> Resource {
    let certificate = TlsCertificate {
        certificate_chain: Some(inline_bytes(certificate_chain_pem.as_bytes())),
        private_key: Some(inline_bytes(private_key_pem.as_bytes())),
        ..Default::default()
    };
    secret(IDENTITY, Type::TlsCertificate(certificate))
}

/// The secret [`TRUST`]: the certificates that sign identities of the mesh, PEM.
#[must_use]
pub fn trust(bundle_pem: &str) -> Resource {
    let context = CertificateValidationContext {
        trusted_ca: Some(inline_bytes(bundle_pem.as_bytes())),
        ..Default::default()
    };
    secret(TRUST, Type::ValidationContext(context))
}

fn secret(name: &str, content: Type) -> Resource {
    let secret = Secret { name: name.to_owned(), r#type: Some(content) };
    resource(ResourceType::Secret, name, &secret)
}
