//! Regular expressions of policies: RE2 syntax, compiled to a DFA when the policy is compiled.

/// A literal pattern of `matches`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regex {
    /// The pattern as written.
    pub pattern: String,
}
