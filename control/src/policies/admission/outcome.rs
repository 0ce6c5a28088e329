//! What an admission tells of the policies it looked at: plain values, whatever they are sent as.

use crate::policies::documents::LeftOut;

/// What becomes of an applied policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedPolicy {
    /// Its name.
    pub name: String,
    /// Whether it is new, other than before, or the same.
    pub outcome: ApplyOutcome,
}

/// Whether an applied policy is new, other than before, or the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// There was no policy of this name.
    Created,
    /// Its text differs from what was in force.
    Changed,
    /// It was in force already.
    Unchanged,
    /// It is in force no more.
    Deleted,
}

/// A diagnostic that needs no sources any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Such as `E304`.
    pub code: &'static str,
    /// Whether it refuses the policy; if not, it is a warning.
    pub is_error: bool,
    /// One line.
    pub message: String,
    /// The file, as it was named when it was applied.
    pub file: String,
    /// Line of its main place, from 1.
    pub line: u32,
    /// Column of its main place in characters, from 1.
    pub column: u32,
    /// The remedy.
    pub help: Option<String>,
    /// The whole finding as plain text, with the lines of the source.
    pub rendered: String,
}

/// A case of a `test` block in which a policy decides otherwise than is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTest {
    /// The test's title.
    pub name: String,
    /// The file that the test stands in.
    pub file: String,
    /// The line of the case.
    pub line: u32,
    /// The case, on one line.
    pub case: String,
    /// What was expected and what came instead.
    pub failures: Vec<String>,
}

/// What a file that stays has no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// The file, as it was named when it was applied.
    pub file: String,
    /// What it was.
    pub left: LeftOut,
}
