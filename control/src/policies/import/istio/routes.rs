//! `VirtualService`: where requests go, and how.
//!
//! In Istio the first entry of `http` that matches says everything of a request. Here routes of a policy are tried in the
//! same order, but the other statements speak each for itself; so one of a later entry excludes what earlier entries match.

use super::super::fields::{Fields, Item, Notes};
use super::super::manifest::Manifest;
use super::super::matching::{Caller, Matching, any, pattern};
use super::super::text::{Names, Policy, header_name, name, string};
use super::super::values::{duration, milliseconds, percent, shares};
use super::destinations::Subsets;
use super::{namespace_of, service_of};

/// What Istio retries on where nothing is stated, as far as it is no status of gRPC.
const RETRIED: [&str; 2] = ["connect", "refused"];

/// The policy of each service that the hosts name.
pub(super) fn policies(
    manifest: &Manifest,
    subsets: &Subsets,
    notes: &Notes,
    names: &mut Names,
) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    spec.ignore("exportTo");
    let namespace = namespace_of(manifest);
    check_gateways(&mut spec);
    let mut services = Vec::new();
    for item in spec.list("hosts") {
        let Some(host) = item.text() else { continue };
        match service_of(&host, namespace) {
            Some(service) => services.push(service),
            None => item.place.note(format!("`{host}` is not carried over: it is no service of the mesh")),
        }
    }
    let Some(first) = services.first() else {
        spec.ignore("http");
        return Vec::new();
    };
    let world = World { namespace, subsets, own: first.clone() };
    let entries = spec.list("http");
    let mut earlier: Vec<String> = Vec::new();
    let (mut statements, mut is_open) = (Vec::new(), true);
    for item in &entries {
        if !is_open {
            item.place.note("it is not carried over: an earlier entry matches every request");
            continue;
        }
        let Some(mut fields) = item.fields() else { continue };
        let matches = matches(&mut fields);
        statements.extend(world.entry(&mut fields, &matches, &earlier));
        is_open = !matches.iter().any(Matching::is_all);
        earlier.extend(any(&matches.iter().filter_map(Matching::condition).collect::<Vec<_>>()));
    }
    if statements.is_empty() {
        return Vec::new();
    }
    let targets: Vec<String> = services.iter().map(|service| format!("service {service}")).collect();
    let comments = vec![manifest.origin()];
    vec![Policy {
        kind: "traffic",
        name: names.give(&manifest.name),
        target: targets.join(", "),
        comments,
        statements,
    }]
}

/// Only what is said of the mesh itself is carried over.
fn check_gateways(spec: &mut Fields<'_>) {
    for item in spec.list("gateways") {
        if item.text().is_some_and(|gateway| gateway != "mesh") {
            item.place.note("it is not carried over: the policy speaks of requests in the mesh");
        }
    }
}

/// The alternatives of an entry; one that asks nothing if it has none. One of which a part cannot be said is left out.
fn matches(fields: &mut Fields<'_>) -> Vec<Matching> {
    let Some(list) = fields.take("match") else { return vec![Matching::default()] };
    list.list().iter().filter_map(matching).collect()
}

fn matching(item: &Item<'_>) -> Option<Matching> {
    let before = item.place.notes.len();
    let mut fields = item.fields()?;
    fields.ignore("name");
    let mut matching = Matching::default();
    if let Some(mut uri) = fields.fields("uri") {
        match uri.text("exact").filter(|path| path.starts_with('/') && !path.contains('?')) {
            Some(path) => matching.paths.push(path),
            None => matching.conditions.extend(compared(&mut uri, "request.path")),
        }
    }
    if let Some(mut method) = fields.fields("method") {
        match method.text("exact").filter(|method| *method == method.to_ascii_uppercase()) {
            Some(method) => matching.methods.push(method),
            None => matching.conditions.extend(compared(&mut method, "request.method")),
        }
    }
    if let Some(mut host) = fields.fields("authority") {
        matching.conditions.extend(compared(&mut host, "request.host"));
    }
    let maps =
        [("headers", "headers", true), ("withoutHeaders", "headers", false), ("queryParams", "query", true)];
    for (field, map, is_wanted) in maps {
        for (name, item) in fields.fields(field).map_or_else(Vec::new, |mut map| map.rest()) {
            let name = if map == "headers" { name.to_ascii_lowercase() } else { name };
            let attribute = format!("{map}[{}]", string(&name));
            let condition = item.fields().and_then(|mut fields| compared(&mut fields, &attribute));
            let condition = condition.unwrap_or_else(|| format!("has({attribute})"));
            matching.conditions.push(if is_wanted { condition } else { format!("!({condition})") });
        }
    }
    if let Some(namespace) = fields.text("sourceNamespace") {
        matching.callers.push(Caller::Namespace(name(&namespace)));
    }
    drop(fields);
    if item.place.notes.len() == before {
        return Some(matching);
    }
    item.place.note("the whole match is left out, for a part of it cannot be said");
    None
}

