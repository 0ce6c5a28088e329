//! Signatures of filters: Ed25519 over the name, the version and the digest of a module, and the keys that are trusted.
//!
//! What is signed is a text of four lines, which names what it is for, so that a signature is good for nothing else, and
//! which any tool can make and verify:
//!
//! ```text
//! chancery filter signature v1
//! name: pii-guard
//! version: 1.2.0
//! sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! Keys are PEM files as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.

use crate::mesh::model::FilterId;
use crate::mesh::model::filter::FilterDigest;
use crate::mesh::model::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of a file with a key.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Keys that are trusted.
const KEYS_MAX: usize = 100;
/// The name that files with keys end with, in a folder.
const KEY_FILE_EXTENSION: &str = "pem";
/// How many bytes of the digest of a public key are its id.
const KEY_ID_BYTES: usize = 8;
/// What stands before the seed in a private key of RFC 8410.
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What stands before the 32 bytes of a public key of RFC 8410.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Bytes of a private key's seed.
const SEED_BYTES: usize = 32;

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

/// A key that was made: both halves as PEM.
pub struct NewKey {
    /// For whoever signs; a secret.
    pub private_pem: String,
    /// For whoever verifies.
    pub public_pem: String,
    /// The id of the key.
    pub id: String,
}

/// The keys whose signatures are good, by id, each with a name for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys(BTreeMap<String, TrustedKey>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct TrustedKey {
    name: String,
    public: [u8; ED25519_PUBLIC_KEY_LEN],
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the key `{}` cannot be read: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no such key.
    #[error("`{}` is not {wanted} in PEM", .path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// Which key was wanted.
        wanted: &'static str,
    },
    /// There is none.
    #[error("there is no public key in `{}`: put files there that end with `.pem`", .0.display())]
    None(PathBuf),
    /// There are too many.
    #[error("there are more than {KEYS_MAX} keys in `{}`", .0.display())]
    TooMany(PathBuf),
    /// The system gives no random numbers.
    #[error("this system gives no random numbers, so no key can be made")]
    NoRandomness,
}

/// Why a signature is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error(
        "the filter is not signed, and this control plane admits only what is signed by a key that it trusts"
    )]
    Missing,
    /// It is not of the length or the form of one.
    #[error("the signature is not one: {SIGNATURE_BYTES} bytes in base64 are wanted")]
    Malformed,
    /// No key that is trusted made it for this name, this version and these bytes.
    #[error(
        "the signature is good with none of the keys that this control plane trusts, \
         or was made for another name, version or module"
    )]
    NotGood,
}

impl SigningKey {
    /// The private key of a file.
    ///
    /// # Errors
    /// If the file cannot be read or is no Ed25519 key in PKCS #8.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let not_a_key = || KeyError::NotAKey { path: path.to_owned(), wanted: "an Ed25519 private key" };
        let text = read_key_file(path)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| not_a_key())?;
        // OpenSSL writes no public half beside the private one.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        pair.map(Self).map_err(|_| not_a_key())
    }

    /// The signature of a module under a name and version, in base64.
    #[must_use]
    pub fn sign(&self, id: &FilterId, digest: FilterDigest) -> String {
        STANDARD.encode(self.0.sign(message(id, digest).as_bytes()))
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(self.0.public_key().as_ref())
    }
}

impl NewKey {
    /// Makes a key.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn make() -> Result<Self, KeyError> {
        let mut seed = [0; SEED_BYTES];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::NoRandomness)?;
        let public = pair.public_key().as_ref();
        Ok(Self {
            private_pem: pem("PRIVATE KEY", &[&PRIVATE_PREFIX[..], &seed].concat()),
            public_pem: pem("PUBLIC KEY", &[&PUBLIC_PREFIX[..], public].concat()),
            id: key_id(public),
        })
    }
}

impl TrustedKeys {
    /// The public key of a file, or those of all files of a folder that end with `.pem`; each is called as its file is.
    ///
    /// # Errors
    /// If there is no key, or one cannot be used.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        if !path.is_dir() {
            return Self::of_files(path, &[path.to_owned()]);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|extension| extension == KEY_FILE_EXTENSION) {
                files.push(file);
            }
        }
        files.sort();
        Self::of_files(path, &files)
    }

    fn of_files(path: &Path, files: &[PathBuf]) -> Result<Self, KeyError> {
        if files.len() > KEYS_MAX {
            return Err(KeyError::TooMany(path.to_owned()));
        }
        let mut keys = BTreeMap::new();
        for file in files {
            let public = read_public(file)?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            keys.insert(key_id(&public), TrustedKey { name, public });
        }
        if keys.is_empty() { Err(KeyError::None(path.to_owned())) } else { Ok(Self(keys)) }
    }

    /// Verifies the signature of a module under a name and version; gives the name and the id of the key.
    ///
    /// # Errors
    /// If there is none, or it is not good.
    pub fn verify(
        &self,
        id: &FilterId,
        digest: FilterDigest,
        signature: Option<&str>,
    ) -> Result<String, SignatureError> {
        let signature = signature.ok_or(SignatureError::Missing)?;
        let signature = STANDARD.decode(signature.trim()).map_err(|_| SignatureError::Malformed)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(SignatureError::Malformed);
        }
        let message = message(id, digest);
        let is_good = |key: &&TrustedKey| {
            UnparsedPublicKey::new(&ED25519, key.public).verify(message.as_bytes(), &signature).is_ok()
        };
        let found = self.0.iter().find(|(_, key)| is_good(key));
        found.map(|(id, key)| format!("{} ({id})", key.name)).ok_or(SignatureError::NotGood)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is signed. Neither a name nor a version has a line end in it.
