//! Whether callers without TLS are taken.

use crate::source::Span;

/// `plaintext allow|deny`: whether connections without TLS are taken beside those of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plaintext {
    /// Whether they are.
    pub allow: bool,
    /// The whole statement.
    pub span: Span,
}
