//! What stands between a request and the store: all files of an apply are parsed, checked, linked
//! with the policies that stay, compiled and tried, for every workload that the change concerns; then the tests
//! are run that it touches. What fails here is never stored.

mod filters;
mod outcome;
mod rollback;
mod tests_touched;

pub use outcome::{AppliedPolicy, ApplyOutcome, FailedTest, Finding, LeftBehind};
pub use rollback::admit_rollback;
pub use tests_touched::TEST_LIMITS;

use crate::mesh::model::{DesiredState, Document, ProxyId};
use crate::mesh::store::{Change, Intent, Placement, PolicyChange, StoreError};
use crate::policies::differences::concerned;
use crate::policies::documents;
use crate::policies::effort::{Effort, Stopped};
use crate::policies::filters::attached::{linked, plaintext, used};
use crate::policies::in_force::{InForce, PolicyInForce, PolicySet, surroundings, tested_in};
use crate::policies::preflight::TrialError;
use crate::policies::programs::{ProgramError, Programs};
use crate::policies::sources::FILES_MAX;
use crate::policies::test_run::TestError;
use crate::policies::workloads::ANY;
use chancery_policy_lang::check::{CheckOptions, Checked, check};
use chancery_policy_lang::checked::{CheckedPolicy, CheckedTest, Direction, ServiceRef, Target};
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::inhabitants::{unknown_inhabitants, unknown_versions};
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::parse::parse;
use chancery_policy_lang::sinks;
use chancery_policy_lang::source::SOURCE_BYTES_MAX;
use chancery_policy_lang::syntax::SyntaxTree;
use chancery_policy_lang::testing::left_out as left_out_of_tests;
use chancery_policy_lang::{Diagnostic, SourceSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tests_touched::Next;

/// The longest name of a file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 1024;
/// The most findings that one answer has; the first ones are usually the cause of the rest.
const DIAGNOSTICS_MAX: usize = 100;
/// The longest name of a set, in bytes.
const SET_NAME_BYTES_MAX: usize = 63;

/// The most different programs that one change may ask to be tried.
const PROGRAMS_MAX: usize = 16_384;

/// Policies that may be put in force.
#[derive(Debug, Default)]
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
    /// The sidecars that a policy concerns which changes.
    pub concerned: Vec<ProxyId>,
}

/// Policies that may be taken out of force.
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
    /// The set that the policies are applied in.
    pub set: Option<&'a str>,
    /// Whether policies of the set go that are in none of the files.
    pub prune: bool,
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
/// If the request or a policy is wrong, a test fails, or it takes longer than it may.
pub fn admit(
    in_force: &InForce,
    files: Vec<Document>,
    terms: Terms<'_>,
    programs: &Programs,
    effort: &Effort,
) -> Result<Admission, Refusal> {
    let state = &*in_force.state;
    let documents = documents_of(files)?;
    let mut together = in_force.policies.clone();
    let new = NewPolicies::check(&mut together, &documents, terms.today);
    if new.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Refusal::Policies(findings(&new.diagnostics, &together.sources)));
    }
    if new.policies.is_empty() {
        return Err(Refusal::Request {
            message: "there is no policy in the files".to_owned(),
            help: "a policy begins with `auth NAME on TARGET {`; tests alone are run by `chancery test`"
                .to_owned(),
        });
    }
    check_set(state, &new, terms)?;
    let pruned = pruned(state, &new, terms);
    for policy in new.policies.iter().map(|new| &new.policy) {
        together.put(policy.clone());
    }
    pruned.keys().for_each(|name| together.remove(name));
    let changed = |new: &&NewPolicy| {
        let before = in_force.policies.get(new.name());
        before.is_none_or(|before| before.digest != new.policy.digest)
    };
    let changed = new.policies.iter().filter(changed).map(NewPolicy::name);
    let changed: Vec<&str> = changed.chain(pruned.keys().map(String::as_str)).collect();
    check_together(in_force, &together, &changed, programs, effort)?;

    let kept = new.kept_files(in_force);
    let mut outcomes = new.outcomes(in_force);
    let change = change(state, &new, documents, &kept, &outcomes, pruned.clone(), terms);
    outcomes.extend(pruned.keys().map(|name| (name.as_str(), ApplyOutcome::Deleted)));
    let after = change.as_ref().map(|change| change.apply_to(state)).transpose()?;
    let next = Next { state: after.as_ref().unwrap_or(state), policies: &together };
    let tests = match terms.skip_tests {
        true => None,
        false => Some(run_tests(&next, &new, &kept, &changed, programs, effort)?),
    };
    let concerned_by = new.policies.iter().map(NewPolicy::name).chain(pruned.keys().map(String::as_str));
    let left_out = next.tests_left_behind(state, concerned_by);
    let concerned = concerned(in_force, &together, &changed);
    let mut warnings = new.diagnostics.clone();
    warnings.extend(left_out_of_tests(&new.tests, &together.beside_tests(&new.tests)));
    let policies: Vec<&CheckedPolicy> = new.policies.iter().map(|new| &new.policy.policy).collect();
    let known =
        in_force.population.known_services().into_iter().chain(terms.invited.iter().cloned()).collect();
    warnings.extend(unknown_inhabitants(&policies, &known, &together.sources));
    warnings.extend(sinks::unused(policies.iter().copied(), together.iter().map(|policy| &policy.policy)));
    let versions = |service: &ServiceRef| in_force.population.versions(service);
    warnings.extend(unknown_versions(&policies, &known, versions, &together.sources));
    let warnings = findings(&warnings, &together.sources);
    let applied = |(name, outcome): (&str, ApplyOutcome)| AppliedPolicy { name: name.to_owned(), outcome };
    let outcomes = outcomes.into_iter().map(applied).collect();
    Ok(Admission { change, outcomes, tests, warnings, left_out, concerned })
}