fn message(id: &FilterId, digest: FilterDigest) -> String {
    let FilterId { name, version } = id;
    format!("chancery filter signature v1\nname: {name}\nversion: {version}\nsha256: {digest}\n")
}

fn key_id(public: &[u8]) -> String {
    let digest = Sha256::digest(public);
    hex(digest.get(..KEY_ID_BYTES).unwrap_or_default())
}

fn read_public(path: &Path) -> Result<[u8; ED25519_PUBLIC_KEY_LEN], KeyError> {
    let not_a_key = || KeyError::NotAKey { path: path.to_owned(), wanted: "an Ed25519 public key" };
    let text = read_key_file(path)?;
    let der = SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|_| not_a_key())?;
    let public = der.as_ref().strip_prefix(&PUBLIC_PREFIX).ok_or_else(not_a_key)?;
    public.try_into().map_err(|_| not_a_key())
}

fn read_key_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    /// As `openssl genpkey -algorithm ed25519` wrote them, with the signature of [`message`] by `openssl pkeyutl -sign
    /// -rawin`.
    const OPENSSL_PRIVATE: &str = include_str!("signature/private.pem");
    const OPENSSL_PUBLIC: &str = include_str!("signature/public.pem");
    const OPENSSL_SIGNATURE: &str = include_str!("signature/signature.txt");

    fn id(words: &str) -> FilterId {
        words.parse().unwrap()
    }

    #[test]
    fn keys_and_signatures_are_those_of_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("key"), folder.path().join("release.pem"));
        fs::write(&private, OPENSSL_PRIVATE).unwrap();
        fs::write(&public, OPENSSL_PUBLIC).unwrap();
        let (filter, digest) = (id("pii-guard@1.2.0"), FilterDigest::of(b"abc"));
        let key = SigningKey::read(&private).unwrap();
        assert_eq!(key.sign(&filter, digest), OPENSSL_SIGNATURE.trim());
        let trusted = TrustedKeys::read(folder.path()).unwrap();
        let by = trusted.verify(&filter, digest, Some(OPENSSL_SIGNATURE)).unwrap();
        assert_eq!(by, format!("release ({})", key.id()));
    }

    #[test]
    fn a_signature_is_good_for_one_name_one_version_and_one_module() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, theirs) = (NewKey::make().unwrap(), NewKey::make().unwrap());
        assert_ne!(mine.id, theirs.id);
        let private = folder.path().join("private");
        fs::write(&private, &mine.private_pem).unwrap();
        fs::write(folder.path().join("mine.pem"), &mine.public_pem).unwrap();
        let key = SigningKey::read(&private).unwrap();
        assert_eq!(key.id(), mine.id);
        let trusted = TrustedKeys::read(&folder.path().join("mine.pem")).unwrap();
        let (filter, digest) = (id("a@1.0.0"), FilterDigest::of(b"module"));
        let signature = key.sign(&filter, digest);
        let verify = |id: &FilterId, digest, signature| trusted.verify(id, digest, signature);
        assert_eq!(verify(&filter, digest, Some(&signature)), Ok(format!("mine ({})", mine.id)));
        assert_eq!(verify(&filter, digest, None), Err(SignatureError::Missing));
        assert_eq!(verify(&filter, digest, Some("AAAA")), Err(SignatureError::Malformed));
        assert_eq!(verify(&filter, digest, Some("ä")), Err(SignatureError::Malformed));
        for (other, digest) in [
            (id("b@1.0.0"), digest),
            (id("a@1.0.1"), digest),
            (filter.clone(), FilterDigest::of(b"other module")),
        ] {
            assert_eq!(verify(&other, digest, Some(&signature)), Err(SignatureError::NotGood), "{other}");
        }
        fs::write(folder.path().join("mine.pem"), &theirs.public_pem).unwrap();
        let others = TrustedKeys::read(folder.path()).unwrap();
        assert_eq!(others.verify(&filter, digest, Some(&signature)), Err(SignatureError::NotGood));
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let words = |result: Result<TrustedKeys, KeyError>| result.unwrap_err().to_string();
        assert!(words(TrustedKeys::read(folder.path())).contains("there is no public key"));
        assert!(words(TrustedKeys::read(&folder.path().join("absent.pem"))).contains("absent.pem"));
        let file = folder.path().join("a.pem");
        for text in ["", "hello", OPENSSL_PRIVATE, &"-".repeat(100_000)] {
            fs::write(&file, text).unwrap();
            assert!(words(TrustedKeys::read(&file)).contains("is not an Ed25519 public key"), "{text}");
        }
        fs::write(&file, OPENSSL_PUBLIC).unwrap();
        assert!(SigningKey::read(&file).is_err());
    }
}
