//! Files of other languages: recognised by how they begin, and answered with one error.
//!
//! Whoever comes from another mesh or policy engine gives the compiler what they have. Read as Writ such a
//! file is nothing but syntax errors; told what it is, its owner learns how the same is said here. Only what
//! can begin no file of Writ is taken for foreign, so that a slip in a policy stays a slip in a policy.

use super::errors;
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};

/// A kind of file, how it is called in a message, and how its matter is said in Writ.
pub(super) struct Foreign {
    /// Such as `a Kubernetes manifest`.
    pub(super) name: &'static str,
    /// A whole policy.
    pub(super) example: &'static str,
    /// What else somebody who knows the other language wants to know; may be empty.
    pub(super) note: &'static str,
}

const CALLS: &str = "auth orders on service shop/orders { allow GET /api/** from service shop/frontend }";

const REGO: Foreign = Foreign {
    name: "Rego",
    example: CALLS,
    note: "what no rule allows is denied, as with `default allow := false`",
};
const CEDAR: Foreign = Foreign {
    name: "Cedar",
    example: CALLS,
    note: "`permit` is `allow`, `forbid` is `deny`, and both take `when` and `unless`",
};
const YAML: Foreign = Foreign { name: "YAML", example: CALLS, note: "" };
const JSON: Foreign = Foreign { name: "JSON", example: CALLS, note: "" };
const TOML: Foreign = Foreign { name: "TOML", example: CALLS, note: "" };
const TEMPLATE: Foreign = Foreign {
    name: "a template of a manifest",
    example: CALLS,
    note: "what differs from one mesh to another is a label of the workload, `target.labels[\"stage\"]`",
};
const MANIFEST: Foreign = Foreign { name: "a Kubernetes manifest", example: CALLS, note: "" };

/// Kinds of manifests that say what a policy of Writ says, by their names.
const KINDS: &[(&str, Foreign)] = &[
    (
        "AuthorizationPolicy",
        Foreign {
            name: "a manifest of another mesh",
            example: CALLS,
            note: "`action: DENY` is `deny`, and a policy without rules is `otherwise deny`; `chancery import istio FILE` writes such files in Writ",
        },
    ),
    (
        "MeshTrafficPermission",
        Foreign {
            name: "a manifest of another mesh",
            example: "auth orders on service shop/orders { allow from service shop/frontend }",
            note: "`Deny` is `deny`, and `AllowWithShadowDeny` is a `deny` in a policy with `mode shadow`; `chancery import kuma FILE` writes such files in Writ",
        },
    ),
    (
        "PeerAuthentication",
        Foreign {
            name: "a manifest of another mesh",
            example: "auth mtls on mesh { deny unless source.mtls otherwise allow }",
            note: "sidecars speak mutual TLS with each other in any case",
        },
    ),
    (
        "NetworkPolicy",
        Foreign {
            name: "a Kubernetes manifest",
            example: "auth orders on service shop/orders { allow from namespace shop, ip 10.0.0.0/8 }",
            note: "",
        },
    ),
];

/// What gives a foreign file away.
struct Sign {
    of: &'static Foreign,
    /// The words that say what it is, if it says so itself, such as the kind of a manifest.
    kind: Option<&'static str>,
    start: usize,
    end: usize,
}

/// The one error about a file of another language.
pub(super) fn recognise(file: FileId, text: &str) -> Option<Diagnostic> {
    let sign = sign(text)?;
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let span = Span { file, start: offset(sign.start), end: offset(sign.end) };
    Some(errors::foreign(span, sign.of, sign.kind))
}

fn sign(text: &str) -> Option<Sign> {
    let (start, line) = first_line(text)?;
    let whole_line = |of| Some(Sign { of, kind: None, start, end: start + line.len() });
    if line.starts_with("{{") {
        return manifest(text, false).or_else(|| whole_line(&TEMPLATE));
    }
    if is_toml(line) {
        return whole_line(&TOML);
    }
    if is_json(text.get(start..)?) {
        return manifest(text, true).or_else(|| whole_line(&JSON));
    }
    if is_rego(line) {
        return whole_line(&REGO);
    }
    if is_cedar(line) {
        return whole_line(&CEDAR);
    }
    if is_yaml(line) {
        return manifest(text, false).or_else(|| whole_line(&YAML));
    }
    None
}

