//! Which targets a scope covers, and how specific it is.

use crate::checked::{CheckedPolicy, Target};
use crate::linked::TargetContext;

/// How narrow a scope is; the greatest wins where only one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Specificity {
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

/// The narrowest scope by which a policy concerns a target; `None` if it does not.
pub(super) fn reach(policy: &CheckedPolicy, target: &TargetContext) -> Option<Specificity> {
    policy.targets.iter().filter_map(|scope| covers(&scope.target, target)).max()
}

fn covers(scope: &Target, target: &TargetContext) -> Option<Specificity> {
    let (covered, specificity) = match scope {
        Target::Mesh => (true, Specificity::Mesh),
        Target::Namespace(namespace) => (*namespace == target.namespace, Specificity::Namespace),
        Target::Service(service) if service.name == "*" => {
            (service.namespace == target.namespace, Specificity::Namespace)
        }
        Target::Service(service) => {
            (service.namespace == target.namespace && service.name == target.service, Specificity::Service)
        }
        Target::Workload { namespace, labels } => {
            let carried = labels.iter().all(|(name, value)| target.labels.get(name) == Some(value));
            (carried && *namespace == target.namespace, Specificity::Workload)
        }
    };
    covered.then_some(specificity)
}