/// Refuses a set that cannot be one, and policies that belong to another.
fn check_set(state: &DesiredState, new: &NewPolicies, terms: Terms<'_>) -> Result<(), Refusal> {
    let refuse = |message: String, help: String| Err(Refusal::Request { message, help });
    let Some(set) = terms.set else {
        let help = "name the set, such as `--set shop`".to_owned();
        return if terms.prune {
            refuse("it is not said which set is pruned".to_owned(), help)
        } else {
            Ok(())
        };
    };
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if set.is_empty() || set.len() > SET_NAME_BYTES_MAX || !set.bytes().all(is_fit) {
        let help = format!("names have 1 to {SET_NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`");
        return refuse(format!("`{}` cannot be the name of a set", set.escape_debug()), help);
    }
    for name in new.policies.iter().map(NewPolicy::name) {
        let other = state.policies.get(name).and_then(|record| record.set.as_deref());
        if let Some(other) = other.filter(|other| *other != set) {
            return refuse(
                format!("policy `{name}` belongs to the set `{other}`, not `{set}`"),
                format!("apply it with `--set {other}`, or delete it first"),
            );
        }
    }
    Ok(())
}

/// The policies of the set that are in none of the files, each with its document, if they are to go.
fn pruned(state: &DesiredState, new: &NewPolicies, terms: Terms<'_>) -> BTreeMap<String, String> {
    if !terms.prune || terms.set.is_none() {
        return BTreeMap::new();
    }
    let stated: BTreeSet<&str> = new.policies.iter().map(NewPolicy::name).collect();
    let of_set = state.policies.values().filter(|record| record.set.as_deref() == terms.set);
    let missing = of_set.filter(|record| !stated.contains(record.name.as_str()));
    missing.map(|record| (record.name.clone(), record.document.clone())).collect()
}

/// Checks that the others make sense without some policies, and gives the change that takes those away.
///
/// # Errors
/// If one is not in force, or the others make no sense: it may have hidden a conflict between two of them. If it
/// takes longer than it may.
pub fn admit_deletion(
    in_force: &InForce,
    names: &BTreeSet<String>,
    programs: &Programs,
    effort: &Effort,
) -> Result<Deletion, Refusal> {
    let state = &*in_force.state;
    let mut removed = BTreeMap::new();
    let mut staying = in_force.policies.clone();
    for name in names {
        let record = state.policies.get(name).ok_or_else(|| StoreError::NoSuchPolicy(name.clone()))?;
        removed.insert(name.clone(), record.document.clone());
        staying.remove(name);
    }
    let changed: Vec<&str> = names.iter().map(String::as_str).collect();
    check_together(in_force, &staying, &changed, programs, effort)?;
    let change = Change::Policies(PolicyChange {
        base: state.revision,
        intent: Intent::Delete,
        documents: Vec::new(),
        placed: BTreeMap::new(),
        removed,
        rollout: None,
    });
    let after = change.apply_to(state)?;
    let left_out = Next { state: &after, policies: &staying }.tests_left_behind(state, changed);
    Ok(Deletion { change, left_out })
}

