//! Modules from OCI registries.
//!
//! ```text
//! oci://host/name:tag --> Registry --manifest--> which layer --blob--> module
//!                            ^--- an index: the one manifest that is meant, and again
//! ```
//!
//! What a registry answers is read by `chancery-oci`, which knows no network; here is how one is spoken to. Each answer has a
//! limit of its size and of its time, and what is named by a digest is compared with it.

mod errors;
mod registry;

pub use chancery_oci::{Credentials, Digest, Reference};
pub use errors::OciError;
pub use registry::{Pulled, Registry, read_credentials};
