//! What a caller's sidecar does with requests to a service.

use crate::checked::{Choice, Fault, FaultKind, Guard, Milliseconds, Mirror, Retry, Template, Way};
use std::sync::Arc;

/// All that the `traffic` policies of a service say to one of its callers, or to any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkedCalls {
    /// Where requests go.
    pub ways: Ordered<Way>,
    /// Under which path.
    pub rewrites: Ordered<Template>,
    /// Where copies of them go.
    pub mirrors: Ordered<Mirror>,
    /// How long an answer may take.
    pub timeouts: Ordered<Milliseconds>,
    /// How long it may take at most, whatever else is said.
    pub ceilings: Ordered<Milliseconds>,
    /// When they are sent again.
    pub retries: Ordered<Retry>,
    /// What is done to some of them: all that match, in an order that depends on their content only.
    pub faults: Vec<Arc<Choice<Fault>>>,
}

/// Statements of which the first that matches holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered<T> {
    /// Those that ask something of a request, in the order in which they are asked. As with rules, several entries
    /// may stand for one statement.
    pub entries: Vec<Arc<Choice<T>>>,
    /// The one that holds if none of them matches.
    pub otherwise: Option<Arc<Choice<T>>>,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), otherwise: None }
    }
}

impl LinkedCalls {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { ways, rewrites, mirrors, timeouts, ceilings, retries, faults } = self;
        let times = timeouts.is_empty() && ceilings.is_empty();
        let rest = rewrites.is_empty() && mirrors.is_empty() && retries.is_empty() && faults.is_empty();
        ways.is_empty() && times && rest
    }

    /// Whether something is to be decided of each request, so that a module is needed.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.guards().next().is_some()
    }

    /// Whether some requests are to wait before they are sent.
    #[must_use]
    pub fn delays(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.does.kind, FaultKind::Delay(_)))
    }

    /// The guards that are asked of a request.
    pub fn guards(&self) -> impl Iterator<Item = &Guard> {
        let Self { ways, rewrites, mirrors, timeouts, ceilings, retries, faults } = self;
        let times = timeouts.guards().chain(ceilings.guards());
        let faults = faults.iter().map(|choice| &choice.guard);
        let rest = rewrites.guards().chain(mirrors.guards()).chain(retries.guards()).chain(faults);
        ways.guards().chain(times).chain(rest)
    }
}

impl<T> Ordered<T> {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.otherwise.is_none()
    }

    fn guards(&self) -> impl Iterator<Item = &Guard> {
        self.entries.iter().map(|choice| &choice.guard)
    }
}
