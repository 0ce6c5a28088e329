//! For which requests a program is made, and what is known of all of them.

use super::fold::Folding;
use super::{Specificity, scope};
use crate::budget::{Budget, Overrun};
use crate::checked::{CheckedPolicy, Direction, Guard};
use crate::eval;
use crate::linked::Workload;
use crate::request::Request;

/// The requests to a workload, of all callers or of one.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// The workload whose policies hold: that which requests go to, or that which sends them.
    pub(super) scoped: &'a Workload,
    /// The workload that they go to.
    pub(super) workload: &'a Workload,
    /// Which policies of the former hold.
    pub(super) direction: Direction,
    /// A request of the only caller; `None` if anybody may be it.
    pub(super) caller: Option<&'a Request>,
}

impl<'a> At<'a> {
    /// Requests to a workload, in its own sidecar.
    pub(super) fn inside(workload: &'a Workload, direction: Direction) -> Self {
        Self { scoped: workload, workload, direction, caller: None }
    }

    /// The narrowest scope by which a policy is about the requests; `None` if it is not.
    pub(super) fn reach(self, policy: &CheckedPolicy) -> Option<Specificity> {
        scope::reach(policy, self.scoped, self.direction)
    }

    /// What computes that which is the same for all of the requests.
    pub(super) fn folding<'b>(self, budget: &'b mut Budget) -> Folding<'b>
    where
        'a: 'b,
    {
        let folding = Folding::new(self.workload, budget);
        match self.caller {
            Some(request) => folding.of_caller(request.clone()),
            None => folding,
        }
    }

    /// A guard as it stands for the requests; `None` if none of them meets it.
    pub(super) fn guard(self, guard: &Guard, budget: &mut Budget) -> Result<Option<Guard>, Overrun> {
        let mut guard = guard.clone();
        if let Some(request) = self.caller {
            if !eval::caller_matches(&guard, self.workload, request) {
                return Ok(None);
            }
            guard.peers.clear();
        }
        self.folding(budget).guard(&guard)
    }
}
