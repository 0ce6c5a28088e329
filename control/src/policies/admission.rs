//! What stands between a request and the store: all files of an apply are parsed, checked, linked
//! with the policies that stay, and compiled, for every workload; then the tests are run that the change
//! touches. What fails here is never stored.

mod outcome;
mod tests_touched;

pub use outcome::{AppliedPolicy, ApplyOutcome, FailedTest, Finding, LeftBehind};
pub use tests_touched::TEST_LIMITS;

use crate::mesh::model::{DesiredState, Document};
use crate::mesh::store::{Change, Intent, Placement, PolicyChange, StoreError};
use crate::policies::in_force::{PoliciesInForce, surroundings, workloads};
use crate::policies::preflight::{Preflight, TrialError};
use crate::policies::sources::FILES_MAX;
use crate::policies::test_run::TestError;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::check::{CheckOptions, check};
use chancery_policy_lang::checked::{CheckedPolicy, CheckedTest, Direction, ServiceRef};
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::inhabitants::unknown_inhabitants;
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::parse::parse;
use chancery_policy_lang::source::SOURCE_BYTES_MAX;
use chancery_policy_lang::testing::left_out as left_out_of_tests;
use chancery_policy_lang::{Diagnostic, SourceSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tests_touched::Next;

/// The longest name of a file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 1024;
/// The most findings that one answer has; the first ones are usually the cause of the rest.
const DIAGNOSTICS_MAX: usize = 100;

/// Policies that may be put in force.
#[derive(Debug)]
pub struct Admission {
    /// The change to make; `None` if everything is in force already.
    pub change: Option<Change>,
    /// What becomes of each policy, by name.
    pub outcomes: Vec<AppliedPolicy>,
    /// How many tests were run; `None` if that was not wanted.
    pub tests: Option<usize>,
    /// Warnings of the checker.
    pub warnings: Vec<Finding>,
    /// Tests in files that stay which do not count any more.
    pub left_out: Vec<LeftBehind>,
}

/// A policy that may be taken out of force.
#[derive(Debug)]
pub struct Deletion {
    /// The change to make.
    pub change: Change,
    /// Tests in files that stay which do not count any more.
    pub left_out: Vec<LeftBehind>,
}

/// How an apply is meant.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// `YYYY-MM-DD`, for shadow policies whose time may be over.
    pub today: &'a str,
    /// Whether tests are not run.
    pub skip_tests: bool,
    /// Services that may join, beside those that sidecars speak of.
    pub invited: &'a BTreeSet<ServiceRef>,
}

/// Why files are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request as a whole is not one.
    #[error("{message}")]
    Request {
        /// What is wrong, and where.
        message: String,
        /// What to do.
        help: String,
    },
    /// The policies are wrong, or do not fit together.
    #[error("{}", summary(.0))]
    Policies(Vec<Finding>),
    /// Tests fail.
    #[error("the policies are refused: {}; nothing was changed", tests_summary(failed, *run))]
    Tests {
        /// The cases that failed.
        failed: Vec<FailedTest>,
        /// How many tests were run.
        run: usize,
    },
    /// The compiler made something that must not go out.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The module of a test's policies fails, or does not decide as is defined.
    #[error("a test found a fault of chancery: {0}")]
    Broken(String),
    /// The change cannot be made of this state.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks files against the state that they are applied to.
///
/// # Errors
/// If the request or a policy is wrong, or a test fails.
pub fn admit(
    state: &DesiredState,
    files: Vec<Document>,
    terms: Terms<'_>,
    preflight: &Preflight,
) -> Result<Admission, Refusal> {
    let documents = documents(files)?;
    let mut in_force = PoliciesInForce::of(state);
    let new = NewPolicies::check(&mut in_force, &documents, terms.today);
    if new.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Refusal::Policies(findings(&new.diagnostics, &in_force.sources)));
    }
    if new.policies.is_empty() {
        return Err(Refusal::Request {
            message: "there is no policy in the files".to_owned(),
            help: "a policy begins with `auth NAME on TARGET {`; tests alone are run by `chancery test`"
                .to_owned(),
        });
    }
    let staying = in_force.policies.values().filter(|policy| new.of(&policy.name).is_none());
    let all: Vec<CheckedPolicy> =
        staying.cloned().chain(new.policies.iter().map(|(policy, _)| policy.clone())).collect();
    check_together(state, &in_force.sources, &all, preflight)?;

    let kept = new.kept_files(state, &in_force);
    let outcomes = new.outcomes(state, &in_force);
    let change = change(state, &new, documents, &kept, &outcomes, terms);
    let after = change.as_ref().map(|change| change.apply_to(state)).transpose()?;
    let next = Next { state: after.as_ref().unwrap_or(state), in_force: &in_force, policies: &all };
    let tests =
        if terms.skip_tests { None } else { Some(run_tests(&next, &new, &kept, &outcomes, preflight)?) };
    let left_out = next.tests_left_behind(state);
    let mut warnings = new.diagnostics.clone();
    warnings.extend(left_out_of_tests(&new.tests, &all));
    let policies: Vec<&CheckedPolicy> = new.policies.iter().map(|(policy, _)| policy).collect();
    let known = known_services(state).chain(terms.invited.iter().cloned()).collect();
    warnings.extend(unknown_inhabitants(&policies, &known, &in_force.sources));
    let warnings = findings(&warnings, &in_force.sources);
    let applied = |(name, outcome): (&str, ApplyOutcome)| AppliedPolicy { name: name.to_owned(), outcome };
    let outcomes = outcomes.into_iter().map(applied).collect();
    Ok(Admission { change, outcomes, tests, warnings, left_out })
}

