//! The sidecar's identity: the key that never leaves this machine, the certificate for it, and the
//! control plane they are from; and the secrets that Envoy gets of them.

use super::errors::SidecarError;
use crate::delivery::envoy::secret;
use crate::delivery::snapshot::Resource;
use crate::mesh::identity::{Clocks, Validity};
use crate::server::api::types::IdentityResponse;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who this sidecar is, as it stands in a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The control plane, `https://host:port`.
    pub url: String,
    /// The root certificate of the control plane, PEM.
    pub root_pem: String,
    /// `namespace/service/instance`
    pub proxy_id: String,
    /// The private key, PEM.
    pub key_pem: String,
    /// The certificate and what leads to the root, PEM.
    pub certificate_pem: String,
    /// The roots by which others are verified, PEM.
    pub bundle_pem: String,
    /// When the certificate was got, in seconds since 1970 by the clock of this machine.
    pub issued_at: i64,
    /// How long it is valid from then, in seconds.
    pub lifetime_seconds: u64,
}

/// A key and the request for its certificate.
pub struct Request {
    /// The private key, PEM.
    key_pem: String,
    /// The request, PEM.
    pub csr_pem: String,
}

impl Request {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the machine has no randomness.
    pub fn new() -> Result<Self, SidecarError> {
        Self::of(&KeyPair::generate().map_err(failed)?)
    }

    /// A request for the key of an identity that there is: a renewal keeps the key.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn again(present: &Identity) -> Result<Self, SidecarError> {
        Self::of(&KeyPair::from_pem(&present.key_pem).map_err(failed)?)
    }

    fn of(key: &KeyPair) -> Result<Self, SidecarError> {
        // What stands in the request does not matter: the control plane takes the key alone.
        let request = CertificateParams::default().serialize_request(key).map_err(failed)?;
        Ok(Self { key_pem: key.serialize_pem(), csr_pem: request.pem().map_err(failed)? })
    }

    /// The identity that the control plane's answer makes of the key. It lives as long as the clock of this machine
    /// says.
    ///
    /// # Errors
    /// When the certificate, or a root of the mesh, is not valid by the clock of this machine: others would not take
    /// it, or this sidecar would not take theirs.
    pub fn grant(
        self,
        url: &str,
        root_pem: &str,
        answer: IdentityResponse,
        now: Timestamp,
    ) -> Result<Identity, SidecarError> {
        let own = Validity::of_pem(&answer.certificate_pem);
        let roots = Validity::of_pem(&answer.bundle_pem);
        let named = own.iter().map(|of| ("the certificate that the control plane issued", of));
        for (what, validity) in named.chain(roots.iter().map(|of| ("the root certificate of the mesh", of))) {
            if let Some(complaint) = validity.complaint(now) {
                let clocks = Clocks { here: now, control_plane: clock_at_issue(&answer) };
                return Err(SidecarError::Clock(format!("{what} {complaint}, and {clocks}")));
            }
        }
        let left = own.first().and_then(|own| u64::try_from(own.ends_at.duration_since(now).as_secs()).ok());
        Ok(Identity {
            url: url.to_owned(),
            root_pem: root_pem.to_owned(),
            proxy_id: answer.proxy_id,
            key_pem: self.key_pem,
            certificate_pem: answer.certificate_pem,
            bundle_pem: answer.bundle_pem,
            issued_at: now.as_second(),
            lifetime_seconds: left.map_or(answer.lifetime_seconds, |left| left.min(answer.lifetime_seconds)),
        })
    }
}

/// What the clock of the control plane said when it issued a certificate.
fn clock_at_issue(answer: &IdentityResponse) -> Option<Timestamp> {
    let lifetime = i64::try_from(answer.lifetime_seconds).ok()?;
    let ends_at: Timestamp = answer.expires_at.parse().ok()?;
    ends_at.checked_sub(SignedDuration::from_secs(lifetime)).ok()
}

fn failed(error: rcgen::Error) -> SidecarError {
    SidecarError::Identity(error.to_string())
}

impl Identity {
    /// How long the certificate is still valid; zero when it has ended.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let age = u64::try_from(now.as_second().saturating_sub(self.issued_at)).unwrap_or(0);
        Duration::from_secs(self.lifetime_seconds.saturating_sub(age))
    }

    /// When the certificate is valid; `None` if it cannot be read.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        Validity::of_pem(&self.certificate_pem).into_iter().next()
    }

    /// Why nobody takes the certificate at a moment; `None` if they do.
    #[must_use]
    pub fn complaint(&self, now: Timestamp) -> Option<String> {
        self.validity()?.complaint(now)
    }

    /// The secrets as Envoy gets them, with the list of revoked identities if there is one.
    #[must_use]
    pub fn secrets(&self, revoked_pem: Option<&str>) -> Vec<Arc<Resource>> {
        let identity = secret::identity(&self.certificate_pem, &self.key_pem);
        vec![Arc::new(identity), Arc::new(secret::trust(&self.bundle_pem, revoked_pem))]
    }
}

impl fmt::Debug for Identity {
    /// The key is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("proxy_id", &self.proxy_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    fn identity() -> Identity {
        let answer = IdentityResponse {
            proxy_id: "shop/orders/a".into(),
            spiffe_id: "spiffe://mesh/ns/shop/sa/orders".into(),
            certificate_pem: "CHAIN".into(),
            bundle_pem: "ROOTS".into(),
            trust_domain: "mesh".into(),
            lifetime_seconds: 3600,
            expires_at: String::new(),
        };
        let now = Timestamp::from_second(1000).unwrap();
        Request::new().unwrap().grant("https://c", "ROOT", answer, now).unwrap()
    }

    #[test]
    fn each_request_has_a_key_of_its_own() {
        let requests = [Request::new().unwrap(), Request::new().unwrap()];
        let [a, b] = &requests;
        assert_ne!(a.key_pem, b.key_pem);
        let present = Identity { key_pem: a.key_pem.clone(), ..identity() };
        assert_eq!(Request::again(&present).unwrap().key_pem, a.key_pem, "a renewal keeps the key");
        assert!(a.csr_pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{}", a.csr_pem);
    }

    #[test]
    fn the_rest_of_the_life_never_underflows() {
        let identity = identity();
        let remaining = |second| identity.remaining(Timestamp::from_second(second).unwrap()).as_secs();
        assert_eq!(remaining(1000), 3600);
        assert_eq!(remaining(4599), 1);
        assert_eq!(remaining(9999), 0);
        assert_eq!(remaining(0), 3600, "a clock that was set back");
    }

    #[test]
    fn the_key_is_in_the_secret_and_in_no_log() {
        let identity = identity();
        let [secret, trust] = <[_; 2]>::try_from(identity.secrets(None)).unwrap();
        assert_eq!((secret.name.as_str(), trust.name.as_str()), ("identity", "trust"));
        let contains = |body: &[u8], text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(contains(&secret.body, &identity.key_pem) && !contains(&trust.body, "PRIVATE"));
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}
