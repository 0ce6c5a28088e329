//! The sources of the SDK, as they were when this `chancery` was built: what a filter of one's own is built on where the
//! sources of Chancery are not at hand.
//!
//! The manifests inherit from Chancery's workspace; in a copy they say themselves what they inherit.

use super::project::File;

/// Where the copy lies in a project.
const FOLDER: &str = "chancery-sdk";
const WORKSPACE: &str = include_str!("../../../../../Cargo.toml");

/// A list of the sources below `sdk/`, by their paths there.
macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../sdk/", $path)))),*]
    };
}

/// All sources that a filter is built from.
const SOURCES: &[(&str, &str)] = sources![
    "README.md",
    "abi/src/guest_exports.rs",
    "abi/src/host_calls.rs",
    "abi/src/lib.rs",
    "abi/src/limits.rs",
    "abi/src/numbers.rs",
    "abi/src/pairs.rs",
    "abi/src/value.rs",
    "abi/src/version.rs",
    "src/answer.rs",
    "src/body.rs",
    "src/callout.rs",
    "src/config.rs",
    "src/course.rs",
    "src/envoy.rs",
    "src/filter.rs",
    "src/headers.rs",
    "src/host.rs",
    "src/json.rs",
    "src/json/number.rs",
    "src/json/tests.rs",
    "src/json/text.rs",
    "src/lib.rs",
    "src/media.rs",
    "src/metrics.rs",
    "src/proxy.rs",
    "src/shared.rs",
    "src/tcp.rs",
    "src/testing.rs",
    "src/testing/connection.rs",
    "src/testing/exchange.rs",
    "src/testing/host.rs",
    "src/testing/plugin.rs",
    "src/testing/recording.rs",
];

/// The manifests, which are changed.
const MANIFESTS: &[(&str, &str)] = sources!["Cargo.toml", "abi/Cargo.toml"];

/// The files of the copy, by their paths in a project.
///
/// # Errors
/// If a manifest inherits what the workspace does not have, in words.
pub(super) fn files() -> Result<Vec<File>, String> {
    let placed = |path: &str, text: String| File { path: format!("{FOLDER}/{path}"), text };
    let mut files = Vec::new();
    for (path, manifest) in MANIFESTS {
        files.push(placed(path, stand_alone(manifest, WORKSPACE)?));
    }
    files.extend(SOURCES.iter().map(|(path, text)| placed(path, (*text).to_owned())));
    Ok(files)
}

/// A manifest that says itself what it inherits from a workspace, without its lints and tests.
fn stand_alone(manifest: &str, workspace: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut is_left_out = false;
    let mut inherits_from = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_left_out = line == "[lints]" || line == "[[test]]" || line == "[dev-dependencies]";
            inherits_from =
                if line == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
        }
        if is_left_out || line.starts_with('#') {
            continue;
        }
        match line.strip_suffix(".workspace = true") {
            Some(name) => {
                let stated = inherited(workspace, inherits_from, name)
                    .ok_or_else(|| format!("the workspace has no `{name}` in {inherits_from}"))?;
                // The contract lies in the SDK here as it does there.
                text.push_str(&stated.replace("\"sdk/", "\""));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// The line of a table of the workspace that states this name.
fn inherited<'text>(workspace: &'text str, table: &str, name: &str) -> Option<&'text str> {
    let lines = workspace.lines().skip_while(|line| *line != table).skip(1);
    let states = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "));
    lines.take_while(|line| !line.starts_with('[')).find(states)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// Paths of all sources below a folder, from `sdk/` on.
    fn below(sdk: &Path, folder: PathBuf, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(sdk, path, found);
            } else {
                found.insert(path.strip_prefix(sdk).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_source_of_the_sdk_is_copied() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
        let mut there = BTreeSet::from(["README.md".to_owned()]);
        below(&sdk, sdk.join("src"), &mut there);
        below(&sdk, sdk.join("abi/src"), &mut there);
        let listed: BTreeSet<String> = SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn a_manifest_says_itself_what_it_inherited() {
        let workspace = "[workspace.package]\nversion = \"1.2.3\"\n\n[workspace.dependencies]\n\
            version = \"9\"\nserde = \"1\"\nserde_json = \"2\"\nabi = { path = \"sdk/abi\" }\n";
        let manifest = "[package]\nname = \"x\"\nversion.workspace = true\n\n# One.\n[[test]]\nname = \"y\"\n\n\
            [dependencies]\nabi.workspace = true\nserde.workspace = true\n\n[lints]\nworkspace = true\n";
        assert_eq!(
            stand_alone(manifest, workspace).unwrap(),
            "[package]\nname = \"x\"\nversion = \"1.2.3\"\n\n[dependencies]\nabi = { path = \"abi\" }\nserde = \"1\"\n\n"
        );
        assert_eq!(
            stand_alone("[dependencies]\nserd.workspace = true\n", workspace).unwrap_err(),
            "the workspace has no `serd` in [workspace.dependencies]"
        );
    }

    #[test]
    fn nothing_of_a_copy_inherits() {
        for file in files().unwrap() {
            let inherits = file.text.contains("workspace = true") && file.path.ends_with("Cargo.toml");
            assert!(!inherits, "{}\n{}", file.path, file.text);
        }
    }
}