/// The services of which a sidecar has joined, and those that a sidecar says its workload calls.
fn known_services(state: &DesiredState) -> impl Iterator<Item = ServiceRef> {
    state.proxies.values().flat_map(|proxy| {
        let called = proxy.outbounds.iter().map(|outbound| outbound.service.clone());
        called.chain([proxy.service.clone()])
    })
}

/// Checks that the others make sense without a policy, and gives the change that takes it away.
///
/// # Errors
/// If they do not: it may have hidden a conflict between two others.
pub fn admit_deletion(state: &DesiredState, name: &str, preflight: &Preflight) -> Result<Deletion, Refusal> {
    let in_force = PoliciesInForce::of(state);
    let staying: Vec<CheckedPolicy> =
        in_force.policies.values().filter(|policy| policy.name != name).cloned().collect();
    check_together(state, &in_force.sources, &staying, preflight)?;
    let Some(record) = state.policies.get(name) else {
        return Err(StoreError::NoSuchPolicy(name.to_owned()).into());
    };
    let change = Change::Policies(PolicyChange {
        base: state.revision,
        intent: Intent::Delete,
        documents: Vec::new(),
        placed: BTreeMap::new(),
        removed: [(name.to_owned(), record.document.clone())].into(),
    });
    let after = change.apply_to(state)?;
    let next = Next { state: &after, in_force: &in_force, policies: &staying };
    let left_out = next.tests_left_behind(state);
    Ok(Deletion { change, left_out })
}

/// Runs the tests of the files, and those of others that the change touches. Gives their number.
fn run_tests(
    next: &Next<'_>,
    new: &NewPolicies,
    kept: &BTreeMap<String, String>,
    outcomes: &BTreeMap<&str, ApplyOutcome>,
    preflight: &Preflight,
) -> Result<usize, Refusal> {
    let sources = &next.in_force.sources;
    let changed = outcomes.iter().filter(|(_, outcome)| **outcome != ApplyOutcome::Unchanged);
    let changed: BTreeSet<&str> = changed.map(|(name, _)| *name).collect();
    let run_already = kept.values().cloned().chain(new.policies.iter().map(|(_, file)| file.digest.clone()));
    let (others, diagnostics) = next.tests_of_others(&run_already.collect(), &changed);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Refusal::Policies(findings(&diagnostics, sources)));
    }
    let tests: Vec<CheckedTest> = new.tests.iter().cloned().chain(others).collect();
    let runs = next.run(&tests, preflight.host()).map_err(|error| match error {
        TestError::Apart(found) => Refusal::Policies(findings(&found, sources)),
        TestError::TooMany { .. } | TestError::TooLong { .. } => Refusal::Request {
            message: format!("{error}; nothing was changed"),
            help: "apply fewer files at a time, or without their tests: `--no-tests`".to_owned(),
        },
        TestError::Broken(_) => Refusal::Broken(error.to_string()),
    })?;
    let failed = tests_touched::failed(&runs);
    if failed.is_empty() { Ok(runs.len()) } else { Err(Refusal::Tests { failed, run: runs.len() }) }
}

/// The policies of the files of one apply.
struct NewPolicies {
    policies: Vec<(CheckedPolicy, Arc<File>)>,
    tests: Vec<CheckedTest>,
    diagnostics: Vec<Diagnostic>,
}

/// What is known of a file beside its policies.
struct File {
    digest: String,
    text: Arc<str>,
    surroundings: String,
}

