//! How callers' sidecars treat the replicas of a service: of `connections` the least of each number, of the others what
//! the narrowest scope says.

use super::{Specificity, errors, scope};
use crate::checked::{
    Balance, CheckedPolicy, Direction, Ejection, HealthCheck, Mode, Pool, Setting, Settings,
};
use crate::diagnostic::Diagnostic;
use crate::linked::Workload;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How callers' sidecars treat the replicas of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkedSettings {
    /// How much of it they use at a time.
    pub pool: Option<Pool>,
    /// When they leave a replica alone.
    pub ejection: Option<Ejection>,
    /// How they look whether one is well.
    pub check: Option<HealthCheck>,
    /// Which one they choose.
    pub balance: Option<Balance>,
    /// Names of the policies that say so, sorted.
    pub policies: Vec<String>,
    /// The statements that say so, sorted.
    pub stated_by: Vec<Arc<str>>,
}

/// What the policies say of the replicas of a service; of a shadow policy nothing is taken in.
///
/// # Errors
/// One diagnostic for each contradiction between statements of one scope.
pub fn link_settings<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    target: &Workload,
) -> Result<LinkedSettings, Vec<Diagnostic>> {
    let mut concerned: Vec<(Specificity, &CheckedPolicy, &Settings)> = policies
        .into_iter()
        .filter(|policy| policy.mode == Mode::Enforce)
        .filter_map(|policy| {
            let settings = policy
                .calls()
                .map(|calls| calls.settings.as_ref())
                .filter(|settings| !settings.is_empty())?;
            Some((scope::reach(policy, target, Direction::Inbound)?, policy, settings))
        })
        .collect();
    concerned.sort_by(|(_, a, _), (_, b, _)| a.name.cmp(&b.name));
    let mut found = Vec::new();
    let mut stated_by = BTreeSet::new();
    let all = |of: fn(&Settings) -> &[Setting<Pool>]| {
        concerned.iter().flat_map(move |(_, _, settings)| of(settings))
    };
    stated_by.extend(all(|settings| &settings.pools).map(|setting| setting.id.clone()));
    let pool = all(|settings| &settings.pools).map(|setting| setting.does.clone()).reduce(least);
    let mut narrow = Narrow { found: &mut found, stated_by: &mut stated_by };
    let ejection = narrow.narrowest(&concerned, |settings| &settings.ejections, "eject");
    let check = narrow.narrowest(&concerned, |settings| &settings.checks, "health");
    let balance = narrow.narrowest(&concerned, |settings| &settings.balances, "balance");
    if !found.is_empty() {
        return Err(found);
    }
    let policy = |id: &Arc<str>| id.split('/').next().unwrap_or_default().to_owned();
    let policies = stated_by.iter().map(policy).collect::<BTreeSet<_>>().into_iter().collect();
    Ok(LinkedSettings {
        pool,
        ejection,
        check,
        balance,
        policies,
        stated_by: stated_by.into_iter().collect(),
    })
}

/// The least of each number.
fn least(one: Pool, other: Pool) -> Pool {
    let of = |one: Option<u32>, other: Option<u32>| [one, other].into_iter().flatten().min();
    Pool {
        connections: one.connections.min(other.connections),
        pending: of(one.pending, other.pending),
        requests: of(one.requests, other.requests),
        retries: of(one.retries, other.retries),
    }
}

/// What is found while the narrowest of several statements is looked for.
struct Narrow<'n> {
    /// Contradictions.
    found: &'n mut Vec<Diagnostic>,
    /// The statements that count.
    stated_by: &'n mut BTreeSet<Arc<str>>,
}

impl Narrow<'_> {
    fn narrowest<'a, T: Clone + PartialEq + 'a>(
        &mut self,
        concerned: &[(Specificity, &'a CheckedPolicy, &'a Settings)],
        of: impl Fn(&'a Settings) -> &'a [Setting<T>],
        word: &str,
    ) -> Option<T> {
        let stated = concerned
            .iter()
            .flat_map(|(scope, _, settings)| of(settings).iter().map(move |setting| (*scope, setting)));
        let stated: Vec<(Specificity, &Setting<T>)> = stated.collect();
        let best = stated.iter().map(|(scope, _)| *scope).max()?;
        let of_best = || stated.iter().filter(|(scope, _)| *scope == best).map(|(_, setting)| *setting);
        let first = of_best().next()?;
        if let Some(other) = of_best().find(|other| other.does != first.does) {
            let ids: (&str, &str) = (&first.id, &other.id);
            self.found.push(errors::two_settings((first.span, other.span), ids, word));
        }
        self.stated_by.extend(of_best().map(|setting| setting.id.clone()));
        Some(first.does.clone())
    }
}
