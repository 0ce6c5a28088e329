//! TLS of the control plane: its own certificate, and who is at the other end.
//!
//! Client certificates are optional (people come with a token, joining sidecars with nothing yet),
//! but one that is shown must be of this mesh, or the handshake fails. Whether it is valid *now* is for whoever
//! accepts the connection to judge: a refusal can then be told in words.

use super::any_time::{ClientsOfAnyTime, ServerOfAnyTime};
use super::authority::TOKEN_UNIT;
use super::{Authority, IdentityError, PeerIdentity, Validity, spiffe};
use crate::mesh::model::ProxyId;
use chancery_policy_lang::request::service_of;
use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::sync::{Arc, PoisonError, RwLock};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long the control plane's own certificate is valid; a new one is made at half of it.
const SERVER_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 30);

/// The TLS configuration of the one port: HTTP/2 and HTTP/1.1.
///
/// # Errors
/// If a name cannot stand in a certificate.
pub fn server_config(authority: Arc<Authority>, names: Vec<String>) -> Result<ServerConfig, IdentityError> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots_of(std::slice::from_ref(authority.root()))?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(odd)?;
    let certificate = OwnCertificate::new(authority, names, Timestamp::now())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(odd)?
        .with_client_cert_verifier(Arc::new(ClientsOfAnyTime(verifier)))
        .with_cert_resolver(Arc::new(certificate));
    // A resumed session would carry an identity on without looking at its certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The TLS configuration of a client of the control plane, without ALPN: the HTTP client adds what
/// it speaks. `identity` is a certificate chain and its key, both PEM.
///
/// # Errors
/// If a PEM text has no certificate or key.
pub fn client_config(root_pem: &str, identity: Option<(&str, &str)>) -> Result<ClientConfig, IdentityError> {
    let roots = roots_of(&certificates(root_pem)?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(odd)?
        .with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain_pem, key_pem)) => {
            let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(odd)?;
            builder.with_client_auth_cert(certificates(chain_pem)?, key).map_err(odd)
        }
    }
}

/// As [`client_config`], of a client that shows nothing and takes a certificate of the control plane out of its time:
/// good for asking what time it is there, and for nothing else.
///
/// # Errors
/// If a PEM text has no certificate.
pub fn clock_reader_config(root_pem: &str) -> Result<ClientConfig, IdentityError> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots_of(&certificates(root_pem)?)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(odd)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerOfAnyTime(verifier.map_err(odd)?)));
    Ok(config.with_no_client_auth())
}

/// Who shows this chain, which the handshake verified but for its time; `None` if it is not a sidecar of the mesh.
#[must_use]
pub fn peer_identity(chain: &[CertificateDer<'_>], trust_domain: &str) -> Option<PeerIdentity> {
    let der = chain.first()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else { return None };
    let service = service_of(uri.as_bytes(), trust_domain)?;
    let mut common_names = certificate.subject().iter_common_name();
    let instance = common_names.next()?.as_str().ok().filter(|name| spiffe::is_name(name))?;
    let proxy = ProxyId(format!("{}/{}/{instance}", service.namespace, service.name));
    if common_names.next().is_some() {
        return None;
    }
    let mut units = certificate.subject().iter_organizational_unit();
    let token = units.next().and_then(|unit| Some(unit.as_str().ok()?.strip_prefix(TOKEN_UNIT)?.to_owned()));
    Some(PeerIdentity {
        service,
        proxy,
        validity: Validity::of(der)?,
        serial: certificate.raw_serial().try_into().ok()?,
        token,
        key: Sha256::digest(certificate.public_key().raw).into(),
    })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(odd("there is no certificate in the PEM text")),
        Ok(found) => Ok(found),
        Err(error) => Err(odd(error)),
    }
}

fn roots_of(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(odd)?;
    }
    Ok(roots)
}

fn odd(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Cryptography(error.to_string())
}

/// The certificate that the control plane shows, made anew when half of its life is over, so that a
/// process may run for years.
#[derive(Debug)]
struct OwnCertificate {
    maker: Maker,
    current: RwLock<Current>,
}

#[derive(Clone, Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    made_at: Timestamp,
    renew_at: Timestamp,
}

struct Maker {
    authority: Arc<Authority>,
    names: Vec<String>,
    provider: CryptoProvider,
}

impl OwnCertificate {
    fn new(authority: Arc<Authority>, names: Vec<String>, now: Timestamp) -> Result<Self, IdentityError> {
        let maker = Maker { authority, names, provider: ring::default_provider() };
        let current = RwLock::new(maker.make(now)?);
        Ok(Self { maker, current })
    }

    fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        // Made by a clock that was ahead and was set right since, it may be one that nobody takes yet.
        if (current.made_at..current.renew_at).contains(&now) {
            return current.certified;
        }
        match self.maker.make(now) {
            Ok(new) => {
                let certified = Arc::clone(&new.certified);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                certified
            }
            Err(error) => {
                tracing::error!(%error, "the control plane's own certificate could not be renewed");
                current.certified
            }
        }
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }
}

impl Maker {
    fn make(&self, now: Timestamp) -> Result<Current, IdentityError> {
        let identity = self.authority.server_identity(&self.names, SERVER_LIFETIME, now)?;
        let certified = CertifiedKey::from_der(identity.chain, identity.key, &self.provider).map_err(odd)?;
        Ok(Current { certified: Arc::new(certified), made_at: now, renew_at: now + SERVER_LIFETIME / 2 })
    }
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").field("names", &self.names).finish_non_exhaustive()
    }
}
