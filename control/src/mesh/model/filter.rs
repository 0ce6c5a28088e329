//! Filters that people pushed: which module a name and version stand for, and what is known of it.
//!
//! The bytes are not here: the store keeps them by their digest ([`Store::blob`](crate::mesh::store::Store::blob)), those
//! that were pushed and those that sidecars get, which are the same with bounds. A version never gets other bytes, not
//! even after it was deleted: what is left of it then is a [`RetiredFilter`].

use crate::mesh::model::hex;
use chancery_sdk_admission::Capability;
use jiff::Timestamp;
use semver::Version;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The longest name of a filter, in bytes.
pub const FILTER_NAME_BYTES_MAX: usize = 63;
/// The longest version of a filter, in bytes.
pub const FILTER_VERSION_BYTES_MAX: usize = 64;
/// Versions of filters, all names together.
pub const FILTER_VERSIONS_MAX: usize = 2_000;
/// Bytes of all modules that are kept, each once.
pub const FILTER_BYTES_MAX: u64 = 512 << 20;
/// Deleted versions that are remembered; the one that was deleted first is forgotten first.
pub const RETIRED_FILTERS_MAX: usize = 10_000;

/// The name of a filter: letters of the lower case, digits and `-`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterName(String);

/// A version of a filter by semantic versioning, without build metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterVersion(Version);

/// Which filter, and which version of it. Written `name@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId {
    /// The name.
    pub name: FilterName,
    /// The version.
    pub version: FilterVersion,
}

/// The SHA-256 of a module's bytes: what a module is known by everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterDigest([u8; 32]);

/// A version of a filter that was pushed and admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterRecord {
    /// Name and version.
    pub id: FilterId,
    /// Of the bytes that were pushed.
    pub digest: FilterDigest,
    /// Of the bytes that sidecars get.
    pub module: FilterDigest,
    /// How many bytes were pushed.
    pub bytes: u64,
    /// How many bytes sidecars get.
    pub module_bytes: u64,
    /// What the module could make use of.
    pub uses: BTreeSet<Capability>,
    /// What it may do at the most, whatever a policy says; `None` if that was left to policies.
    pub may: Option<BTreeSet<Capability>>,
    /// Host calls and callbacks that it can have under `may`, for Envoy's capability restriction. Never empty.
    pub allowed: BTreeSet<String>,
    /// The Envoy that loaded it, such as `1.40.0`; `None` if it was not tried in one.
    pub envoy: Option<String>,
    /// Who pushed it.
    pub pushed_by: String,
    /// When.
    pub pushed_at: Timestamp,
    /// Where the bytes came from.
    pub source: FilterSource,
    /// The id of the key that signed it, if the control plane verified a signature.
    pub signed_by: Option<String>,
}

/// Where the bytes of a filter came from, in the words of who pushed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterSource {
    /// A file, by its name.
    File(String),
    /// An OCI registry: the reference that was asked for, and the digest of the manifest that answered it.
    Registry {
        /// Such as `ghcr.io/acme/pii-guard:1.2.0`.
        reference: String,
        /// Such as `sha256:…`.
        manifest: String,
    },
}

/// What is remembered of a version that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredFilter {
    /// Of the bytes that were pushed: no others may be pushed under this version.
    pub digest: FilterDigest,
    /// Who pushed it.
    pub pushed_by: String,
    /// When.
    pub pushed_at: Timestamp,
    /// Who deleted it.
    pub deleted_by: String,
    /// When.
    pub deleted_at: Timestamp,
}

/// Why words are not a name, a version or a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterWordsError {
    /// Not a name.
    #[error(
        "`{}` cannot be the name of a filter: write 1 to {FILTER_NAME_BYTES_MAX} lower-case letters, digits and `-`, \
         beginning with a letter and not ending with `-`", .0.escape_debug()
    )]
    Name(String),
    /// Not a version.
    #[error("`{}` cannot be the version of a filter: {detail}; write one such as `1.2.0` or `2.0.0-rc.1`", .words.escape_debug())]
    Version {
        /// What was written.
        words: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Not a name and a version.
    #[error("`{}` does not say which filter: write `NAME@VERSION`", .0.escape_debug())]
    Id(String),
    /// Not a digest.
    #[error("`{}` is not a SHA-256 digest: write 64 hexadecimal digits", .0.escape_debug())]
    Digest(String),
}

impl FilterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FilterVersion {
    /// The version with its parts.
    #[must_use]
    pub fn parts(&self) -> &Version {
        &self.0
    }
}