/// `exact`, `prefix` or `regex` of something; `None` if it says none of them.
fn compared(fields: &mut Fields<'_>, attribute: &str) -> Option<String> {
    if let Some(text) = fields.text("exact") {
        return Some(format!("{attribute} == {}", string(&text)));
    }
    if let Some(text) = fields.text("prefix") {
        return Some(format!("{attribute}.startsWith({})", string(&text)));
    }
    // Istio's patterns match the whole text.
    fields.text("regex").map(|text| format!("{attribute}.matches({})", string(&format!("^(?:{text})$"))))
}

/// What destinations are read by.
struct World<'a> {
    namespace: &'a str,
    subsets: &'a Subsets,
    /// The service that the resource is about.
    own: String,
}

impl World<'_> {
    /// All that an entry says, of requests that match it and none of the earlier ones.
    fn entry(&self, fields: &mut Fields<'_>, matches: &[Matching], earlier: &[String]) -> Vec<String> {
        fields.ignore("name");
        let alone: Vec<Matching> = matches.iter().map(|matching| matching.without(earlier)).collect();
        let mut statements = Vec::new();
        if let Some(mut rewrite) = fields.fields("rewrite") {
            statements.extend(alone.iter().flat_map(|matching| rewritten(&mut rewrite, matching)));
        }
        statements.extend(self.destinations(fields, matches));
        let settings = self.settings(fields);
        for matching in &alone {
            statements.extend(settings.iter().map(|setting| format!("{setting}{}", matching.with_for())));
        }
        statements
    }

    /// Routes and redirects, of which the first that matches counts.
    fn destinations(&self, fields: &mut Fields<'_>, matches: &[Matching]) -> Vec<String> {
        let mut statements = Vec::new();
        if let Some(mut redirect) = fields.fields("redirect") {
            statements.extend(matches.iter().filter_map(|matching| redirected(&mut redirect, matching)));
        }
        let routes: Vec<(String, u64)> =
            fields.list("route").iter().filter_map(|item| self.weighted(item)).collect();
        let weights: Vec<u64> = routes.iter().map(|(_, weight)| *weight).collect();
        let destinations = match (routes.as_slice(), shares(&weights).as_slice()) {
            ([], _) => return statements,
            ([(one, _)], _) => one.clone(),
            (routes, shares) => {
                let parts = routes.iter().zip(shares).filter(|((_, weight), _)| *weight > 0);
                parts.map(|((to, _), share)| format!("{to} {share}")).collect::<Vec<_>>().join(", ")
            }
        };
        statements
            .extend(matches.iter().map(|matching| format!("route{} -> {destinations}", matching.text())));
        statements
    }

    fn weighted(&self, item: &Item<'_>) -> Option<(String, u64)> {
        let mut route = item.fields()?;
        let weight = route.count("weight");
        let destination = route.take("destination").and_then(|item| self.destination(&item))?;
        // A destination that stands alone needs no weight.
        Some((destination, weight.unwrap_or(1)))
    }

    /// `service N/S@V`.
    fn destination(&self, item: &Item<'_>) -> Option<String> {
        let mut fields = item.fields()?;
        let host = fields.text("host")?;
        let Some(service) = service_of(&host, self.namespace) else {
            fields.at("host").note(format!("it is not carried over: `{host}` is no service of the mesh"));
            return None;
        };
        let Some(subset) = fields.text("subset") else { return Some(format!("service {service}")) };
        let version = self.subsets.version(&service, &subset);
        if version.is_none() {
            fields.at("subset").note(format!(
                "no DestinationRule says what `{subset}` is: taken for the version of that name"
            ));
        }
        Some(format!("service {service}@{}", version.map_or_else(|| name(&subset), str::to_owned)))
    }

    /// Statements that speak of all requests of an entry, without the part that says which those are.
    fn settings(&self, fields: &mut Fields<'_>) -> Vec<String> {
        let mut settings = Vec::new();
        if let Some(time) = fields.text("timeout").and_then(|time| milliseconds(&time)) {
            settings.push(format!("timeout {}", duration(time)));
        }
        settings.extend(fields.fields("retries").and_then(|mut retries| retried(&mut retries)));
        if let Some(mut fault) = fields.fields("fault") {
            settings.extend(fault.fields("delay").and_then(|mut delay| delayed(&mut delay)));
            settings.extend(fault.fields("abort").and_then(|mut abort| aborted(&mut abort)));
        }
        if let Some(item) = fields.take("mirror") {
            let share = share(fields, "mirrorPercentage").unwrap_or_else(|| "100%".to_owned());
            settings.extend(self.destination(&item).map(|to| format!("mirror {share} -> {to}")));
        }
        for item in fields.list("mirrors") {
            let Some(mut mirror) = item.fields() else { continue };
            let share = share(&mut mirror, "percentage").unwrap_or_else(|| "100%".to_owned());
            let to = mirror.take("destination").and_then(|item| self.destination(&item));
            settings.extend(to.map(|to| format!("mirror {share} -> {to}")));
        }
        if let Some(mut headers) = fields.fields("headers") {
            for message in ["request", "response"] {
                settings.extend(
                    headers.fields(message).map_or_else(Vec::new, |mut fields| changed(&mut fields, message)),
                );
            }
        }
        if let Some(mut cors) = fields.fields("corsPolicy") {
            cors.place.note(format!("`cors` is for a whole service here: state it once, for `{}`", self.own));
            [
                "allowOrigins",
                "allowMethods",
                "allowHeaders",
                "exposeHeaders",
                "maxAge",
                "allowCredentials",
                "unmatchedPreflights",
            ]
            .iter()
            .for_each(|field| cors.ignore(field));
        }
        settings
    }
}

