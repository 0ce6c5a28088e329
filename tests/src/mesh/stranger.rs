//! A client of a sidecar's inbound port that is no sidecar: with any certificate, or none, and
//! content with whatever certificate it is shown.

use super::PATIENCE;
use super::wire::{Answer, Request};
use anyhow::{Context, Result};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A key and the certificate that is shown for it, PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate and what leads to its root.
    pub chain_pem: String,
    /// The key.
    pub key_pem: String,
}

impl Certificate {
    /// One with this identity, from an authority that nobody knows.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn foreign(spiffe_id: &str) -> Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let mut leaf = CertificateParams::default();
        leaf.subject_alt_names = vec![SanType::URI(spiffe_id.try_into()?)];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &issuer)?;
        Ok(Self { chain_pem: certificate.pem() + &root.pem(), key_pem: key.serialize_pem() })
    }
}

/// Sends a request over TLS, with this certificate or with none.
///
/// # Errors
/// When the other side does not want to talk.
pub async fn ask(to: SocketAddr, certificate: Option<&Certificate>, request: &Request) -> Result<Answer> {
    request.send(connect(to, certificate).await?).await
}

/// Connects over TLS, with this certificate or with none.
///
/// # Errors
/// When the other side does not want to talk.
pub async fn connect(to: SocketAddr, certificate: Option<&Certificate>) -> Result<TlsStream<TcpStream>> {
    connect_speaking(to, certificate, "http/1.1").await
}

/// Connects over TLS as one who speaks HTTP/2.
///
/// # Errors
/// When the other side does not want to talk.
pub async fn connect_h2(to: SocketAddr, certificate: &Certificate) -> Result<Http2> {
    let stream = connect_speaking(to, Some(certificate), "h2").await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    Ok(Http2 { sender, connection })
}

/// An open connection over which requests of HTTP/2 are sent.
#[derive(Debug)]
pub struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    /// The status that a GET of a path is answered with.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&mut self, path: &str) -> Result<u16> {
        let request = hyper::Request::get(format!("https://mesh.test{path}")).body(Empty::new())?;
        let answer =
            timeout(PATIENCE, self.sender.send_request(request)).await.context("no answer in time")?;
        Ok(answer?.status().as_u16())
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn connect_speaking(
    to: SocketAddr,
    certificate: Option<&Certificate>,
    protocol: &str,
) -> Result<TlsStream<TcpStream>> {
    let provider = Arc::new(default_provider());
    let verifier = Arc::new(Anyone(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        Some(certificate) => {
            let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
            config.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("inbound.mesh.test")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await;
    stream.context("the handshake failed")
}

/// Sends a request in plain text.
///
/// # Errors
/// When the other side does not want to talk.
pub async fn ask_plainly(to: SocketAddr, request: &Request) -> Result<Answer> {
    request.send(TcpStream::connect(to).await?).await
}

/// Is content with every certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("the mesh speaks TLS 1.3".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
