//! Over how many replicas the limits of a module are shared: what its VM is told again when replicas come and go, without
//! another module.

use super::plumbing::Plumbing;
use super::settings;
use crate::mesh::model::Labels;
use crate::policies::in_force::InForce;
use crate::policies::population::workload;
use chancery_policy_lang::checked::{Balance, Direction, ServiceRef, Target};
use chancery_policy_lang::link::covers;
use chancery_policy_lang::module::{Module, Share};
use std::sync::Arc;

/// A module with limits that replicas share.
#[derive(Debug)]
pub(super) struct Sharing {
    module: Arc<Module>,
    trust_domain: String,
    /// For each of the module's shares.
    over: Vec<Over>,
}

/// Who shares a limit.
#[derive(Debug)]
enum Over {
    /// All requests of a value come to one replica, which has the whole.
    One,
    /// Those replicas of the service that these targets cover.
    Targets(Vec<Target>),
}

impl Sharing {
    /// What has to be told to a module of a service; `None` if it shares nothing.
    pub(super) fn of(module: &Arc<Module>, in_force: &InForce, service: &ServiceRef) -> Option<Self> {
        let shares = &module.manifest.shares;
        if shares.is_empty() {
            return None;
        }
        let asks = shares.iter().any(|share| !share.headers.is_empty());
        let balance = asks.then(|| settings(in_force, service)).flatten().and_then(|found| found.balance);
        let over = |share: &Share| match &balance {
            Some(Balance::RingHash(header) | Balance::Maglev(header)) if share.headers.contains(header) => {
                Over::One
            }
            _ => Over::Targets(targets(in_force, &share.policy)),
        };
        let over = shares.iter().map(over).collect();
        Some(Self { module: module.clone(), trust_domain: in_force.state.trust_domain.clone(), over })
    }

    /// How many replicas there are now for each share, at least one.
    pub(super) fn replicas(&self, service: &ServiceRef, plumbing: &Plumbing) -> Vec<u32> {
        let count = |over: &Over| match over {
            Over::One => 1,
            Over::Targets(targets) => {
                let covered = |labels: &Labels| {
                    let replica = workload(service, labels, &self.trust_domain);
                    targets.iter().any(|target| covers(target, &replica).is_some())
                };
                // Most targets say nothing of labels.
                match covered(&Labels::default()) {
                    true => plumbing.count(service, |_| true),
                    false => plumbing.count(service, covered),
                }
            }
        };
        self.over.iter().map(|over| u32::try_from(count(over)).unwrap_or(u32::MAX).max(1)).collect()
    }

    /// The module.
    pub(super) fn module(&self) -> &Module {
        &self.module
    }
}

/// What a policy in force is about, where requests come in.
fn targets(in_force: &InForce, policy: &str) -> Vec<Target> {
    let found = in_force.policies.get(policy);
    let scopes = found.into_iter().flat_map(|found| &found.policy.targets);
    let inbound = scopes.filter(|scope| scope.direction == Direction::Inbound);
    inbound.map(|scope| scope.target.clone()).collect()
}
