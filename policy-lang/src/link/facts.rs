//! What a policy reads of the workload that it is linked for: what two workloads must have in common, beside how
//! narrowly its scopes cover them, to get the same program from it.

use crate::checked::{Attribute, Calls, CheckedPolicy, Expr, ExprKind, Guard};
use crate::literals::{attributes_of, is_of_caller};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What conditions read of a workload. The trust domain is read by whatever reads a caller's identity, and is no
/// part of this: a mesh has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether they read `target.namespace`.
    pub namespace: bool,
    /// Whether they read `target.service`.
    pub service: bool,
    /// Whether what callers' sidecars do depends on who calls.
    pub caller: bool,
    /// Whether what is said of requests that leave depends on who sends them.
    pub sender: bool,
    /// The labels that they read: `target.labels[...]`, `target.version`.
    pub labels: BTreeSet<Arc<str>>,
}

impl Facts {
    /// What the expressions of a policy read.
    #[must_use]
    pub fn of(policy: &CheckedPolicy) -> Self {
        let mut facts = Self::default();
        policy.expressions().for_each(|expr| facts.read(expr));
        facts.caller =
            policy.calls().into_iter().flat_map(Calls::guards).any(|(guard, ..)| asks_who_calls(guard));
        facts.sender = policy.log().is_some()
            || policy.guards().any(|(guard, _)| asks_who_calls(guard))
            || policy.computed().any(asks_of_caller);
        facts
    }

    fn read(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Attribute(Attribute::TargetNamespace) => self.namespace = true,
            ExprKind::Attribute(Attribute::TargetService) => self.service = true,
            ExprKind::Attribute(Attribute::TargetLabel(name)) => {
                self.labels.insert(name.clone());
            }
            _ => expr.parts().into_iter().for_each(|part| self.read(part)),
        }
    }
}

fn asks_who_calls(guard: &Guard) -> bool {
    !guard.peers.is_empty() || guard.condition.iter().any(asks_of_caller)
}

fn asks_of_caller(expr: &Arc<Expr>) -> bool {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    asked.iter().any(is_of_caller)
}
