//! The ready filters: what this version of Chancery has, and where their modules are on this machine.
//!
//! What is said of each stands in its folder, `filters/NAME/filter.json`. The modules lie beside the command, in
//! `../share/chancery/filters` from its folder, or where `CHANCERY_FILTERS` says; `./dist` puts them there.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The folder of the modules, if it is another one.
pub const FOLDER_VARIABLE: &str = "CHANCERY_FILTERS";
/// Where they are, from the folder of the command on.
const BESIDE: &str = "../share/chancery/filters";

const DESCRIPTIONS: &[&str] = &[
    include_str!("../../../../filters/graphql-guard/filter.json"),
    include_str!("../../../../filters/hmac-auth/filter.json"),
    include_str!("../../../../filters/json-guard/filter.json"),
    include_str!("../../../../filters/pii-guard/filter.json"),
];

/// A ready filter.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyFilter {
    /// The name by which it is installed.
    pub name: String,
    /// What it does, in a line.
    pub summary: String,
    /// What a policy has to declare for it.
    pub may: Vec<String>,
    /// An example of its configuration.
    pub config: serde_json::Value,
}

impl ReadyFilter {
    /// All of them, by name.
    ///
    /// # Errors
    /// If a description is not one, which is a fault of chancery; in words.
    pub fn all() -> Result<Vec<Self>, String> {
        let read = |text: &&str| serde_json::from_str(text).map_err(|error| error.to_string());
        let mut filters = DESCRIPTIONS.iter().map(read).collect::<Result<Vec<Self>, String>>()?;
        filters.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(filters)
    }

    /// Its version: that of Chancery.
    #[must_use]
    pub fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Where its module is, if it is in the folder.
    #[must_use]
    pub fn module(&self, folder: &Path) -> Option<PathBuf> {
        let path = folder.join(&self.name).with_extension("wasm");
        path.is_file().then_some(path)
    }
}

/// The folder of the modules: the one that is stated, else the one beside the command.
#[must_use]
pub fn folder(stated: Option<PathBuf>, command: Option<&Path>) -> PathBuf {
    let beside = || command.and_then(Path::parent).map(|folder| folder.join(BESIDE));
    stated.or_else(beside).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;
    use chancery_sdk_admission::Capability;
    use std::collections::BTreeSet;

    #[test]
    fn each_description_of_a_ready_filter_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|folder| folder.join("filter.json").is_file())
            .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        let described: BTreeSet<String> =
            ReadyFilter::all().unwrap().into_iter().map(|filter| filter.name).collect();
        assert_eq!(described, there, "what a filter.json says is listed here");
    }

    #[test]
    fn what_a_ready_filter_may_can_be_declared() {
        let known: Vec<&str> = Capability::ALL
            .iter()
            .filter(|capability| capability.can_be_allowed())
            .map(|capability| capability.as_str())
            .collect();
        for filter in ReadyFilter::all().unwrap() {
            assert!(filter.may.iter().all(|words| known.contains(&words.as_str())), "{filter:?}");
        }
    }

    #[test]
    fn modules_are_beside_the_command_unless_stated() {
        let command = Path::new("/opt/chancery/bin/chancery");
        assert_eq!(folder(None, Some(command)), Path::new("/opt/chancery/bin/../share/chancery/filters"));
        assert_eq!(folder(Some("/x".into()), Some(command)), Path::new("/x"));
        let filter = ReadyFilter::all().unwrap().into_iter().next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(filter.module(folder.path()), None);
        let module = folder.path().join(format!("{}.wasm", filter.name));
        std::fs::write(&module, "").unwrap();
        assert_eq!(filter.module(folder.path()), Some(module));
    }
}
