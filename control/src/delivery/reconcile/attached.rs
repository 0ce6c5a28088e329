//! The filters of others in the sidecars of each workload: found again where a policy that concerns it changed, and
//! once for all sidecars of it.

use super::groups::{Groups, MadeOnce};
use crate::delivery::envoy::filter::{self, Attachment, Slot, extension_name};
use crate::delivery::envoy::listener::Plaintext;
use crate::delivery::envoy::{PROBES_POLICY, extension};
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{Labels, ProxyId, ProxyRegistration};
use crate::policies::effort::Effort;
use crate::policies::filters::attached::{allowed, called, granting, linked, plaintext, record};
use crate::policies::in_force::{InForce, describe};
use crate::policies::population::workload;
use crate::policies::programs::Programs;
use chancery_policy_lang::checked::{Destination, Direction, ServiceRef, Target};
use chancery_policy_lang::link::LinkedFilter;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::log::LogKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The filters in the listeners of a sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attachments {
    /// Those that see what comes in.
    pub(super) inbound: Arc<[Slot]>,
    /// Those that see what goes out.
    pub(super) outbound: Arc<[Slot]>,
    /// Whether connections without TLS are taken.
    pub(super) plaintext: Plaintext,
    /// What decides about probes; `None` as long as none could be made.
    probes: Option<Arc<Resource>>,
    /// The filters, of each direction.
    resources: BTreeMap<Direction, Vec<Arc<Resource>>>,
    /// The services that they may call.
    calls: BTreeMap<Direction, BTreeSet<Destination>>,
    /// Why they are not those that the policies state.
    pub(super) problem: Option<String>,
}

impl Attachments {
    /// The directions that a sidecar has listeners for.
    fn directions(proxy: &ProxyRegistration) -> impl Iterator<Item = Direction> {
        let inbound = proxy.inbound.map(|_| Direction::Inbound);
        let outbound = (!proxy.outbounds.is_empty()).then_some(Direction::Outbound);
        inbound.into_iter().chain(outbound)
    }

    /// The filters that a sidecar needs.
    pub(super) fn resources(&self, proxy: &ProxyRegistration) -> impl Iterator<Item = &Arc<Resource>> {
        let of_directions = Self::directions(proxy).filter_map(|direction| self.resources.get(&direction));
        let takes_probes = proxy.inbound.is_some_and(|inbound| inbound.probes.is_some());
        of_directions.flatten().chain(self.probes.iter().filter(move |_| takes_probes))
    }

    /// The services that they may call there.
    pub(super) fn calls(&self, proxy: &ProxyRegistration) -> impl Iterator<Item = &Destination> {
        Self::directions(proxy).filter_map(|direction| self.calls.get(&direction)).flatten()
    }
}

/// The filters of all workloads.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    programs: Arc<Programs>,
    log_key: LogKey,
    effort: Effort,
    workloads: Groups<Labels, Arc<Attachments>>,
    /// By their extensions and what their policies say.
    made: MadeOnce<(String, [u8; 32]), Resource>,
}

impl Attached {
    pub(super) fn new(programs: Arc<Programs>, log_key: LogKey, effort: Effort) -> Self {
        Self { programs, log_key, effort, workloads: Groups::default(), made: MadeOnce::default() }
    }