/// `percentage: { value: 5 }`.
fn share(fields: &mut Fields<'_>, field: &str) -> Option<String> {
    let mut share = fields.fields(field)?;
    let value = share.text("value")?;
    let written = value.parse().ok().and_then(percent);
    if written.is_none() {
        share.at("value").note(format!("`{value}` is no percentage"));
    }
    written
}

fn retried(retries: &mut Fields<'_>) -> Option<String> {
    let attempts = retries.count("attempts").filter(|attempts| *attempts > 0)?;
    let mut causes: Vec<&str> = Vec::new();
    match retries.text("retryOn") {
        None => {
            retries.place.note(
                "answers of gRPC (`unavailable`, `cancelled`) are not retried: there is no such cause here",
            );
            causes.extend(RETRIED);
        }
        Some(said) => {
            for cause in said.split(',').map(str::trim).filter(|cause| !cause.is_empty()) {
                match cause_of(cause) {
                    Some(known) => causes.push(known),
                    None => retries
                        .at("retryOn")
                        .note(format!("`{cause}` is not carried over: there is no such cause here")),
                }
            }
        }
    }
    causes.dedup();
    let each = retries.text("perTryTimeout").and_then(|time| milliseconds(&time));
    let each = each.map_or_else(String::new, |time| format!(" each {}", duration(time)));
    let backoff = retries.text("backoff").and_then(|time| milliseconds(&time));
    let backoff = backoff.map_or_else(String::new, |time| format!(" backoff {}", duration(time)));
    (!causes.is_empty()).then(|| format!("retry {attempts} on {}{each}{backoff}", causes.join(", ")))
}

/// The cause of a retry, by the name that Envoy has for it.
fn cause_of(cause: &str) -> Option<&'static str> {
    match cause {
        "5xx" => Some("5xx"),
        "gateway-error" => Some("gateway-error"),
        "reset" | "reset-before-request" => Some("reset"),
        "connect-failure" => Some("connect"),
        "refused-stream" => Some("refused"),
        _ => None,
    }
}