/// Runs the tests of the files, and those of others that name a changed policy. Gives their number.
fn run_tests(
    next: &Next<'_>,
    new: &NewPolicies,
    kept: &BTreeMap<String, String>,
    changed: &[&str],
    programs: &Programs,
    effort: &Effort,
) -> Result<usize, Refusal> {
    let sources = &next.policies.sources;
    let run_already = kept.values().cloned().chain(new.policies.iter().map(|new| new.file.digest.clone()));
    let (others, diagnostics) = next.tests_of_others(&run_already.collect(), changed);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Refusal::Policies(findings(&diagnostics, sources)));
    }
    let tests: Vec<CheckedTest> = new.tests.iter().cloned().chain(others).collect();
    run_all(next, &tests, programs, effort)
}

/// Runs tests; gives their number if all pass.
fn run_all(
    next: &Next<'_>,
    tests: &[CheckedTest],
    programs: &Programs,
    effort: &Effort,
) -> Result<usize, Refusal> {
    let sources = &next.policies.sources;
    let runs = next.run(tests, programs.host(), effort).map_err(|error| match error {
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
    policies: Vec<NewPolicy>,
    tests: Vec<CheckedTest>,
    diagnostics: Vec<Diagnostic>,
}

/// A policy of an apply.
struct NewPolicy {
    policy: Arc<PolicyInForce>,
    file: Arc<File>,
}

impl NewPolicy {
    fn name(&self) -> &str {
        &self.policy.policy.name
    }
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
    fn check(in_force: &mut PolicySet, documents: &[Arc<Document>], today: &str) -> Self {
        let mut trees = Vec::new();
        let mut files = BTreeMap::new();
        let mut diagnostics = Vec::new();
        for document in documents {
            let id = in_force.sources.add(document.name.clone(), document.text.clone());
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
        let checked = check_beside(in_force, &trees, today);
        diagnostics.extend(checked.diagnostics);
        diagnostics.sort_by_key(|found| (found.primary.span.file, found.primary.span.start));
        let with_file = |policy: CheckedPolicy| {
            let file = files.get(&policy.span.file).cloned()?;
            let policy = PolicyInForce::new(policy, &in_force.sources, &file.surroundings);
            Some(NewPolicy { policy: Arc::new(policy), file })
        };
        let policies = checked.policies.into_iter().filter_map(with_file).collect();
        Self { policies, tests: checked.tests, diagnostics }
    }

    /// What becomes of each policy, by name.
    fn outcomes(&self, in_force: &InForce) -> BTreeMap<&str, ApplyOutcome> {
        let outcome = |new: &NewPolicy| match in_force.policies.get(new.name()) {
            _ if !in_force.state.policies.contains_key(new.name()) => ApplyOutcome::Created,
            Some(before) if before.digest == new.policy.digest => ApplyOutcome::Unchanged,
            _ => ApplyOutcome::Changed,
        };
        self.policies.iter().map(|new| (new.name(), outcome(new))).collect()
    }

    /// The digests of the files that say just what a document in force still says, whatever both are called,
    /// with the digest of that document: it stays, so that what is printed of it may be applied from anywhere.
    fn kept_files(&self, in_force: &InForce) -> BTreeMap<String, String> {
        let state = &*in_force.state;
        let mut compared = BTreeSet::new();
        let mut kept = BTreeMap::new();
        // Of a file whose text is that of a document all policies are in force from it: one of them shows it.
        for NewPolicy { policy, file } in self.policies.iter().filter(|new| compared.insert(&new.file.digest))
        {
            let Some(record) = state.policies.get(&policy.policy.name) else { continue };
            let standing = in_force.policies.standing(state, &record.document);
            if standing.is_some_and(|standing| *standing.text == *file.text) {
                kept.insert(file.digest.clone(), record.document.clone());
            }
        }
        kept
    }
}

/// Checks trees beside the policies in force. For what is right only those matter that the tests name, that are about
/// the same places, and one that denies what no rule allows; for what is said of what is wrong, all do.
fn check_beside(in_force: &PolicySet, trees: &[SyntaxTree], today: &str) -> Checked {
    let check = |names: &BTreeSet<String>| {
        let beside = names.iter().filter_map(|name| in_force.get(name));
        let beside: Vec<&CheckedPolicy> = beside.map(|policy| &policy.policy).collect();
        check(&in_force.sources, trees, CheckOptions { today: Some(today), beside: &beside })
    };
    let around = |policies: &mut dyn Iterator<Item = &CheckedPolicy>| -> BTreeSet<String> {
        policies.flat_map(|policy| in_force.around(policy)).cloned().collect()
    };
    let stated = trees.iter().filter_map(SyntaxTree::file).flat_map(|file| documents::stated(&file));
    let before: Vec<Arc<PolicyInForce>> = stated.filter_map(|name| in_force.get(&name).cloned()).collect();
    let mut beside: BTreeSet<String> = trees.iter().flat_map(tested_in).collect();
    beside.extend(in_force.denying_otherwise().map(|policy| policy.policy.name.clone()));
    // They are mostly about what those of the same names are about that are in force.
    beside.extend(around(&mut before.iter().map(|policy| &policy.policy)));
    let mut checked = check(&beside);
    let missing = around(&mut checked.policies.iter());
    if !missing.is_subset(&beside) {
        beside.extend(missing);
        checked = check(&beside);
    }
    if checked.diagnostics.iter().any(Diagnostic::is_error) {
        checked = check(&in_force.iter().map(|policy| policy.policy.name.clone()).collect());
    }
    checked
}

/// The documents of a request, by name, so that its order does not matter.
fn documents_of(files: Vec<Document>) -> Result<Vec<Arc<Document>>, Refusal> {
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

/// Links, compiles and tries the policies for every workload that policies of these names are about, be it before or
/// after they changed: what other workloads have stays as it is.
fn check_together(
    in_force: &InForce,
    policies: &PolicySet,
    changed: &[&str],
    programs: &Programs,
    effort: &Effort,
) -> Result<(), Refusal> {
    let unknown = unknown_sinks(in_force, policies, changed);
    if !unknown.is_empty() {
        return Err(Refusal::Policies(findings(&unknown, &policies.sources)));
    }
    filters::check(&in_force.state, policies, changed, programs, effort)?;
    let felt = changed.iter().flat_map(|name| [in_force.policies.felt_at(name), policies.felt_at(name)]);
    let targets: BTreeSet<&Target> = felt.flatten().map(|scope| &scope.target).collect();
    let mut distinct: BTreeMap<_, (Workload, BTreeSet<ServiceRef>)> = BTreeMap::new();
    for target in targets {
        for workload in policies.workloads(target, &in_force.population, &in_force.state.trust_domain) {
            if let Some(key) = Programs::key(policies, &workload) {
                let called = called_by(in_force, &workload);
                distinct.entry(key).or_insert_with(|| (workload, BTreeSet::new())).1.extend(called);
            }
        }
    }
    if distinct.len() > PROGRAMS_MAX {
        return Err(Refusal::Request {
            message: format!(
                "the policies make {} different programs; at most {PROGRAMS_MAX} can be tried in one change",
                distinct.len()
            ),
            help: "let fewer policies ask for labels of their workloads".to_owned(),
        });
    }
    let mut conflicts: Vec<Diagnostic> = Vec::new();
    let mut workloads: Vec<(Workload, BTreeSet<ServiceRef>)> = distinct.into_values().collect();
    workloads.sort();
    let try_out = |(workload, called): &(Workload, BTreeSet<ServiceRef>)| {
        programs.try_out(policies, workload, effort)?;
        for direction in [Direction::Inbound, Direction::Outbound] {
            linked(policies, workload, direction).map_err(ProgramError::Refused)?;
        }
        plaintext(policies, workload).map_err(ProgramError::Refused)?;
        programs.try_out_leaving(policies, workload, called, effort)
    };
    for (done, tried) in try_all(&workloads, try_out) {
        match tried {
            ProgramError::Refused(found) => {
                let new = found.into_iter().filter(|conflict| !conflicts.contains(conflict));
                conflicts.extend(new.collect::<Vec<_>>());
            }
            ProgramError::Trial(error) => return Err(error.into()),
            ProgramError::Stopped(stopped) => return Err(stopped_after(stopped, done, workloads.len())),
        }
        if conflicts.len() >= DIAGNOSTICS_MAX {
            break;
        }
    }
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Policies(findings(&conflicts, &policies.sources)))
    }
}

/// An error for each sink that a policy sends to and that would not be there.
fn unknown_sinks(in_force: &InForce, policies: &PolicySet, changed: &[&str]) -> Vec<Diagnostic> {
    let both = changed.iter().flat_map(|name| [in_force.policies.get(name), policies.get(name)]);
    let is_of_logs =
        |policy: &Arc<PolicyInForce>| policy.policy.log().is_some() || policy.policy.sink().is_some();
    if !both.flatten().any(is_of_logs) {
        return Vec::new();
    }
    sinks::unknown(policies.iter().map(|policy| &policy.policy), &policies.sinks())
}

/// The services that sidecars of a workload's service say to call, and one that nobody calls yet.
fn called_by(in_force: &InForce, workload: &Workload) -> BTreeSet<ServiceRef> {
    let prefix = format!("{}/{}/", workload.namespace, workload.service);
    let from = in_force.state.proxies.range(ProxyId(prefix.clone())..);
    let replicas = from.take_while(|(id, _)| id.0.starts_with(&prefix)).map(|(_, proxy)| proxy);
    let called = replicas.flat_map(|proxy| &proxy.outbounds).map(|outbound| outbound.service.clone());
    let any = ServiceRef { namespace: ANY.to_owned(), name: ANY.to_owned() };
    called.chain([any]).collect()
}

/// Tries the programs of workloads on all processors; gives the errors in the order of the workloads. After one that is
/// no refusal nothing more is tried.
fn try_all<T: Sync>(
    workloads: &[T],
    try_out: impl Fn(&T) -> Result<(), ProgramError> + Sync,
) -> BTreeMap<usize, ProgramError> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let failed_now = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(workload) = workloads.get(at) else { return };
            let Err(error) = try_out(workload) else { continue };
            if !matches!(error, ProgramError::Refused(_)) {
                next.store(workloads.len(), Ordering::Relaxed);
            }
            failed_now().insert(at, error);
        }
    };
    let helpers = std::thread::available_parallelism().map_or(1, usize::from).min(workloads.len());
    std::thread::scope(|scope| {
        for _ in 1..helpers {
            scope.spawn(work);
        }
        work();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn stopped_after(stopped: Stopped, done: usize, all: usize) -> Refusal {
    Refusal::Request {
        message: format!("{stopped}: {done} of {all} programs were tried; nothing was changed"),
        help: "apply fewer files at a time, or let fewer policies ask for labels of their workloads"
            .to_owned(),
    }
}

/// The change that puts policies in force whose files are not kept; `None` if all are.
fn change(
    state: &DesiredState,
    new: &NewPolicies,
    mut documents: Vec<Arc<Document>>,
    kept: &BTreeMap<String, String>,
    outcomes: &BTreeMap<&str, ApplyOutcome>,
    removed: BTreeMap<String, String>,
    terms: Terms<'_>,
) -> Option<Change> {
    let placed: BTreeMap<String, Placement> = new
        .policies
        .iter()
        .filter_map(|new| {
            let record = state.policies.get(new.name());
            let earlier_set = record.and_then(|record| record.set.as_deref());
            let set = terms.set.or(earlier_set);
            let kept = kept.get(&new.file.digest);
            if kept.is_some() && set == earlier_set {
                return None;
            }
            let document = kept.unwrap_or(&new.file.digest).clone();
            let before = record.map(|record| record.document.clone());
            let changed = outcomes.get(new.name()) != Some(&ApplyOutcome::Unchanged);
            let placement = Placement {
                document,
                before,
                changed,
                set: set.map(str::to_owned),
                filters: used(state, &new.policy.policy),
            };
            Some((new.name().to_owned(), placement))
        })
        .collect();
    if placed.is_empty() && removed.is_empty() {
        return None;
    }
    let used: BTreeSet<&String> = placed.values().map(|placement| &placement.document).collect();
    documents.retain(|document| used.contains(&document.digest()));
    Some(Change::Policies(PolicyChange {
        base: state.revision,
        intent: Intent::Apply { tests_skipped: terms.skip_tests },
        documents,
        placed,
        removed,
        rollout: None,
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
