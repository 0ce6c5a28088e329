//! Which workloads a scope covers, and how specific it is.

use crate::checked::{CheckedPolicy, Direction, Target};
use crate::linked::Workload;

/// How narrow a scope is; the greatest wins where only one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// `mesh`
    Mesh,
    /// `namespace N`, and `service N/*`, which covers the same workloads.
    Namespace,
    /// `service N/S`
    Service,
    /// `workload N { … }`
    Workload,
}

impl Specificity {
    /// The scope in words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Namespace => "namespace",
            Self::Service => "service",
            Self::Workload => "workload",
        }
    }
}

/// The narrowest scope by which a policy concerns requests of a workload; `None` if it does not.
#[must_use]
pub fn reach(policy: &CheckedPolicy, workload: &Workload, direction: Direction) -> Option<Specificity> {
    let meant = policy.targets.iter().filter(|scope| scope.direction == direction);
    meant.filter_map(|scope| covers(&scope.target, workload)).max()
}

/// How narrowly a target covers a workload; `None` if it does not.
#[must_use]
pub fn covers(target: &Target, workload: &Workload) -> Option<Specificity> {
    let (covered, specificity) = match target {
        Target::Mesh => (true, Specificity::Mesh),
        Target::Namespace(namespace) => (*namespace == workload.namespace, Specificity::Namespace),
        Target::Service(service) if service.name == "*" => {
            (service.namespace == workload.namespace, Specificity::Namespace)
        }
        Target::Service(service) => (
            service.namespace == workload.namespace && service.name == workload.service,
            Specificity::Service,
        ),
        Target::Workload { namespace, labels } => {
            let carried = labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value));
            (carried && *namespace == workload.namespace, Specificity::Workload)
        }
    };
    covered.then_some(specificity)
}
