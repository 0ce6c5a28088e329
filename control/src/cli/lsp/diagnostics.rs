//! What is wrong, as editors show it.

use super::files::Checked;
use super::places::{Columns, Lines};
use chancery_policy_lang::{Diagnostic, FileId, Label, Severity};
use lsp_types::{
    Diagnostic as Shown, DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString,
    PublishDiagnosticsParams, Range, Uri,
};
use std::collections::BTreeMap;

/// Who says it, in the lists of editors.
const SOURCE: &str = "chancery";

/// What is said of each file of a group, of those too of which nothing is to be said.
pub(super) fn of_files(checked: &Checked, columns: Columns) -> Vec<PublishDiagnosticsParams> {
    let sources = &checked.files.sources;
    let lines: BTreeMap<FileId, Lines> =
        sources.iter().map(|(id, file)| (id, Lines::of(file, columns))).collect();
    let view = View { checked, lines };
    let mut by_file: BTreeMap<FileId, Vec<Shown>> = sources.iter().map(|(id, _)| (id, Vec::new())).collect();
    for found in &checked.files.analysis.diagnostics {
        by_file.entry(found.primary.span.file).or_default().extend(view.shown(found));
    }
    if let Some(why) = &checked.unreadable {
        // Whoever is told of no mistake shall know that not all was looked at.
        let shown = Shown {
            range: Range::default(),
            severity: Some(DiagnosticSeverity::WARNING),
            source: Some(SOURCE.to_owned()),
            message: format!("other files of the folder are not checked: {why}"),
            ..Shown::default()
        };
        by_file.values_mut().for_each(|found| found.push(shown.clone()));
    }
    let said = by_file.into_iter().filter_map(|(file, diagnostics)| {
        let uri = view.uri(file)?;
        Some(PublishDiagnosticsParams { uri, diagnostics, version: None })
    });
    said.collect()
}

/// Files with their lines.
struct View<'a> {
    checked: &'a Checked,
    lines: BTreeMap<FileId, Lines>,
}

impl View<'_> {
    fn uri(&self, file: FileId) -> Option<Uri> {
        self.checked.name(file)?.uri()
    }

    fn shown(&self, found: &Diagnostic) -> Option<Shown> {
        let range = self.lines.get(&found.primary.span.file)?.range(found.primary.span);
        let severity = match found.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        };
        let related: Vec<_> = found.secondary.iter().filter_map(|label| self.related(label)).collect();
        Some(Shown {
            range,
            severity: Some(severity),
            code: Some(NumberOrString::String(found.code.0.to_owned())),
            source: Some(SOURCE.to_owned()),
            message: message(found),
            related_information: (!related.is_empty()).then_some(related),
            ..Shown::default()
        })
    }

    fn related(&self, label: &Label) -> Option<DiagnosticRelatedInformation> {
        let range = self.lines.get(&label.span.file)?.range(label.span);
        let location = Location { uri: self.uri(label.span.file)?, range };
        Some(DiagnosticRelatedInformation { location, message: label.text.clone() })
    }
}

/// All that is said of it, the remedy last.
fn message(found: &Diagnostic) -> String {
    let beside = Some(found.primary.text.as_str()).filter(|text| !text.is_empty());
    let help = found.help.as_ref().map(|help| format!("help: {help}"));
    let parts = std::iter::once(found.message.clone()).chain(beside.map(str::to_owned)).chain(help);
    parts.collect::<Vec<_>>().join("\n")
}
