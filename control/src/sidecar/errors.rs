//! Why a sidecar could not start or go on. Each message names the next step.

use std::path::PathBuf;

/// What ended a sidecar, or one of its tasks.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used: {source}", .path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder of logs cannot be used.
    #[error("the folder of logs {} cannot be used: {source}: choose another with --log-dir", .path.display())]
    LogDirectory {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another sidecar runs in it.
    #[error("another sidecar runs with the data directory {}: stop it, or give this one another with --data-dir or --instance", .0.display())]
    DataDirectoryInUse(PathBuf),
    /// A socket in it would have too long a path.
    #[error("the path of the socket {} is longer than {bytes_max} bytes: choose a shorter --data-dir", .socket.display())]
    SocketPathTooLong {
        /// The socket.
        socket: PathBuf,
        /// What the kernel takes.
        bytes_max: usize,
    },
    /// The file with the token cannot be read.
    #[error("the token file {} cannot be read: {source}", .path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token is not one, or is for another service.
    #[error("the token in {} cannot be used: {problem}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The control plane said no, and will say no again.
    #[error("the control plane refused: {message}")]
    Refused {
        /// Its code, such as `token-expired`.
        code: String,
        /// Its words.
        message: String,
        /// What it proposes.
        help: Option<String>,
    },
    /// The control plane cannot be reached, or is not well.
    #[error("the control plane at {url} cannot be reached: {problem}")]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// What happened.
        problem: String,
    },
    /// What answers is not the control plane that the token names.
    #[error("what answers at {url} is not of the mesh that the token is of: {problem}")]
    Untrusted {
        /// Where it was asked.
        url: String,
        /// What is wrong with its certificate.
        problem: String,
    },
    /// A certificate is not valid by the clock of this machine; the words name both clocks.
    #[error("the clocks differ: {0}")]
    Clock(String),
    /// The control plane is not well at present.
    #[error("the control plane does not serve at present: {0}")]
    Busy(String),
    /// A key or certificate is not usable.
    #[error("the identity of this sidecar is not usable: {0}")]
    Identity(String),
    /// Envoy could not be started.
    #[error("Envoy ({}) cannot be started: {source}", .path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Envoy's administration does not answer.
    #[error("Envoy does not answer on {}: {problem}", .socket.display())]
    Admin {
        /// Its socket.
        socket: PathBuf,
        /// What happened.
        problem: String,
    },
    /// A socket of the sidecar cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The socket.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}
