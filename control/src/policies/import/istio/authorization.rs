//! `AuthorizationPolicy`.

use super::super::fields::{Fields, Item, Notes};
use super::super::manifest::Manifest;
use super::super::matching::{Caller, Matching, any, not, starred};
use super::super::text::{Names, Policy, name, string};
use super::peers::{Source, namespace, principal};
use super::{ROOT_NAMESPACE, namespace_of};

/// What a policy does with requests that match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
}

/// A request that no `DENY` matches passes where no `ALLOW` speaks of it; so says the widest scope, unless it has an `ALLOW`
/// of its own.
pub(super) fn default_of(manifests: &[Manifest], names: &mut Names) -> Vec<Policy> {
    let of_kind = |manifest: &&Manifest| manifest.kind == "AuthorizationPolicy";
    let has_any = manifests.iter().any(|manifest| of_kind(&manifest));
    let of_mesh =
        manifests.iter().filter(of_kind).filter(|manifest| namespace_of(manifest) == ROOT_NAMESPACE);
    // Notes are taken where the policies are translated.
    let silent = Notes::default();
    let is_allowance = |manifest: &Manifest| {
        manifest.spec(&silent).is_some_and(|mut spec| {
            spec.take("selector").is_none()
                && spec.take("targetRefs").is_none()
                && matches!(spec.text("action").as_deref(), None | Some("ALLOW"))
        })
    };
    if !has_any || of_mesh.into_iter().any(is_allowance) {
        return Vec::new();
    }
    vec![Policy {
        kind: "auth",
        name: names.give("istio-default"),
        target: "mesh".to_owned(),
        comments: vec!["Where no ALLOW speaks of a workload, Istio lets everything pass that no DENY matches. Remove this, and \
            what no rule allows is denied."
            .to_owned()],
        statements: vec!["otherwise allow".to_owned()],
    }]
}

pub(super) fn policies(manifest: &Manifest, notes: &Notes, names: &mut Names) -> Vec<Policy> {
    let Some(mut spec) = manifest.spec(notes) else { return Vec::new() };
    let targets = targets(manifest, &mut spec);
    let action = match spec.text("action").as_deref() {
        None | Some("ALLOW") => Action::Allow,
        Some("DENY") => Action::Deny,
        Some(other) => {
            let why = if other == "AUDIT" {
                "a `log` policy says what is logged"
            } else {
                "no other service decides here"
            };
            spec.at("action").note(format!("the policy is not carried over: {why}"));
            spec.ignore("rules");
            spec.ignore("provider");
            return Vec::new();
        }
    };
    let rules = spec.list("rules");
    let mut statements: Vec<String> = rules.iter().flat_map(|rule| rule_statements(rule, action)).collect();
    if action == Action::Allow {
        statements.push("otherwise deny".to_owned());
    } else if statements.is_empty() {
        statements.push("# It has no rule: no request matches it.".to_owned());
    }
    let Some(target) = targets else { return Vec::new() };
    let comments = vec![manifest.origin()];
    vec![Policy { kind: "auth", name: names.give(&manifest.name), target, comments, statements }]
}

/// Where it holds; `None`, noted, if that cannot be said.
fn targets(manifest: &Manifest, spec: &mut Fields<'_>) -> Option<String> {
    let namespace = namespace_of(manifest);
    let labels = spec.fields("selector").and_then(|mut selector| selector.fields("matchLabels"));
    let references =
        spec.take("targetRefs").map(|item| item.list()).or_else(|| Some(vec![spec.take("targetRef")?]));
    if let Some(references) = references {
        let targets: Vec<String> =
            references.iter().filter_map(|item| target_reference(item, namespace)).collect();
        return (!targets.is_empty()).then(|| targets.join(", "));
    }
    match (labels, namespace == ROOT_NAMESPACE) {
        (None, true) => Some("mesh".to_owned()),
        (None, false) => Some(format!("namespace {}", name(namespace))),
        (Some(labels), true) => {
            labels.place.note(
                "the policy is not carried over: labels are asked for in one namespace, and it holds in all",
            );
            None
        }
        (Some(mut labels), false) => workload(&mut labels, namespace),
    }
}

