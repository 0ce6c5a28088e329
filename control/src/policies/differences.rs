//! What differs between two states of the policies: as texts, and for whom.
//!
//! Only documents are looked at that a changed policy stands in, before or after. One of before belongs to one of
//! after if it is the same document, or else if a policy stands in both.

use crate::mesh::model::{DesiredState, Document, ProxyId, ProxyRegistration, Revision};
use crate::mesh::store::{Changes, PoliciesAt};
use crate::policies::documents::View;
use crate::policies::in_force::{InForce, PolicySet};
use chancery_policy_lang::FileId;
use chancery_policy_lang::checked::{Direction, Target};
use chancery_policy_lang::parse::parse;
use similar::TextDiff;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How many lines around a difference are shown.
const CONTEXT_LINES: usize = 3;
/// How long the smallest difference of two texts is looked for; later any difference is taken.
const SEARCH_TIME_MAX: Duration = Duration::from_millis(200);
/// What a file is called that is not there.
const NO_FILE: &str = "/dev/null";

/// How a document differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentDifference {
    /// The file, as it was named when it was applied; the newer name if there are two.
    pub file: String,
    /// The policies that stand in it, before or after.
    pub policies: Vec<String>,
    /// A unified diff.
    pub unified: String,
}

/// A document as it has to be read.
struct Sheet {
    digest: String,
    file: String,
    text: String,
    policies: Vec<String>,
}

/// How the documents of two states differ.
#[must_use]
pub fn document_differences(before: &DesiredState, after: &DesiredState) -> Vec<DocumentDifference> {
    let steps = Changes::between(before, after).policies;
    let records = steps.values().flat_map(|step| step.before.iter().chain(&step.after));
    let digests: BTreeSet<&String> = records.map(|record| &record.document).collect();
    let sheets = |state| digests.iter().filter_map(|digest| sheet(state, digest)).collect::<Vec<_>>();
    let (old, new) = (sheets(before), sheets(after));
    let mut differences: Vec<DocumentDifference> = pairs(old, new)
        .into_iter()
        .map(|(old, new)| difference((before.revision, old), (after.revision, new)))
        .filter(|difference| !difference.unified.is_empty())
        .collect();
    differences.sort_by(|a, b| (&a.file, &a.policies).cmp(&(&b.file, &b.policies)));
    differences
}

/// The sidecars that policies of these names are about, be it before or after they changed.
#[must_use]
pub fn concerned(before: &InForce, after: &PolicySet, changed: &[&str]) -> Vec<ProxyId> {
    let felt = changed.iter().flat_map(|name| [before.policies.felt_at(name), after.felt_at(name)]);
    let targets: BTreeSet<(&Target, Direction)> =
        felt.flatten().map(|scope| (&scope.target, scope.direction)).collect();
    let mut concerned = BTreeSet::new();
    let covered = |(target, direction)| {
        before.population.covered(target).map(move |(service, labels)| (service, labels, direction))
    };
    for (service, labels, direction) in targets.into_iter().flat_map(covered) {
        let acts = |proxy: &ProxyRegistration| match direction {
            Direction::Inbound => proxy.inbound.is_some(),
            Direction::Outbound => !proxy.outbounds.is_empty(),
        };
        let prefix = format!("{}/{}/", service.namespace, service.name);
        let from = before.state.proxies.range(ProxyId(prefix.clone())..);
        let replicas = from.take_while(|(id, _)| id.0.starts_with(&prefix)).map(|(_, proxy)| proxy);
        let those = replicas.filter(|proxy| acts(proxy) && proxy.labels == *labels);
        concerned.extend(those.map(|proxy| proxy.id.clone()));
    }
    concerned.into_iter().collect()
}

/// The policies of a revision as a state without sidecars.
#[must_use]
pub fn state_of(at: PoliciesAt, trust_domain: &str) -> DesiredState {
    let mut state = DesiredState {
        revision: at.revision,
        trust_domain: trust_domain.to_owned(),
        documents: at.documents.into_iter().collect(),
        ..DesiredState::default()
    };
    at.policies.into_values().for_each(|record| state.place(record));
    state
}

fn sheet(state: &DesiredState, digest: &str) -> Option<Sheet> {
    let document: &Arc<Document> = state.documents.get(digest)?;
    let tree = parse(FileId::default(), &document.text).tree;
    let standing = View { state, digest }.standing(document, &tree);
    let (text, policies) = (standing.text, standing.policies);
    Some(Sheet { digest: digest.to_owned(), file: document.name.clone(), text, policies })
}

