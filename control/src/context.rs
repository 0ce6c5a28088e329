//! The context of a command: where the control plane is, its root certificate, and a token.
//!
//! The control plane writes one for its admin; `chancery token --role` prints one for others.

use crate::api::client::{Client, Credentials};
use crate::cli::Global;
use crate::exit::Failure;
use crate::identity::vault::write_secret;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Where the control plane keeps its data unless it is told otherwise.
pub const DATA_DIRECTORY_DEFAULT: &str = ".chancery/control-plane";
/// The admin's context in the data directory.
pub const ADMIN_CONTEXT: &str = "admin.json";
/// More than this is not a context file.
const CONTEXT_BYTES_MAX: u64 = 64 * 1024;

/// The content of a context file. It has a secret in it: mode 0600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// `https://host:port`
    pub url: String,
    /// The root certificate that the control plane's own is verified with, PEM.
    pub ca_pem: String,
    /// A role token.
    pub token: String,
}

impl Context {
    /// The context that a command was given, or the one that a control plane on this machine wrote
    /// to its usual place.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn find(global: &Global) -> Result<Self, Failure> {
        let usual = || Path::new(DATA_DIRECTORY_DEFAULT).join(ADMIN_CONTEXT);
        let path: PathBuf = global.context.clone().unwrap_or_else(usual);
        match Self::read(&path) {
            Ok(context) => Ok(context),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::bad_input(format!("there is no context file at `{}`", path.display())).help(
                    "name the one that the control plane wrote: --context DATA-DIR/admin.json, or CHANCERY_CONTEXT",
                ))
            }
            Err(error) => {
                Err(Failure::bad_input(format!("the context file `{}` cannot be used: {error}", path.display()))
                    .help("the control plane writes a good one to DATA-DIR/admin.json each time it starts"))
            }
        }
    }

    /// Reads a context file.
    ///
    /// # Errors
    /// If it is not there, or not one.
    pub fn read(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.len() > CONTEXT_BYTES_MAX {
            return Err(io::Error::other("it is too large for one"));
        }
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Writes a context file that only its owner can read.
    ///
    /// # Errors
    /// Whatever the disk gives.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_secret(path, &text)
    }

    /// A client that acts with this context.
    ///
    /// # Errors
    /// If the root certificate cannot be used.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url, &self.ca_pem, Credentials::Token(self.token.clone()))?)
    }
}
