//! What policies can make of a module at most, known before they are linked: sums over their parts.
//!
//! The sums are bounds and no guesses: `tests` holds them against the modules of generated policies. They are
//! loose, for they are looked at for each workload; where they reach a limit the module itself is made, and
//! what it says counts.

#[cfg(test)]
mod tests;

use crate::checked::{
    Attribute, BinaryOp, CheckedPolicy, Expr, ExprKind, Mode, PathPattern, Peer, Rule, Segment, Value,
};
use crate::emit::{CLASS_MEMBERS_MAX, MODULE_BYTES_MAX, STAR_DEPTHS_MAX, table_bytes};
use crate::literals::{attributes_of, is_of_target, star_positions};
use crate::module::{BYTES_SEEN_MAX, HEADERS_MAX, STEPS_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of a module that a part of a rule makes, beside the texts and automata that it names.
const BYTES_PER_PART_MAX: usize = 1_024;
/// The most bytes of a module without rules.
const EMPTY_MODULE_BYTES_MAX: usize = 64 << 10;

/// The most steps of a decision without rules: of reading path and headers.
const EMPTY_MODULE_STEPS_MAX: u64 = 2_700_000;
/// The most steps that a part of a rule adds: those of a test of a word of entries.
const STEPS_PER_PART_MAX: u64 = 1_200;
/// The most steps of a look-up, beside those for the longest text that is looked up.
const STEPS_PER_LOOK_UP_MAX: u64 = 2_500;
/// The most steps that a look-up, or a comparison with a constant, takes for each byte of the longest text.
const STEPS_PER_TEXT_BYTE_MAX: u64 = 20;
/// Look-ups of a policy beside those of paths and of what its conditions ask about: of the caller and of the
/// method.
const OTHER_LOOK_UPS: u64 = 4;
/// The most steps of finding namespace and service in the caller's identity, which is done wherever they are
/// asked for.
const IDENTITY_STEPS_MAX: u64 = 180_000;
/// The most steps of finding a segment of the path.
const SEGMENT_STEPS_MAX: u64 = 220_000;
/// The most steps of making the host's letters small.
const HOST_STEPS_MAX: u64 = 450_000;

/// The most bytes of the identity of a service beside the names of namespace and service.
const SERVICE_BYTES_MAX: usize = 300;

/// Sums over the parts of policies.
#[derive(Clone, Debug, Default)]
pub(super) struct Weight {
    /// The most bytes of a module that they make.
    pub(super) bytes: usize,
    /// How many statements they have.
    pub(super) statements: usize,
    /// How many parts those have.
    pub(super) parts: u64,
    /// Whether something in them has to be computed for each workload anew.
    pub(super) is_of_workload: bool,
    /// Whether something in them takes longer the longer a request is, beside what is counted in `steps`.
    is_dear: bool,
    /// The most steps that are beside those of each part.
    steps: u64,
    /// Whether callers are told apart.
    has_peers: bool,
    /// Whether a policy is in shadow mode.
    has_shadow: bool,
    /// How many paths have `*`.
    stars: usize,
    /// How often something is looked up in all policies, of which each looks a thing up once.
    look_ups: u64,
    /// The bytes of the longest text that is looked up.
    longest: u64,
    /// The bytes of the longest name that a header of a request can have.
    longest_name: u64,
}

impl Weight {
    pub(super) fn of(policy: &CheckedPolicy) -> Self {
        let mut this = Self { has_shadow: matches!(policy.mode, Mode::Shadow { .. }), ..Self::default() };
        let mut asked = Asked::default();
        policy.rules().iter().for_each(|rule| this.add_rule(rule, &mut asked));
        this.look_ups = asked.look_ups();
        // What limits and lines of logs take depends on how many can match at once, which the module itself knows best;
        // and two that change one header may contradict each other.
        this.is_dear |= !policy.limits().is_empty() || !policy.headers().is_empty() || policy.log().is_some();
        this.is_of_workload |= policy.computed().any(|expr| reads_target(expr));
        this
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.statements += other.statements;
        self.parts = self.parts.saturating_add(other.parts);
        self.is_of_workload |= other.is_of_workload;
        self.is_dear |= other.is_dear;
        self.steps = self.steps.saturating_add(other.steps);
        self.has_peers |= other.has_peers;
        self.has_shadow |= other.has_shadow;
        self.stars += other.stars;
        self.look_ups = self.look_ups.saturating_add(other.look_ups);
        self.longest = self.longest.max(other.longest);
        self.longest_name = self.longest_name.max(other.longest_name);
    }

    /// Whether a module, or what it is made of, can be larger or more costly than is allowed.
    pub(super) fn can_be_refused(&self) -> bool {
        self.bytes_max() > MODULE_BYTES_MAX
            || self.members_max() > CLASS_MEMBERS_MAX as u64
            || self.star_depths_max() > STAR_DEPTHS_MAX
            || self.steps_max().is_none_or(|steps| steps > STEPS_MAX)
    }

    /// The most bytes of a module.
    fn bytes_max(&self) -> usize {
        self.bytes.saturating_add(EMPTY_MODULE_BYTES_MAX)
    }

    /// The most members of classes.
    fn members_max(&self) -> u64 {
        // Each is looked at, and then kept; there are two classes that no part names.
        (self.statements as u64 + 2).saturating_mul(self.parts).saturating_mul(2)
    }

    /// The most sets of depths at which paths have `*`, the empty one among them.
    fn star_depths_max(&self) -> usize {
        self.stars + 1
    }

    /// The most steps of a decision, where the sums say it.
    fn steps_max(&self) -> Option<u64> {
        if self.is_dear {
            return None;
        }
        let of_text = self.longest.min(BYTES_SEEN_MAX).saturating_mul(STEPS_PER_TEXT_BYTE_MAX);
        let of_look_ups = self.look_ups.saturating_mul(STEPS_PER_LOOK_UP_MAX.saturating_add(of_text));
        let of_peers = if self.has_peers { IDENTITY_STEPS_MAX } else { 0 };
        let of_parts = self.parts.saturating_mul(STEPS_PER_PART_MAX);
        let of_names = (HEADERS_MAX * STEPS_PER_TEXT_BYTE_MAX).saturating_mul(self.longest_name);
        let of_rules = [of_parts, of_look_ups, of_peers, self.steps].into_iter().fold(0, u64::saturating_add);
        // With shadow policies rules are asked twice.
        let times = if self.has_shadow { 2 } else { 1 };
        let sums = [EMPTY_MODULE_STEPS_MAX, of_names, of_rules.saturating_mul(times)];
        Some(sums.into_iter().fold(0, u64::saturating_add))
    }

    fn add_rule<'p>(&mut self, rule: &'p Rule, asked: &mut Asked<'p>) {
        self.statements += 1;
        let guard = &rule.guard;
        let segments: usize = guard.paths.iter().map(|path| path.segments.len()).sum();
        let texts: usize = guard.paths.iter().flat_map(|path| &path.segments).map(segment_bytes).sum();
        let has_star = |path: &&PathPattern| path.segments.contains(&Segment::Any);
        self.stars += guard.paths.iter().filter(has_star).count();
        self.has_peers |= !guard.peers.is_empty();
        guard.paths.iter().for_each(|path| asked.add_path(path));
        // Paths with `*` at different depths and peers of two kinds stand as entries of their own.
        let entries = 2 * guard.paths.len().max(1);
        let parts = entries * (1 + guard.methods.len() + guard.peers.len()) + segments;
        let body = rule.respond.as_ref().map_or(0, |respond| respond.body.len());
        self.parts += parts as u64;
        self.bytes += parts * BYTES_PER_PART_MAX + texts + body + rule.id.len();
        let segments = guard.paths.iter().flat_map(|path| &path.segments).map(segment_bytes);
        let looked_up = segments
            .chain(guard.peers.iter().map(peer_bytes))
            .chain(guard.methods.iter().map(|method| method.len()));
        self.longest = self.longest.max(looked_up.max().unwrap_or_default() as u64);
        if let Some(condition) = &guard.condition {
            self.add_expression(condition, asked);
        }
    }

    fn add_expression<'p>(&mut self, expr: &'p Expr, asked: &mut Asked<'p>) {
        self.bytes += BYTES_PER_PART_MAX;
        self.parts += 1;
        match &expr.kind {
            ExprKind::Literal(Value::String(text)) => self.add_text(text),
            ExprKind::Literal(Value::List(elements)) => {
                self.parts += elements.len() as u64;
                self.bytes += elements.len() * BYTES_PER_PART_MAX;
                elements.iter().for_each(|text| self.add_text(text));
            }
            ExprKind::Matches(_, regex) => {
                self.bytes += table_bytes(regex.dfa());
                self.is_dear = true;
            }
            ExprKind::Call(..)
            | ExprKind::Quantify { .. }
            | ExprKind::Convert(..)
            | ExprKind::Conditional(..) => self.is_dear = true,
            // What is compared with a constant is looked up once for all constants; two texts are walked.
            ExprKind::Binary(operator, left, right) if !matches!(operator, BinaryOp::And | BinaryOp::Or) => {
                let is_constant = |expr: &Expr| matches!(expr.kind, ExprKind::Literal(_));
                self.is_dear |= !is_constant(left) && !is_constant(right);
            }
            ExprKind::Attribute(attribute) => {
                asked.attributes.insert(attribute);
                self.add_attribute(attribute);
            }
            _ => {}
        }
        expr.parts().into_iter().for_each(|part| self.add_expression(part, asked));
    }

    fn add_text(&mut self, text: &str) {
        self.bytes += text.len();
        self.steps = self.steps.saturating_add(STEPS_PER_TEXT_BYTE_MAX.saturating_mul(text.len() as u64));
        self.longest = self.longest.max(text.len() as u64);
    }

    fn add_attribute(&mut self, attribute: &Attribute) {
        match attribute {
            Attribute::Query(_) => self.is_dear = true,
            Attribute::SourceService | Attribute::SourceNamespace => self.steps += IDENTITY_STEPS_MAX,
            Attribute::PathSegment(_) => self.steps += SEGMENT_STEPS_MAX,
            Attribute::Host => self.steps += HOST_STEPS_MAX,
            Attribute::Header(name) => {
                self.longest = self.longest.max(name.len() as u64);
                self.longest_name = self.longest_name.max(name.len() as u64);
            }
            attribute if is_of_target(attribute) => self.is_of_workload = true,
            _ => {}
        }
    }
}

