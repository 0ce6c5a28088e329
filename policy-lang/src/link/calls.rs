//! What a caller's sidecar does with requests to a service: the statements of all policies in the order in which
//! the first that matches holds.
//!
//! ```text
//! route, redirect; rewrite; mirror    the narrower scope, then the policy, then the place in it
//! timeout, retry                      the narrower scope, then those that speak of some requests only, then the less
//! timeout at_most                     the less
//! ```
//!
//! Two policies of one scope that speak of the same requests and say different things of where they go contradict
//! each other. Of a shadow policy nothing is taken in.
//!
//! Policies of the service and `outbound` policies of the caller meet here. Of two scopes that are equally narrow that of
//! the caller is the narrower one, for it speaks of one sender and the other of all; so they never contradict each other.

use super::{At, Specificity, errors, order, outbound, scope, split};
use crate::budget::{Budget, Overrun, Work};
use crate::checked::{Calls, CheckedPolicy, Choice, Direction, Fault, Guard, Milliseconds, Mode, Retry, Way};
use crate::diagnostic::Diagnostic;
use crate::linked::{LinkedCalls, LinkedProgram, Ordered, Workload};
use crate::source::Span;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A caller whose sidecar carries out what is said.
struct Caller<'a> {
    at: At<'a>,
}

/// How narrowly a policy is about requests of a caller to a service, and whether it is about who sends them.
type Reach = (Specificity, Direction);

/// A statement as it stands for the target, with what decides its place.
struct Placed<T> {
    scope: Reach,
    policy: Arc<str>,
    /// Its place in the policy.
    number: usize,
    choice: Choice<T>,
}

/// The program by which a caller's sidecar treats requests to a service: by the policies of the service, and by the
/// `outbound` policies of the caller; `None` if none says anything of them. Without a caller it is the program of all
/// callers together by the policies of the service, which asks who they are.
///
/// # Errors
/// One diagnostic for each contradiction between policies, and when the budget does not suffice.
pub fn link_calls<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    target: &Workload,
    caller: Option<&Workload>,
    budget: &mut Budget,
) -> Result<Option<LinkedProgram>, Vec<Diagnostic>> {
    let mut policies: Vec<&CheckedPolicy> = policies.into_iter().collect();
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    let reached = |policy: &&'a CheckedPolicy| Some((*policy, reach(policy, target, caller)?));
    let concerned: Vec<(&CheckedPolicy, Reach)> = policies
        .iter()
        .filter(|policy| policy.calls().is_some_and(|calls| !calls.says_nothing_of_requests()))
        .filter(|policy| policy.mode == Mode::Enforce)
        .filter_map(reached)
        .collect();
    let request = caller.map(outbound::request_of);
    let at = At {
        scoped: caller.unwrap_or(target),
        workload: target,
        direction: Direction::Outbound,
        caller: request.as_ref(),
    };
    let own = match caller {
        Some(_) => outbound::link(&policies, at, budget),
        None => Ok(None),
    };
    if concerned.is_empty() && matches!(own, Ok(None)) {
        return Ok(None);
    }
    let (own, calls) = match (own, Caller { at }.calls(&concerned, budget)) {
        (Ok(own), Ok(calls)) => (own, calls),
        (own, calls) => return Err([own.err(), calls.err()].into_iter().flatten().flatten().collect()),
    };
    let own = own.unwrap_or_else(|| LinkedProgram::unrestricted(target.clone()));
    let called = concerned.iter().map(|(policy, _)| policy.name.clone());
    let names: BTreeSet<String> = own.policies.into_iter().chain(called).collect();
    Ok(Some(LinkedProgram {
        direction: Direction::Outbound,
        sender: request.as_ref().and_then(outbound::sender_of),
        calls,
        policies: names.into_iter().collect(),
        ..own
    }))
}

