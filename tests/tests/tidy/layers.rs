//! Who may know whom: the arrows of `ARCHITECTURE.md`, read from the manifests and the sources.

use super::{Problems, file, files, root};
use std::collections::BTreeMap;
use std::process::Command;

/// Each package of the workspace, and the packages of the workspace that it may depend on.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("chancery-sdk-abi", &[]),
    ("chancery-sdk", &["chancery-sdk-abi"]),
    ("chancery-filters-graphql-guard", &["chancery-sdk"]),
    ("chancery-filters-hmac-auth", &["chancery-sdk"]),
    ("chancery-filters-json-guard", &["chancery-sdk"]),
    ("chancery-filters-pii-guard", &["chancery-sdk"]),
    ("chancery-sdk-admission", &["chancery-sdk-abi"]),
    ("chancery-sdk-host", &["chancery-sdk-abi"]),
    ("chancery-policy-lang", &["chancery-sdk-abi"]),
    ("chancery-oci", &[]),
    (
        "chancery-control",
        &["chancery-oci", "chancery-policy-lang", "chancery-sdk-admission", "chancery-sdk-host"],
    ),
    (
        "chancery-tests",
        &[
            "chancery-control",
            "chancery-filters-graphql-guard",
            "chancery-filters-hmac-auth",
            "chancery-filters-json-guard",
            "chancery-filters-pii-guard",
            "chancery-policy-lang",
            "chancery-sdk",
            "chancery-sdk-abi",
            "chancery-sdk-admission",
            "chancery-sdk-host",
        ],
    ),
];

/// What a package's own tests may know beside that: the language and the admission run the modules that they make.
const TESTS_MAY_KNOW: &[(&str, &str)] =
    &[("chancery-policy-lang", "chancery-sdk-host"), ("chancery-sdk-admission", "chancery-sdk-host")];

/// The sources of the pure crates.
const PURE: &[&str] = &["policy-lang/src/", "sdk/admission/src/"];

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

/// Each wing of `control`, and the paths in other wings that it may name.
const WINGS: &[(&str, &[&str])] = &[
    ("mesh", &[]),
    ("policies", &["mesh"]),
    ("delivery", &["mesh", "policies"]),
    ("server", &["mesh", "policies", "delivery"]),
    // It speaks the API and relays xDS, so it knows how both are said, and nothing of who answers.
    (
        "sidecar",
        &[
            "mesh",
            "server::api::client",
            "server::api::types",
            "delivery::snapshot",
            "delivery::xds",
            "delivery::envoy::secret",
        ],
    ),
    ("cli", &["mesh", "policies", "delivery", "server", "sidecar"]),
];

/// Files of plain domain types, and the formats that they do not name.
const PLAIN: &[&str] = &[
    "control/src/mesh/model.rs",
    "control/src/mesh/model/filter.rs",
    "control/src/mesh/model/protocol.rs",
    "control/src/delivery/snapshot.rs",
];
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
fn the_policy_language_and_the_admission_are_pure() {
    let mut problems = Problems::default();
    let is_pure = |path: &str| PURE.iter().any(|folder| path.starts_with(folder));
    for file in files(&["rs"]).iter().filter(|file| is_pure(&file.path)) {
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
fn a_wing_knows_only_the_wings_below_it() {
    let mut problems = Problems::default();
    let sources = files(&["rs"]);
    let wings: Vec<&str> = WINGS.iter().map(|(wing, _)| *wing).collect();
    // A room's tests may call it from where it is used, which is above.
    let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    let is_product = |path: &str| path.starts_with("control/src/") && !is_test(path);
    for file in sources.iter().filter(|file| is_product(&file.path)) {
        let room = file.path.trim_start_matches("control/src/").trim_end_matches(".rs");
        let Some((wing, may_name)) = WINGS.iter().find(|(wing, _)| room.split('/').next() == Some(wing))
        else {
            problems.add_if(room != "lib" && room != "main", &file.path, "is in no wing");
            continue;
        };
        for (number, line) in code_lines(&file.text) {
            for path in line.split("crate::").skip(1) {
                let named = path.split("::").next().unwrap_or_default();
                let named = named.trim_end_matches(|byte: char| !byte.is_ascii_alphanumeric() && byte != '_');
                let place = format!("{}:{number}", file.path);
                problems.add_if(
                    !wings.contains(&named),
                    &place,
                    format!("names `crate::{path}`, which is no wing"),
                );
                let below = named == *wing || may_name.iter().any(|allowed| is_below(path, allowed));
                problems.add_if(!below, &place, format!("`{wing}` may not know `{named}`: `{path}`"));
            }
        }
    }
    problems.must_be_none();
}

/// Whether a path begins with the parts of another.
fn is_below(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
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