/// Whether an expression depends on the workload.
fn reads_target(expr: &Expr) -> bool {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    asked.iter().any(is_of_target)
}

/// What the rules of a policy ask about.
#[derive(Default)]
struct Asked<'p> {
    attributes: BTreeSet<&'p Attribute>,
    /// By the depths of `*`, how many segments the longest path has.
    depths: BTreeMap<BTreeSet<u16>, usize>,
}

impl Asked<'_> {
    fn add_path(&mut self, path: &PathPattern) {
        let depth = self.depths.entry(star_positions(path)).or_default();
        *depth = (*depth).max(path.segments.len() + 1);
    }

    /// How often something is looked up: once for each thing, and of a path each segment.
    fn look_ups(&self) -> u64 {
        let segments: usize = self.depths.values().sum();
        (self.attributes.len() + segments) as u64 + OTHER_LOOK_UPS
    }
}

/// How long the text is that is looked up for a peer.
fn peer_bytes(peer: &Peer) -> usize {
    match peer {
        Peer::Service(service) => SERVICE_BYTES_MAX + service.namespace.len() + service.name.len(),
        Peer::Namespace(namespace) => namespace.len(),
        Peer::Spiffe(id) => id.len(),
        Peer::Ip(_) | Peer::Anyone => 0,
    }
}

fn segment_bytes(segment: &Segment) -> usize {
    match segment {
        Segment::Literal(text) => text.len(),
        Segment::Any => 0,
    }
}
