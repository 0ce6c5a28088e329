//! The limits on a module, and what takes most room in one that is larger.

use super::{MODULE_BYTES_MAX, ModuleOptions, emit};
use crate::budget::{ModuleShare, classes_overlap, module_too_large, too_many_depths};
use crate::bug::CompileError;
use crate::checked::{Expr, ExprKind};
use crate::classify::{ClassLimits, classify_within};
use crate::diagnostic::Diagnostic;
use crate::linked::LinkedProgram;
use crate::lower::lower;
use crate::module::Module;
use crate::plan::{Entry, Plan};
use crate::regex::Dfa;
use crate::source::Span;
use crate::tabulate::tabulate_within;
use std::collections::BTreeSet;

/// The most members of classes: predicates by which a class of values differs from the others.
pub(crate) const CLASS_MEMBERS_MAX: usize = 2_000_000;
/// The most sets of depths at which the paths of a workload have `*`.
pub(crate) const STAR_DEPTHS_MAX: usize = 1_000;
const CLASSES: ClassLimits = ClassLimits { members_max: CLASS_MEMBERS_MAX, star_depths_max: STAR_DEPTHS_MAX };
/// What a word takes by which a class differs from the others, at least.
const DIFFERENCE_BYTES_MIN: usize = 8;

/// The module of a linked program that is small enough to be delivered.
pub(super) fn compile(program: &LinkedProgram, options: ModuleOptions) -> Result<Module, CompileError> {
    let plan = lower(program)?;
    let patterns = Patterns::of(&plan);
    // Patterns make any size out of a few bytes of source, so they are summed up before anything is made.
    if patterns.bytes > MODULE_BYTES_MAX {
        return Err(refused(too_large(patterns.bytes, &patterns, &plan)));
    }
    let classes = match classify_within(&plan, CLASSES)? {
        Ok(classes) => classes,
        Err(overlap) if overlap.is_of_depths => {
            return Err(refused(too_many_depths(overlap.span, STAR_DEPTHS_MAX)));
        }
        Err(overlap) => return Err(refused(classes_overlap(overlap.span, CLASS_MEMBERS_MAX))),
    };
    let differences_max = MODULE_BYTES_MAX / DIFFERENCE_BYTES_MIN;
    let Some(tables) = tabulate_within(&plan, &classes, differences_max)? else {
        return Err(refused(too_large(MODULE_BYTES_MAX + 1, &patterns, &plan)));
    };
    let module = emit(&plan, &classes, &tables, options)?;
    match module.bytes.len() {
        bytes if bytes > MODULE_BYTES_MAX => Err(refused(too_large(bytes, &patterns, &plan))),
        _ => Ok(module),
    }
}

fn refused(diagnostic: Diagnostic) -> CompileError {
    CompileError::Refused(vec![diagnostic])
}

/// The automata of a plan.
#[derive(Default)]
struct Patterns {
    /// What all of them take.
    bytes: usize,
    /// What the largest takes, and where it stands.
    largest: Option<(usize, Span)>,
}

impl Patterns {
    fn of(plan: &Plan) -> Self {
        let mut this = Self::default();
        let mut known = BTreeSet::new();
        let conditions = entries(plan).filter_map(|entry| entry.guard.condition.as_ref());
        for expr in conditions.chain(plan.computed()) {
            this.add(expr, &mut known);
        }
        this
    }

    fn add<'p>(&mut self, expr: &'p Expr, known: &mut BTreeSet<&'p str>) {
        if let ExprKind::Matches(_, regex) = &expr.kind
            && known.insert(regex.pattern())
        {
            let bytes = table_bytes(regex.dfa());
            self.bytes += bytes;
            if self.largest.is_none_or(|(most, _)| most < bytes) {
                self.largest = Some((bytes, expr.span));
            }
        }
        for part in expr.parts() {
            self.add(part, known);
        }
    }
}

/// What an automaton takes: the class of each byte, and a row of words for each state.
pub(crate) fn table_bytes(dfa: &Dfa) -> usize {
    256 + dfa.state_count() * (4 + 4 * usize::from(dfa.class_count))
}

fn entries(plan: &Plan) -> impl Iterator<Item = &Entry> {
    plan.strands.iter().flat_map(|strand| &strand.entries)
}

fn too_large(bytes: usize, patterns: &Patterns, plan: &Plan) -> Diagnostic {
    if let Some((largest, span)) = patterns.largest.filter(|_| patterns.bytes > bytes / 2) {
        let percent = (largest.saturating_mul(100) / bytes.max(1)).clamp(1, 100);
        return module_too_large(bytes, span, ModuleShare::Pattern { percent });
    }
    let statements: BTreeSet<Span> = entries(plan).map(|entry| entry.span).collect();
    let first = statements.first().copied().unwrap_or_default();
    let in_file = statements.iter().filter(|span| span.file == first.file).count();
    module_too_large(bytes, first, ModuleShare::File { statements: in_file, all: statements.len() })
}
