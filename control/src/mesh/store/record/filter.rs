//! The stored form of filters. What cannot be read as what it is, is damage.

use super::{Record, Words};
use crate::mesh::model::filter::{FilterDigest, FilterSource};
use crate::mesh::model::{FilterId, FilterRecord, RetiredFilter};
use chancery_sdk_admission::Capability;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Serialize, Deserialize)]
pub(in crate::mesh::store) struct StoredFilter {
    id: Words<FilterId>,
    digest: Words<FilterDigest>,
    module: Words<FilterDigest>,
    bytes: u64,
    module_bytes: u64,
    uses: BTreeSet<Words<Capability>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    may: Option<BTreeSet<Words<Capability>>>,
    allowed: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envoy: Option<String>,
    pushed_by: String,
    pushed_at_ms: i64,
    source: StoredSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredSource {
    File(String),
    Registry { reference: String, manifest: String },
}

#[derive(Serialize, Deserialize)]
pub(in crate::mesh::store) struct StoredRetiredFilter {
    digest: Words<FilterDigest>,
    pushed_by: String,
    pushed_at_ms: i64,
    deleted_by: String,
    deleted_at_ms: i64,
}

impl Record for StoredFilter {
    type Model = FilterRecord;

    fn of(model: &FilterRecord) -> Self {
        let words = |of: &BTreeSet<Capability>| of.iter().copied().map(Words).collect();
        Self {
            id: Words(model.id.clone()),
            digest: Words(model.digest),
            module: Words(model.module),
            bytes: model.bytes,
            module_bytes: model.module_bytes,
            uses: words(&model.uses),
            may: model.may.as_ref().map(words),
            allowed: model.allowed.clone(),
            envoy: model.envoy.clone(),
            pushed_by: model.pushed_by.clone(),
            pushed_at_ms: model.pushed_at.as_millisecond(),
            source: match model.source.clone() {
                FilterSource::File(name) => StoredSource::File(name),
                FilterSource::Registry { reference, manifest } => {
                    StoredSource::Registry { reference, manifest }
                }
            },
            signed_by: model.signed_by.clone(),
        }
    }

    fn into_model(self, _key: &str) -> FilterRecord {
        let capabilities = |of: BTreeSet<Words<Capability>>| of.into_iter().map(|words| words.0).collect();
        FilterRecord {
            id: self.id.0,
            digest: self.digest.0,
            module: self.module.0,
            bytes: self.bytes,
            module_bytes: self.module_bytes,
            uses: capabilities(self.uses),
            may: self.may.map(capabilities),
            allowed: self.allowed,
            envoy: self.envoy,
            pushed_by: self.pushed_by,
            pushed_at: time(self.pushed_at_ms),
            source: match self.source {
                StoredSource::File(name) => FilterSource::File(name),
                StoredSource::Registry { reference, manifest } => {
                    FilterSource::Registry { reference, manifest }
                }
            },
            signed_by: self.signed_by,
        }
    }
}

impl Record for StoredRetiredFilter {
    type Model = RetiredFilter;

    fn of(model: &RetiredFilter) -> Self {
        Self {
            digest: Words(model.digest),
            pushed_by: model.pushed_by.clone(),
            pushed_at_ms: model.pushed_at.as_millisecond(),
            deleted_by: model.deleted_by.clone(),
            deleted_at_ms: model.deleted_at.as_millisecond(),
        }
    }

    fn into_model(self, _key: &str) -> RetiredFilter {
        RetiredFilter {
            digest: self.digest.0,
            pushed_by: self.pushed_by,
            pushed_at: time(self.pushed_at_ms),
            deleted_by: self.deleted_by,
            deleted_at: time(self.deleted_at_ms),
        }
    }
}

fn time(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or_default()
}
