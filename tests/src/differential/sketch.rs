//! Policies as the generator thinks of them: text with a structure that can be taken apart again.

use super::words::SCHEMA;

/// The words of the statements that say with `for` which requests they speak of.
const WITH_FOR: [&str; 9] =
    ["limit", "sample", "set", "add", "remove", "timeout", "retry", "fault", "mirror"];

/// Policies that concern one target, perhaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// The policies.
    pub policies: Vec<PolicySketch>,
}

/// One policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySketch {
    /// `auth`, `traffic` or `log`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its target as written.
    pub target: String,
    /// Its mode as written.
    pub mode: String,
    /// Its rules, its limits, its operations on headers, or what it says of logs.
    pub rules: Vec<RuleSketch>,
    /// What stands behind `otherwise`, if that is there.
    pub otherwise: Option<String>,
}

/// One rule, one limit, one operation on a header, or one statement about logs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSketch {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// `exempt`, `deny` or `allow`; of other statements all up to `for`.
    pub effect: String,
    /// Its methods.
    pub methods: Vec<String>,
    /// Its paths.
    pub paths: Vec<String>,
    /// Its peers as written.
    pub peers: Vec<String>,
    /// `when` or `unless`, and a condition.
    pub conditions: Vec<(String, ExprSketch)>,
    /// What stands behind `->`, if that is there.
    pub to: Option<String>,
    /// What stands behind `respond`, if that is there.
    pub respond: Option<String>,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// bool
    #[default]
    Bool,
    /// int
    Int,
    /// string
    String,
}

/// An expression: text with holes in which other expressions stand, each in parentheses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExprSketch {
    /// Its type.
    pub kind: Kind,
    /// The text around the holes: one piece more than there are holes.
    pub pieces: Vec<String>,
    /// What stands in the holes.
    pub holes: Vec<ExprSketch>,
}

impl Sketch {
    /// The source text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = SCHEMA.to_owned();
        for policy in &self.policies {
            policy.write(&mut text);
        }
        text
    }
}

impl PolicySketch {
    fn write(&self, text: &mut String) {
        text.push_str(&format!("{} {} on {} {{\n", self.kind, self.name, self.target));
        if !self.mode.is_empty() {
            text.push_str(&format!("  mode {}\n", self.mode));
        }
        for rule in &self.rules {
            text.push_str(&format!("  {}\n", rule.text()));
        }
        if let Some(otherwise) = &self.otherwise {
            text.push_str(&format!("  otherwise {otherwise}\n"));
        }
        text.push_str("}\n");
    }
}

impl RuleSketch {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(name) = &self.name {
            text.push_str(&format!("{name}: "));
        }
        text.push_str(&self.effect);
        let matches = [&self.methods, &self.paths, &self.peers].into_iter().any(|list| !list.is_empty());
        let has_for = WITH_FOR.iter().any(|word| self.effect.starts_with(word));
        if has_for && matches {
            text.push_str(" for");
        }
        for list in [&self.methods, &self.paths] {
            if !list.is_empty() {
                text.push_str(&format!(" {}", list.join(", ")));
            }
        }
        if !self.peers.is_empty() {
            text.push_str(&format!(" from {}", self.peers.join(", ")));
        }
        for (word, condition) in &self.conditions {
            text.push_str(&format!(" {word} {}", condition.text()));
        }
        if let Some(to) = &self.to {
            text.push_str(&format!(" -> {to}"));
        }
        if let Some(respond) = &self.respond {
            text.push_str(&format!(" respond {respond}"));
        }
        text
    }
}

impl ExprSketch {
    /// An expression without holes.
    #[must_use]
    pub fn leaf(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, pieces: vec![text.into()], holes: Vec::new() }
    }

    /// A template in which each `{}` is a hole.
    #[must_use]
    pub fn of(kind: Kind, template: &str, holes: Vec<ExprSketch>) -> Self {
        Self { kind, pieces: template.split("{}").map(str::to_owned).collect(), holes }
    }

    /// The expression as written.
    #[must_use]
    pub fn text(&self) -> String {
        let mut pieces = self.pieces.iter();
        let mut text = pieces.next().cloned().unwrap_or_default();
        for (hole, piece) in self.holes.iter().zip(pieces) {
            text.push_str(&format!("({}){piece}", hole.text()));
        }
        text
    }
}

/// A string literal.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
