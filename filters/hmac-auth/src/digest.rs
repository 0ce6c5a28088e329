//! Digests of bodies in `content-digest` (RFC 9530).

use crate::fields::{self, Bare, Value};
use sha2::{Digest, Sha256, Sha512};

/// What a body must hash to, as the header says.
#[derive(Debug, Default)]
pub(crate) struct ContentDigest {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl ContentDigest {
    /// Reads the header; digests of other algorithms are passed over.
    pub(crate) fn read(text: &str) -> Result<Self, fields::Malformed> {
        let mut digest = Self::default();
        for member in fields::dictionary(text)? {
            let Value::Bare(Bare::Bytes(bytes)) = member.value else { return Err(fields::Malformed) };
            match member.key {
                "sha-256" => digest.sha256 = Some(bytes),
                "sha-512" => digest.sha512 = Some(bytes),
                _ => {}
            }
        }
        Ok(digest)
    }

    /// Whether this is the body: each digest that is known must be right, and one must be known.
    pub(crate) fn is_of(&self, body: &[u8]) -> bool {
        let by_256 = self.sha256.as_ref().map(|expected| Sha256::digest(body).as_slice() == expected);
        let by_512 = self.sha512.as_ref().map(|expected| Sha512::digest(body).as_slice() == expected);
        by_256.or(by_512).is_some() && by_256.unwrap_or(true) && by_512.unwrap_or(true)
    }
}
