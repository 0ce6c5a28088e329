//! `MeshAccessLog`: where lines go of what comes in (`from`, `rules`) and of what goes out (`to`).

use super::super::fields::{Fields, Item, Notes};
use super::super::manifest::Manifest;
use super::super::text::{Names, Policy, string};
use super::{Target, entries};

pub(super) fn policies(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let target = Target::of(&mut spec, manifest);
    let mut policies = Vec::new();
    let mut incoming = Vec::new();
    for (callers, mut default) in entries(&mut spec, "from", manifest) {
        if callers != Target::Mesh {
            default.place.note("it is for all callers here: write `sample 0%` and one for these");
        }
        incoming.extend(sinks(&mut default, manifest, names, &mut policies));
    }
    for item in spec.list("rules") {
        let default = item.fields().and_then(|mut rule| rule.fields("default"));
        incoming.extend(
            default.map_or_else(Vec::new, |mut default| sinks(&mut default, manifest, names, &mut policies)),
        );
    }
    let mut outgoing = Vec::new();
    for (called, mut default) in entries(&mut spec, "to", manifest) {
        if called != Target::Mesh {
            default.place.note(
                "it is for all services here: a `log` policy with `outbound` speaks of all that leaves",
            );
        }
        outgoing.extend(sinks(&mut default, manifest, names, &mut policies));
    }
    let Some(target) = target else { return policies };
    for (statements, direction) in [(incoming, ""), (outgoing, " outbound")] {
        if statements.is_empty() {
            continue;
        }
        let target = format!("{}{direction}", target.written());
        let comments = vec![manifest.origin()];
        policies.push(Policy { kind: "log", name: names.give(&manifest.name), target, comments, statements });
    }
    policies
}

/// A sink for each backend, put before the policies that send to them.
fn sinks(
    default: &mut Fields<'_>,
    manifest: &Manifest,
    names: &mut Names,
    policies: &mut Vec<Policy>,
) -> Vec<String> {
    let mut statements = Vec::new();
    for item in default.list("backends") {
        let Some(goal) = goal(&item) else { continue };
        let name = names.give(&format!("{}-sink", manifest.name));
        statements.push(format!("send to {name}"));
        let comments = vec![manifest.origin()];
        policies.push(Policy { kind: "sink", name, target: String::new(), comments, statements: vec![goal] });
    }
    statements
}

fn goal(item: &Item<'_>) -> Option<String> {
    let mut backend = item.fields()?;
    match backend.text("type").as_deref() {
        Some("File") => {
            let path = backend.fields("file")?.text("path")?;
            if path == "/dev/stdout" {
                return Some("stdout".to_owned());
            }
            let file = path.rsplit('/').next().unwrap_or_default().to_owned();
            backend.at("file").note(format!(
                "lines go to `{file}` in the folder that the sidecar is started with (`--log-dir`)"
            ));
            Some(format!("file {}", string(&file)))
        }
        Some("OpenTelemetry") => {
            let endpoint = backend.fields("openTelemetry")?.text("endpoint")?;
            Some(format!("otlp {}", string(&endpoint)))
        }
        other => {
            let other = other.unwrap_or("a backend without a type").to_owned();
            backend.place.note(format!(
                "`{other}` is not carried over: lines go to files, to OpenTelemetry or to the log"
            ));
            None
        }
    }
}
