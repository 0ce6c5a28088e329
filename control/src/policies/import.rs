//! Policies of other meshes, written in Writ: what Istio's and Kuma's resources say, as far as Writ can say it.
//!
//! ```text
//! YAML --manifest--> documents --istio | kuma--> policies, and notes --text--> Writ with comments
//! ```
//!
//! Nothing is dropped in silence: every field of a resource is either taken by the code that translates it, or becomes a
//! [`Note`] with its file and its place, for a field that nobody took is noted when its object is left (`fields`). Where a
//! part of a rule cannot be said, the rule fails closed: an allowance is left out, a ban is written without the part.

mod fields;
mod istio;
mod kuma;
mod manifest;
mod matching;
mod text;
mod values;

pub use fields::Note;

use fields::Notes;
use manifest::Manifest;
use text::{Names, Policy};

/// Whose resources they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `AuthorizationPolicy`, `PeerAuthentication`, `VirtualService`, `DestinationRule`
    Istio,
    /// `MeshTrafficPermission`, `MeshHTTPRoute`, `MeshTimeout`, `MeshRetry`, `MeshRateLimit`, `MeshCircuitBreaker`, `MeshAccessLog`
    Kuma,
}

/// A file of resources.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Its name, as people know it.
    pub name: String,
    /// Its text: YAML, of one document or several.
    pub text: String,
}

/// What was made of them.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The policies, in the one form that there is, with comments that say where each comes from.
    pub text: String,
    /// What is not in them.
    pub notes: Vec<Note>,
    /// How many policies there are.
    pub policies: usize,
}

/// Why resources cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}` is no YAML: {message}")]
pub struct ImportError {
    /// The file.
    pub file: String,
    /// What is wrong, and where.
    pub message: String,
}

/// Translates all resources together, for some say what others mean.
///
/// # Errors
/// If a file is no YAML. What is YAML and no resource is noted.
pub fn import(origin: Origin, files: &[Resources]) -> Result<Imported, ImportError> {
    let notes = Notes::default();
    let manifests = manifest::read(files, &notes)?;
    let mut names = Names::default();
    let policies: Vec<Policy> = match origin {
        Origin::Istio => istio::policies(&manifests, &notes, &mut names),
        Origin::Kuma => kuma::policies(&manifests, &notes, &mut names),
    };
    Ok(Imported { text: text::write(&policies), policies: policies.len(), notes: notes.into_vec() })
}

/// What a kind of resource becomes.
type Translation = fn(&Manifest, &Notes, &mut Names) -> Vec<Policy>;
