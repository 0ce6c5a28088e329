//! The strand of auth rules: the first that matches in decision order decides, by the index of its answer.

use super::Answers;
use crate::bug::Bug;
use crate::linked::LinkedProgram;
use crate::plan::{AuthPlan, Entry, Pick, Strand};
use std::sync::Arc;

/// Adds the strand of the rules; gives what its indexes mean.
pub(super) fn lower(program: &LinkedProgram, strands: &mut Vec<Strand>) -> Result<AuthPlan, Bug> {
    let answers = Answers::new(program)?;
    let entries = program.auth.rules.iter().map(|linked| {
        Ok(Entry {
            guard: Arc::new(linked.rule.guard.clone()),
            shadow: linked.shadow,
            index: answers.of_rule(&linked.rule)?,
            span: linked.rule.span,
        })
    });
    let entries = entries.collect::<Result<Vec<Entry>, Bug>>()?;
    strands.push(Strand { name: "auth", pick: Pick::First, entries });
    Ok(AuthPlan { strand: strands.len() - 1, answers })
}
