//! `MeshHTTPRoute`: where requests go.

use super::super::fields::{Fields, Item, Notes};
use super::super::manifest::Manifest;
use super::super::matching::{Caller, Matching, pattern};
use super::super::text::{Names, Policy, header_name, name, string};
use super::super::values::{percent, shares};
use super::{Target, note_workload, service_name};

/// The tag that says a version.
const VERSION_TAG: &str = "version";

pub(super) fn policies(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let callers = Target::of(&mut spec, manifest).and_then(|target| target.callers());
    let mut policies = Vec::new();
    for item in spec.list("to") {
        let Some(mut entry) = item.fields() else { continue };
        let target = Target::of(&mut entry, manifest);
        entry.ignore("hostnames");
        let rules = entry.list("rules");
        let (Some(target @ (Target::Service(_) | Target::Namespace(_) | Target::Mesh)), Some(callers)) =
            (&target, &callers)
        else {
            target.iter().for_each(|target| note_workload(target, &entry.place));
            entry.place.note("it is not carried over");
            continue;
        };
        let statements = statements(&rules, target, callers, manifest);
        if statements.is_empty() {
            continue;
        }
        let comments = vec![manifest.origin()];
        let name = names.give(&manifest.name);
        policies.push(Policy { kind: "traffic", name, target: target.written(), comments, statements });
    }
    policies
}

/// A match of a rule, and what the rule does with requests.
struct Entry {
    rank: Rank,
    matching: Matching,
    /// Where it sends requests: behind the match.
    destinations: Option<String>,
    filters: Vec<Filter>,
}

/// How specific a match is: that of a whole path before the longest beginning, then methods, headers and parameters. The most
/// specific counts, whatever the order of the rules.
type Rank = (bool, usize, bool, usize, usize);

/// All that the rules say, the most specific match first.
fn statements(rules: &[Item<'_>], target: &Target, callers: &[Caller], manifest: &Manifest) -> Vec<String> {
    let mut entries: Vec<Entry> =
        rules.iter().flat_map(|rule| rule_entries(rule, target, callers, manifest)).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.rank));
    let mut earlier: Vec<String> = Vec::new();
    let mut statements = Vec::new();
    for entry in &entries {
        let alone = entry.matching.without(&earlier);
        statements.extend(entry.filters.iter().map(|filter| filter.statement(&entry.matching, &alone)));
        let text = entry.matching.text();
        statements.extend(entry.destinations.as_ref().map(|to| format!("route{text} -> {to}")));
        earlier.extend(entry.matching.condition());
    }
    statements
}

/// A filter's statement, before what it says of requests and behind it.
#[derive(Clone, Debug)]
enum Filter {
    /// The first that matches counts, as of routes.
    First { before: String, behind: String },
    /// All that match count, so that what other rules speak of is excluded.
    Each { before: String },
    /// The same, with the match between.
    EachBetween { before: String, behind: String },
}

impl Filter {
    fn statement(&self, matching: &Matching, alone: &Matching) -> String {
        match self {
            Self::First { before, behind } => format!("{before}{} -> {behind}", matching.text()),
            Self::Each { before } => format!("{before}{}", alone.with_for()),
            Self::EachBetween { before, behind } => format!("{before}{} -> {behind}", alone.text()),
        }
    }
}

fn rule_entries(item: &Item<'_>, target: &Target, callers: &[Caller], manifest: &Manifest) -> Vec<Entry> {
    let Some(mut rule) = item.fields() else { return Vec::new() };
    let matches: Vec<(Rank, Matching)> = match rule.take("matches") {
        Some(list) => list.list().iter().filter_map(|item| matching(item, callers)).collect(),
        None => vec![(Rank::default(), Matching { callers: callers.to_vec(), ..Matching::default() })],
    };
    let Some(mut default) = rule.fields("default") else { return Vec::new() };
    let destinations = destinations(&mut default, target, manifest);
    let filters = default.list("filters");
    // Requests that are sent back go nowhere, also where the place cannot be said.
    let is_redirected = filters.iter().any(|item| item.value["type"] == "RequestRedirect");
    let mut entries = Vec::new();
    for (rank, matching) in matches {
        let filters: Vec<Filter> =
            filters.iter().flat_map(|item| filters_of(item, &matching, manifest)).collect();
        let destinations = destinations.clone().filter(|_| !is_redirected);
        entries.push(Entry { rank, matching, destinations, filters });
    }
    entries
}

