//! `MeshTrafficPermission`: who may call. In Kuma nobody may whom nothing allows, and the most specific entry counts.

use super::super::fields::{Fields, Item, Notes};
use super::super::manifest::Manifest;
use super::super::matching::{Caller, Matching};
use super::super::text::{Names, Policy, string};
use super::{Target, entries};

pub(super) fn policies(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let target = Target::of(&mut spec, manifest);
    let mut statements: Vec<String> = Vec::new();
    for (callers, mut default) in entries(&mut spec, "from", manifest) {
        statements.extend(entry(&callers, &mut default));
    }
    for item in spec.list("rules") {
        let default = item.fields().and_then(|mut rule| rule.fields("default"));
        let Some(mut default) = default else { continue };
        for (list, word) in [("allow", "allow"), ("deny", "deny"), ("allowWithShadowDeny", "allow")] {
            let identities = default.list(list);
            if list == "allowWithShadowDeny" && !identities.is_empty() {
                default
                    .at(list)
                    .note("allowed without a mark: a policy in `mode shadow` says what it would deny");
            }
            statements.extend(identities.iter().filter_map(|item| identity(item, word)));
        }
    }
    let Some(target) = target else { return Vec::new() };
    statements.push("otherwise deny".to_owned());
    let comments = vec![manifest.origin()];
    vec![Policy {
        kind: "auth",
        name: names.give(&manifest.name),
        target: target.written(),
        comments,
        statements,
    }]
}

fn entry(callers: &Target, default: &mut Fields<'_>) -> Option<String> {
    let action = default.text("action").unwrap_or_else(|| "Allow".to_owned()).to_ascii_lowercase();
    let word = match action.as_str() {
        "allow" => "allow",
        "allowwithshadowdeny" => {
            default
                .at("action")
                .note("allowed without a mark: a policy in `mode shadow` says what it would deny");
            "allow"
        }
        "deny" => "deny",
        other => {
            default.at("action").note(format!("`{other}` is not carried over"));
            return None;
        }
    };
    let Some(callers) = callers.callers() else {
        default
            .place
            .note("it is not carried over: a caller is known by its service and namespace, not by labels");
        return None;
    };
    match (word, callers.is_empty()) {
        // Everyone of the mesh; who has no identity is not of it.
        ("allow", true) => Some("allow when source.mtls".to_owned()),
        // What the policy says of everyone else is its `otherwise`.
        (_, true) => None,
        (word, false) => Some(format!("{word}{}", Matching { callers, ..Matching::default() }.text())),
    }
}

/// `spiffeID: { type: Exact, value: spiffe://... }`.
fn identity(item: &Item<'_>, word: &str) -> Option<String> {
    let mut fields = item.fields()?;
    let mut id = fields.fields("spiffeID")?;
    let value = id.text("value")?;
    match id.text("type").as_deref() {
        Some("Prefix") => Some(format!("{word} when source.principal.startsWith({})", string(&value))),
        _ => Some(format!("{word} from {}", Caller::Identity(value).peer())),
    }
}
