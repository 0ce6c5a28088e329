//! What becomes of what: kinds of data wherever they stand, members by name, and values by their path.

use crate::config::Action;
use crate::find::{Kind, Kinds};
use std::collections::BTreeMap;

/// Paths that a configuration may have: a bit each.
pub(crate) const PATHS_MAX: usize = 64;
/// Bytes that the name of a member may have that is looked for.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// What the filter does with what.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) kinds: Kinds,
    pub(crate) actions: BTreeMap<Kind, Action>,
    /// By names in small letters.
    pub(crate) members: BTreeMap<String, Action>,
    pub(crate) paths: Vec<Path>,
    /// What stands in the place of what is masked.
    pub(crate) mask: String,
    /// How many of a card's last digits are left.
    pub(crate) card_digits_kept: usize,
}

/// A path, and what becomes of the values there.
#[derive(Debug)]
pub(crate) struct Path {
    /// `None` is any name and any index.
    pub(crate) segments: Vec<Option<String>>,
    pub(crate) action: Action,
}

/// Which of the paths a place may be on, as bits, and what is to be done there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    pub(crate) paths: u64,
    pub(crate) action: Option<Action>,
}

impl Rules {
    /// Where every body begins.
    pub(crate) fn root(&self) -> Step {
        let paths = u64::MAX.checked_shr(PATHS_MAX.saturating_sub(self.paths.len()) as u32).unwrap_or(0);
        Step { paths, action: None }
    }

    /// From a container on these paths, which is in so many others, to a member or an item. `None` is a name that is too
    /// long to be stated, and is still any name.
    pub(crate) fn step(&self, paths: u64, depth: usize, segment: Option<&str>) -> Step {
        let mut next = Step::default();
        for (bit, path) in self.paths.iter().enumerate().filter(|(bit, _)| paths & 1 << bit != 0) {
            let Some(wanted) = path.segments.get(depth) else { continue };
            if wanted.is_none() || wanted.as_deref() == segment {
                next.paths |= 1 << bit;
                if path.segments.len() == depth + 1 {
                    next.action = stronger(next.action, Some(path.action));
                }
            }
        }
        next
    }

    /// As [`step`](Self::step), by a member's name, which may be one of those that are looked for anywhere.
    pub(crate) fn step_to_member(&self, paths: u64, depth: usize, name: Option<&str>) -> Step {
        let mut step = self.step(paths, depth, name);
        if let Some(name) = name.filter(|_| !self.members.is_empty()) {
            let by_name = self.members.get(&name.to_lowercase()).copied();
            step.action = stronger(step.action, by_name);
        }
        step
    }
}

fn stronger(one: Option<Action>, other: Option<Action>) -> Option<Action> {
    if one == Some(Action::Block) { one } else { other.or(one) }
}
