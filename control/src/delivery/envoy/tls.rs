//! Mutual TLS between sidecars. Keys and certificates come from the sidecar, by name.

use super::message::{ads, yes};
use super::{IDENTITY, TRUST};
use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::SessionTicketKeysType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    SubjectAltNameMatcher, TlsParameters, UpstreamTlsContext,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use prost::{Message, Name};

/// Takes connections from any identity of the trust domain. Policies decide what it may do.
pub(super) fn from_trust_domain(trust_domain: &str) -> TransportSocket {
    let anyone = MatchPattern::Prefix(format!("spiffe://{trust_domain}/"));
    transport_socket(&DownstreamTlsContext {
        common_tls_context: Some(common(anyone, &["h2", "http/1.1"])),
        require_client_certificate: yes(),
        // A resumed session would carry an identity past the end of its certificate.
        disable_stateful_session_resumption: true,
        session_ticket_keys_type: Some(SessionTicketKeysType::DisableStatelessSessionResumption(true)),
        ..Default::default()
    })
}

/// Connects to exactly this identity.
pub(super) fn to_identity(spiffe_id: String, sni: String) -> TransportSocket {
    transport_socket(&UpstreamTlsContext {
        common_tls_context: Some(common(MatchPattern::Exact(spiffe_id), &["h2"])),
        sni,
        ..Default::default()
    })
}

fn common(peer: MatchPattern, alpn: &[&str]) -> CommonTlsContext {
    let peer = SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(StringMatcher { match_pattern: Some(peer), ..Default::default() }),
        ..Default::default()
    };
    let validation = CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: vec![peer],
            ..Default::default()
        }),
        validation_context_sds_secret_config: Some(secret(TRUST)),
        ..Default::default()
    };
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            // Upstream connections stay at TLS 1.2 unless told.
            tls_minimum_protocol_version: TlsProtocol::TlSv13.into(),
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        tls_certificate_sds_secret_configs: vec![secret(IDENTITY)],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        alpn_protocols: alpn.iter().map(|protocol| (*protocol).to_owned()).collect(),
        ..Default::default()
    }
}

fn secret(name: &str) -> SdsSecretConfig {
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(ads()) }
}

fn transport_socket<M: Message + Name>(context: &M) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(super::message::any(context))),
    }
}