/// `service N/S@V SHARE, ...`
fn destinations(default: &mut Fields<'_>, target: &Target, manifest: &Manifest) -> Option<String> {
    let backends = default.list("backendRefs");
    let routes: Vec<(String, u64)> = backends.iter().filter_map(|item| backend(item, manifest)).collect();
    let weights: Vec<u64> = routes.iter().map(|(_, weight)| *weight).collect();
    match (routes.as_slice(), shares(&weights).as_slice()) {
        ([], _) => match target {
            Target::Service(own) => Some(format!("service {own}")),
            _ => None,
        },
        ([(one, _)], _) => Some(one.clone()),
        (routes, shares) => {
            let parts = routes.iter().zip(shares).filter(|((_, weight), _)| *weight > 0);
            Some(parts.map(|((to, _), share)| format!("{to} {share}")).collect::<Vec<_>>().join(", "))
        }
    }
}

fn matching(item: &Item<'_>, callers: &[Caller]) -> Option<(Rank, Matching)> {
    let before = item.place.notes.len();
    let mut fields = item.fields()?;
    let mut matching = Matching { callers: callers.to_vec(), ..Matching::default() };
    let mut rank = Rank::default();
    if let Some(mut path) = fields.fields("path") {
        let value = path.text("value").unwrap_or_default();
        match path.text("type").as_deref() {
            Some("Exact") => {
                rank.0 = true;
                matching.paths.push(value);
            }
            Some("RegularExpression") => {
                matching
                    .conditions
                    .push(format!("request.path.matches({})", string(&format!("^(?:{value})$"))));
            }
            // Kuma's prefixes are whole segments.
            _ if value == "/" => {}
            _ => {
                rank.1 = value.len();
                let below = format!("{}/", value.trim_end_matches('/'));
                let whole = string(value.trim_end_matches('/'));
                matching
                    .conditions
                    .push(format!("request.path == {whole} || request.path.startsWith({})", string(&below)));
            }
        }
    }
    matching.methods.extend(fields.text("method"));
    rank.2 = !matching.methods.is_empty();
    for (list, map) in [("headers", "headers"), ("queryParams", "query")] {
        for item in fields.list(list) {
            let Some(mut asked) = item.fields() else { continue };
            let count = if map == "headers" { &mut rank.3 } else { &mut rank.4 };
            *count += 1;
            let called = asked.text("name").unwrap_or_default();
            let called = if map == "headers" { called.to_ascii_lowercase() } else { called };
            let attribute = format!("{map}[{}]", string(&called));
            let value = string(&asked.text("value").unwrap_or_default());
            matching.conditions.push(match asked.text("type").as_deref() {
                Some("RegularExpression") => {
                    let pattern = asked.text("value").unwrap_or_default();
                    format!("{attribute}.matches({})", string(&format!("^(?:{pattern})$")))
                }
                Some("Present") => format!("has({attribute})"),
                Some("Absent") => format!("!has({attribute})"),
                Some("Prefix") => format!("{attribute}.startsWith({value})"),
                _ => format!("{attribute} == {value}"),
            });
        }
    }
    drop(fields);
    if item.place.notes.len() == before {
        return Some((rank, matching));
    }
    item.place.note("the whole match is left out, for a part of it cannot be said");
    None
}

/// `service N/S@V` and its weight.
fn backend(item: &Item<'_>, manifest: &Manifest) -> Option<(String, u64)> {
    let mut fields = item.fields()?;
    let weight = fields.count("weight").unwrap_or(1);
    fields.ignore("port");
    let version = fields.fields("tags").and_then(|mut tags| tags.text(VERSION_TAG));
    let target = target_of(&mut fields, manifest)?;
    let version = version.map_or_else(String::new, |version| format!("@{}", name(&version)));
    Some((format!("service {target}{version}"), weight))
}

