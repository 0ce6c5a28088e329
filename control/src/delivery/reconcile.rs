//! From the desired state of the mesh to the snapshots of all proxies.
//!
//! ```text
//!  DesiredState --+--> checked policies, once per document --> programs, modules, once per distinct program --+
//!                 |                                                                                           v
//!                 +--> proxies --> listeners, routes, clusters, endpoints, once per distinct one ----------> Fleet
//! ```
//!
//! [`Reconciler::build`] is a function of the desired state: what it remembers only saves work, and
//! keeps the last good policy of a workload whose policies can no longer be made into one.

mod plumbing;
mod policies;
#[cfg(test)]
mod tests;

use crate::delivery::snapshot::{Fleet, ResourceType, Snapshot};
use crate::mesh::model::{DesiredState, ProxyRegistration};
use chancery_policy_lang::linked::Workload;
use plumbing::Plumbing;
use policies::Policies;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Builds fleets, and remembers what the last one was made of.
#[derive(Debug, Default)]
pub struct Reconciler {
    plumbing: Plumbing,
    policies: Policies,
}

impl Reconciler {
    /// The snapshots of all proxies of the desired state.
    #[must_use]
    pub fn build(&mut self, state: &DesiredState) -> Fleet {
        self.policies.begin(state);
        self.plumbing.begin(state);
        let mut snapshot = |proxy: &ProxyRegistration| self.snapshot(state, proxy);
        let snapshots =
            state.proxies.iter().map(|(id, proxy)| (id.clone(), Arc::new(snapshot(proxy)))).collect();
        self.policies.end();
        self.plumbing.end();
        Fleet { revision: state.revision, snapshots }
    }

    fn snapshot(&mut self, state: &DesiredState, proxy: &ProxyRegistration) -> Snapshot {
        let mut resources = self.plumbing.of_proxy(proxy);
        let mut problem = None;
        if proxy.inbound.is_some() {
            let workload = Workload {
                namespace: proxy.service.namespace.clone(),
                service: proxy.service.name.clone(),
                labels: proxy.labels.clone(),
                trust_domain: state.trust_domain.clone(),
            };
            let policy = self.policies.of_workload(&workload);
            resources.extend(policy.resource);
            problem = policy.problem;
        }
        let mut snapshot = Snapshot::new(state.revision, resources);
        if let Some(problem) = problem {
            if snapshot.of(ResourceType::Extension).is_empty() {
                snapshot
                    .unmade
                    .insert((ResourceType::Extension, crate::delivery::envoy::INBOUND_POLICY.to_owned()));
            }
            snapshot.problems = [problem].into();
        }
        snapshot
    }
}

/// Follows the desired state and publishes a fleet for it: builds one from each desired state; of states that come while one is built only the newest.
pub async fn follow(mut states: watch::Receiver<Arc<DesiredState>>, fleet: watch::Sender<Arc<Fleet>>) {
    let mut reconciler = Reconciler::default();
    loop {
        let state = states.borrow_and_update().clone();
        let begun = Instant::now();
        // Thousands of rules take a second to compile: not on a thread that serves streams.
        let built = tokio::task::spawn_blocking(move || {
            let fleet = reconciler.build(&state);
            (reconciler, fleet)
        });
        match built.await {
            Ok((kept, next)) => {
                reconciler = kept;
                tracing::info!(
                    revision = next.revision.0,
                    proxies = next.snapshots.len(),
                    elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                    "built the configuration of all proxies"
                );
                fleet.send_replace(Arc::new(next));
            }
            Err(error) => {
                tracing::error!(%error, "the configuration of the proxies could not be built; it stays as it is");
                reconciler = Reconciler::default();
            }
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}
