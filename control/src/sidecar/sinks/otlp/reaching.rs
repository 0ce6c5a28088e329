//! How a receiver of OTLP is reached: without TLS, or with it, and then with a certificate of known authorities.

use chancery_policy_lang::sinks::WITH_TLS;
use std::io;
use std::path::{Path, PathBuf};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// Where systems keep the authorities that they trust, as PEM: Debian, Red Hat, SUSE, Alpine.
const OF_SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why a receiver cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachingError {
    /// Another idea of what an address is than that of who checked it.
    #[error("this is no address: {0}")]
    Address(tonic::transport::Error),
    /// The file of authorities cannot be read.
    #[error("the authorities in {} cannot be read: {source}: name others with --log-ca", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no authorities where systems have them.
    #[error("the system has no authorities: name some with --log-ca")]
    NoAuthorities,
}

/// A receiver at an address: one behind `https://` shows a certificate of these authorities, or of those of the system.
pub(super) fn endpoint(address: &str, authorities: Option<&Path>) -> Result<Endpoint, ReachingError> {
    if !address.starts_with(WITH_TLS) {
        return Endpoint::from_shared(format!("http://{address}")).map_err(ReachingError::Address);
    }
    let roots = Certificate::from_pem(roots(authorities)?);
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(ReachingError::Address)?;
    endpoint.tls_config(ClientTlsConfig::new().ca_certificate(roots)).map_err(ReachingError::Address)
}

fn roots(authorities: Option<&Path>) -> Result<Vec<u8>, ReachingError> {
    let of_system = || OF_SYSTEM.into_iter().map(Path::new).find(|path| path.exists());
    let path = authorities.or_else(of_system).ok_or(ReachingError::NoAuthorities)?;
    std::fs::read(path).map_err(|source| ReachingError::Authorities { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use super::*;

    #[test]
    fn who_cannot_be_known_is_not_reached() {
        let missing = Path::new("/nowhere/ca.pem");
        let error = endpoint("https://127.0.0.1:1", Some(missing)).unwrap_err().to_string();
        assert!(error.contains("/nowhere/ca.pem") && error.contains("--log-ca"), "{error}");
        assert!(endpoint("127.0.0.1:1", Some(missing)).is_ok(), "nobody is to be known");
    }
}