/// How narrowly a policy is about requests of a caller, or of any, to a target.
fn reach(policy: &CheckedPolicy, target: &Workload, caller: Option<&Workload>) -> Option<Reach> {
    let to = scope::reach(policy, target, Direction::Inbound).map(|scope| (scope, Direction::Inbound));
    let from = caller.and_then(|caller| scope::reach(policy, caller, Direction::Outbound));
    to.max(from.map(|scope| (scope, Direction::Outbound)))
}

impl Caller<'_> {
    fn calls(
        &self,
        policies: &[(&CheckedPolicy, Reach)],
        budget: &mut Budget,
    ) -> Result<LinkedCalls, Vec<Diagnostic>> {
        let ways = self.placed(policies, |calls| &calls.ways, budget)?;
        let rewrites = self.placed(policies, |calls| &calls.rewrites, budget)?;
        let mirrors = self.placed(policies, |calls| &calls.mirrors, budget)?;
        let timeouts = self.placed(policies, |calls| &calls.timeouts, budget)?;
        let ceilings = self.placed(policies, |calls| &calls.ceilings, budget)?;
        let retries = self.placed(policies, |calls| &calls.retries, budget)?;
        let faults = self.placed(policies, |calls| &calls.faults, budget)?;
        let mut found = Vec::new();
        contradictions(&ways, "another way", &mut found, budget)?;
        contradictions(&rewrites, "another path", &mut found, budget)?;
        contradictions(&mirrors, "another mirror", &mut found, budget)?;
        if !found.is_empty() {
            return Err(found);
        }
        Ok(LinkedCalls {
            // What is said to clients and what path a request has is made for each request.
            ways: self.ordered(in_text(ways), |way| matches!(way, Way::Route(_)), budget)?,
            rewrites: self.ordered(in_text(rewrites), |_| false, budget)?,
            mirrors: self.ordered(in_text(mirrors), |_| true, budget)?,
            timeouts: self.ordered(narrowest(timeouts), |_| true, budget)?,
            ceilings: self.ordered(least(ceilings), |_| true, budget)?,
            retries: self.ordered(narrowest::<Retry>(retries), |_| true, budget)?,
            faults: self.faults(faults, budget)?,
        })
    }

    /// The statements of all policies, without those that no request of the caller meets.
    fn placed<'p, T: Clone + 'p>(
        &self,
        policies: &[(&'p CheckedPolicy, Reach)],
        of: impl Fn(&'p Calls) -> &'p [Choice<T>],
        budget: &mut Budget,
    ) -> Result<Vec<Placed<T>>, Vec<Diagnostic>> {
        let mut placed = Vec::new();
        for (policy, scope) in policies {
            let name: Arc<str> = policy.name.as_str().into();
            for (number, choice) in policy.calls().into_iter().flat_map(&of).enumerate() {
                let folded =
                    self.guard(&choice.guard, budget).map_err(|overrun| vec![overrun.diagnostic()])?;
                let Some(guard) = folded else { continue };
                let choice = Choice { guard, ..choice.clone() };
                placed.push(Placed { scope: *scope, policy: name.clone(), number, choice });
            }
        }
        Ok(placed)
    }

    /// A guard as it stands for requests of the caller; `None` if none of them meets it.
    fn guard(&self, guard: &Guard, budget: &mut Budget) -> Result<Option<Guard>, Overrun> {
        let Some(mut guard) = self.at.guard(guard, budget)? else { return Ok(None) };
        if guard.paths.iter().any(|path| path.rest && path.segments.is_empty()) {
            // Each path that gets so far begins with a slash.
            guard.paths.clear();
        }
        Ok(Some(guard))
    }

    /// The statements in this order, up to one that holds for all requests.
    fn ordered<T: Clone>(
        &self,
        placed: Vec<Placed<T>>,
        may_be_fixed: impl Fn(&T) -> bool,
        budget: &mut Budget,
    ) -> Result<Ordered<T>, Vec<Diagnostic>> {
        let mut ordered = Ordered::default();
        for Placed { choice, .. } in placed {
            let is_last = asks_nothing(&choice.guard);
            if is_last && may_be_fixed(&choice.does) {
                ordered.otherwise = Some(Arc::new(choice));
                break;
            }
            let entries = split(choice.guard.clone(), choice.span, budget);
            let entries = entries.map_err(|overrun| vec![overrun.diagnostic()])?;
            let entry = |guard| Arc::new(Choice { guard, ..choice.clone() });
            ordered.entries.extend(entries.into_iter().map(entry));
            if is_last {
                break;
            }
        }
        Ok(ordered)
    }

    fn faults(
        &self,
        placed: Vec<Placed<Fault>>,
        budget: &mut Budget,
    ) -> Result<Vec<Arc<Choice<Fault>>>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        for Placed { choice, .. } in placed {
            let entries = split(choice.guard.clone(), choice.span, budget);
            let entries = entries.map_err(|overrun| vec![overrun.diagnostic()])?;
            faults.extend(entries.into_iter().map(|guard| Arc::new(Choice { guard, ..choice.clone() })));
        }
        order::sort_faults(&mut faults);
        Ok(faults)
    }
}

/// Whether a guard matches every request.
fn asks_nothing(guard: &Guard) -> bool {
    let Guard { methods, paths, peers, condition } = guard;
    methods.is_empty() && paths.is_empty() && peers.is_empty() && condition.is_none()
}

/// By scope, then as the text has them.
fn in_text<T>(mut placed: Vec<Placed<T>>) -> Vec<Placed<T>> {
    placed.sort_by(|a, b| {
        b.scope.cmp(&a.scope).then_with(|| a.policy.cmp(&b.policy)).then_with(|| a.number.cmp(&b.number))
    });
    placed
}

/// By scope, then those that speak of some requests only, then the least.
fn narrowest<T: Ord>(mut placed: Vec<Placed<T>>) -> Vec<Placed<T>> {
    placed.sort_by(|a, b| {
        let general = |placed: &Placed<T>| asks_nothing(&placed.choice.guard);
        let by_scope = b.scope.cmp(&a.scope).then_with(|| general(a).cmp(&general(b)));
        by_scope.then_with(|| a.choice.does.cmp(&b.choice.does)).then_with(|| a.choice.id.cmp(&b.choice.id))
    });
    placed
}

/// The least first.
fn least(mut placed: Vec<Placed<Milliseconds>>) -> Vec<Placed<Milliseconds>> {
    placed.sort_by(|a, b| a.choice.does.cmp(&b.choice.does).then_with(|| a.choice.id.cmp(&b.choice.id)));
    placed
}

/// Statements of two policies of one scope that meet on a request and say different things of it.
fn contradictions<T: PartialEq>(
    placed: &[Placed<T>],
    what: &str,
    found: &mut Vec<Diagnostic>,
    budget: &mut Budget,
) -> Result<(), Vec<Diagnostic>> {
    let mut policies: Vec<&Arc<str>> = placed.iter().map(|placed| &placed.policy).collect();
    policies.dedup();
    if policies.len() < 2 {
        return Ok(());
    }
    for (at, one) in placed.iter().enumerate() {
        let earlier = placed.iter().take(at);
        for other in earlier.filter(|other| other.scope == one.scope && other.policy != one.policy) {
            let compared = budget.spend(Work::LinkedParts, 1, one.choice.span);
            compared.map_err(|overrun| vec![overrun.diagnostic()])?;
            if one.choice.does == other.choice.does {
                continue;
            }
            if let Some(meeting) = super::meeting::of(&one.choice.guard, &other.choice.guard) {
                let places: (Span, Span) = (one.choice.span, other.choice.span);
                found.push(errors::two_ways(places, (&one.choice.id, &other.choice.id), what, &meeting));
                // One is enough to find the others by.
                break;
            }
        }
    }
    Ok(())
}