    /// Takes in that policies changed which are about these targets, of either direction: gives the sidecars that get
    /// other filters.
    pub(super) fn change<'t>(
        &mut self,
        in_force: &InForce,
        targets: impl Iterator<Item = &'t Target>,
    ) -> BTreeSet<ProxyId> {
        let mut concerned: BTreeSet<(&ServiceRef, &Labels)> = BTreeSet::new();
        for target in targets {
            concerned.extend(in_force.population.covered(target));
        }
        let mut changed = BTreeSet::new();
        for (service, labels) in concerned {
            let Some(before) = self.workloads.get(service, labels).cloned() else { continue };
            let attachments = Arc::new(self.make(in_force, (service, labels), Some(&before)));
            let Some(group) = self.workloads.group(service, labels) else { continue };
            if group.gets != attachments {
                changed.extend(group.ids.iter().cloned());
                group.gets = attachments;
            }
        }
        changed
    }

    /// Takes in a sidecar: gives its filters.
    pub(super) fn add(&mut self, in_force: &InForce, proxy: &ProxyRegistration) -> Arc<Attachments> {
        if let Some(attachments) = self.workloads.join(&proxy.service, &proxy.labels, &proxy.id) {
            return attachments.clone();
        }
        let attachments = Arc::new(self.make(in_force, (&proxy.service, &proxy.labels), None));
        self.workloads.begin(&proxy.service, proxy.labels.clone(), attachments.clone(), &proxy.id);
        attachments
    }

    /// The filters of a sidecar that was taken in.
    pub(super) fn of(&self, proxy: &ProxyRegistration) -> Option<&Attachments> {
        self.workloads.get(&proxy.service, &proxy.labels).map(Arc::as_ref)
    }

    /// Forgets a sidecar.
    pub(super) fn remove(&mut self, proxy: &ProxyRegistration) {
        self.workloads.leave(&proxy.service, &proxy.labels, &proxy.id);
    }

    /// The filters of a workload; those that it had, if they cannot be found out or one of them cannot be had.
    fn make(
        &mut self,
        in_force: &InForce,
        (service, labels): (&ServiceRef, &Labels),
        last_good: Option<&Attachments>,
    ) -> Attachments {
        let workload = workload(service, labels, &in_force.state.trust_domain);
        let mut attachments = Attachments::default();
        let mut made = Ok(());
        for direction in [Direction::Inbound, Direction::Outbound] {
            let linked = match in_force.policies.problem() {
                Some(problem) => Err(problem.to_owned()),
                None => linked(&in_force.policies, &workload, direction).map_err(|found| describe(&found)),
            };
            let filled =
                linked.and_then(|filters| self.fill(&mut attachments, in_force, &filters, direction));
            made = made.and(filled);
        }
        let is_open = match in_force.policies.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => plaintext(&in_force.policies, &workload).map_err(|found| describe(&found)),
        };
        let is_open =
            is_open.map(|policy| if policy.is_some() { Plaintext::Open } else { Plaintext::Closed });
        let probes = self.probes(in_force, &workload);
        // What is known of these holds whatever is wrong with the filters of others: a door that is closed is closed.
        let last = last_good.cloned().unwrap_or_default();
        attachments.plaintext = is_open.as_ref().copied().unwrap_or(last.plaintext);
        attachments.probes = probes.as_ref().ok().cloned().or_else(|| last.probes.clone());
        let made = made.and(is_open.map(drop)).and(probes.map(drop));
        let Err(problem) = made else { return attachments };
        let (namespace, name) = (&service.namespace, &service.name);
        tracing::error!(namespace, service = name, problem, "the filters stay as they are");
        // Without any that it had, what stands in the places of those that are missing does what is said of failures.
        let (plaintext, probes) = (attachments.plaintext, attachments.probes.clone());
        let attachments = last_good.cloned().unwrap_or(attachments);
        Attachments { problem: Some(problem), plaintext, probes, ..attachments }
    }

    /// What decides about probes of a workload, made once for all that exempt the same.
    fn probes(&mut self, in_force: &InForce, workload: &Workload) -> Result<Arc<Resource>, String> {
        if let Some(problem) = in_force.policies.problem() {
            return Err(problem.to_owned());
        }
        let module = self.programs.exempting(&in_force.policies, workload, &self.effort);
        let module = module.map_err(|error| error.to_string())?;
        let digest = module.as_ref().map_or("", |module| &module.digest);
        let key = (format!("{PROBES_POLICY}/{digest}"), [0; 32]);
        if let Some(made) = self.made.get(&key) {
            return Ok(made);
        }
        let resource = Arc::new(extension::probes(module.as_deref(), self.log_key));
        self.made.keep(key, &resource);
        Ok(resource)
    }

    fn fill(
        &mut self,
        attachments: &mut Attachments,
        in_force: &InForce,
        filters: &[LinkedFilter],
        direction: Direction,
    ) -> Result<(), String> {
        let slot = |filter: &LinkedFilter| Slot {
            name: extension_name(&filter.policy, direction).into(),
            phase: filter.body.phase,
            on_failure: filter.body.on_failure,
        };
        let slots: Arc<[Slot]> = filters.iter().map(slot).collect();
        match direction {
            Direction::Inbound => attachments.inbound = slots,
            Direction::Outbound => attachments.outbound = slots,
        }
        let calls = filters.iter().flat_map(|filter| &filter.body.may.calls).map(called);
        attachments.calls.insert(direction, calls.collect());
        let mut problem = Ok(());
        for filter in filters {
            match self.resource(in_force, filter, direction) {
                Ok(resource) => attachments.resources.entry(direction).or_default().push(resource),
                Err(error) => {
                    problem = Err(format!("the filter of policy `{}` cannot be had: {error}", filter.policy))
                }
            }
        }
        problem
    }

    /// The filter of a policy, made once.
    fn resource(
        &mut self,
        in_force: &InForce,
        filter: &LinkedFilter,
        direction: Direction,
    ) -> Result<Arc<Resource>, String> {
        let policy = in_force.policies.get(&filter.policy);
        let says = policy.map(|policy| policy.digest).unwrap_or_default();
        let key = (extension_name(&filter.policy, direction), says);
        if let Some(made) = self.made.get(&key) {
            return Ok(made);
        }
        let record = record(&in_force.state, &filter.body.attached)
            .ok_or_else(|| format!("`{}` is not there any more", filter.body.attached))?;
        let module = self.programs.filters().modules().get(record.module)?;
        let module = granting(&module, &filter.body.may)?;
        let resource = Arc::new(filter::resource(&Attachment {
            policy: &filter.policy,
            direction,
            body: &filter.body,
            module: &module,
            digest: &record.module.to_string(),
            allowed: &allowed(record, &filter.body.may),
        }));
        self.made.keep(key, &resource);
        Ok(resource)
    }
}
