//! Sinks: where lines of logs go that a module says. A module writes in front of each line in which sinks it
//! belongs, if not only in the log of the sidecar; the sidecar reads that and takes it away.
//!
//! ```text
//! send to audit, stdout  ──link──>  {audit: file audit.jsonl, stdout}  ──emit──>  `audit=file:audit.jsonl stdout=stdout `
//! ```
//!
//! A policy and the sinks that it names may stand in different files and be applied one after the other; whether
//! each that is named exists is asked where all policies are known.

use crate::checked::{CheckedPolicy, Goal};
use crate::diagnostic::near::nearest;
use crate::diagnostic::{Code, Diagnostic, FINDINGS_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

const UNKNOWN: Code = Code("E252");
const UNUSED: Code = Code("W140");

/// The sink that is there without being stated: the log of the sidecar.
pub const STDOUT: &str = "stdout";
/// What stands in front of the address of a receiver that is reached over TLS.
pub const WITH_TLS: &str = "https://";
/// The most sinks that the policies of one workload send to.
pub const SINKS_MAX: usize = 8;

/// Where lines go, by the names of the sinks.
pub type Goals = BTreeMap<Arc<str>, Goal>;

impl fmt::Display for Goal {
    /// As it stands in front of a line: `file:audit.jsonl`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => out.write_str(STDOUT),
            Self::File(name) => write!(out, "file:{name}"),
            Self::Otlp(address) => write!(out, "otlp:{address}"),
        }
    }
}

impl Goal {
    /// The kind, and what it is called by its own: `file` and `audit.jsonl`.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Stdout => (STDOUT, ""),
            Self::File(name) => ("file", name),
            Self::Otlp(address) => ("otlp", address),
        }
    }

    fn read(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == STDOUT).then_some(Self::Stdout),
            Some(("file", name)) => Some(Self::File(name.into())),
            Some(("otlp", address)) => Some(Self::Otlp(address.into())),
            Some(_) => None,
        }
    }
}

/// What stands in front of a line that goes there; nothing if it goes nowhere but to the log of the sidecar.
#[must_use]
pub fn directions(goals: &Goals) -> String {
    if goals.values().all(|goal| *goal == Goal::Stdout) {
        return String::new();
    }
    goals.iter().map(|(name, goal)| format!("{name}={goal} ")).collect()
}

/// Takes apart what [`directions`] wrote and the object behind it; `None` if it is no such line.
#[must_use]
pub fn read(line: &str) -> Option<(Goals, &str)> {
    let (directions, object) = line.split_at_checked(line.find('{')?)?;
    let mut goals = Goals::new();
    for direction in directions.split_terminator(' ') {
        let (name, goal) = direction.split_once('=')?;
        goals.insert(name.into(), Goal::read(goal)?);
    }
    object.ends_with('}').then_some((goals, object))
}

/// An error for each sink that one of these policies sends to and that is none. `goal` gives those there are.
#[must_use]
pub fn unknown<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    known: &BTreeSet<&str>,
) -> Vec<Diagnostic> {
    let sends = policies.into_iter().filter_map(CheckedPolicy::log).flat_map(|log| &log.sends);
    let missing = sends.filter(|send| &*send.sink != STDOUT && !known.contains(&*send.sink));
    missing.take(FINDINGS_MAX).map(|send| unknown_sink(send, known)).collect()
}

fn unknown_sink(send: &crate::checked::Sending, known: &BTreeSet<&str>) -> Diagnostic {
    let name = &send.sink;
    let help = match nearest(name, known.iter().copied().chain([STDOUT])) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "state it, in any file: `sink {name} {{ file \"{name}.jsonl\" }}`; one that is in force goes only when no \
             policy sends to it"
        ),
    };
    Diagnostic::error(UNKNOWN, send.span, format!("there is no sink `{name}`")).help(help)
}

/// A warning for each of these sinks that none of `all` policies sends to.
#[must_use]
pub fn unused<'a>(
    sinks: impl IntoIterator<Item = &'a CheckedPolicy>,
    all: impl IntoIterator<Item = &'a CheckedPolicy>,
) -> Vec<Diagnostic> {
    let mut sinks = sinks.into_iter().filter(|policy| policy.sink().is_some()).peekable();
    if sinks.peek().is_none() {
        return Vec::new();
    }
    let used: BTreeSet<&str> = all.into_iter().flat_map(sent_to).collect();
    let unused = sinks.filter(|policy| !used.contains(policy.name.as_str()));
    let warning = |policy: &CheckedPolicy| {
        let message = format!("no policy sends to `{}`", policy.name);
        Diagnostic::warning(UNUSED, policy.name_span, message)
            .help(format!("write `send to {}` in a `log` policy", policy.name))
    };
    unused.take(FINDINGS_MAX).map(warning).collect()
}

/// The names of the sinks that a policy sends to.
pub fn sent_to(policy: &CheckedPolicy) -> impl Iterator<Item = &str> {
    policy.log().into_iter().flat_map(|log| &log.sends).map(|send| &*send.sink)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_front_of_a_line_is_read_back() {
        let goals: Goals = [
            ("audit".into(), Goal::File("a=b.jsonl".into())),
            ("otel".into(), Goal::Otlp("[::1]:4317".into())),
            ("stdout".into(), Goal::Stdout),
        ]
        .into();
        let text = directions(&goals);
        assert_eq!(text, "audit=file:a=b.jsonl otel=otlp:[::1]:4317 stdout=stdout ");
        let line = format!("{text}{{\"path\":\"x=file:y {{\"}}");
        let (read_back, object) = read(&line).unwrap();
        assert_eq!((read_back, object), (goals, "{\"path\":\"x=file:y {\"}"));
        assert_eq!(read("{}"), Some((Goals::new(), "{}")));
        for wrong in ["", "a {", "a=file:b {", "a=b {}", "= {}", "a=stdout  {}", "hello", "{"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_goes_to_standard_output_alone_needs_no_directions() {
        assert_eq!(directions(&Goals::new()), "");
        assert_eq!(directions(&[("plain".into(), Goal::Stdout)].into()), "");
    }
}
