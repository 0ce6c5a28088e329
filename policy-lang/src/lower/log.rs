//! The strands of samples: the first that matches has the highest rate. What asks about the answer has a strand of
//! its own, which says whether the sample speaks of a request at all.

use super::kept::Keeping;
use crate::bug::{Bug, number};
use crate::checked::{Attribute, BaseType, Expr, ExprKind, Redact, Sample, SampleRate, Type, Value};
use crate::linked::{LinkedLog, LinkedProgram};
use crate::literals::expression_text;
use crate::log::LATER_MAX;
use crate::plan::{Entry, FieldPlan, FieldValue, LaterPlan, LogPlan, Pick, SamplesPlan, Strand};
use crate::sinks::directions;
use crate::source::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adds the strands of the samples, if there are any; gives what they mean, and the fields. What is kept for the answer
/// has numbers from `first_kept` on.
pub(super) fn lower(
    program: &LinkedProgram,
    first_kept: u32,
    strands: &mut Vec<Strand>,
) -> Result<Option<LogPlan>, Bug> {
    let Some(log) = &program.log else { return Ok(None) };
    let mut keeping = Keeping::from(first_kept);
    let samples = match &log.samples {
        Some(samples) => Some(lower_samples(log, samples, strands, &mut keeping)?),
        None => None,
    };
    let of_samples = log.samples.iter().flatten().map(|sample| sample.span);
    let of_fields = log.fields.values().map(|field| field.value.span);
    let span = of_samples.chain(of_fields).min().unwrap_or_default();
    let (mut late, fields): (Vec<FieldPlan>, Vec<FieldPlan>) =
        fields(log, program.sender.as_ref()).into_iter().partition(FieldPlan::is_late);
    for field in &mut late {
        if let FieldValue::Computed(value) = &mut field.value {
            *value = keeping.late(value);
        }
    }
    let directions = directions(&log.goals);
    Ok(Some(LogPlan { samples, fields, late, kept: keeping.finish()?, directions, span }))
}

fn lower_samples(
    log: &LinkedLog,
    samples: &[Arc<Sample>],
    strands: &mut Vec<Strand>,
    keeping: &mut Keeping,
) -> Result<SamplesPlan, Bug> {
    let mut rates: Vec<SampleRate> = samples.iter().map(|sample| sample.rate).collect();
    rates.dedup();
    let numbers: BTreeMap<SampleRate, u32> = rates.iter().copied().zip(0..).collect();
    let mut strand_of = |name, passed| {
        let speaking = samples.iter().filter(|sample| sample.later.is_none() && sample.is_of(passed));
        let entry = |sample: &Arc<Sample>| Entry {
            guard: Arc::new(sample.guard.clone()),
            shadow: false,
            index: numbers.get(&sample.rate).copied().unwrap_or_default(),
            span: sample.span,
        };
        strands.push(Strand { name, pick: Pick::First, entries: speaking.map(entry).collect() });
        strands.len() - 1
    };
    let (passed, refused) = (strand_of("samples of passed", true), strand_of("samples of refused", false));
    let later = lower_later(samples, strands, keeping)?;
    Ok(SamplesPlan { passed, refused, rates, unjudged: log.refused(), later })
}

/// A strand for each sample that asks about the answer; the entries of one sample, and what says the same of the
/// answer, are together.
fn lower_later(
    samples: &[Arc<Sample>],
    strands: &mut Vec<Strand>,
    keeping: &mut Keeping,
) -> Result<Vec<LaterPlan>, Bug> {
    let mut places: BTreeMap<(SampleRate, Option<bool>, String), usize> = BTreeMap::new();
    let mut later: Vec<LaterPlan> = Vec::new();
    for sample in samples {
        let Some(condition) = &sample.later else { continue };
        let key = (sample.rate, sample.passed, expression_text(condition));
        let strand = match places.get(&key) {
            Some(strand) => *strand,
            None => {
                strands.push(Strand { name: "sample by answer", pick: Pick::First, entries: Vec::new() });
                let strand = strands.len() - 1;
                places.insert(key, strand);
                let (rate, passed, condition) = (sample.rate, sample.passed, keeping.late(condition));
                later.push(LaterPlan { strand, rate, passed, condition });
                strand
            }
        };
        let guard = Arc::new(sample.guard.clone());
        if let Some(strand) = strands.get_mut(strand) {
            strand.entries.push(Entry { guard, shadow: false, index: 0, span: sample.span });
        }
    }
    if number(later.len())? > LATER_MAX {
        return Err(Bug::new("samples that ask about the answer are counted when policies are linked"));
    }
    Ok(later)
}

/// Who sends a request: in the sidecar of a sender always itself, which shows no certificate there.
fn principal(sender: Option<&Arc<str>>) -> FieldValue {
    match sender {
        Some(sender) => {
            let kind = ExprKind::Literal(Value::String(sender.clone()));
            let ty = Type { base: BaseType::String, optional: false };
            FieldValue::Computed(Arc::new(Expr { kind, ty, span: Span::default() }))
        }
        None => FieldValue::Text(Attribute::SourcePrincipal),
    }
}

/// The fields of a line: those that each line has first, then the others by name.
fn fields(log: &LinkedLog, sender: Option<&Arc<str>>) -> Vec<FieldPlan> {
    let text = |attribute: Attribute| (FieldValue::Text(attribute.clone()), attribute);
    let fixed = [
        ("method", text(Attribute::Method)),
        ("path", (FieldValue::Path, Attribute::Path)),
        ("principal", (principal(sender), Attribute::SourcePrincipal)),
        ("request_id", text(Attribute::Id)),
    ];
    let fixed = fixed.into_iter().map(|(name, (value, attribute))| FieldPlan {
        name: name.into(),
        value,
        redact: log.redaction(&attribute),
    });
    let listed = log.fields.iter().map(|(name, field)| FieldPlan {
        name: name.clone(),
        value: FieldValue::Computed(Arc::<Expr>::clone(&field.value)),
        redact: field.redact,
    });
    let decided = [("rule", FieldValue::Rule), ("decision", FieldValue::Decision)]
        .map(|(name, value)| FieldPlan { name: name.into(), value, redact: None });
    fixed.filter(|field| field.redact != Some(Redact::Drop)).chain(decided).chain(listed).collect()
}
