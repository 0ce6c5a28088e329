//! Modules from OCI registries: which one is meant, what a registry answers, and the module in it.
//!
//! ```text
//! oci://host/name:tag --Reference--> Registry --manifest--> Manifest --chosen layer--> blob --module_of--> module
//!                                      (index: the one manifest that is meant, and again)
//! ```
//!
//! What a registry says is words of a stranger: each answer has a limit of its size and of its time, what is named by a
//! digest is compared with it, and the parsers ([`reference`], [`manifest`], [`layer`], [`challenge`]) know no network.
//!
//! Of the ways in which people put a module into a registry these are known: a layer that is the module, as of Wasm OCI
//! artifacts and of Istio's own format, and a layer that is an archive with a `plugin.wasm` in it, as Istio reads images
//! that `docker build` makes.

pub mod challenge;
pub mod credentials;
mod errors;
pub mod layer;
pub mod manifest;
pub mod reference;
mod registry;

pub use errors::OciError;
pub use registry::{Pulled, Registry};