impl NewPolicies {
    /// Parses and checks documents together; their texts are added to those in force, whose policies their
    /// tests may name.
    fn check(in_force: &mut PoliciesInForce, documents: &[Arc<Document>], today: &str) -> Self {
        let PoliciesInForce { sources, policies: beside, .. } = in_force;
        let mut trees = Vec::new();
        let mut files = BTreeMap::new();
        let mut diagnostics = Vec::new();
        for document in documents {
            let id = sources.add(document.name.clone(), document.text.clone());
            let parsed = parse(id, &document.text);
            let file = File {
                digest: document.digest(),
                text: document.text.clone(),
                surroundings: surroundings(&parsed.tree),
            };
            files.insert(id, Arc::new(file));
            trees.push(parsed.tree);
            diagnostics.extend(parsed.diagnostics);
        }
        let beside: Vec<CheckedPolicy> = beside.values().cloned().collect();
        let checked = check(sources, &trees, CheckOptions { today: Some(today), beside: &beside });
        diagnostics.extend(checked.diagnostics);
        diagnostics.sort_by_key(|found| (found.primary.span.file, found.primary.span.start));
        let with_file = |policy: CheckedPolicy| {
            let file = files.get(&policy.span.file).cloned()?;
            Some((policy, file))
        };
        let policies = checked.policies.into_iter().filter_map(with_file).collect();
        Self { policies, tests: checked.tests, diagnostics }
    }

    /// What becomes of each policy, by name.
    fn outcomes(&self, state: &DesiredState, in_force: &PoliciesInForce) -> BTreeMap<&str, ApplyOutcome> {
        let outcome = |(policy, file): &(CheckedPolicy, Arc<File>)| compare(state, in_force, policy, file);
        self.policies.iter().map(|new| (new.0.name.as_str(), outcome(new))).collect()
    }

    /// The digests of the files that say just what a document in force still says, whatever both are called,
    /// with the digest of that document: it stays, so that what is printed of it may be applied from anywhere.
    fn kept_files(&self, state: &DesiredState, in_force: &PoliciesInForce) -> BTreeMap<String, String> {
        let mut compared = BTreeSet::new();
        let mut kept = BTreeMap::new();
        // Of a file whose text is that of a document all policies are in force from it: one of them shows it.
        for (policy, file) in self.policies.iter().filter(|(_, file)| compared.insert(&file.digest)) {
            let Some(record) = state.policies.get(&policy.name) else { continue };
            let standing = in_force.standing(state, &record.document);
            if standing.is_some_and(|standing| *standing.text == *file.text) {
                kept.insert(file.digest.clone(), record.document.clone());
            }
        }
        kept
    }

    fn of(&self, name: &str) -> Option<&CheckedPolicy> {
        self.policies.iter().map(|(policy, _)| policy).find(|policy| policy.name == name)
    }
}

/// The documents of a request, by name, so that its order does not matter.
fn documents(files: Vec<Document>) -> Result<Vec<Arc<Document>>, Refusal> {
    let refuse = |message: String, help: &str| Err(Refusal::Request { message, help: help.to_owned() });
    if files.len() > FILES_MAX {
        return refuse(
            format!("there are {} files", files.len()),
            &format!("apply at most {FILES_MAX} at a time"),
        );
    }
    let mut documents: BTreeMap<String, Arc<Document>> = BTreeMap::new();
    for Document { name, text } in files {
        let shown = name.escape_debug().to_string();
        if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let help = format!("names have 1 to {FILE_NAME_BYTES_MAX} bytes and no control characters");
            return refuse(format!("`{shown}` cannot be the name of a file"), &help);
        }
        if text.len() > SOURCE_BYTES_MAX {
            let help = format!("a file has at most {SOURCE_BYTES_MAX} bytes; split it");
            return refuse(format!("the file `{shown}` has {} bytes", text.len()), &help);
        }
        let document = Arc::new(Document { name: name.clone(), text });
        if documents.insert(name, document).is_some() {
            return refuse(format!("the file `{shown}` comes twice"), "name each file once");
        }
    }
    Ok(documents.into_values().collect())
}