/// The first line that has something else than a comment of any of these languages, and where it begins;
/// without the white space around it.
fn first_line(text: &str) -> Option<(usize, &str)> {
    lines(text).find(|(_, line)| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//"))
}

/// All lines and where they begin, without the white space around them.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    text.split_inclusive('\n').map(move |line| {
        let begin = next;
        next += line.len();
        let is_space = |character: char| character.is_whitespace() || character == '\u{feff}';
        let inner = line.trim_start_matches(is_space);
        (begin + line.len() - inner.len(), inner.trim_end())
    })
}

/// `{` or `[` and what can follow in JSON.
fn is_json(text: &str) -> bool {
    let mut characters = text.chars().filter(|character| !character.is_whitespace());
    match characters.next() {
        Some('{') => matches!(characters.next(), Some('"' | '}')),
        Some('[') => {
            matches!(characters.next(), Some('{' | '"' | '[' | ']' | '-' | '0'..='9' | 't' | 'f' | 'n'))
        }
        _ => false,
    }
}

/// `[section]`, `[[list]]`, `key = value`.
fn is_toml(line: &str) -> bool {
    let header = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let is_header = header.is_some_and(|(name, behind)| {
        let constants = ["true", "false", "null"];
        let name = name.trim_start_matches('[').trim();
        is_word(name) && !constants.contains(&name) && behind.trim_start_matches(']').trim().is_empty()
    });
    let entry = line.split_once('=').filter(|(_, value)| !value.starts_with('='));
    is_header || entry.is_some_and(|(key, value)| is_word(key.trim_end()) && !is_rego_value(value))
}

/// What stands behind `=` in Rego: `allow = true { … }`.
fn is_rego_value(value: &str) -> bool {
    value.trim_end().ends_with('{') || value.contains("input.")
}

/// `package a.b`, `import rego.v1`, `default allow := false`, and a rule: `allow if {`, `allow {`, `deny[why] {`,
/// `allow := true`.
fn is_rego(line: &str) -> bool {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("package"), Some(name), None) => is_word(name),
        (Some("import"), Some(name), _) => {
            ["rego.", "future.", "data.", "input."].iter().any(|root| name.starts_with(root))
        }
        (Some("default"), Some(name), Some(":=" | "=")) => is_word(name),
        (Some(head), Some("if" | "contains" | ":="), Some(_)) => is_word(head),
        // A rule of Writ has no block.
        (Some("allow" | "deny" | "violation"), Some("{"), _) => true,
        (Some(head), Some("{"), None) => {
            head.ends_with(']') && head.split_once('[').is_some_and(|(name, _)| is_word(name))
        }
        (Some(head), Some("="), Some(_)) => is_word(head) && is_rego_value(line),
        _ => false,
    }
}

/// `permit (`, `forbid(`, and an annotation before one of them.
fn is_cedar(line: &str) -> bool {
    let effect = line.strip_prefix("permit").or_else(|| line.strip_prefix("forbid"));
    let is_annotation = || {
        let name = line.strip_prefix('@').and_then(|rest| rest.split_once('('));
        name.is_some_and(|(name, value)| is_word(name) && value.starts_with('"'))
    };
    effect.is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('(')) || is_annotation()
}

/// A document's begin, an entry of a list, or a key; but a rule outside of a policy is a slip in Writ.
fn is_yaml(line: &str) -> bool {
    const RULES: [&str; 5] = ["allow", "deny", "exempt", "otherwise", "plaintext"];
    if line == "---" || line.starts_with("--- ") || line.starts_with("%YAML") || line.starts_with("- ") {
        return true;
    }
    let Some((key, value)) = line.split_once(':') else { return false };
    let is_key = is_word(key.trim_end().trim_matches(['"', '\'']));
    let is_value = value.is_empty() || value.starts_with([' ', '\t']);
    is_key && is_value && !value.split_whitespace().next().is_some_and(|word| RULES.contains(&word))
}

/// What a manifest's `kind` says, or Kuma's `type`: of several documents in a file, that of the first whose
/// matter is a policy's.
fn manifest(text: &str, is_json: bool) -> Option<Sign> {
    let has_version = if is_json { text.contains("\"apiVersion\"") } else { text.contains("apiVersion:") };
    let mut first = None;
    for (mut start, line) in lines(text) {
        for part in line.split_inclusive(',') {
            let sign = |of, kind| Sign { of, kind, start, end: start + part.trim_end().len() };
            let kind = kind_of(part, is_json);
            if let Some((known, of)) = KINDS.iter().find(|(known, _)| Some(*known) == kind) {
                return Some(sign(of, Some(known)));
            }
            if kind.is_some() {
                first.get_or_insert_with(|| sign(&MANIFEST, None));
            }
            start += part.len();
        }
    }
    first.filter(|_| has_version)
}

