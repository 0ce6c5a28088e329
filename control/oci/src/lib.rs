//! What OCI registries answer, read: which module is meant, and the module in what came.
//!
//! ```text
//! oci://host/name:tag --Reference                      (whoever knows the network asks)
//! bytes --Manifest--> descriptor of a layer, or of another manifest
//! bytes --module_of--> module
//! www-authenticate --Challenge       config.json --Credentials
//! ```
//!
//! All of it is words of strangers: each reader has limits of sizes and counts, and gives a value or an error. No file,
//! no socket and no clock are known here, so that everything can be fuzzed.
//!
//! Of the ways in which people put a module into a registry these are known: a layer that is the module, as of Wasm OCI
//! artifacts and of Istio's own format, and a layer that is an archive with a `plugin.wasm` in it, as Istio reads images
//! that `docker build` makes.

pub mod challenge;
pub mod credentials;
pub mod digest;
pub mod layer;
pub mod manifest;
pub mod reference;

pub use challenge::Challenge;
pub use credentials::{Credentials, Login};
pub use digest::Digest;
pub use layer::{LayerError, module_of};
pub use manifest::{Descriptor, Manifest, ManifestError, Packing};
pub use reference::{Reference, ReferenceError, Version};
