//! What admission tells, as it is sent.

use super::{
    AppliedPolicy, ApplyOutcome, DiagnosticBody, DocumentDiff, FailedTestBody, FileBody, LeftOutBody,
};
use crate::mesh::model::Document;
use crate::policies::admission::{self, FailedTest, Finding, LeftBehind};
use crate::policies::differences::DocumentDifference;
use crate::policies::documents::LeftOut;

impl From<FileBody> for Document {
    fn from(FileBody { name, text }: FileBody) -> Self {
        Self { name, text: text.into() }
    }
}

impl From<admission::AppliedPolicy> for AppliedPolicy {
    fn from(admission::AppliedPolicy { name, outcome }: admission::AppliedPolicy) -> Self {
        let outcome = match outcome {
            admission::ApplyOutcome::Created => ApplyOutcome::Created,
            admission::ApplyOutcome::Changed => ApplyOutcome::Changed,
            admission::ApplyOutcome::Unchanged => ApplyOutcome::Unchanged,
            admission::ApplyOutcome::Deleted => ApplyOutcome::Deleted,
        };
        Self { name, outcome }
    }
}

impl From<DocumentDifference> for DocumentDiff {
    fn from(DocumentDifference { file, policies, unified }: DocumentDifference) -> Self {
        Self { file, policies, unified }
    }
}

impl From<Finding> for DiagnosticBody {
    fn from(finding: Finding) -> Self {
        let Finding { code, is_error, message, file, line, column, help, rendered } = finding;
        let severity = if is_error { "error" } else { "warning" };
        Self {
            code: code.to_owned(),
            severity: severity.to_owned(),
            message,
            file,
            line,
            column,
            help,
            rendered,
        }
    }
}

impl From<FailedTest> for FailedTestBody {
    fn from(FailedTest { name, file, line, case, failures }: FailedTest) -> Self {
        Self { name, file, line, case, failures }
    }
}

impl From<LeftBehind> for LeftOutBody {
    fn from(LeftBehind { file, left }: LeftBehind) -> Self {
        let LeftOut { kind, name, line, reason } = left;
        Self { kind: kind.as_str().to_owned(), name, file, line, reason }
    }
}
