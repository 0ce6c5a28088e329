//! A deterministic automaton over bytes, as tables.

/// Where a pattern matches anywhere in a text: walk the whole text from `start`, then ask
/// [`Dfa::accepts_at_end`].
///
/// The state after byte `b` in state `s` is `transitions[s * class_count + classes[b]]`. States are
/// numbered in the order in which a walk finds them, so equal patterns give equal tables.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dfa {
    /// The class of each byte; all bytes of a class lead to the same states.
    pub classes: [u8; 256],
    /// How many classes there are; 1 to 256.
    pub class_count: u16,
    /// Next states, `class_count` for each state.
    pub transitions: Vec<u16>,
    /// The first state.
    pub start: u16,
    /// For each state whether a text that ends in it matches.
    pub accepting: Vec<bool>,
    /// The accepting state that is never left, if there is one: a walk may stop there.
    pub matched: Option<u16>,
    /// The state that is never left and does not accept, if there is one: a walk may stop there.
    pub dead: Option<u16>,
}

impl Dfa {
    /// How many states it has.
    #[must_use]
    pub fn state_count(&self) -> usize {
        self.accepting.len()
    }

    /// The state behind a byte; a state that does not exist leads to the start.
    #[must_use]
    pub fn next(&self, state: u16, byte: u8) -> u16 {
        let class = self.classes.get(usize::from(byte)).copied().unwrap_or_default();
        let at = usize::from(state) * usize::from(self.class_count) + usize::from(class);
        self.transitions.get(at).copied().unwrap_or(self.start)
    }

    /// Whether a text that ends in this state matches.
    #[must_use]
    pub fn accepts_at_end(&self, state: u16) -> bool {
        self.accepting.get(usize::from(state)).copied().unwrap_or(false)
    }

    /// Whether the pattern matches anywhere in the text.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let end = text.iter().fold(self.start, |state, byte| self.next(state, *byte));
        self.accepts_at_end(end)
    }
}
