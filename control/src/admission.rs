//! What stands between a request and the store: all files of an apply are parsed, checked, linked
//! with the policies that stay, and compiled, for every workload. What fails here is never stored.

use crate::api::types::{AppliedPolicy, ApplyOutcome, DiagnosticBody, FileBody};
use crate::in_force::{PoliciesInForce, contexts, surroundings};
use crate::model::{DesiredState, Document};
use crate::preflight::{Preflight, TrialError};
use crate::sources::FILES_MAX;
use crate::store::{Change, Placement};
use chancery_policy_lang::check::{CheckOptions, check};
use chancery_policy_lang::checked::CheckedPolicy;
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::parse::parse;
use chancery_policy_lang::source::SOURCE_BYTES_MAX;
use chancery_policy_lang::{Diagnostic, Severity, SourceSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// Warnings of the checker.
    pub warnings: Vec<DiagnosticBody>,
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
    Policies(Vec<DiagnosticBody>),
    /// The compiler made something that must not go out.
    #[error(transparent)]
    Trial(TrialError),
}

/// Checks files against the state that they are applied to. `today` is `YYYY-MM-DD`, for shadow
/// policies whose time may be over.
///
/// # Errors
/// If the request or a policy is wrong.
pub fn admit(
    state: &DesiredState,
    files: Vec<FileBody>,
    today: &str,
    preflight: &Preflight,
) -> Result<Admission, Refusal> {
    let documents = documents(files)?;
    let mut in_force = PoliciesInForce::of(state);
    let new = NewPolicies::check(&mut in_force.sources, &documents, today);
    if new.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Refusal::Policies(bodies(&new.diagnostics, &in_force.sources)));
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
    let mut policies = BTreeMap::new();
    let mut outcomes = Vec::new();
    for (policy, file) in &new.policies {
        let outcome = compare(state, &in_force, policy, file);
        let changed = outcome != ApplyOutcome::Unchanged;
        if !kept.contains(&file.digest) {
            policies.insert(policy.name.clone(), Placement { document: file.digest.clone(), changed });
        }
        outcomes.push(AppliedPolicy { name: policy.name.clone(), outcome });
    }
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    let warnings = bodies(&new.diagnostics, &in_force.sources);
    Ok(Admission { change: change(state, documents, policies), outcomes, warnings })
}

/// Checks that the others make sense without a policy, and gives the change that takes it away.
///
/// # Errors
/// If they do not: it may have hidden a conflict between two others.
pub fn admit_deletion(state: &DesiredState, name: &str, preflight: &Preflight) -> Result<Change, Refusal> {
    let in_force = PoliciesInForce::of(state);
    let staying: Vec<CheckedPolicy> =
        in_force.policies.values().filter(|policy| policy.name != name).cloned().collect();
    check_together(state, &in_force.sources, &staying, preflight)?;
    Ok(Change::DeletePolicy { base: state.revision, name: name.to_owned() })
}

/// The policies of the files of one apply.
struct NewPolicies {
    policies: Vec<(CheckedPolicy, Arc<File>)>,
    diagnostics: Vec<Diagnostic>,
}

/// What is known of a file beside its policies.
struct File {
    digest: String,
    text: Arc<str>,
    surroundings: String,
}

impl NewPolicies {
    /// Parses and checks documents together; their texts are added to `sources`.
    fn check(sources: &mut SourceSet, documents: &[Arc<Document>], today: &str) -> Self {
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
        let checked = check(sources, &trees, CheckOptions { today: Some(today) });
        diagnostics.extend(checked.diagnostics);
        diagnostics.sort_by_key(|found| (found.primary.span.file, found.primary.span.start));
        let with_file = |policy: CheckedPolicy| {
            let file = files.get(&policy.span.file).cloned()?;
            Some((policy, file))
        };
        Self { policies: checked.policies.into_iter().filter_map(with_file).collect(), diagnostics }
    }

