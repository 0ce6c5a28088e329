//! Why a module cannot be had from a registry, each with the remedy.

use chancery_oci::ReferenceError;

/// Why a module cannot be had from a registry.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The reference is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry does not answer.
    #[error("the registry {host} cannot be reached: {detail}")]
    Unreachable {
        /// Which.
        host: String,
        /// What the network said.
        detail: String,
    },
    /// The registry wants to know who asks, or does not let them.
    #[error("the registry {host} does not give {what} to whoever asks: it answered {status}")]
    Denied {
        /// Which.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// It is not there.
    #[error("the registry {host} has no {what}")]
    NotThere {
        /// Which.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The registry answers something that cannot be.
    #[error("the answer of the registry {host} for {what} cannot be used: {detail}")]
    Odd {
        /// Which.
        host: String,
        /// What was asked for.
        what: String,
        /// What is odd.
        detail: String,
    },
    /// There is no module in what was found.
    #[error("{what} is not a filter: {detail}")]
    NoModule {
        /// What was asked for.
        what: String,
        /// What is in it.
        detail: String,
    },
    /// The file with what registries are shown cannot be read.
    #[error("the file `{path}` does not say what a registry is shown: {detail}")]
    Credentials {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl OciError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Reference(_) => {
                "write `oci://HOST/NAME:TAG` or `oci://HOST/NAME@sha256:DIGEST`, such as `oci://ghcr.io/acme/pii-guard:1.2.0`"
            }
            Self::Unreachable { .. } => "is the name right, and is the network there? try it again",
            Self::Denied { .. } => {
                "name a file with what the registry is shown: `--registry-auth FILE`, as `docker login` writes it; \
                 a name that is not there may be denied, too"
            }
            Self::NotThere { .. } => "look up the name and the tag in the registry",
            Self::Odd { .. } => "is this a registry, and not a page or a proxy before one? try it again",
            Self::NoModule { .. } => {
                "push the module as an OCI artifact, or as an image with one layer that has `plugin.wasm` in it"
            }
            Self::Credentials { .. } => {
                "write it as `docker login` does: {\"auths\": {\"HOST\": {\"auth\": \"BASE64\"}}}"
            }
        }
    }
}
