//! What lines show that a sidecar writes by itself: nothing that a policy redacts, and the revision in force.

use super::same;
use anyhow::{Result, ensure};
use chancery_policy_lang::checked::Redact;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::log::{HIDEABLE, MASK};
use serde_json::Value;
use std::collections::BTreeMap;

/// So much of a path is shown.
const PATH_BYTES_MAX: usize = 4_096;

/// What such lines show of requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// The fields that are not shown as they are.
    pub(super) hidden: BTreeMap<&'static str, Redact>,
    /// Whether a policy concerns the requests.
    pub(super) is_concerned: bool,
    /// The newest revision.
    pub(super) revision: u64,
}

impl Shown {
    /// By all that is in force for these, of several redactions by the one that shows the least.
    pub(super) fn of<'a>(programs: impl IntoIterator<Item = &'a LinkedProgram>) -> Self {
        let mut shown = Self::default();
        for program in programs {
            shown.is_concerned = true;
            let Some(log) = &program.log else { continue };
            for (name, attribute) in HIDEABLE {
                let redacts = log.redaction(&attribute).into_iter().chain(shown.hidden.get(name).copied());
                if let Some(most) = redacts.max() {
                    shown.hidden.insert(name, most);
                }
            }
        }
        shown
    }

    /// What a line shows of a field.
    pub(super) fn of_field(&self, name: &str, value: &[u8]) -> Value {
        match self.hidden.get(name) {
            None => Value::from(String::from_utf8_lossy(value).into_owned()),
            // Nobody but a module can hash.
            Some(Redact::Hash | Redact::Mask) => Value::from(MASK),
            Some(Redact::Drop) => Value::Null,
        }
    }

    /// What is wrong with such a field of a line.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self, line: &Value, name: &str, value: &[u8]) -> Result<()> {
        let got = line.get(name).cloned().unwrap_or_default();
        let expected = self.of_field(name, value);
        // What is empty is left out.
        let expected = if expected == "" { Value::Null } else { expected };
        same(&format!("the line's {name}"), &got, &expected)
    }

    /// What is wrong with the revision in a line. Where nothing decides, a policy may concern it that does nothing.
    ///
    /// # Errors
    /// That.
    pub(super) fn check_revision(&self, line: &Value) -> Result<()> {
        let revision = line.get("revision").and_then(Value::as_str).unwrap_or_default();
        let is_right = revision == self.revision.to_string() || (revision.is_empty() && !self.is_concerned);
        ensure!(is_right, "the line's revision is `{revision}`, not {}", self.revision);
        Ok(())
    }
}

/// What such a line shows of a path: no query, and not more than fits.
pub(super) fn shown_of_path(path: &[u8]) -> &[u8] {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    path.get(..PATH_BYTES_MAX).unwrap_or(path)
}
