//! Allowances that never change a decision, since bans, other allowances or an `otherwise allow` cover all they
//! match, in their own policy or in another one that concerns the same workloads.
//!
//! Only what shows without knowing conditions is said: a rule covers an allowance if it matches wherever the
//! allowance does by methods, paths and callers, and has no condition or the same one. Several bans may cover
//! an allowance together, each a part of its methods, paths and callers.

use super::errors::warnings;
use crate::checked::{CheckedPolicy, Effect, Guard, Mode, PathPattern, Peer, Rule, Segment, Target};
use crate::diagnostic::Findings;
use crate::literals::expression_text;
use std::collections::BTreeMap;

/// So many pairs of methods, paths and callers are compared in a set; one with more is long enough to have
/// other troubles.
const PAIRS_MAX: usize = 1_000_000;
/// An allowance of more methods, paths and callers than these, each with each, is looked at as a whole only.
const PIECES_MAX: usize = 64;

/// Looks for such allowances in these policies, beside which others are in force.
pub(super) fn warn(policies: &[CheckedPolicy], beside: &[&CheckedPolicy], diagnostics: &mut Findings) {
    let all: Vec<&CheckedPolicy> = policies.iter().chain(beside.iter().copied()).collect();
    let denies_otherwise =
        all.iter().filter_map(|policy| policy.otherwise()).any(|otherwise| !otherwise.allow);
    let mut search = Search::new(&all);
    for policy in policies.iter().filter(|policy| policy.mode != Mode::Off) {
        let around = search.around(policy);
        search.covered(policy, &around, diagnostics);
        // Another policy may say that what no rule allows is denied, and then an allowance counts.
        let mut otherwise = around.iter().filter_map(|policy| policy.otherwise());
        if !denies_otherwise && let Some(otherwise) = otherwise.find(|otherwise| otherwise.allow) {
            for rule in policy.rules().iter().filter(|rule| rule.effect == Effect::Allow) {
                diagnostics.push(warnings::allowed_otherwise(rule.span, name_of(rule), otherwise.span));
            }
        }
    }
}

struct Search<'a> {
    /// By the namespaces and services of their targets, so that no policy is compared with all.
    by_place: BTreeMap<(&'a str, &'a str), Vec<&'a CheckedPolicy>>,
    /// How many of [`PAIRS_MAX`] are left.
    pairs_left: usize,
}

/// A rule that may cover others.
struct Cover<'a> {
    rule: &'a Rule,
    /// Its condition in the normal form.
    condition: Option<String>,
}

/// Stands for every namespace, and for every service of one.
const EVERY: &str = "*";

