//! The order of the search, with small scripts in the place of Envoy.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A program that says of itself to be this version of Envoy.
fn fake(directory: &Path, version: &str) -> PathBuf {
    let path = directory.join("envoy");
    fs::create_dir_all(directory).unwrap();
    fs::write(&path, format!("#!/bin/sh\necho\necho \"$0  version: 0/{version}/Clean/RELEASE/B\"\n"))
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_the_user_names_comes_first_then_the_variable_then_the_path() {
    let root = tempfile::tempdir().unwrap();
    let [explicit, variable, on_path] = ["a", "b", "c"].map(|d| fake(&root.path().join(d), "1.40.0"));
    let mut search = Search {
        explicit: Some(explicit.clone()),
        variable: Some(variable.clone()),
        path: vec![root.path().join("nothing-here"), root.path().join("c")],
        cache: Some(root.path().join("cache")),
    };
    let found = |search: &Search| search.find().unwrap().map(|e| (e.path, e.origin));
    assert_eq!(found(&search), Some((explicit, Origin::Explicit)));
    search.explicit = None;
    assert_eq!(found(&search), Some((variable, Origin::Variable)));
    search.variable = None;
    assert_eq!(found(&search), Some((on_path, Origin::SearchPath)));
    search.path.clear();
    assert_eq!(found(&search), None);
}

#[test]
fn an_old_or_broken_envoy_on_the_path_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    fake(&root.path().join("old"), "1.39.9");
    fs::create_dir_all(root.path().join("broken")).unwrap();
    fs::write(root.path().join("broken/envoy"), "not a program").unwrap();
    let good = fake(&root.path().join("new"), "1.41.2");
    let path = ["old", "broken", "new"].map(|d| root.path().join(d)).to_vec();
    let search = Search { path, ..Search::default() };
    assert_eq!(search.find().unwrap().unwrap().path, good);
}

#[test]
fn a_named_path_that_does_not_work_is_an_error_and_not_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let path = vec![root.path().join("good")];
    fake(&root.path().join("good"), "1.40.0");
    let search = Search { explicit: Some(root.path().join("missing")), path, ..Search::default() };
    let error = search.find().unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("given on the command line"), "{error}");
}

#[test]
fn without_a_home_the_message_says_what_to_set() {
    let error = Search::default().install(&mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("XDG_CACHE_HOME") && error.contains("--envoy"), "{error}");
}
