//! The bytes of modules, read from the store when somebody needs them, and kept as long as somebody does.

use crate::mesh::model::filter::FilterDigest;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How modules are read: from a thread that may wait.
type Read = dyn Fn(FilterDigest) -> Result<Option<Arc<[u8]>>, String> + Send + Sync;

/// Reads each module once, for all who have it at a time.
pub struct Modules {
    read: Box<Read>,
    had: Mutex<HashMap<FilterDigest, Weak<[u8]>>>,
}

impl Modules {
    /// Modules that are read in this way.
    #[must_use]
    pub fn read_by(
        read: impl Fn(FilterDigest) -> Result<Option<Arc<[u8]>>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { read: Box::new(read), had: Mutex::default() }
    }

    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::read_by(|_| Ok(None))
    }

    /// The bytes of a module. It may take as long as reading them: not to be called from a thread that serves others.
    ///
    /// # Errors
    /// In words, if they are not there or cannot be read.
    pub fn get(&self, digest: FilterDigest) -> Result<Arc<[u8]>, String> {
        // Whoever panicked in here left the map whole.
        let had = || self.had.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = had().get(&digest).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let module =
            (self.read)(digest)?.ok_or_else(|| format!("its module {digest} is not in the store"))?;
        let mut had = had();
        had.retain(|_, module| module.strong_count() > 0);
        had.insert(digest, Arc::downgrade(&module));
        Ok(module)
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Modules").finish_non_exhaustive()
    }
}