impl<'a> Search<'a> {
    fn new(all: &[&'a CheckedPolicy]) -> Self {
        let mut by_place: BTreeMap<(&str, &str), Vec<&CheckedPolicy>> = BTreeMap::new();
        for policy in all.iter().filter(|policy| policy.mode == Mode::Enforce) {
            for scope in &policy.targets {
                by_place.entry(place(&scope.target)).or_default().push(policy);
            }
        }
        Self { by_place, pairs_left: PAIRS_MAX }
    }

    /// The policy and those that decide wherever it does.
    fn around(&mut self, policy: &'a CheckedPolicy) -> Vec<&'a CheckedPolicy> {
        let mut around = vec![policy];
        let Some(first) = policy.targets.first() else { return around };
        let (namespace, service) = place(&first.target);
        for place in [(EVERY, EVERY), (namespace, EVERY), (namespace, service)] {
            for other in self.by_place.get(&place).into_iter().flatten() {
                let Some(left) = self.pairs_left.checked_sub(1) else { return around };
                self.pairs_left = left;
                let is_known = around.iter().any(|known| known.name == other.name);
                if !is_known && concerns_all_of(other, policy) {
                    around.push(other);
                }
            }
        }
        around
    }

    fn covered(&mut self, policy: &CheckedPolicy, around: &[&CheckedPolicy], diagnostics: &mut Findings) {
        let of = |effects: &[Effect]| -> Vec<Cover<'_>> {
            let rules = around.iter().flat_map(|policy| policy.rules());
            rules.filter(|rule| effects.contains(&rule.effect)).map(Cover::of).collect()
        };
        let (bans, allowances) = (of(&[Effect::Deny]), of(&[Effect::Exempt, Effect::Allow]));
        for rule in policy.rules().iter().filter(|rule| rule.effect == Effect::Allow) {
            let weight =
                |covers: &[Cover<'_>]| covers.iter().map(|cover| parts(&cover.rule.guard)).sum::<usize>();
            let pairs = parts(&rule.guard).saturating_mul(weight(&bans) + weight(&allowances));
            let Some(left) = self.pairs_left.checked_sub(pairs) else { return };
            self.pairs_left = left;
            let allowance = Cover::of(rule);
            let shown = |cover: &Rule| match policy.rules().iter().any(|own| own.id == cover.id) {
                true => name_of(cover).to_owned(),
                false => cover.id.to_string(),
            };
            if let Some(ban) = allowance.banned_by(&bans) {
                let ban_name = shown(ban);
                diagnostics.push(warnings::covered_by_ban(rule.span, name_of(rule), &ban_name, ban.span));
            } else if let Some(other) = allowance.allowed_by(&allowances) {
                let other_name = shown(other);
                diagnostics.push(warnings::covered_by_allowance(
                    rule.span,
                    name_of(rule),
                    &other_name,
                    other.span,
                ));
            }
        }
    }
}

impl<'a> Cover<'a> {
    fn of(rule: &'a Rule) -> Self {
        Self { rule, condition: rule.guard.condition.as_deref().map(expression_text) }
    }

    /// Whether this rule matches wherever one with such a guard and the condition of the other does.
    fn covers(&self, guard: &Guard, other: &Self) -> bool {
        (self.condition.is_none() || self.condition == other.condition) && covers(&self.rule.guard, guard)
    }

    /// The first ban of those that deny all that this allows.
    fn banned_by(&self, bans: &[Cover<'a>]) -> Option<&'a Rule> {
        let whole = bans.iter().find(|ban| ban.covers(&self.rule.guard, self));
        if let Some(ban) = whole {
            return Some(ban.rule);
        }
        let mut first = None;
        for piece in pieces(&self.rule.guard)? {
            let ban = bans.iter().find(|ban| ban.covers(&piece, self))?;
            first = first.or(Some(ban.rule));
        }
        first
    }

    /// Another rule that allows all that this one does; of two that allow the same the first.
    fn allowed_by(&self, allowances: &[Cover<'a>]) -> Option<&'a Rule> {
        let place = |rule: &Rule| (rule.span.file, rule.span.start);
        let covering = allowances.iter().find(|other| {
            other.rule.id != self.rule.id
                && other.covers(&self.rule.guard, self)
                && (other.rule.effect == Effect::Exempt
                    || !self.covers(&other.rule.guard, other)
                    || place(other.rule) < place(self.rule))
        });
        covering.map(|other| other.rule)
    }
}

/// A guard for each method with each path and each caller; `None` if those are too many.
fn pieces(guard: &Guard) -> Option<Vec<Guard>> {
    let count = guard.methods.len().max(1) * guard.paths.len().max(1) * guard.peers.len().max(1);
    if count > PIECES_MAX {
        return None;
    }
    let mut pieces = vec![Guard::default()];
    let each = |pieces: Vec<Guard>, count: usize, add: &dyn Fn(&mut Guard, usize)| -> Vec<Guard> {
        let with = |piece: &Guard| {
            let piece = piece.clone();
            (0..count).map(move |at| {
                let mut piece = piece.clone();
                add(&mut piece, at);
                piece
            })
        };
        if count == 0 { pieces } else { pieces.iter().flat_map(with).collect() }
    };
    let methods: Vec<&String> = guard.methods.iter().collect();
    pieces = each(pieces, methods.len(), &|piece, at| {
        piece.methods.extend(methods.get(at).map(|method| (*method).clone()))
    });
    pieces = each(pieces, guard.paths.len(), &|piece, at| piece.paths.extend(guard.paths.get(at).cloned()));
    pieces = each(pieces, guard.peers.len(), &|piece, at| piece.peers.extend(guard.peers.get(at).cloned()));
    Some(pieces)
}

/// Whether a policy concerns all workloads that another one does.
fn concerns_all_of(wide: &CheckedPolicy, narrow: &CheckedPolicy) -> bool {
    narrow.targets.iter().all(|narrow| {
        wide.targets
            .iter()
            .any(|wide| wide.direction == narrow.direction && target_covers(&wide.target, &narrow.target))
    })
}

fn target_covers(wide: &Target, narrow: &Target) -> bool {
    match (wide, narrow) {
        (Target::Mesh, _) => true,
        (_, Target::Mesh) => false,
        (Target::Workload { labels: wide_labels, .. }, Target::Workload { labels, .. }) => {
            let has = |(name, value): (&String, &String)| labels.get(name) == Some(value);
            place(wide) == place(narrow) && wide_labels.iter().all(has)
        }
        (Target::Workload { .. }, _) => false,
        (wide, narrow) => {
            let ((namespace, service), (narrow_namespace, narrow_service)) = (place(wide), place(narrow));
            namespace == narrow_namespace && (service == EVERY || service == narrow_service)
        }
    }
}

/// The namespace and the service of a target.
fn place(target: &Target) -> (&str, &str) {
    match target {
        Target::Mesh => (EVERY, EVERY),
        Target::Namespace(namespace) | Target::Workload { namespace, .. } => (namespace, EVERY),
        Target::Service(service) => (&service.namespace, &service.name),
    }
}

/// How much there is to compare in a guard.
fn parts(guard: &Guard) -> usize {
    1 + guard.methods.len() + guard.paths.len() + guard.peers.len()
}

fn name_of(rule: &Rule) -> &str {
    rule.id.rsplit('/').next().unwrap_or_default()
}

/// Whether the first guard matches wherever the second one does, conditions aside.
fn covers(wide: &Guard, narrow: &Guard) -> bool {
    let methods = wide.methods.is_empty()
        || (!narrow.methods.is_empty() && narrow.methods.iter().all(|method| wide.methods.contains(method)));
    let paths = wide.paths.is_empty()
        || (!narrow.paths.is_empty()
            && narrow.paths.iter().all(|path| wide.paths.iter().any(|pattern| path_covers(pattern, path))));
    let peers = wide.peers.is_empty()
        || (!narrow.peers.is_empty()
            && narrow.peers.iter().all(|peer| wide.peers.iter().any(|other| peer_covers(other, peer))));
    methods && paths && peers
}

pub(super) fn path_covers(wide: &PathPattern, narrow: &PathPattern) -> bool {
    let is_longer = narrow.segments.len() > wide.segments.len();
    let fits = |(wide, narrow): (&Segment, &Segment)| match (wide, narrow) {
        (Segment::Any, Segment::Literal(text)) => !text.is_empty(),
        (wide, narrow) => wide == narrow,
    };
    narrow.segments.len() >= wide.segments.len()
        && wide.segments.iter().zip(&narrow.segments).all(fits)
        && (wide.rest || (!narrow.rest && !is_longer))
}

fn peer_covers(wide: &Peer, narrow: &Peer) -> bool {
    match (wide, narrow) {
        (Peer::Anyone, _) => true,
        (Peer::Namespace(namespace), Peer::Service(service)) => *namespace == service.namespace,
        (Peer::Service(wide), Peer::Service(narrow)) => {
            wide.namespace == narrow.namespace && (wide.name == "*" || wide.name == narrow.name)
        }
        (Peer::Service(wide), Peer::Namespace(namespace)) => wide.name == "*" && wide.namespace == *namespace,
        (Peer::Ip(wide), Peer::Ip(narrow)) => wide.contains(narrow),
        (wide, narrow) => wide == narrow,
    }
}
