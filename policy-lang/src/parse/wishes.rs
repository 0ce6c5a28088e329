//! What could stand at the end of a text: what the parser looked for there before it found that the text ends.
//!
//! So nobody keeps a second list of what may follow what: the productions themselves say it.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// Something that could stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// This keyword.
    Word(&'static str),
    /// A method, such as `GET`.
    Method,
    /// A path.
    Path,
    /// A service, `namespace/name`.
    Service,
    /// The name of a policy.
    Policy,
    /// The name of a rule, or of another statement that has one.
    Rule,
    /// The name of a sink.
    Sink,
    /// An expression.
    Expression,
}

/// Wishes, taken down while the parser only looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes(RefCell<BTreeSet<Wish>>);

impl Wishes {
    /// Takes down one more.
    pub(super) fn add(&self, wish: Wish) {
        // Nobody else holds it, for it is held in this line alone.
        if let Ok(mut wishes) = self.0.try_borrow_mut() {
            wishes.insert(wish);
        }
    }

    /// All of them.
    pub(super) fn into_set(self) -> BTreeSet<Wish> {
        self.0.into_inner()
    }
}
