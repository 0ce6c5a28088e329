//! Who is who: the certificate authority, tokens, and the verified identity of a caller.
//!
//! ```text
//! join token --+                                      +--> TLS of the control plane
//!              +--> Authority signs a CSR --> certificate --> Envoy (SDS), mTLS in the mesh
//! client cert -+         | key sealed by Vault        +--> PeerIdentity of a caller
//! ```

mod any_time;
pub mod authority;
pub mod evictions;
pub mod join_token;
pub mod spiffe;
pub mod tls;
pub mod tokens;
pub mod validity;
pub mod vault;

pub use any_time::is_about_time;
pub use authority::Authority;
pub use evictions::Evictions;
pub use join_token::JoinToken;
pub use tokens::{Role, Tokens};
pub use validity::{Clocks, Timeliness, Validity};
pub use vault::Vault;

use crate::mesh::model::ProxyId;
use crate::mesh::store::StoreError;
use chancery_policy_lang::checked::ServiceRef;
use jiff::{SignedDuration, Timestamp};
use std::path::PathBuf;
use validity::to_seconds;

/// The sidecar at the other end of a connection, by its verified certificate. Stands in the
/// extensions of every HTTP request (and so of every gRPC request) that came with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its service, from the URI SAN.
    pub service: ServiceRef,
    /// The whole id, from the URI SAN and the subject's common name (the instance).
    pub proxy: ProxyId,
    /// When the certificate is valid.
    pub validity: Validity,
    /// The certificate's serial number ([`evictions::serial`]).
    pub serial: evictions::Serial,
    /// The id of the token that the sidecar joined with, if the certificate says it.
    pub token: Option<String>,
    /// SHA-256 of the certificate's key (its SubjectPublicKeyInfo).
    pub key: [u8; 32],
}

/// The sidecar at the other end of a connection, by a certificate that is verified but for its time: it has ended, or
/// has not begun, by the clock of the control plane. All that it is good for is to be renewed, within
/// [`RENEWABLE_WITHIN`]. Stands in the extensions of requests in the place of a [`PeerIdentity`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntimelyPeer(pub PeerIdentity);

/// How long after its end, or before its beginning, a certificate is good for being renewed. Who has its key could
/// have renewed it all the time before; an eviction is remembered for longer ([`evictions`]).
pub const RENEWABLE_WITHIN: SignedDuration = SignedDuration::from_hours(24 * 7);

impl UntimelyPeer {
    /// Why it may do nothing, in the words of the certificate and the clock of the control plane.
    #[must_use]
    pub fn complaint(&self, now: Timestamp) -> String {
        let Self(peer) = self;
        let complaint = peer.validity.complaint(now).unwrap_or_else(|| "was out of its time".to_owned());
        format!(
            "the certificate of proxy `{}` {complaint}, and the clock of the control plane says {}",
            peer.proxy,
            to_seconds(now)
        )
    }
}

/// Why an identity could not be given or checked.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file cannot be used.
    #[error("the key file `{}` cannot be used: {detail}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        detail: String,
    },
    /// The key file is not the one that the data was sealed with.
    #[error(
        "the secrets in the data directory were sealed with another key file: \
         give the right one with --key-file, or restore it from a backup"
    )]
    WrongKey,
    /// A renewal is for another key.
    #[error("the certificate request is refused: a renewal keeps the key of the certificate that it renews")]
    OtherKey,
    /// The authority's own certificate is not valid by the clock of this machine.
    #[error(
        "the authority of this mesh can issue nothing now: its certificate {complaint}, and the clock of the \
         control plane says {}", to_seconds(*.now)
    )]
    Clock {
        /// What is wrong with its time.
        complaint: String,
        /// What the clock says.
        now: Timestamp,
    },
    /// A certificate request is not acceptable.
    #[error("the certificate request is refused: {0}")]
    BadCsr(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cryptography failed: no random bytes, or a stored key or certificate that is none.
    #[error("a key or certificate cannot be made or read: {0}")]
    Cryptography(String),
}

impl From<rcgen::Error> for IdentityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Cryptography(error.to_string())
    }
}

impl From<ring::error::Unspecified> for IdentityError {
    fn from(error: ring::error::Unspecified) -> Self {
        Self::Cryptography(error.to_string())
    }
}

/// Why a token is refused; each in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not a token at all, or not a whole one.
    #[error("this is not a token of Chancery, or not the whole of it: copy it again")]
    Malformed,
    /// It is for another control plane.
    #[error(
        "this token belongs to another mesh (made by {url}): ask this control plane for one with `chancery token`"
    )]
    ForeignMesh {
        /// The control plane that made it.
        url: String,
    },
    /// Another key signed it, or it was changed.
    #[error("this token was not signed by this control plane: make a new one with `chancery token`")]
    WrongSignature,
    /// Its time is over.
    #[error(
        "this token expired at {at}, and the clock of the control plane says {}: make a new one with \
         `chancery token`", to_seconds(*.now)
    )]
    Expired {
        /// When.
        at: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
    /// Its record was removed.
    #[error("this token was revoked: make a new one with `chancery token`")]
    Revoked,
    /// No token with this id and secret is in force.
    #[error(
        "this token is not known here; it may be revoked, or of another control plane: ask an admin for a new one"
    )]
    Unknown,
    /// It is bound to another service.
    #[error(
        "this token is for service `{}/{}`, not `{}/{}`: make one with `chancery token --service {}/{}`",
        .token.namespace, .token.name, .asked.namespace, .asked.name, .asked.namespace, .asked.name
    )]
    OtherService {
        /// Whose it is.
        token: ServiceRef,
        /// For whom it was shown.
        asked: ServiceRef,
    },
    /// The store or the cryptography failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A token's record in the store cannot be read or written.
    #[error("the record of a token is damaged: {0}. Restore the data directory from a backup")]
    Record(String),
}

impl TokenError {
    /// The stable word for it in the API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "token-malformed",
            Self::ForeignMesh { .. } => "token-foreign",
            Self::WrongSignature => "token-wrong",
            Self::Expired { .. } => "token-expired",
            Self::Revoked => "token-revoked",
            Self::Unknown => "token-unknown",
            Self::OtherService { .. } => "token-other-service",
            Self::Identity(_) | Self::Record(_) => "internal",
        }
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Identity(error.into())
    }
}