fn workload(labels: &mut Fields<'_>, namespace: &str) -> Option<String> {
    let mut written = Vec::new();
    for (label, value) in labels.rest() {
        let is_name = name(&label) == label;
        match value.text().filter(|_| is_name) {
            Some(value) => written.push(format!("{label}: {}", string(&value))),
            None => {
                value.place.note(
                    "the policy is not carried over: a label's name has letters, digits, `-` and `_` here",
                );
                return None;
            }
        }
    }
    Some(match written.as_slice() {
        [] => format!("namespace {}", name(namespace)),
        labels => format!("workload {} {{ {} }}", name(namespace), labels.join(", ")),
    })
}

fn target_reference(item: &Item<'_>, namespace: &str) -> Option<String> {
    let mut reference = item.fields()?;
    reference.ignore("group");
    let (kind, called) = (reference.text("kind")?, reference.text("name")?);
    if kind == "Service" {
        return Some(format!("service {}/{}", name(namespace), name(&called)));
    }
    reference.at("kind").note(format!("it is not carried over: there is no `{kind}` here"));
    None
}

/// What one rule says: each of its sources with each of its operations, and all of its `when`.
fn rule_statements(item: &Item<'_>, action: Action) -> Vec<String> {
    let Some(mut rule) = item.fields() else { return Vec::new() };
    let sources: Vec<Source> = part(&mut rule, "from", "source", Source::of);
    let operations: Vec<Operation> = part(&mut rule, "to", "operation", Operation::of);
    let mut when = Operation::default();
    rule.list("when").iter().for_each(|condition| when.add_condition(condition));
    let mut statements = Vec::new();
    for source in together(sources) {
        for operation in &operations {
            let is_partial = source.is_partial || operation.is_partial || when.is_partial;
            let conditions = [&source.conditions, &operation.conditions, &when.conditions];
            let matching = Matching {
                methods: operation.methods.clone(),
                paths: operation.paths.clone(),
                callers: source.callers.clone(),
                conditions: conditions.into_iter().flatten().cloned().collect(),
            };
            statements.extend(statement(&matching, action, is_partial, item));
        }
    }
    statements
}

fn statement(matching: &Matching, action: Action, is_partial: bool, item: &Item<'_>) -> Vec<String> {
    let text = matching.text();
    match (action, is_partial) {
        (Action::Allow, false) => vec![format!("allow{text}")],
        (Action::Deny, false) => vec![format!("deny{text}")],
        (Action::Allow, true) => {
            item.place.note("nothing is allowed by it, for a part of it cannot be said");
            vec![format!("# Left out, for a part of it cannot be said: allow{text}")]
        }
        (Action::Deny, true) => {
            item.place.note("it denies more than it did, for a part of it cannot be said");
            vec![
                "# Denies more than it did, for a part of it cannot be said:".to_owned(),
                format!("deny{text}"),
            ]
        }
    }
}

/// The parts of a list in a rule, one that asks nothing if there is no list.
fn part<T: Default>(rule: &mut Fields<'_>, list: &str, name: &str, read: fn(&mut Fields<'_>) -> T) -> Vec<T> {
    let items = rule.list(list);
    let parts: Vec<T> = items
        .iter()
        .filter_map(Item::fields)
        .map(|mut fields| fields.fields(name).map(|mut fields| read(&mut fields)).unwrap_or_default())
        .collect();
    if parts.is_empty() { vec![T::default()] } else { parts }
}

/// Sources that ask for callers alone are alternatives of one.
fn together(sources: Vec<Source>) -> Vec<Source> {
    let (plain, others): (Vec<Source>, Vec<Source>) = sources.into_iter().partition(Source::is_plain);
    let callers: Vec<Caller> = plain.into_iter().flat_map(|source| source.callers).collect();
    let plain = (!callers.is_empty()).then(|| Source { callers, ..Source::default() });
    plain.into_iter().chain(others).collect()
}

