//! What is in force, and who decides by it: what `--live` asks the control plane for.

use crate::cli::context;
use crate::cli::exit::Failure;
use crate::cli::global::Global;
use crate::cli::policy_files::PolicyFiles;
use crate::cli::proxies::state;
use crate::mesh::words::visible;
use crate::server::api::types::{DocumentList, ProxyBody, StatusResponse};
use chancery_policy_lang::SourceSet;
use chancery_policy_lang::linked::Workload;
use std::collections::{BTreeMap, BTreeSet};

/// A mesh as it is now, for one workload.
pub(super) struct Live {
    /// The workload, with the labels of its replicas and the trust domain of the mesh.
    pub(super) workload: Workload,
    /// The revision that the documents are of.
    pub(super) revision: u64,
    /// The replicas that are this workload.
    pub(super) sidecars: Vec<ProxyBody>,
    documents: DocumentList,
}

impl Live {
    /// Asks for what is in force. A workload of which no labels are stated has those of its replicas.
    ///
    /// # Errors
    /// When the control plane does not answer, or replicas differ in labels and it is not said which are meant.
    pub(super) async fn ask(global: &Global, stated: Workload) -> Result<Self, Failure> {
        let client = context::find(global)?.client()?;
        let documents: DocumentList = client.get("/v1/documents").await?;
        let status: StatusResponse = client.get("/v1/status").await?;
        let service = format!("{}/{}", stated.namespace, stated.service);
        let mut sidecars: Vec<ProxyBody> = status.proxies;
        sidecars.retain(|proxy| proxy.service == service);
        let labels = if stated.labels.is_empty() { only_labels(&sidecars)? } else { stated.labels.clone() };
        sidecars.retain(|proxy| proxy.labels == labels);
        let workload = Workload { labels, trust_domain: status.trust_domain, ..stated };
        Ok(Self { workload, revision: documents.revision, sidecars, documents })
    }

    /// The files that are in force.
    pub(super) fn files(&self) -> PolicyFiles {
        let mut sources = SourceSet::new();
        for document in &self.documents.documents {
            sources.add(document.file.as_str(), document.text.as_str());
        }
        PolicyFiles::of_today(sources)
    }

    /// Which sidecars decide so.
    pub(super) fn standing(&self) -> String {
        let mut text = format!("in force: revision {}\n", self.revision);
        if self.sidecars.is_empty() {
            text += "no sidecar is this workload: nobody decides by it yet\n";
        }
        for proxy in &self.sidecars {
            let has = match proxy.revision {
                Some(revision) if revision >= self.revision => "decides by it".to_owned(),
                Some(revision) => format!("decides by revision {revision} still"),
                None => "has acknowledged nothing yet".to_owned(),
            };
            text += &format!("{}: {has} ({})\n", visible(&proxy.id), state(proxy));
        }
        text
    }
}

/// The labels that all of these have.
fn only_labels(sidecars: &[ProxyBody]) -> Result<BTreeMap<String, String>, Failure> {
    let different: BTreeSet<&BTreeMap<String, String>> = sidecars.iter().map(|proxy| &proxy.labels).collect();
    let mut different = different.into_iter();
    match (different.next(), different.next()) {
        (None, _) => Ok(BTreeMap::new()),
        (Some(labels), None) => Ok(labels.clone()),
        (Some(one), Some(other)) => {
            let shown = |labels: &BTreeMap<String, String>| match labels.is_empty() {
                true => "none".to_owned(),
                false => labels
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            Err(Failure::bad_input(format!(
                "its replicas differ in labels, such as {} and {}, and policies may tell them apart",
                shown(one),
                shown(other)
            ))
            .help("say which are meant with --label NAME=VALUE"))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use crate::cli::status::tests::proxy;

    #[test]
    fn labels_are_those_of_all_replicas_or_have_to_be_said() {
        let labelled = |id: &str, version: &str| ProxyBody {
            labels: BTreeMap::from([("version".to_owned(), version.to_owned())]),
            ..proxy(id, 12)
        };
        assert_eq!(only_labels(&[]).unwrap(), BTreeMap::new());
        let both = [labelled("a/b/1", "v1"), labelled("a/b/2", "v1")];
        assert_eq!(only_labels(&both).unwrap(), both[0].labels);
        let refused = only_labels(&[labelled("a/b/1", "v1"), labelled("a/b/2", "v2")]).unwrap_err();
        assert!(refused.message.contains("version=v1 and version=v2"), "{}", refused.message);
    }
}
