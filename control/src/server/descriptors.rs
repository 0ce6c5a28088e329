//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one; gives how many files the process may have open now. Many systems
/// start services with a soft limit of 1,024, for programs that cannot do with more.
pub(super) fn raise() -> usize {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, ..before };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => before.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be raised");
            before.current
        }
    };
    current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}
