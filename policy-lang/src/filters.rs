//! What `filter` policies ask of the filters that there are: whoever keeps modules says what there is, and here is said
//! what of it a policy cannot have.
//!
//! A policy names a filter by name and version, and grants it something. What a filter does not have, or was pushed
//! without, is an error of the policy; so is a configuration that the module does not accept, in the module's words.

use crate::checked::{Attached, CheckedPolicy, FilterBody, FilterVersion, Grants, Mode};
use crate::diagnostic::near::nearest;
use crate::diagnostic::{Code, Diagnostic, FINDINGS_MAX};
use std::collections::BTreeMap;
use std::sync::Arc;

const UNKNOWN: Code = Code("E275");
const NOT_TO_BE_GRANTED: Code = Code("E276");
const REFUSED: Code = Code("E277");

/// How many versions are named of a filter that does not have the one that a policy wants.
const VERSIONS_NAMED_MAX: usize = 5;
/// How much of what a module says is shown, in characters.
const WORDS_SHOWN_MAX: usize = 500;

/// A version of a filter that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its number.
    pub number: Arc<str>,
    /// The SHA-256 of its bytes, in small hexadecimal digits.
    pub digest: Arc<str>,
    /// What a policy can grant it.
    pub grants: Granting,
}

/// What can be granted to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granting {
    /// Whether it may be let call services.
    pub call: bool,
    /// Whether it may be let read bodies.
    pub read_body: bool,
    /// Whether it may be let change bodies.
    pub change_body: bool,
    /// Whether it may be let share data.
    pub share_data: bool,
}

impl Granting {
    /// Everything that a policy can grant.
    pub const ALL: Self = Self { call: true, read_body: true, change_body: true, share_data: true };

    /// What is granted and cannot be.
    fn exceeded_by(self, may: &Grants) -> Option<&'static str> {
        let asked = [
            (!may.calls.is_empty() && !self.call, "call"),
            (may.read_body && !self.read_body && !self.change_body, "read body"),
            (may.change_body && !self.change_body, "change body"),
            (may.share_data && !self.share_data, "share data"),
        ];
        asked.into_iter().find(|(is_exceeded, _)| *is_exceeded).map(|(_, words)| words)
    }
}

/// The filters that there are: the versions of each name, the newest last.
pub type Registry = BTreeMap<Arc<str>, Vec<Pushed>>;

/// The version that is attached, if there is one.
#[must_use]
pub fn find<'r>(registry: &'r Registry, attached: &Attached) -> Option<&'r Pushed> {
    let is_meant = |pushed: &&Pushed| match &attached.version {
        FilterVersion::Number(number) => pushed.number == *number,
        FilterVersion::Digest(digest) => pushed.digest == *digest,
    };
    registry.get(&attached.name)?.iter().find(is_meant)
}

/// An error for each filter that one of these policies attaches and cannot have. One that sleeps has to be there, too,
/// for it can be woken at any time.
#[must_use]
pub fn unusable<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    registry: &Registry,
) -> Vec<Diagnostic> {
    let filters = policies.into_iter().filter_map(CheckedPolicy::filter);
    let wrong = filters.filter_map(|body| match find(registry, &body.attached) {
        None => Some(unknown(body, registry)),
        Some(pushed) => pushed.grants.exceeded_by(&body.may).map(|words| not_to_be_granted(body, words)),
    });
    wrong.take(FINDINGS_MAX).collect()
}

/// Whether a policy puts a filter into the way of requests.
#[must_use]
pub fn is_attached(policy: &CheckedPolicy) -> bool {
    policy.filter().is_some() && policy.mode == Mode::Enforce
}

fn unknown(body: &FilterBody, registry: &Registry) -> Diagnostic {
    let Attached { name, version } = &body.attached;
    let Some(versions) = registry.get(name).filter(|versions| !versions.is_empty()) else {
        let help = match nearest(name, registry.keys().map(|name| &**name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "push it first: `chancery filter push FILE --name {name} --version {}`",
                number_of(version)
            ),
        };
        let message = format!("there is no filter `{name}`");
        return Diagnostic::error(UNKNOWN, body.attached_span, message).help(help);
    };
    let newest: Vec<&str> =
        versions.iter().rev().take(VERSIONS_NAMED_MAX).map(|pushed| &*pushed.number).collect();
    let more = if versions.len() > newest.len() { ", …" } else { "" };
    Diagnostic::error(UNKNOWN, body.attached_span, format!("there is no `{name}` {version}"))
        .help(format!("there is {}{more}; `chancery filter versions {name}` shows all", newest.join(", ")))
}

fn number_of(version: &FilterVersion) -> &str {
    match version {
        FilterVersion::Number(number) => number,
        FilterVersion::Digest(_) => "1.0.0",
    }
}

fn not_to_be_granted(body: &FilterBody, words: &str) -> Diagnostic {
    let message = format!("`{}` was pushed as one that never needs `{words}`", body.attached.name);
    Diagnostic::error(NOT_TO_BE_GRANTED, body.attached_span, message)
        .help(format!("remove `may {words}`, or push another version with `--may '{words}'`"))
}

/// The module of a filter does not take its configuration, or that it has none. `words` are what it says of that.
#[must_use]
pub fn refused(body: &FilterBody, words: &str) -> Diagnostic {
    let (name, words) = (&body.attached, shown(words));
    let (message, help) = match body.config_span {
        Some(_) => (
            format!("`{name}` does not accept this configuration: {words}"),
            "correct it: what is said is said by the filter itself",
        ),
        None => {
            (format!("`{name}` does not start without a configuration: {words}"), "write one: `config { … }`")
        }
    };
    Diagnostic::error(REFUSED, body.config_span.unwrap_or(body.attached_span), message).help(help)
}

/// The module of a filter fails as the policy attaches it. `words` say at what.
#[must_use]
pub fn fails(body: &FilterBody, words: &str) -> Diagnostic {
    let message = format!("`{}` fails as it is attached here: {}", body.attached, shown(words));
    Diagnostic::error(REFUSED, body.attached_span, message)
        .help("run it with `chancery filter run` and this configuration, which shows its log")
}

fn shown(words: &str) -> String {
    words.chars().map(|shown| if shown.is_control() { ' ' } else { shown }).take(WORDS_SHOWN_MAX).collect()
}
