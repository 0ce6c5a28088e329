//! How a sidecar stands to a revision: the server waits by it, and the command line says it.

use super::{ProxyBody, Rejection};
use crate::delivery::snapshot::ResourceType;

/// How a sidecar stands to a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It acknowledged all of it, except listeners that it cannot open.
    Applied,
    /// It has not answered.
    Waiting,
    /// It refuses a part of it, or could not be given it.
    Refused,
    /// It has no stream, and did not acknowledge it before: nobody knows by what it decides.
    Away,
}

impl ProxyBody {
    /// How it stands to a revision.
    #[must_use]
    pub fn progress(&self, revision: u64) -> Progress {
        let has_it = self.revision >= Some(revision);
        let refuses = !self.problems.is_empty() || self.rejections.iter().any(|of| !of.is_closed_listener());
        match self.connected {
            false if has_it => Progress::Applied,
            false => Progress::Away,
            true if self.offered < Some(revision) => Progress::Waiting,
            true if refuses => Progress::Refused,
            true if has_it => Progress::Applied,
            true => Progress::Waiting,
        }
    }
}

impl Rejection {
    /// Whether it is a listener that is not open: nothing serves in its place, so no policy is out of force.
    #[must_use]
    pub fn is_closed_listener(&self) -> bool {
        self.is_listener_alone() && !self.keeps_earlier
    }

    /// Whether it is a listener of which no policy is to blame.
    #[must_use]
    pub fn is_listener_alone(&self) -> bool {
        self.resource_type == ResourceType::Listener.noun() && self.policies.is_empty()
    }
}