/// Links and compiles policies for every workload that they have to make sense for.
fn check_together(
    state: &DesiredState,
    sources: &SourceSet,
    policies: &[CheckedPolicy],
    preflight: &Preflight,
) -> Result<(), Refusal> {
    let mut conflicts: Vec<Diagnostic> = Vec::new();
    let mut programs: Vec<LinkedProgram> = Vec::new();
    for workload in workloads(state, policies) {
        match link(policies, &workload, Direction::Inbound) {
            Ok(Some(program)) if programs.iter().any(|known| is_same(known, &program)) => {}
            Ok(program) => programs.extend(program),
            Err(found) => {
                let new = found.into_iter().filter(|conflict| !conflicts.contains(conflict));
                conflicts.extend(new.collect::<Vec<_>>());
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(Refusal::Policies(findings(&conflicts, sources)));
    }
    programs.iter().try_for_each(|program| try_out(program, sources, preflight))
}

/// Compiles a program and tries its module out.
fn try_out(program: &LinkedProgram, sources: &SourceSet, preflight: &Preflight) -> Result<(), Refusal> {
    match compile(program) {
        Ok(module) => preflight.try_out(program, module).map_err(Refusal::Trial),
        Err(CompileError::Refused(found)) => Err(Refusal::Policies(findings(&found, sources))),
        Err(CompileError::Bug(bug)) => Err(Refusal::Trial(TrialError::new(program, bug.to_string()))),
    }
}

/// Whether two programs decide the same, whatever their targets are called: `target.*` is folded.
fn is_same(one: &LinkedProgram, other: &LinkedProgram) -> bool {
    let LinkedProgram { workload, direction, auth, policies } = one;
    workload.trust_domain == other.workload.trust_domain
        && *direction == other.direction
        && *auth == other.auth
        && *policies == other.policies
}

/// Whether a policy says something else than the one of its name that is in force.
fn compare(
    state: &DesiredState,
    in_force: &PoliciesInForce,
    policy: &CheckedPolicy,
    file: &File,
) -> ApplyOutcome {
    let Some(record) = state.policies.get(&policy.name) else { return ApplyOutcome::Created };
    let before = in_force.policies.get(&policy.name);
    let same_text = before
        .is_some_and(|before| in_force.sources.snippet(before.span) == in_force.sources.snippet(policy.span));
    let same_surroundings =
        in_force.documents.get(&record.document).is_some_and(|read| read.surroundings == file.surroundings);
    if same_text && same_surroundings { ApplyOutcome::Unchanged } else { ApplyOutcome::Changed }
}

/// The change that puts policies in force whose files are not kept; `None` if all are.
fn change(
    state: &DesiredState,
    new: &NewPolicies,
    mut documents: Vec<Arc<Document>>,
    kept: &BTreeMap<String, String>,
    outcomes: &BTreeMap<&str, ApplyOutcome>,
    terms: Terms<'_>,
) -> Option<Change> {
    let placed: BTreeMap<String, Placement> = new
        .policies
        .iter()
        .filter(|(_, file)| !kept.contains_key(&file.digest))
        .map(|(policy, file)| {
            let changed = outcomes.get(policy.name.as_str()) != Some(&ApplyOutcome::Unchanged);
            let before = state.policies.get(&policy.name).map(|record| record.document.clone());
            (policy.name.clone(), Placement { document: file.digest.clone(), before, changed })
        })
        .collect();
    if placed.is_empty() {
        return None;
    }
    let used: BTreeSet<&String> = placed.values().map(|placement| &placement.document).collect();
    documents.retain(|document| used.contains(&document.digest()));
    Some(Change::Policies(PolicyChange {
        base: state.revision,
        intent: Intent::Apply { tests_skipped: terms.skip_tests },
        documents,
        placed,
        removed: BTreeMap::new(),
    }))
}

fn findings(diagnostics: &[Diagnostic], sources: &SourceSet) -> Vec<Finding> {
    let finding = |diagnostic: &Diagnostic| {
        let file = sources.get(diagnostic.primary.span.file);
        let place = file.map(|file| file.line_column(diagnostic.primary.span.start));
        Finding {
            code: diagnostic.code.0,
            is_error: diagnostic.is_error(),
            message: diagnostic.message.clone(),
            file: file.map(|file| file.name.clone()).unwrap_or_default(),
            line: place.map_or(1, |place| place.line),
            column: place.map_or(1, |place| place.column),
            help: diagnostic.help.clone(),
            rendered: render::human(std::slice::from_ref(diagnostic), sources, false),
        }
    };
    diagnostics.iter().take(DIAGNOSTICS_MAX).map(finding).collect()
}

fn tests_summary(failed: &[FailedTest], run: usize) -> String {
    let tests: BTreeSet<(&str, &str)> =
        failed.iter().map(|case| (case.file.as_str(), case.name.as_str())).collect();
    let verb = if tests.len() == 1 { "fails" } else { "fail" };
    let noun = if run == 1 { "test" } else { "tests" };
    format!("{} of {run} {noun} {verb}", tests.len())
}

fn summary(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    let noun = if errors == 1 { "error" } else { "errors" };
    format!("the policies are refused: {errors} {noun}; nothing was changed")
}

#[cfg(test)]
mod tests;