/// What belongs together; each is in one pair.
fn pairs(old: Vec<Sheet>, new: Vec<Sheet>) -> Vec<(Option<Sheet>, Option<Sheet>)> {
    let mut old: Vec<Option<Sheet>> = old.into_iter().map(Some).collect();
    let mut take = |belongs: &dyn Fn(&Sheet) -> bool| {
        old.iter_mut().find(|sheet| sheet.as_ref().is_some_and(belongs)).and_then(Option::take)
    };
    let (mut pairs, mut rest) = (Vec::new(), Vec::new());
    for sheet in new {
        match take(&|old| old.digest == sheet.digest) {
            Some(same) => pairs.push((Some(same), Some(sheet))),
            None => rest.push(sheet),
        }
    }
    for sheet in rest {
        let earlier = take(&|old| old.policies.iter().any(|name| sheet.policies.contains(name)));
        pairs.push((earlier, Some(sheet)));
    }
    pairs.extend(old.into_iter().flatten().map(|sheet| (Some(sheet), None)));
    pairs
}

fn difference(
    (old_revision, old): (Revision, Option<Sheet>),
    (new_revision, new): (Revision, Option<Sheet>),
) -> DocumentDifference {
    let text = |sheet: &Option<Sheet>| sheet.as_ref().map(|sheet| sheet.text.clone()).unwrap_or_default();
    let name = |sheet: &Option<Sheet>, revision: Revision| match sheet {
        Some(sheet) => format!("{}\trevision {revision}", sheet.file),
        None => NO_FILE.to_owned(),
    };
    let (old_text, new_text) = (text(&old), text(&new));
    let lines = TextDiff::configure().timeout(SEARCH_TIME_MAX).diff_lines(&old_text, &new_text);
    let (old_name, new_name) = (name(&old, old_revision), name(&new, new_revision));
    let unified = lines.unified_diff().context_radius(CONTEXT_LINES).header(&old_name, &new_name).to_string();
    let both = old.iter().chain(&new);
    let policies: BTreeSet<String> = both.flat_map(|sheet| sheet.policies.clone()).collect();
    let file = new.or(old).map(|sheet| sheet.file).unwrap_or_default();
    DocumentDifference { file, policies: policies.into_iter().collect(), unified }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::mesh::model::PolicyRecord;

    fn state(revision: u64, documents: &[(&str, &str, &[&str])]) -> DesiredState {
        let mut state = DesiredState { revision: Revision(revision), ..DesiredState::default() };
        for (name, text, policies) in documents {
            let document = Document { name: (*name).to_owned(), text: (*text).into() };
            for policy in *policies {
                state.place(PolicyRecord {
                    name: (*policy).to_owned(),
                    document: document.digest(),
                    revision: Revision(revision),
                    set: None,
                    filters: [].into(),
                });
            }
            state.documents.insert(document.digest(), Arc::new(document));
        }
        state
    }

    const A: &str = "auth a on mesh {\n  allow GET\n}\n";
    const B: &str = "auth b on mesh {\n  allow GET\n}\n";

    #[test]
    fn differences_are_those_of_documents_that_belong_together() {
        let both = format!("{A}\n{B}");
        let before = state(1, &[("both.writ", &both, &["a", "b"])]);
        let new_a = A.replace("GET", "POST");
        let after = state(2, &[("both.writ", &both, &["b"]), ("a.writ", &new_a, &["a"])]);
        let differences = document_differences(&before, &after);
        let unified: Vec<_> = differences.iter().map(|of| of.unified.as_str()).collect();
        expect_test::expect![[r#"
            --- /dev/null
            +++ a.writ	revision 2
            @@ -0,0 +1,3 @@
            +auth a on mesh {
            +  allow POST
            +}
            --- both.writ	revision 1
            +++ both.writ	revision 2
            @@ -1,7 +1,3 @@
            -auth a on mesh {
            -  allow GET
            -}
            -
             auth b on mesh {
               allow GET
             }
        "#]]
        .assert_eq(&unified.concat());
        assert_eq!(differences.last().unwrap().policies, ["a", "b"]);
        let renamed = state(2, &[("new-name.writ", &new_a, &["a"])]);
        let differences = document_differences(&state(1, &[("a.writ", A, &["a"])]), &renamed);
        let only = differences.first().unwrap();
        assert!(
            only.unified.starts_with("--- a.writ\trevision 1\n+++ new-name.writ\trevision 2\n"),
            "{only:?}"
        );
        assert!(document_differences(&before, &before).is_empty());
    }
}
