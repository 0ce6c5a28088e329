//! Digests: `sha256:` and 64 digits.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// What stands before the digits.
const SHA256: &str = "sha256:";

/// The SHA-256 of bytes, by which registries name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Words that are no digest of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not `sha256:` and 64 hexadecimal digits of the lower case")]
pub struct NoDigest;

impl Digest {
    /// The digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(words: &str) -> Result<Self, NoDigest> {
        let digits = words.strip_prefix(SHA256).ok_or(NoDigest)?;
        let digits: &[u8; 64] = digits.as_bytes().try_into().map_err(|_| NoDigest)?;
        let (pairs, _) = digits.as_chunks::<2>();
        let mut digest = [0; 32];
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = value(*high)? << 4 | value(*low)?;
        }
        Ok(Self(digest))
    }
}

fn value(digit: u8) -> Result<u8, NoDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NoDigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SHA256)?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_and_written_again() {
        let digest = Digest::of(b"abc");
        assert!(digest.to_string().starts_with("sha256:ba7816bf"));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let digits = digest.to_string().split_off(SHA256.len());
        for words in ["", "sha256:", &digits, &format!("sha512:{digits}"), &digest.to_string().to_uppercase()]
        {
            assert_eq!(words.parse::<Digest>(), Err(NoDigest), "{words}");
        }
    }
}
