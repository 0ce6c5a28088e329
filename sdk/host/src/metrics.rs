//! Metrics that a module defines, with Envoy's numbering: the type stands in an id's two lowest bits.

use crate::abi::{MetricType, Status};
use crate::limits::METRICS_MAX;
use std::collections::{BTreeMap, HashMap};

/// Ids of one type are this far apart, which leaves the two lowest bits to the type.
const ID_STEP: u32 = 4;

/// All metrics of one plugin. Two definitions of one name and type are one metric with two ids.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    values: BTreeMap<(MetricType, String), u64>,
    names: HashMap<u32, (MetricType, String)>,
    /// How many ids of a type there are.
    defined: BTreeMap<MetricType, u32>,
    changes: u64,
}

impl Metrics {
    /// The value of a counter or gauge; 0 if it was never defined, as nothing has been counted.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        let of = |metric_type| self.values.get(&(metric_type, name.to_owned())).copied();
        of(MetricType::Counter).or_else(|| of(MetricType::Gauge)).unwrap_or(0)
    }

    /// All metrics by type and name: sums of counters, levels of gauges, last values of histograms.
    pub fn iter(&self) -> impl Iterator<Item = (MetricType, &str, u64)> {
        self.values.iter().map(|((metric_type, name), value)| (*metric_type, name.as_str(), *value))
    }

    /// How often a metric was incremented or recorded, whichever it was.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Sets every value to 0. Definitions stay, for a module keeps its ids.
    pub fn reset(&mut self) {
        self.values.values_mut().for_each(|value| *value = 0);
    }

    pub(crate) fn define(&mut self, metric_type: MetricType, name: String) -> Result<u32, Status> {
        if self.names.len() >= METRICS_MAX {
            return Err(Status::InternalFailure);
        }
        // Each type is numbered for itself.
        let number = self.defined.entry(metric_type).or_insert(0);
        *number += 1;
        let id = *number * ID_STEP + metric_type.number().unsigned_abs();
        self.values.entry((metric_type, name.clone())).or_insert(0);
        self.names.insert(id, (metric_type, name));
        Ok(id)
    }

    pub(crate) fn increment(&mut self, id: u32, difference: i64) -> Result<(), Status> {
        check_is_a_number(id)?;
        let (metric_type, value) = self.find(id)?;
        match metric_type {
            MetricType::Counter if difference > 0 => *value = value.wrapping_add(difference.unsigned_abs()),
            MetricType::Gauge => *value = value.saturating_add_signed(difference),
            MetricType::Counter | MetricType::Histogram => return Err(Status::BadArgument),
        }
        self.changes += 1;
        Ok(())
    }

    pub(crate) fn record(&mut self, id: u32, recorded: u64) -> Result<(), Status> {
        let (metric_type, value) = self.find(id)?;
        match metric_type {
            MetricType::Counter => *value = value.wrapping_add(recorded),
            MetricType::Gauge | MetricType::Histogram => *value = recorded,
        }
        self.changes += 1;
        Ok(())
    }

    pub(crate) fn get(&mut self, id: u32) -> Result<u64, Status> {
        check_is_a_number(id)?;
        match self.find(id)? {
            (MetricType::Histogram, _) => Err(Status::BadArgument),
            (_, value) => Ok(*value),
        }
    }

    fn find(&mut self, id: u32) -> Result<(MetricType, &mut u64), Status> {
        let key = self.names.get(&id).ok_or(Status::NotFound)?;
        let value = self.values.get_mut(key).ok_or(Status::InternalFailure)?;
        Ok((key.0, value))
    }
}

/// The type that stands in an id is looked at first, whether the id is there or not.
fn check_is_a_number(id: u32) -> Result<(), Status> {
    let types = [MetricType::Counter, MetricType::Gauge].map(|of| of.number().unsigned_abs());
    if types.contains(&(id % ID_STEP)) { Ok(()) } else { Err(Status::BadArgument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_only_grows() {
        let mut metrics = Metrics::default();
        let id = metrics.define(MetricType::Counter, "c".to_owned()).unwrap_or(0);
        assert_eq!(id & 3, 0);
        assert_eq!(metrics.increment(id, 2), Ok(()));
        assert_eq!(metrics.increment(id, -1), Err(Status::BadArgument));
        assert_eq!(metrics.increment(id + 4, 1), Err(Status::NotFound));
        assert_eq!(metrics.get(id), Ok(2));
        assert_eq!(metrics.value("c"), 2);
        assert_eq!(metrics.changes(), 1);
    }

    #[test]
    fn two_definitions_of_one_name_are_one_metric() {
        let mut metrics = Metrics::default();
        let first = metrics.define(MetricType::Gauge, "g".to_owned()).unwrap_or(0);
        let second = metrics.define(MetricType::Gauge, "g".to_owned()).unwrap_or(0);
        assert_ne!(first, second);
        assert_eq!(first & 3, 1);
        assert_eq!(metrics.record(first, 7), Ok(()));
        assert_eq!(metrics.increment(second, -9), Ok(()));
        assert_eq!(metrics.value("g"), 0);
    }
}