impl FilterDigest {
    /// The digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FilterRecord {
    /// What is cut off from it: what it could make use of and may not.
    #[must_use]
    pub fn withheld(&self) -> BTreeSet<Capability> {
        self.uses.iter().copied().filter(|of| !of.is_allowed(self.may.as_ref())).collect()
    }
}

impl FromStr for FilterName {
    type Err = FilterWordsError;

    fn from_str(words: &str) -> Result<Self, FilterWordsError> {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = words.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        let is_name = begins
            && words.len() <= FILTER_NAME_BYTES_MAX
            && words.bytes().all(is_fit)
            && !words.ends_with('-');
        if is_name { Ok(Self(words.to_owned())) } else { Err(FilterWordsError::Name(words.to_owned())) }
    }
}

impl FromStr for FilterVersion {
    type Err = FilterWordsError;

    fn from_str(words: &str) -> Result<Self, FilterWordsError> {
        let wrong = |detail: String| FilterWordsError::Version { words: words.to_owned(), detail };
        if words.len() > FILTER_VERSION_BYTES_MAX {
            return Err(wrong(format!("it has more than {FILTER_VERSION_BYTES_MAX} bytes")));
        }
        let version = Version::parse(words).map_err(|error| wrong(error.to_string()))?;
        if version.build.is_empty() {
            Ok(Self(version))
        } else {
            // Two of them would be equal in precedence and yet not the same.
            Err(wrong("it has build metadata, which does not tell versions apart".to_owned()))
        }
    }
}

impl FromStr for FilterId {
    type Err = FilterWordsError;

    fn from_str(words: &str) -> Result<Self, FilterWordsError> {
        let (name, version) = words.split_once('@').ok_or_else(|| FilterWordsError::Id(words.to_owned()))?;
        Ok(Self { name: name.parse()?, version: version.parse()? })
    }
}

impl FromStr for FilterDigest {
    type Err = FilterWordsError;

    fn from_str(words: &str) -> Result<Self, FilterWordsError> {
        let wrong = || FilterWordsError::Digest(words.to_owned());
        let digits: &[u8; 64] = words.as_bytes().try_into().map_err(|_| wrong())?;
        let (pairs, _) = digits.as_chunks::<2>();
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            let value = high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
            *byte = u8::try_from(value).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for FilterName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for FilterVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for FilterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.version)
    }
}

impl fmt::Display for FilterDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn names_versions_and_digests_are_read_or_refused_with_what_to_write() {
        for words in ["a", "pii-guard", "x9", "a--b"] {
            assert_eq!(words.parse::<FilterName>().unwrap().as_str(), words);
        }
        let long = "a".repeat(FILTER_NAME_BYTES_MAX + 1);
        for words in ["", "-a", "a-", "9a", "A", "a_b", "a/b", "ä", "a@1", "a\n", &long] {
            assert!(words.parse::<FilterName>().unwrap_err().to_string().contains("lower-case"), "{words}");
        }
        for words in ["1.2.0", "2.0.0-rc.1"] {
            assert_eq!(words.parse::<FilterVersion>().unwrap().to_string(), words);
        }
        for words in ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3+b", "1.2.3 ", "1.2.3-\n"] {
            assert!(words.parse::<FilterVersion>().unwrap_err().to_string().contains("1.2.0"), "{words}");
        }
        let id: FilterId = "pii-guard@1.2.0".parse().unwrap();
        assert_eq!(id.to_string(), "pii-guard@1.2.0");
        assert!("pii-guard".parse::<FilterId>().is_err());
        let digest = FilterDigest::of(b"abc");
        assert_eq!(digest.to_string().parse::<FilterDigest>().unwrap(), digest);
        assert!(digest.to_string().starts_with("ba7816bf"));
        for words in ["", "ba78", &"g".repeat(64), &"é".repeat(32)] {
            assert!(words.parse::<FilterDigest>().is_err(), "{words}");
        }
    }

    #[test]
    fn versions_come_in_the_order_of_precedence() {
        let mut versions: Vec<FilterVersion> =
            ["1.10.0", "1.2.0", "1.2.0-rc.2", "1.2.0-rc.10"].map(|words| words.parse().unwrap()).into();
        versions.sort();
        let words: Vec<_> = versions.iter().map(FilterVersion::to_string).collect();
        assert_eq!(words, ["1.2.0-rc.2", "1.2.0-rc.10", "1.2.0", "1.10.0"]);
    }
}
