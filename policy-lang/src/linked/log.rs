//! What the `log` policies of a program say.

use crate::checked::{Attribute, Expr, Redact, Sample, SampleRate};
use crate::literals::{asked_by, asks_answer, attributes_of};
use crate::log::origin;
use crate::sinks::Goals;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which requests are logged, and what a line shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkedLog {
    /// All samples that concern the workload, folded for it; those of the highest rates first, then in an order
    /// that depends on their content only. `None` if no policy states one: every request is logged. As with rules,
    /// several entries may stand for one sample.
    pub samples: Option<Vec<Arc<Sample>>>,
    /// The fields beside those that each line has, by name. What is dropped is not among them.
    pub fields: BTreeMap<Arc<str>, LinkedField>,
    /// What is redacted, by where it comes from.
    pub redacted: BTreeMap<String, Redact>,
    /// The sinks that lines go to; none if they go to the log of the sidecar alone.
    pub goals: Goals,
}

/// A field of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedField {
    /// Its value.
    pub value: Arc<Expr>,
    /// What stands in the place of the value, if it is redacted.
    pub redact: Option<Redact>,
}

/// What of a request each line shows.
const ALWAYS_SHOWN: [Attribute; 4] =
    [Attribute::Method, Attribute::Path, Attribute::Id, Attribute::SourcePrincipal];

impl LinkedField {
    /// Whether it asks about the answer.
    #[must_use]
    pub fn is_late(&self) -> bool {
        asks_answer(&self.value)
    }
}

impl LinkedLog {
    /// What stands in the place of what tells of an attribute, if it is redacted.
    #[must_use]
    pub fn redaction(&self, attribute: &Attribute) -> Option<Redact> {
        self.redacted.get(&origin(attribute)).copied()
    }

    /// Adds what is asked of a request.
    pub(crate) fn asked(&self, into: &mut BTreeSet<Attribute>) {
        into.extend(ALWAYS_SHOWN);
        for sample in self.samples.iter().flatten() {
            asked_by(&sample.guard, into);
            sample.later.iter().for_each(|later| attributes_of(later, into));
        }
        self.fields.values().for_each(|field| attributes_of(&field.value, into));
    }

    /// How many of the requests are logged that are refused before any rule is asked, of which a statement can ask
    /// nothing.
    #[must_use]
    pub fn refused(&self) -> SampleRate {
        let Some(samples) = &self.samples else { return SampleRate::ALL };
        let speaking = samples.iter().filter(|sample| sample.is_of(false) && sample.asks_nothing());
        speaking.map(|sample| sample.rate).max().unwrap_or_default()
    }
}
