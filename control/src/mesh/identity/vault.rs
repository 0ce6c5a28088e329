//! Encryption at rest: seals what the store keeps secret with a key that is not in the store.
//!
//! The key file holds 32 random bytes in hex, readable by its owner alone. From it come, by HKDF,
//! one key to seal with (AES-256-GCM; the item's name is authenticated with it, so that sealed
//! values cannot be swapped), one to sign join tokens with, and one to hash values in logs with. Without the key file a copy of the
//! store gives away no secret; without the store the key file opens nothing.

use super::IdentityError;
use chancery_policy_lang::log::{LOG_KEY_BYTES, LogKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The key file has this many random bytes, written as twice as many hex digits.
const KEY_BYTES: usize = 32;
/// More than this is not a key file.
const KEY_FILE_BYTES_MAX: u64 = 1024;
/// First byte of everything sealed: the way it was sealed.
const SEALED_V1: u8 = 1;

/// Seals and opens secrets, and signs.
pub struct Vault {
    sealing: LessSafeKey,
    signing: hmac::Key,
    hashing: LogKey,
    random: SystemRandom,
}

impl Vault {
    /// Reads the key file, or makes one if `may_create` (there is nothing sealed yet).
    ///
    /// # Errors
    /// If it is not there and may not be made, if others can read it, if it is not a key file, or
    /// if the disk fails.
    pub fn open(path: &Path, may_create: bool) -> Result<Self, IdentityError> {
        let wrong = |detail: String| IdentityError::KeyFile { path: path.to_owned(), detail };
        let key = match read_key_file(path) {
            Ok(text) => parse_key(&text).ok_or_else(|| wrong("it is not a key file".to_owned()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_create => {
                create_key_file(path).map_err(|error| wrong(error.to_string()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(wrong(
                    "it is missing, but the data directory has secrets sealed with it; \
                     restore it from a backup"
                        .to_owned(),
                ));
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        Self::from_key(&key)
    }

    /// A vault with this key.
    ///
    /// # Errors
    /// Never with keys of this length; the cryptography library leaves it open.
    pub fn from_key(key: &[u8; KEY_BYTES]) -> Result<Self, IdentityError> {
        let sealing = UnboundKey::new(&AES_256_GCM, &derive(key, b"chancery seal v1")?)?;
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &derive(key, b"chancery join token v1")?);
        let mut hashing = LogKey([0; LOG_KEY_BYTES]);
        hashing.0.iter_mut().zip(derive(key, b"chancery log hash v1")?).for_each(|(to, from)| *to = from);
        let sealing = LessSafeKey::new(sealing);
        Ok(Self { sealing, signing, hashing, random: SystemRandom::new() })
    }

    /// The key under which values are hashed in the logs of the mesh. Sidecars know it.
    #[must_use]
    pub fn log_key(&self) -> LogKey {
        self.hashing
    }

    /// Seals a value that is stored under this name.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn seal(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let nonce: [u8; NONCE_LEN] = self.random_bytes()?;
        let mut body = value.to_vec();
        let aad = Aad::from(name.as_bytes());
        self.sealing.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)?;
        let mut sealed = vec![SEALED_V1];
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`Vault::seal`] made for the same name; `None` if the key is another, or a byte of
    /// it was changed.
    #[must_use]
    pub fn unseal(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&SEALED_V1, rest) = sealed.split_first()? else { return None };
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let open = self.sealing.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).ok()?;
        Some(open.to_vec())
    }

    /// A signature (HMAC-SHA256) that only this key can make.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.signing, message).as_ref().to_vec()
    }

    /// Whether [`Vault::sign`] made this signature. Takes the same time for every wrong one.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.signing, message, signature).is_ok()
    }

    /// Random bytes of the system.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn random_bytes<const N: usize>(&self) -> Result<[u8; N], IdentityError> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes)?;
        Ok(bytes)
    }
}

fn derive(key: &[u8; KEY_BYTES], label: &[u8]) -> Result<[u8; KEY_BYTES], IdentityError> {
    let mut derived = [0; KEY_BYTES];
    let label = [label];
    let expanded = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(key);
    expanded.expand(&label, hkdf::HKDF_SHA256)?.fill(&mut derived)?;
    Ok(derived)
}

fn read_key_file(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "others can read it (mode {mode:03o}); run `chmod 600 {}`",
            path.display()
        )));
    }
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn parse_key(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = text.trim_end().as_bytes();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(key)
}

/// Writes the key beside its place and moves it there, so that half a key file is never seen.
fn create_key_file(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    write_secret(path, format!("{}\n", crate::mesh::model::hex(&key)).as_bytes())?;
    Ok(key)
}

/// Writes a file that only its owner can read, whole or not at all, and flushes it to disk.
///
/// # Errors
/// Whatever the disk gives.
pub fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_name_only() {
        let vault = Vault::from_key(&[1; KEY_BYTES]).unwrap();
        let sealed = vault.seal("authority", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(vault.unseal("authority", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(vault.unseal("another", &sealed), None);
        assert_eq!(Vault::from_key(&[2; KEY_BYTES]).unwrap().unseal("authority", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            *changed.get_mut(at).unwrap() ^= 1;
            assert_eq!(vault.unseal("authority", &changed), None, "byte {at}");
        }
        assert_eq!(vault.unseal("authority", &[]), None);
    }

    #[test]
    fn the_key_file_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let sealed = Vault::open(&path, true).unwrap().seal("a", b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Vault::open(&path, false).unwrap().unseal("a", &sealed).as_deref(), Some(&b"x"[..]));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Vault::open(&path, false).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_missing_or_wrong_key_file_is_a_clear_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let error = Vault::open(&path, false).err().unwrap().to_string();
        assert!(error.contains("restore it from a backup"), "{error}");
        assert!(!path.exists());
        for text in ["", "00", &"zz".repeat(KEY_BYTES), &"é".repeat(KEY_BYTES), &"0".repeat(5000)] {
            write_secret(&path, text.as_bytes()).unwrap();
            let error = Vault::open(&path, true).err().unwrap().to_string();
            assert!(error.contains("not a key file"), "{error}");
        }
    }
}
