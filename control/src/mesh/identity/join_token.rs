//! Join tokens: what a new sidecar needs to know and to show, in one string.
//!
//! `chancery-join-1.PAYLOAD.SIGNATURE`, both parts in URL-safe base64. The payload is JSON that the
//! sidecar reads (where the control plane is, its root certificate, for which service); the
//! signature is an HMAC that only the control plane can make and check.

use super::spiffe::{is_trust_domain, parse_service};
use super::{TokenError, Vault};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_policy_lang::checked::ServiceRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What every join token begins with.
const PREFIX: &str = "chancery-join-1.";
/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a join token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// By which it is listed and revoked.
    pub id: String,
    /// The one service that may join with it.
    pub service: ServiceRef,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Where the control plane is: `https://host:port`.
    pub url: String,
    /// The root certificate, PEM.
    pub root_pem: String,
    /// The SPIFFE trust domain.
    pub trust_domain: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    id: String,
    service: String,
    expires: i64,
    url: String,
    root: String,
    trust_domain: String,
}

impl JoinToken {
    /// The token as a string, signed.
    ///
    /// # Errors
    /// Never with values of these types; JSON leaves it open.
    pub fn sign(&self, vault: &Vault) -> Result<String, TokenError> {
        let payload = Payload {
            id: self.id.clone(),
            service: format!("{}/{}", self.service.namespace, self.service.name),
            expires: self.expires_at.as_second(),
            url: self.url.clone(),
            root: self.root_pem.clone(),
            trust_domain: self.trust_domain.clone(),
        };
        let json = serde_json::to_vec(&payload).map_err(|_| TokenError::Malformed)?;
        let signed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        let signature = URL_SAFE_NO_PAD.encode(vault.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }

    /// Reads a token without checking its signature, as a sidecar does, which has to trust where
    /// its token came from. White space around it does not matter.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        Self::parse_parts(text).map(|(token, _, _)| token).ok_or(TokenError::Malformed)
    }

    /// Reads a token and checks that this control plane made it and that it has not ended.
    ///
    /// # Errors
    /// One for each way to be wrong: malformed, of a foreign mesh, not signed by this control plane, expired.
    pub fn verify(text: &str, vault: &Vault, root_pem: &str, now: Timestamp) -> Result<Self, TokenError> {
        let (token, signed, signature) = Self::parse_parts(text).ok_or(TokenError::Malformed)?;
        if token.root_pem != root_pem {
            return Err(TokenError::ForeignMesh { url: token.url });
        }
        if !vault.verify(signed.as_bytes(), &signature) {
            return Err(TokenError::WrongSignature);
        }
        if token.expires_at <= now {
            return Err(TokenError::Expired { at: token.expires_at, now });
        }
        Ok(token)
    }

    fn parse_parts(text: &str) -> Option<(Self, &str, Vec<u8>)> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(signed.strip_prefix(PREFIX)?).ok()?;
        let payload: Payload = serde_json::from_slice(&payload).ok()?;
        let token = Self {
            id: payload.id,
            service: parse_service(&payload.service).ok()?,
            expires_at: Timestamp::from_second(payload.expires).ok()?,
            url: payload.url,
            root_pem: payload.root,
            trust_domain: Some(payload.trust_domain).filter(|domain| is_trust_domain(domain))?,
        };
        Some((token, signed, URL_SAFE_NO_PAD.decode(signature).ok()?))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn vault(seed: u8) -> Vault {
        Vault::from_key(&[seed; 32]).unwrap()
    }

    fn token() -> JoinToken {
        JoinToken {
            id: "a1b2".to_owned(),
            service: parse_service("shop/orders").unwrap(),
            expires_at: Timestamp::from_second(1_000).unwrap(),
            url: "https://localhost:5680".to_owned(),
            root_pem: "ROOT".to_owned(),
            trust_domain: "chancery.local".to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_reads_back_for_the_sidecar_and_for_the_control_plane() {
        let text = token().sign(&vault(1)).unwrap();
        assert_eq!(JoinToken::parse(&format!(" {text}\n")).unwrap(), token());
        assert_eq!(JoinToken::verify(&text, &vault(1), "ROOT", at(999)).unwrap(), token());
    }

    #[test]
    fn each_way_to_be_wrong_has_its_own_refusal() {
        let text = token().sign(&vault(1)).unwrap();
        let verify = |text: &str, root: &str, second| {
            JoinToken::verify(text, &vault(1), root, at(second)).unwrap_err()
        };
        assert!(matches!(verify(&text, "ROOT", 1_000), TokenError::Expired { .. }));
        assert!(matches!(verify(&text, "OTHER", 0), TokenError::ForeignMesh { .. }));
        let forged = token().sign(&vault(2)).unwrap();
        assert!(matches!(verify(&forged, "ROOT", 0), TokenError::WrongSignature));
        for odd in
            ["", "x", "chancery-join-1.", "chancery-join-1.e30.e30", "chancery-join-2.e30.e30", "é.é.é"]
        {
            assert!(matches!(verify(odd, "ROOT", 0), TokenError::Malformed), "{odd}");
        }
    }

    #[test]
    fn a_token_with_any_changed_character_is_refused() {
        let text = token().sign(&vault(1)).unwrap();
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            let byte = bytes.get_mut(position).unwrap();
            *byte = if *byte == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let verified = JoinToken::verify(&changed, &vault(1), "ROOT", at(0));
            assert!(verified.is_err(), "character {position}");
        }
    }

    #[test]
    fn a_token_for_another_service_cannot_be_made_from_one() {
        let text = token().sign(&vault(1)).unwrap();
        let other = JoinToken { service: parse_service("shop/cart").unwrap(), ..token() };
        let (payload, _) = other
            .sign(&vault(2))
            .unwrap()
            .rsplit_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let (_, signature) = text.rsplit_once('.').unwrap();
        let mixed = format!("{payload}.{signature}");
        assert!(matches!(
            JoinToken::verify(&mixed, &vault(1), "ROOT", at(0)),
            Err(TokenError::WrongSignature)
        ));
    }
}
