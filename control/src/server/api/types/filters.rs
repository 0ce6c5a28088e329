//! What the API says and hears about filters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/filters`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushRequest {
    /// The name: lower-case letters, digits and `-`.
    pub name: String,
    /// The version, such as `1.2.0`; it never gets other bytes.
    pub version: String,
    /// The module, in base64.
    pub module: String,
    /// Where the module came from.
    pub source: FilterSourceBody,
    /// What the module may do at the most: `call`, `read body`, `change body`, `share data`; left to policies if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may: Option<Vec<String>>,
    /// What the module is configured with when it is tried, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// An Ed25519 signature of name, version and digest, in base64; how it is made is said in `docs/filters.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Look at everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Where a module came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterSourceBody {
    /// A file, by its name.
    File(String),
    /// An OCI registry.
    Registry {
        /// The reference that was asked for.
        reference: String,
        /// The digest of the manifest that answered it, such as `sha256:…`.
        manifest: String,
    },
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushResponse {
    /// The filter as it is, or would be.
    pub filter: FilterBody,
    /// Whether nothing was changed, as was asked.
    pub dry_run: bool,
    /// `pushed`, or `unchanged` if the version was there with the same bytes.
    pub outcome: String,
    /// Warnings about the module.
    pub findings: Vec<ModuleFindingBody>,
    /// What was not looked at.
    pub notes: Vec<String>,
    /// How far the dry run came; absent for what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<String>,
}

/// A version of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterBody {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of the bytes that were pushed, in hex.
    pub digest: String,
    /// The SHA-256 of the bytes that sidecars get, in hex.
    pub module_digest: String,
    /// How many bytes were pushed.
    pub bytes: u64,
    /// How many bytes sidecars get.
    pub module_bytes: u64,
    /// What the module could make use of.
    pub uses: Vec<String>,
    /// What it may do at the most; absent if that is left to policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may: Option<Vec<String>>,
    /// What of `uses` it is cut off from, whatever a policy says.
    pub withheld: Vec<String>,
    /// The host calls and callbacks that it can have, for Envoy's capability restriction.
    pub allowed: Vec<String>,
    /// The version of the Envoy that loaded it; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envoy: Option<String>,
    /// Who pushed it.
    pub pushed_by: String,
    /// When.
    pub pushed_at: String,
    /// Where the module came from.
    pub source: FilterSourceBody,
    /// The name and the id of the key that signed it; absent if no signature was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// The policies for which it has to stay.
    pub used_by: Vec<String>,
}

/// A version of a filter that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetiredFilterBody {
    /// Its version.
    pub version: String,
    /// The SHA-256 of its bytes, in hex; no others can be pushed under this version.
    pub digest: String,
    /// Who pushed it.
    pub pushed_by: String,
    /// When.
    pub pushed_at: String,
    /// Who deleted it.
    pub deleted_by: String,
    /// When.
    pub deleted_at: String,
}

/// Every version of every filter, by name, the lowest version first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterList {
    /// The filters.
    pub filters: Vec<FilterBody>,
}

/// The versions of one filter, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterVersions {
    /// Its name.
    pub name: String,
    /// Those that can be used.
    pub versions: Vec<FilterBody>,
    /// Those that were deleted.
    pub deleted: Vec<RetiredFilterBody>,
}

/// A finding in a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleFindingBody {
    /// Such as `F105`; listed in `docs/filters.md`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// What is so, and why that matters.
    pub reason: String,
    /// The section of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Bytes from the module's beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The import, export or function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its author can do.
    pub remedy: String,
    /// The whole finding as plain text.
    pub rendered: String,
}
