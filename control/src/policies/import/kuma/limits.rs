//! `MeshRateLimit`.

use super::super::fields::{Fields, Notes};
use super::super::manifest::Manifest;
use super::super::matching::Matching;
use super::super::text::{Names, Policy};
use super::super::values::{milliseconds, rate};
use super::{Target, entries};

pub(super) fn policies(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let target = Target::of(&mut spec, manifest);
    let mut statements = Vec::new();
    for (callers, mut default) in entries(&mut spec, "from", manifest) {
        match callers.callers() {
            Some(callers) => {
                let matching = Matching { callers, ..Matching::default() };
                statements.extend(limit(&mut default, &matching));
            }
            None => {
                default.place.note("it is not carried over: a caller is known by its service, not by labels")
            }
        }
    }
    for item in spec.list("rules") {
        let default = item.fields().and_then(|mut rule| rule.fields("default"));
        statements.extend(default.and_then(|mut default| limit(&mut default, &Matching::default())));
    }
    match target {
        Some(target) if !statements.is_empty() => {
            let comments = vec![manifest.origin()];
            let name = names.give(&manifest.name);
            vec![Policy { kind: "traffic", name, target: target.written(), comments, statements }]
        }
        _ => Vec::new(),
    }
}

fn limit(default: &mut Fields<'_>, matching: &Matching) -> Option<String> {
    let mut local = default.fields("local")?;
    let mut http = local.fields("http")?;
    if http.text("disabled").is_some_and(|text| text == "true") {
        return None;
    }
    let mut asked = http.fields("requestRate")?;
    let (count, interval) = (asked.count("num")?, asked.text("interval")?);
    let Some(written) = milliseconds(&interval).and_then(|interval| rate(count, interval)) else {
        asked.place.note(format!(
            "`{count}` in `{interval}` is not carried over: say it in a second, minute, hour or day"
        ));
        return None;
    };
    let status = http.fields("onRateLimit").and_then(|mut answer| answer.count("status"));
    let status = status.map_or_else(String::new, |status| format!(" respond {status}"));
    Some(format!("limit {written} burst {count}{}{status}", matching.with_for()))
}
