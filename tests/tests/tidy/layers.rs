//! Who may know whom: the arrows of `ARCHITECTURE.md`, read from the manifests and the sources.

use super::{Problems, file, files, root};
use std::collections::BTreeMap;
use std::process::Command;

/// Each package of the workspace, and the packages of the workspace that it may depend on.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("chancery-sdk-abi", &[]),
    ("chancery-sdk-host", &["chancery-sdk-abi"]),
    ("chancery-policy-lang", &["chancery-sdk-abi"]),
    ("chancery-control", &["chancery-policy-lang", "chancery-sdk-host"]),
    (
        "chancery-tests",
        &["chancery-control", "chancery-policy-lang", "chancery-sdk-abi", "chancery-sdk-host"],
    ),
];

/// What a package's own tests may know beside that: the language runs the modules that it makes.
const TESTS_MAY_KNOW: &[(&str, &str)] = &[("chancery-policy-lang", "chancery-sdk-host")];

/// What a pure crate does not name: the world, and whatever reaches it.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::time",
    "TcpStream",
    "UdpSocket",
    "tokio",
    "rand::",
];

/// Files of plain domain types, and the formats that they do not name.
const PLAIN: &[&str] = &["control/src/model.rs", "control/src/snapshot.rs"];
const FORMATS: &[&str] = &["serde", "prost", "envoy_types", "tonic", "axum"];

#[test]
fn packages_know_only_what_lies_below_them() {
    let may_know: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut problems = Problems::default();
    for (package, dependencies) in workspace_dependencies() {
        let Some(allowed) = may_know.get(package.as_str()) else {
            problems.add(&package, "is not in the table of layers");
            continue;
        };
        for Dependency { name, for_tests } in dependencies {
            let below = allowed.contains(&name.as_str())
                || (for_tests && TESTS_MAY_KNOW.contains(&(package.as_str(), name.as_str())));
            problems.add_if(!below, &package, format!("may not know {name}"));
        }
    }
    problems.must_be_none();
}

/// A dependency on another package of the workspace.
struct Dependency {
    name: String,
    for_tests: bool,
}

/// The packages of the workspace, and which others of it each depends on, for whatever purpose.
fn workspace_dependencies() -> BTreeMap<String, Vec<Dependency>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value.get("name").unwrap().as_str().unwrap().to_owned();
    let packages = metadata.get("packages").unwrap().as_array().unwrap();
    assert!(packages.len() >= MAY_KNOW.len(), "the metadata has fewer packages than the table of layers");
    packages
        .iter()
        .map(|package| {
            let dependencies = package.get("dependencies").unwrap().as_array().unwrap();
            let dependency = |value| Dependency {
                name: name(value),
                for_tests: value.get("kind").and_then(serde_json::Value::as_str) == Some("dev"),
            };
            let all = dependencies.iter().map(dependency);
            (name(package), all.filter(|dependency| dependency.name.starts_with("chancery-")).collect())
        })
        .collect()
}

#[test]
fn the_policy_language_is_pure() {
    let mut problems = Problems::default();
    for file in files(&["rs"]).iter().filter(|file| file.path.starts_with("policy-lang/src/")) {
        for (number, line) in code_lines(&file.text) {
            for impure in IMPURE {
                let place = format!("{}:{number}", file.path);
                problems.add_if(line.contains(impure), place, format!("names `{impure}`"));
            }
        }
    }
    problems.must_be_none();
}

#[test]
fn domain_types_know_no_format() {
    let mut problems = Problems::default();
    for path in PLAIN {
        for (number, line) in code_lines(&file(path).text) {
            for format in FORMATS {
                problems.add_if(
                    line.contains(format),
                    format!("{path}:{number}"),
                    format!("names `{format}`"),
                );
            }
        }
    }
    problems.must_be_none();
}

/// Lines with their numbers, without comments and without the tests at the end of a file.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line))
}