/// What one `operation` asks, or all of `when`.
#[derive(Clone, Debug, Default)]
struct Operation {
    methods: Vec<String>,
    paths: Vec<String>,
    conditions: Vec<String>,
    /// Whether something of it cannot be said.
    is_partial: bool,
}

impl Operation {
    fn of(fields: &mut Fields<'_>) -> Self {
        let mut operation = Self::default();
        let methods = fields.texts("methods");
        let are_whole =
            methods.iter().all(|method| !method.contains('*') && *method == method.to_ascii_uppercase());
        if are_whole {
            operation.methods = methods;
        } else {
            operation.conditions.extend(one_of("request.method", &methods));
        }
        let paths = fields.texts("paths");
        if paths.iter().all(|path| path.starts_with('/') && !path.contains(['*', '{'])) {
            operation.paths = paths;
        } else {
            operation.ask_paths(&paths, fields, false);
        }
        let hosts = fields.texts("hosts");
        operation.conditions.extend(any(&hosts.iter().map(|host| of_host(host)).collect::<Vec<_>>()));
        let methods = fields.texts("notMethods");
        operation.conditions.extend(one_of("request.method", &methods).map(|condition| not(&condition)));
        let paths = fields.texts("notPaths");
        operation.ask_paths(&paths, fields, true);
        let hosts = fields.texts("notHosts");
        let hosts = any(&hosts.iter().map(|host| of_host(host)).collect::<Vec<_>>());
        operation.conditions.extend(hosts.map(|condition| not(&condition)));
        for field in ["ports", "notPorts"] {
            if let Some(item) = fields.take(field) {
                item.place.note("it is not carried over: a service has one port here");
                operation.is_partial = true;
            }
        }
        operation
    }

    fn ask_paths(&mut self, paths: &[String], fields: &Fields<'_>, is_negated: bool) {
        if let Some(path) = paths.iter().find(|path| path.contains('{')) {
            fields.place.note(format!(
                "the template `{path}` is not carried over: write it as a path with `*` or `{{name}}`"
            ));
            self.is_partial = true;
            return;
        }
        let condition = one_of("request.path", paths);
        self.conditions
            .extend(condition.map(|condition| if is_negated { not(&condition) } else { condition }));
    }

    /// One entry of `when`.
    fn add_condition(&mut self, item: &Item<'_>) {
        let Some(mut fields) = item.fields() else { return };
        let key = fields.text("key").unwrap_or_default();
        let (values, excluded) = (fields.texts("values"), fields.texts("notValues"));
        let Some(ask) = asked(&key) else {
            fields.at("key").note(format!("`{key}` is not carried over: there is no such attribute here"));
            self.is_partial = true;
            return;
        };
        let conditions = |values: &[String]| any(&values.iter().map(|value| ask(value)).collect::<Vec<_>>());
        self.conditions.extend(conditions(&values));
        self.conditions.extend(conditions(&excluded).map(|condition| not(&condition)));
    }
}

/// A condition made of a value.
type Asked = Box<dyn Fn(&str) -> String>;

/// How a value of an attribute is asked for; `None` for an attribute that there is not.
fn asked(key: &str) -> Option<Asked> {
    let either = |read: fn(&str) -> Result<Caller, String>| -> Option<Asked> {
        Some(Box::new(move |value: &str| {
            read(value).map_or_else(|condition| condition, |caller| caller.condition())
        }))
    };
    match key {
        "source.ip" => either(|value| Ok(Caller::Address(value.to_owned()))),
        "source.namespace" => either(namespace),
        "source.principal" => either(principal),
        _ => {
            let header = key.strip_prefix("request.headers[")?.strip_suffix(']')?;
            let attribute = format!("headers[{}]", string(&header.to_ascii_lowercase()));
            Some(Box::new(move |value: &str| starred(&attribute, value)))
        }
    }
}

fn one_of(attribute: &str, texts: &[String]) -> Option<String> {
    any(&texts.iter().map(|text| starred(attribute, text)).collect::<Vec<_>>())
}

/// A host, in whatever case and perhaps with a port.
fn of_host(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.split_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => {
            format!("{} && request.port == {port}", starred("request.host", host))
        }
        _ => starred("request.host", &lower),
    }
}
