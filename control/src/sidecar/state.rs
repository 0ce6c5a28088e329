//! The sidecar's data directory: what must outlive it. Only its owner may look into it, for the
//! private key is there and the sockets of Envoy are.
//!
//! ```text
//! DIR/identity.json      key, certificate, roots, and the control plane they are from
//! DIR/last-good.json     the configuration that Envoy last took
//! DIR/bootstrap.json     what Envoy is started with
//! DIR/logs/              files that lines of logs are sent to, unless another folder is named
//! DIR/run/{ads,admin}.sock
//! ```
//!
//! A file is replaced by a rename after it is on the disk, so that it is always whole.

use super::errors::SidecarError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest path of a Unix socket that the kernel takes.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The largest file that is read back; a configuration is far smaller.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The file with the key and the certificate in a data directory.
#[must_use]
pub fn identity_file(data_dir: &Path) -> PathBuf {
    data_dir.join("identity.json")
}

/// An open data directory. No other sidecar can open it meanwhile.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Opens the directory, and makes it first if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, another sidecar has it, or its path is too long for sockets.
    pub fn open(path: &Path) -> Result<Self, SidecarError> {
        let failed = |source| SidecarError::DataDirectory { path: path.to_owned(), source };
        let path = std::path::absolute(path).map_err(failed)?;
        let failed = |source| SidecarError::DataDirectory { path: path.clone(), source };
        let run = path.join("run");
        DirBuilder::new().recursive(true).mode(0o700).create(&run).map_err(failed)?;
        for directory in [&path, &run] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let lock = private().truncate(false).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SidecarError::DataDirectoryInUse(path)),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let state = Self { path, _lock: lock };
        let socket = state.admin_socket();
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(SidecarError::SocketPathTooLong { socket, bytes_max: SOCKET_PATH_BYTES_MAX });
        }
        Ok(state)
    }

    /// The socket on which Envoy asks the sidecar.
    #[must_use]
    pub fn ads_socket(&self) -> PathBuf {
        self.path.join("run/ads.sock")
    }

    /// The socket of Envoy's administration.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.path.join("run/admin.sock")
    }

    /// The file that Envoy is started with.
    #[must_use]
    pub fn bootstrap(&self) -> PathBuf {
        self.path.join("bootstrap.json")
    }

    /// The file with the key and the certificate.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        identity_file(&self.path)
    }

    /// The folder of files that lines of logs are sent to.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The file with the last good configuration.
    #[must_use]
    pub fn last_good(&self) -> PathBuf {
        self.path.join("last-good.json")
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// When the directory cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = private().truncate(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes a value as JSON, as [`write()`] does.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write(path, &serde_json::to_vec_pretty(value)?)
}

/// Reads a value back; `None` if there is no file.
///
/// # Errors
/// When it cannot be read, or is not what [`write_json`] wrote.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let reader = io::BufReader::new(io::Read::take(file, FILE_BYTES_MAX));
    Ok(Some(serde_json::from_reader(reader)?))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn nobody_else_may_look_into_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let state = StateDirectory::open(&path).unwrap();
        write_json(&state.identity(), &"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("run"))), (0o700, 0o700));
        assert_eq!((mode(&state.identity()), mode(&path.join("lock"))), (0o600, 0o600));
        assert_eq!(read_json::<String>(&state.identity()).unwrap().as_deref(), Some("secret"));
        assert_eq!(read_json::<String>(&state.last_good()).unwrap(), None);
    }

    #[test]
    fn two_sidecars_do_not_share_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(root.path()).unwrap();
        assert!(matches!(StateDirectory::open(root.path()), Err(SidecarError::DataDirectoryInUse(_))));
        drop(first);
        StateDirectory::open(root.path()).unwrap();
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_before_anything_runs() {
        let root = tempfile::tempdir().unwrap();
        let error = StateDirectory::open(&root.path().join("x".repeat(100))).unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_panic() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity.json");
        fs::write(&path, b"{\"key").unwrap();
        read_json::<String>(&path).unwrap_err();
    }
}