fn target_of(fields: &mut Fields<'_>, manifest: &Manifest) -> Option<String> {
    let (kind, called) = (fields.text("kind")?, fields.text("name"));
    let namespace = fields.text("namespace");
    match (kind.as_str(), called) {
        ("MeshService" | "MeshServiceSubset", Some(called)) => Some(match namespace {
            Some(namespace) => super::super::values::service(&namespace, &called),
            None => service_name(&called, manifest),
        }),
        (kind, _) => {
            fields.at("kind").note(format!("it is not carried over: there is no `{kind}` here"));
            None
        }
    }
}

fn filters_of(item: &Item<'_>, matching: &Matching, manifest: &Manifest) -> Vec<Filter> {
    let Some(mut filter) = item.fields() else { return Vec::new() };
    let kind = filter.text("type").unwrap_or_default();
    match kind.as_str() {
        "RequestHeaderModifier" => headers(&mut filter, "requestHeaderModifier", "request"),
        "ResponseHeaderModifier" => headers(&mut filter, "responseHeaderModifier", "response"),
        "RequestMirror" => {
            let Some(mut mirror) = filter.fields("requestMirror") else { return Vec::new() };
            let share = mirror.text("percentage").and_then(|share| share.parse().ok()).and_then(percent);
            let to = mirror.take("backendRef").and_then(|item| backend(&item, manifest));
            let share = share.unwrap_or_else(|| "100%".to_owned());
            to.map(|(to, _)| Filter::Each { before: format!("mirror {share} -> {to}") }).into_iter().collect()
        }
        "URLRewrite" => rewrite(&mut filter).into_iter().collect(),
        "RequestRedirect" => redirect(&mut filter, matching).into_iter().collect(),
        other => {
            filter.at("type").note(format!("`{other}` is not carried over"));
            Vec::new()
        }
    }
}

fn rewrite(filter: &mut Fields<'_>) -> Option<Filter> {
    let mut rewrite = filter.fields("urlRewrite")?;
    let mut path = rewrite.fields("path")?;
    path.ignore("type");
    if let Some(to) = path.text("replaceFullPath") {
        return Some(Filter::EachBetween { before: "rewrite".to_owned(), behind: pattern(&to) });
    }
    path.ignore("replacePrefixMatch");
    path.place.note("it is not carried over: write `rewrite /old/** -> /new/**`");
    None
}

fn redirect(filter: &mut Fields<'_>, matching: &Matching) -> Option<Filter> {
    let mut redirect = filter.fields("requestRedirect")?;
    let (scheme, host) = (redirect.text("scheme"), redirect.text("hostname"));
    let port = redirect.count("port").map_or_else(String::new, |port| format!(":{port}"));
    let status = redirect.count("statusCode").unwrap_or(302);
    let path = redirect.fields("path").and_then(|mut path| {
        path.ignore("type");
        path.text("replaceFullPath")
    });
    let path = path.or_else(|| matching.paths.first().cloned());
    let place = match (host, path) {
        (Some(host), Some(path)) => format!("{}://{host}{port}{path}", scheme.as_deref().unwrap_or("https")),
        (None, Some(path)) if scheme.is_none() && port.is_empty() => path,
        _ => {
            redirect
                .place
                .note("it is not carried over: write the place, with what the path's parts are called in it");
            return None;
        }
    };
    Some(Filter::First { before: "redirect".to_owned(), behind: format!("{} {status}", string(&place)) })
}

fn headers(filter: &mut Fields<'_>, field: &str, message: &str) -> Vec<Filter> {
    let Some(mut modifier) = filter.fields(field) else { return Vec::new() };
    let mut operations = Vec::new();
    for verb in ["set", "add"] {
        for item in modifier.list(verb) {
            let Some(mut header) = item.fields() else { continue };
            let (Some(called), Some(value)) = (header.text("name"), header.text("value")) else { continue };
            operations.push(format!("{verb} {message} header {} = {}", header_name(&called), string(&value)));
        }
    }
    let removed = modifier.texts("remove");
    operations
        .extend(removed.iter().map(|called| format!("remove {message} header {}", header_name(called))));
    operations.into_iter().map(|before| Filter::Each { before }).collect()
}
