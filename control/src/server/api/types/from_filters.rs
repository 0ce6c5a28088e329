//! Filters and findings about their modules, as the API says them.

use super::{FilterBody, FilterSourceBody, ModuleFindingBody, RetiredFilterBody};
use crate::mesh::model::filter::FilterSource;
use crate::mesh::model::{DesiredState, FilterId, FilterRecord, RetiredFilter};
use chancery_sdk_admission::{Capability, Finding};
use std::collections::BTreeSet;

impl FilterBody {
    /// A version of a filter, with the policies of a state that use it.
    #[must_use]
    pub fn of(record: &FilterRecord, state: &DesiredState) -> Self {
        let words = |of: &BTreeSet<Capability>| of.iter().map(|one| one.as_str().to_owned()).collect();
        Self {
            name: record.id.name.to_string(),
            version: record.id.version.to_string(),
            digest: record.digest.to_string(),
            module_digest: record.module.to_string(),
            bytes: record.bytes,
            module_bytes: record.module_bytes,
            uses: words(&record.uses),
            may: record.may.as_ref().map(words),
            withheld: words(&record.withheld()),
            allowed: record.allowed.iter().cloned().collect(),
            envoy: record.envoy.clone(),
            pushed_by: record.pushed_by.clone(),
            pushed_at: record.pushed_at.to_string(),
            source: record.source.clone().into(),
            signed_by: record.signed_by.clone(),
            used_by: state.users_of(&record.id).map(str::to_owned).collect(),
        }
    }
}

impl RetiredFilterBody {
    /// A version that was deleted.
    #[must_use]
    pub fn of(id: &FilterId, retired: &RetiredFilter) -> Self {
        Self {
            version: id.version.to_string(),
            digest: retired.digest.to_string(),
            pushed_by: retired.pushed_by.clone(),
            pushed_at: retired.pushed_at.to_string(),
            deleted_by: retired.deleted_by.clone(),
            deleted_at: retired.deleted_at.to_string(),
        }
    }
}

impl From<FilterSource> for FilterSourceBody {
    fn from(source: FilterSource) -> Self {
        match source {
            FilterSource::File(name) => Self::File(name),
            FilterSource::Registry { reference, manifest } => Self::Registry { reference, manifest },
        }
    }
}

impl From<FilterSourceBody> for FilterSource {
    fn from(body: FilterSourceBody) -> Self {
        match body {
            FilterSourceBody::File(name) => Self::File(name),
            FilterSourceBody::Registry { reference, manifest } => Self::Registry { reference, manifest },
        }
    }
}

impl From<Finding> for ModuleFindingBody {
    fn from(finding: Finding) -> Self {
        let rendered = finding.to_string();
        let Finding { code, reason, place, remedy } = finding;
        Self {
            code: code.as_str().to_owned(),
            severity: code.severity().as_str().to_owned(),
            reason,
            section: place.section.map(str::to_owned),
            offset: place.offset,
            name: place.name,
            remedy,
            rendered,
        }
    }
}