/// The value behind `kind:` or `type:`.
fn kind_of(part: &str, is_json: bool) -> Option<&str> {
    let part = part.trim_start_matches(['{', '[', ' ', '\t']);
    let (key, value) = part.split_once(':')?;
    let is_quoted = key.trim_end().starts_with('"');
    let name = key.trim().trim_matches(['"', '\'']);
    let is_kind = matches!(name, "kind" | "type") && is_quoted == is_json;
    is_kind.then(|| value.trim_matches([' ', '\t', ',', '"', '\'', '}']))
}

/// Letters, digits and what joins them.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceSet, analyse, check::CheckOptions};

    fn named(text: &str) -> Option<String> {
        sign(text).map(|sign| format!("{} {}", sign.of.name, sign.kind.unwrap_or("-")))
    }

    #[test]
    fn files_of_other_languages_are_recognised() {
        for (text, name) in [
            ("# a\n\npackage shop.authz\n", "Rego -"),
            ("import rego.v1\n", "Rego -"),
            ("default allow := false", "Rego -"),
            ("// a\npermit (\n  principal,", "Cedar -"),
            ("forbid(principal, action, resource);", "Cedar -"),
            ("@id(\"a\")\npermit (principal", "Cedar -"),
            ("allow if {\n  input.method == \"GET\"\n}", "Rego -"),
            ("allow {\n  input.method == \"GET\"\n}", "Rego -"),
            ("deny[msg] {\n", "Rego -"),
            ("deny contains msg if {\n", "Rego -"),
            ("allow := true\n", "Rego -"),
            ("allow = true {\n", "Rego -"),
            ("# a\n[rules]\nname = \"a\"\n", "TOML -"),
            ("[[rules]]\nname = \"a\"\n", "TOML -"),
            ("name = \"orders\"\n", "TOML -"),
            ("[1, 2]", "JSON -"),
            ("[\n  true\n]", "JSON -"),
            ("[null]", "JSON -"),
            ("{{- if .Values.enabled }}\nreplicas: 1\n{{- end }}", "a template of a manifest -"),
            (
                "{{- if .Values.enabled }}\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n",
                "a manifest of another mesh AuthorizationPolicy",
            ),
            ("{ \"rules\": [] }", "JSON -"),
            ("[{}]", "JSON -"),
            ("\u{feff}---\nrules:\n", "YAML -"),
            ("%YAML 1.2\n---\n", "YAML -"),
            ("rules:\n- a\n", "YAML -"),
            ("- a\n", "YAML -"),
            ("log: info\n", "YAML -"),
            ("apiVersion: v1\nkind: Service\n", "a Kubernetes manifest -"),
            ("{\"apiVersion\": \"v1\", \"kind\": \"Service\"}", "a Kubernetes manifest -"),
            (
                "type: MeshTrafficPermission\nmesh: default\n",
                "a manifest of another mesh MeshTrafficPermission",
            ),
            (
                "apiVersion: v1\nkind: Namespace\n---\napiVersion: security.istio.io/v1\r\nkind: AuthorizationPolicy\r\n",
                "a manifest of another mesh AuthorizationPolicy",
            ),
            (
                "{\"apiVersion\": \"a\",\"kind\":\"AuthorizationPolicy\"}",
                "a manifest of another mesh AuthorizationPolicy",
            ),
        ] {
            assert_eq!(named(text).as_deref(), Some(name), "{text}");
        }
    }

    #[test]
    fn what_may_be_meant_as_writ_is_not_taken_for_another_language() {
        for text in [
            "",
            "# only a comment",
            "auth orders on mesh { allow }",
            "let a = 1",
            "schema { header x-a: int }",
            "test \"kind: AuthorizationPolicy\" for a { }",
            "read: allow GET /api/**",
            "allow GET",
            "{ allow }",
            "}",
            "policy orders on mesh {",
            "permitted: deny",
            "default deny",
            "let a = 1",
            "orders on mesh {",
            "allow GET when a == b",
            "package",
            "// comments begin otherwise\nauth a on mesh { allow }",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn the_examples_are_policies() {
        let all = [&REGO, &CEDAR, &YAML, &JSON, &TOML, &TEMPLATE, &MANIFEST]
            .into_iter()
            .chain(KINDS.iter().map(|(_, of)| of));
        for foreign in all {
            let mut sources = SourceSet::new();
            sources.add("example", foreign.example);
            let analysis = analyse(&sources, CheckOptions::default());
            assert_eq!(analysis.diagnostics, [], "{}", foreign.example);
            assert_eq!(analysis.policies.len(), 1);
        }
    }
}