fn delayed(delay: &mut Fields<'_>) -> Option<String> {
    let share = share(delay, "percentage").unwrap_or_else(|| "100%".to_owned());
    let time = delay.text("fixedDelay").and_then(|time| milliseconds(&time))?;
    Some(format!("fault {share} delay {}", duration(time)))
}

fn aborted(abort: &mut Fields<'_>) -> Option<String> {
    let share = share(abort, "percentage").unwrap_or_else(|| "100%".to_owned());
    let status = abort.count("httpStatus")?;
    Some(format!("fault {share} abort {status}"))
}

/// Operations on headers.
fn changed(fields: &mut Fields<'_>, message: &str) -> Vec<String> {
    let mut operations = Vec::new();
    for verb in ["set", "add"] {
        for (header, item) in fields.fields(verb).map_or_else(Vec::new, |mut map| map.rest()) {
            let Some(value) = item.text() else { continue };
            if value.contains('%') {
                item.place
                    .note("it is not carried over: say what Envoy's `%...%` stands for as an expression");
                continue;
            }
            operations.push(format!("{verb} {message} header {} = {}", header_name(&header), string(&value)));
        }
    }
    let removed = fields.texts("remove");
    operations
        .extend(removed.iter().map(|header| format!("remove {message} header {}", header_name(header))));
    operations
}

/// A redirect keeps what is not said of the place; that can be said of one path alone.
fn redirected(redirect: &mut Fields<'_>, matching: &Matching) -> Option<String> {
    let (uri, host, scheme) = (redirect.text("uri"), redirect.text("authority"), redirect.text("scheme"));
    let port = redirect.count("port");
    let status = redirect.count("redirectCode").unwrap_or(301);
    let path = match (uri, matching.paths.as_slice()) {
        (Some(uri), _) => uri,
        (None, [path]) => pattern(path),
        (None, []) if matching.is_all() => "/**".to_owned(),
        (None, _) => {
            redirect
                .place
                .note("it is not carried over: write the place, with what the path's parts are called in it");
            return None;
        }
    };
    let text = if matching.is_all() && path == "/**" { " /**".to_owned() } else { matching.text() };
    let place = match (host, scheme.as_deref(), port) {
        (None, None, None) => path,
        (Some(host), scheme, port) => {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            format!("{}://{host}{port}{path}", scheme.unwrap_or("https"))
        }
        (None, ..) => {
            redirect.place.note("it is not carried over: a place with another scheme or port needs a host");
            return None;
        }
    };
    Some(format!("redirect{text} -> {} {status}", string(&place)))
}

/// A whole path is replaced, or the beginning of one where the match is for a beginning.
fn rewritten(rewrite: &mut Fields<'_>, matching: &Matching) -> Vec<String> {
    if let Some(item) = rewrite.take("authority") {
        item.place.note("it is not carried over: no statement changes the host");
    }
    let Some(uri) = rewrite.text("uri") else { return Vec::new() };
    let prefix = matching.conditions.iter().find_map(|condition| {
        condition.strip_prefix("request.path.startsWith(\"")?.strip_suffix("\")").map(str::to_owned)
    });
    match (prefix, matching.paths.is_empty()) {
        (None, _) => vec![format!("rewrite{} -> {}", matching.text(), pattern(&uri))],
        (Some(prefix), true) => {
            let (from, to) = (prefix.trim_end_matches('/'), uri.trim_end_matches('/'));
            if !prefix.ends_with('/') {
                rewrite.place.note(format!(
                    "the path `{from}` and what is below it are rewritten, not other paths that begin so"
                ));
            }
            let others = matching
                .conditions
                .iter()
                .filter(|condition| !condition.starts_with("request.path.startsWith("));
            let rest =
                Matching { conditions: others.cloned().collect(), paths: Vec::new(), ..matching.clone() };
            let methods =
                if rest.methods.is_empty() { String::new() } else { format!(" {}", rest.methods.join(", ")) };
            let tail = Matching { methods: Vec::new(), ..rest }.text();
            vec![format!("rewrite{methods} {from}/**{tail} -> {to}/**")]
        }
        (Some(_), false) => {
            rewrite
                .place
                .note("it is not carried over: the match asks for a path and for a beginning of one");
            Vec::new()
        }
    }
}
