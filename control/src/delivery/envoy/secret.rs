//! SDS: the secrets that a sidecar gives its own Envoy. They never come from the control plane.

use super::message::{any, inline_bytes, resource};
use super::{IDENTITY, TRUST};
use crate::delivery::snapshot::{Resource, ResourceType};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource as WireResource};
use prost::Message;

/// The name of the secret in which the control plane tells a sidecar what is revoked.
const REVOKED: &str = "revoked";

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

/// The secret [`TRUST`]: the certificates that sign identities of the mesh, and the list of the identities that are
/// revoked, if there is one; both PEM.
#[must_use]
pub fn trust(bundle_pem: &str, revoked_pem: Option<&str>) -> Resource {
    let context = CertificateValidationContext {
        trusted_ca: Some(inline_bytes(bundle_pem.as_bytes())),
        crl: revoked_pem.map(|list| inline_bytes(list.as_bytes())),
        ..Default::default()
    };
    secret(TRUST, Type::ValidationContext(context))
}

/// What the control plane tells a sidecar of revoked identities: a response with one secret, which has the list alone.
#[must_use]
pub fn revoked(list_pem: &str) -> DeltaDiscoveryResponse {
    let context =
        CertificateValidationContext { crl: Some(inline_bytes(list_pem.as_bytes())), ..Default::default() };
    let secret = Secret { name: REVOKED.to_owned(), r#type: Some(Type::ValidationContext(context)) };
    DeltaDiscoveryResponse {
        type_url: ResourceType::Secret.type_url().to_owned(),
        resources: vec![WireResource {
            name: REVOKED.to_owned(),
            resource: Some(any(&secret)),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The list in a response that [`revoked`] made; `None` if it is another one.
#[must_use]
pub fn read_revoked(response: &DeltaDiscoveryResponse) -> Option<String> {
    let [resource] = response.resources.as_slice() else { return None };
    let secret = Secret::decode(resource.resource.as_ref()?.value.as_slice()).ok()?;
    match (secret.name.as_str(), secret.r#type?) {
        (REVOKED, Type::ValidationContext(context)) => match context.crl?.specifier? {
            Specifier::InlineBytes(list) => String::from_utf8(list.to_vec()).ok(),
            _ => None,
        },
        _ => None,
    }
}

fn secret(name: &str, content: Type) -> Resource {
    let secret = Secret { name: name.to_owned(), r#type: Some(content) };
    resource(ResourceType::Secret, name, &secret)
}
