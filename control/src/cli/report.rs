//! Diagnostics at the rim: for people, for logs, and as JSON for programs.
//!
//! The JSON is a stable format, documented in `docs/command-line.md`: fields are added, never
//! renamed. Lines and columns count from 1, columns in characters, offsets in bytes.

use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::{Diagnostic, Severity, SourceSet, Span};
use serde::Serialize;
use std::fmt;

/// How diagnostics are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// With the lines of source that they are about
    #[default]
    Human,
    /// One line each: `file:line:column: error[E101]: message`
    Plain,
    /// One JSON document
    Json,
}

/// A diagnostic in JSON.
#[derive(Debug, Serialize)]
pub struct JsonDiagnostic {
    code: &'static str,
    severity: &'static str,
    message: String,
    #[serde(flatten)]
    place: JsonPlace,
    /// Further places.
    related: Vec<JsonPlace>,
    help: Option<String>,
}

/// A place in a file, and what is said about it.
#[derive(Debug, Serialize)]
struct JsonPlace {
    file: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    /// Byte offsets into the file, half open.
    span: [u32; 2],
    label: Option<String>,
}

/// How many diagnostics there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Diagnostics that refuse a policy.
    pub errors: usize,
    /// The others.
    pub warnings: usize,
}

impl Counts {
    /// Counts diagnostics.
    #[must_use]
    pub fn of(diagnostics: &[Diagnostic]) -> Self {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        Self { errors, warnings: diagnostics.len() - errors }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = count(self.errors, "error", "errors");
        let warnings = count(self.warnings, "warning", "warnings");
        write!(f, "{errors}, {warnings}")
    }
}

/// `1 file`, `2 files`.
#[must_use]
pub fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Diagnostics as text; [`Format::Json`] is [`to_json`].
#[must_use]
pub fn render(sources: &SourceSet, diagnostics: &[Diagnostic], format: Format, colours: bool) -> String {
    match format {
        Format::Human => render::human(diagnostics, sources, colours),
        Format::Plain => render::plain(diagnostics, sources),
        Format::Json => serde_json::json!(to_json(sources, diagnostics)).to_string(),
    }
}

/// Diagnostics as JSON values, in the same order.
#[must_use]
pub fn to_json(sources: &SourceSet, diagnostics: &[Diagnostic]) -> Vec<JsonDiagnostic> {
    diagnostics
        .iter()
        .map(|diagnostic| JsonDiagnostic {
            code: diagnostic.code.0,
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: diagnostic.message.clone(),
            place: place(sources, diagnostic.primary.span, &diagnostic.primary.text),
            related: diagnostic
                .secondary
                .iter()
                .map(|label| place(sources, label.span, &label.text))
                .collect(),
            help: diagnostic.help.clone(),
        })
        .collect()
}

fn place(sources: &SourceSet, span: Span, label: &str) -> JsonPlace {
    let file = sources.get(span.file);
    let start = file.map(|file| file.line_column(span.start));
    let end = file.map(|file| file.line_column(span.end));
    JsonPlace {
        file: file.map(|file| file.name.clone()).unwrap_or_default(),
        line: start.map_or(0, |at| at.line),
        column: start.map_or(0, |at| at.column),
        end_line: end.map_or(0, |at| at.line),
        end_column: end.map_or(0, |at| at.column),
        span: [span.start, span.end],
        label: (!label.is_empty()).then(|| label.to_owned()),
    }
}