    /// The digests of the files that say just what a document in force still says, whatever both are called:
    /// that document stays, so that what is printed of it may be applied from anywhere.
    fn kept_files(&self, state: &DesiredState, in_force: &PoliciesInForce) -> BTreeSet<String> {
        let mut compared = BTreeSet::new();
        let mut kept = BTreeSet::new();
        // Of a file whose text is that of a document all policies are in force from it: one of them shows it.
        for (policy, file) in self.policies.iter().filter(|(_, file)| compared.insert(&file.digest)) {
            let record = state.policies.get(&policy.name);
            let standing = record.and_then(|record| in_force.standing(state, &record.document));
            if standing.is_some_and(|standing| *standing.text == *file.text) {
                kept.insert(file.digest.clone());
            }
        }
        kept
    }

    fn of(&self, name: &str) -> Option<&CheckedPolicy> {
        self.policies.iter().map(|(policy, _)| policy).find(|policy| policy.name == name)
    }
}

/// The documents of a request, by name, so that its order does not matter.
fn documents(files: Vec<FileBody>) -> Result<Vec<Arc<Document>>, Refusal> {
    let refuse = |message: String, help: &str| Err(Refusal::Request { message, help: help.to_owned() });
    if files.len() > FILES_MAX {
        return refuse(
            format!("there are {} files", files.len()),
            &format!("apply at most {FILES_MAX} at a time"),
        );
    }
    let mut documents: BTreeMap<String, Arc<Document>> = BTreeMap::new();
    for FileBody { name, text } in files {
        let shown = name.escape_debug().to_string();
        if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let help = format!("names have 1 to {FILE_NAME_BYTES_MAX} bytes and no control characters");
            return refuse(format!("`{shown}` cannot be the name of a file"), &help);
        }
        if text.len() > SOURCE_BYTES_MAX {
            let help = format!("a file has at most {SOURCE_BYTES_MAX} bytes; split it");
            return refuse(format!("the file `{shown}` has {} bytes", text.len()), &help);
        }
        let document = Arc::new(Document { name: name.clone(), text: text.into() });
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
    for context in contexts(state, policies) {
        match link(policies, &context) {
            Ok(Some(program)) if programs.iter().any(|known| is_same(known, &program)) => {}
            Ok(program) => programs.extend(program),
            Err(found) => {
                let new = found.into_iter().filter(|conflict| !conflicts.contains(conflict));
                conflicts.extend(new.collect::<Vec<_>>());
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(Refusal::Policies(bodies(&conflicts, sources)));
    }
    programs.iter().try_for_each(|program| preflight.try_out(program)).map_err(Refusal::Trial)
}

/// Whether two programs decide the same, whatever their targets are called: `target.*` is folded.
fn is_same(one: &LinkedProgram, other: &LinkedProgram) -> bool {
    let LinkedProgram { target, rules, otherwise, shadow_otherwise, policies } = one;
    target.trust_domain == other.target.trust_domain
        && *rules == other.rules
        && *otherwise == other.otherwise
        && *shadow_otherwise == other.shadow_otherwise
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

/// The change that puts policies in force that are not kept; `None` if all are.
fn change(
    state: &DesiredState,
    mut documents: Vec<Arc<Document>>,
    policies: BTreeMap<String, Placement>,
) -> Option<Change> {
    if policies.is_empty() {
        return None;
    }
    let used: BTreeSet<&String> = policies.values().map(|placement| &placement.document).collect();
    documents.retain(|document| used.contains(&document.digest()));
    Some(Change::ApplyPolicies { base: state.revision, documents, policies })
}

fn bodies(diagnostics: &[Diagnostic], sources: &SourceSet) -> Vec<DiagnosticBody> {
    let body = |diagnostic: &Diagnostic| {
        let file = sources.get(diagnostic.primary.span.file);
        let place = file.map(|file| file.line_column(diagnostic.primary.span.start));
        DiagnosticBody {
            code: diagnostic.code.0.to_owned(),
            severity: match diagnostic.severity {
                Severity::Error => "error".to_owned(),
                Severity::Warning => "warning".to_owned(),
            },
            message: diagnostic.message.clone(),
            file: file.map(|file| file.name.clone()).unwrap_or_default(),
            line: place.map_or(1, |place| place.line),
            column: place.map_or(1, |place| place.column),
            help: diagnostic.help.clone(),
            rendered: render::human(std::slice::from_ref(diagnostic), sources, false),
        }
    };
    diagnostics.iter().take(DIAGNOSTICS_MAX).map(body).collect()
}

fn summary(diagnostics: &[DiagnosticBody]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == "error").count();
    let noun = if errors == 1 { "error" } else { "errors" };
    format!("the policies are refused: {errors} {noun}; nothing was changed")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const DAY: &str = "2026-11-23";
    const ORDERS: &str =
        "auth orders on service shop/orders {\n  read: allow GET /api/** from service shop/web\n}\n";
    const CART: &str = "auth cart on service shop/cart {\n  allow GET from namespace shop\n}\n";

    fn file(name: &str, text: &str) -> FileBody {
        FileBody { name: name.to_owned(), text: text.to_owned() }
    }

    fn preflight() -> Preflight {
        Preflight::new().unwrap()
    }

    fn outcomes(admission: &Admission) -> Vec<(&str, ApplyOutcome)> {
        admission.outcomes.iter().map(|applied| (applied.name.as_str(), applied.outcome)).collect()
    }

    /// The state after these files were applied one after the other.
    fn after(steps: &[&[FileBody]]) -> DesiredState {
        let empty = DesiredState { trust_domain: "chancery.local".to_owned(), ..DesiredState::default() };
        steps.iter().fold(empty, |state, files| {
            let change = admit(&state, files.to_vec(), DAY, &preflight()).unwrap().change.unwrap();
            change.apply_to(&state).unwrap()
        })
    }

    fn refused(state: &DesiredState, files: Vec<FileBody>) -> Vec<DiagnosticBody> {
        match admit(state, files, DAY, &preflight()).unwrap_err() {
            Refusal::Policies(diagnostics) => diagnostics,
            other => unreachable!("{other}"),
        }
    }

    #[test]
    fn policies_are_created_changed_and_unchanged_by_what_they_say() {
        let state = after(&[&[file("all.writ", &format!("{ORDERS}{CART}"))]]);
        assert_eq!(state.policies.len(), 2);
        let same =
            admit(&state, vec![file("all.writ", &format!("{ORDERS}{CART}"))], DAY, &preflight()).unwrap();
        assert!(same.change.is_none());

        let apart = [file("orders.writ", ORDERS), file("cart.writ", &CART.replace("GET", "POST"))];
        let admission = admit(&state, apart.to_vec(), DAY, &preflight()).unwrap();
        assert_eq!(
            outcomes(&admission),
            [("cart", ApplyOutcome::Changed), ("orders", ApplyOutcome::Unchanged)]
        );
        let state = admission.change.unwrap().apply_to(&state).unwrap();
        assert_eq!(state.revision.0, 2);
        let revisions: Vec<_> = state.policies.values().map(|record| record.revision.0).collect();
        assert_eq!(revisions, [2, 1], "an unchanged policy keeps its revision");
        assert_eq!(state.documents.len(), 2, "the first document is gone");
    }

    #[test]
    fn a_let_outside_of_a_policy_is_part_of_what_it_says() {
        let text = |limit: &str| {
            format!("let limit = {limit}\nauth a on mesh {{\n  allow GET when request.size < limit\n}}\n")
        };
        let state = after(&[&[file("a.writ", &text("10"))]]);
        let admission = admit(&state, vec![file("a.writ", &text("20"))], DAY, &preflight()).unwrap();
        assert_eq!(outcomes(&admission), [("a", ApplyOutcome::Changed)]);
    }

    #[test]
    fn a_policy_that_moved_to_another_file_is_not_there_twice() {
        let both = format!("{ORDERS}{CART}");
        let state = after(&[&[file("all.writ", &both)], &[file("cart.writ", &CART.replace("GET", "PUT"))]]);
        let in_force = PoliciesInForce::of(&state);
        assert_eq!(in_force.problems, Vec::<String>::new());
        let cart = in_force.policies.get("cart").unwrap();
        assert!(in_force.sources.snippet(cart.span).contains("PUT"));
        assert_eq!(in_force.sources.location(cart.span), "cart.writ:1");
    }

    #[test]
    fn what_is_printed_of_the_documents_changes_nothing_when_it_is_applied_from_anywhere() {
        let with_schema = format!(
            "# Sizes.\nschema {{ header x-n: int }}\nlet large = headers[\"x-n\"] > 5\n\n{}{CART}\n\
             test \"large\" for orders {{\n  given GET /api/a with header x-n = \"6\" expect deny by no-large\n}}\n",
            ORDERS.replace("}\n", "  no-large: deny when large\n}\n")
        );
        let moved = CART.replace("GET", "PUT");
        let state = after(&[&[file("all.writ", &with_schema)], &[file("cart.writ", &moved)]]);
        let in_force = PoliciesInForce::of(&state);
        let printed: Vec<FileBody> = state
            .documents
            .keys()
            .enumerate()
            .map(|(at, digest)| {
                file(&format!("dump/{at}.writ"), &in_force.standing(&state, digest).unwrap().text)
            })
            .collect();
        assert_eq!(printed.len(), 2);
        assert!(printed.iter().any(|file| file.text.contains("schema") && !file.text.contains("auth cart")));
        let again = admit(&state, printed.clone(), DAY, &preflight()).unwrap();
        assert!(again.change.is_none());
        assert_eq!(
            outcomes(&again),
            [("cart", ApplyOutcome::Unchanged), ("orders", ApplyOutcome::Unchanged)]
        );
        for one in printed {
            assert!(admit(&state, vec![one], DAY, &preflight()).unwrap().change.is_none());
        }
    }

    #[test]
    fn a_comment_is_part_of_what_is_in_force() {
        let state = after(&[&[file("orders.writ", ORDERS)]]);
        let commented = format!("# Why.\n{ORDERS}");
        let admission = admit(&state, vec![file("orders.writ", &commented)], DAY, &preflight()).unwrap();
        assert_eq!(outcomes(&admission), [("orders", ApplyOutcome::Unchanged)]);
        let state = admission.change.unwrap().apply_to(&state).unwrap();
        assert!(state.documents.values().all(|document| *document.text == *commented));
    }

    #[test]
    fn an_error_in_one_file_refuses_all_with_its_place() {
        let state = after(&[&[file("orders.writ", ORDERS)]]);
        let found = refused(
            &state,
            vec![file("cart.writ", CART), file("bad.writ", "auth x on mesh {\n  alow GET\n}")],
        );
        let first = found.first().unwrap();
        assert_eq!((first.file.as_str(), first.line, first.severity.as_str()), ("bad.writ", 2, "error"));
        assert!(first.rendered.contains("alow GET"), "{}", first.rendered);
    }

    #[test]
    fn a_conflict_with_a_policy_in_force_is_refused_and_points_at_both() {
        let open = "auth open on service shop/orders { otherwise allow }";
        let shut = "auth shut on service shop/orders { otherwise deny }";
        let state = after(&[&[file("open.writ", open)]]);
        let found = refused(&state, vec![file("shut.writ", shut)]);
        let rendered = &found.first().unwrap().rendered;
        assert!(rendered.contains("open.writ") && rendered.contains("shut.writ"), "{rendered}");
        let replaced =
            admit(&state, vec![file("open.writ", &open.replace("allow", "deny"))], DAY, &preflight())
                .unwrap();
        assert_eq!(
            outcomes(&replaced),
            [("open", ApplyOutcome::Changed)],
            "a policy does not conflict with itself"
        );
    }

    #[test]
    fn the_order_of_files_does_not_matter() {
        let files = vec![file("b.writ", CART), file("a.writ", ORDERS)];
        let empty = DesiredState::default();
        let one = admit(&empty, files.clone(), DAY, &preflight())
            .unwrap()
            .change
            .unwrap()
            .apply_to(&empty)
            .unwrap();
        let other = files.into_iter().rev().collect();
        let other =
            admit(&empty, other, DAY, &preflight()).unwrap().change.unwrap().apply_to(&empty).unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn a_request_that_is_none_is_refused_with_the_remedy() {
        let empty = DesiredState::default();
        let large = "#".repeat(SOURCE_BYTES_MAX + 1);
        for files in [
            vec![],
            vec![file("a.writ", "# nothing")],
            vec![file("", ORDERS)],
            vec![file("a\nb", ORDERS)],
            vec![file("a.writ", ORDERS), file("a.writ", CART)],
            vec![file("a.writ", &large)],
        ] {
            let refusal = admit(&empty, files, DAY, &preflight()).unwrap_err();
            assert!(matches!(&refusal, Refusal::Request { help, .. } if !help.is_empty()), "{refusal}");
        }
    }
}
