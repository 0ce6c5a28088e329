//! Context files: where a control plane is, its root certificate, and a token.
//!
//! The control plane writes one for its admin; `chancery token --role` prints one for others.

use super::api::client::{Client, ClientError, Credentials};
use crate::mesh::identity::vault::write_secret;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

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
    pub fn client(&self) -> Result<Client, ClientError> {
        Client::new(&self.url, &self.ca_pem, Credentials::Token(self.token.clone()))
    }
}
