//! ECDS and listeners: the filters of others, each a resource of its own with a place in the way of requests.
//!
//! ```text
//! inbound    evicted, cors, BEFORE AUTH, policies, AFTER AUTH, LAST, router
//! outbound                  BEFORE AUTH, policies, AFTER AUTH, fault, LAST, router
//! ```
//!
//! A listener names the filter, and another version of it replaces the resource alone. Until Envoy has the resource, the
//! listener that names it is not opened, or the one before it goes on; if it does not come, or is refused and there was none
//! before, what stands in its place does what the policy says of failures.

use super::extension;
use super::message::{any, milliseconds, yes};
use crate::delivery::snapshot::Resource;
use chancery_policy_lang::checked::{Direction, FilterBody, FilterPhase, OnFailure};
use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, BackoffStrategy};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::wasm::v3::{
    CapabilityRestrictionConfig, FailurePolicy, PluginConfig, ReloadConfig, SanitizationConfig, VmConfig,
};
use envoy_types::pb::google::protobuf::{Any, BytesValue};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost::{Message as _, Name as _};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Digits of the module's digest in the plugin's name.
const DIGEST_DIGITS: usize = 16;
/// How long after it was started a filter that failed is started anew, at the soonest: until then its requests are
/// answered with 503.
const RELOAD_AFTER_MS: i32 = 50;
/// The most that this is drawn out.
const RELOAD_AFTER_MAX_MS: i32 = 1_000;

/// The place of a filter in a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The extension.
    pub name: Arc<str>,
    /// Where.
    pub phase: FilterPhase,
    /// What holds as long as there is no filter.
    pub on_failure: OnFailure,
}

/// A filter in the way of requests.
#[derive(Clone, Copy, Debug)]
pub struct Attachment<'a> {
    /// The policy that attaches it.
    pub policy: &'a str,
    /// Which requests.
    pub direction: Direction,
    /// What the policy says.
    pub body: &'a FilterBody,
    /// The module, with its bounds.
    pub module: &'a [u8],
    /// The SHA-256 of these bytes, in hexadecimal digits.
    pub digest: &'a str,
    /// The host calls and callbacks that it may have; not empty.
    pub allowed: &'a BTreeSet<String>,
}

/// What names of the extensions begin with that see what comes in.
const INBOUND_FILTERS: &str = "filter-inbound/";
/// What names of the extensions begin with that see what goes out.
pub const OUTBOUND_FILTERS: &str = "filter-outbound/";

/// The extension of a policy's filter.
#[must_use]
pub fn extension_name(policy: &str, direction: Direction) -> String {
    match direction {
        Direction::Inbound => format!("{INBOUND_FILTERS}{policy}"),
        Direction::Outbound => format!("{OUTBOUND_FILTERS}{policy}"),
    }
}

/// The policy whose filter runs under this name in Envoy's counters; none for the modules that policies are compiled to.
#[must_use]
pub fn policy_of_plugin(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(INBOUND_FILTERS).or_else(|| name.strip_prefix(OUTBOUND_FILTERS))?;
    rest.split('/').next()
}

/// A filter as Envoy gets it.
#[must_use]
pub fn resource(attachment: &Attachment<'_>) -> Resource {
    let Attachment { policy, direction, body, module, digest, allowed } = *attachment;
    let name = extension_name(policy, direction);
    let vm = VmConfig {
        // One for all versions, so that data that it shares outlives an update; and one for each policy, for a failure
        // ends whatever shares a VM.
        vm_id: name.clone(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(AsyncDataSource {
            specifier: Some(Specifier::Local(super::message::inline_bytes(module))),
        }),
        ..Default::default()
    };
    let plugin = PluginConfig {
        // Of a module that it cannot use, Envoy says this name and nothing else.
        name: format!("{name}/{}", digest.get(..DIGEST_DIGITS).unwrap_or(digest)),
        root_id: name.clone(),
        configuration: body
            .config
            .as_ref()
            .map(|config| any(&BytesValue { value: config.as_bytes().to_vec() })),
        allow_on_headers_stop_iteration: yes(),
        ..on_failure(body.on_failure)
    };
    // A map of protobuf messages has no order, and the same configuration has to be the same bytes.
    let restriction: Vec<u8> = allowed.iter().flat_map(|name| allowing(name).encode_to_vec()).collect();
    let vm = with_field(vm.encode_to_vec(), RESTRICTION_OF_VM, &restriction);
    let plugin = with_field(plugin.encode_to_vec(), VM_OF_PLUGIN, &vm);
    let wasm = with_field(Vec::new(), CONFIG_OF_WASM, &plugin);
    extension::extension(&name, Any { type_url: Wasm::type_url(), value: wasm }, &[policy.to_owned()])
}

/// The place of a filter, and what stands there before it comes.
pub(super) fn place(slot: &Slot) -> HttpFilter {
    let default = match slot.on_failure {
        OnFailure::Deny => extension::deny_all(),
        OnFailure::Allow => extension::allow_all(),
    };
    super::listener::discovered(slot.name.to_string(), default)
}

/// Those of a phase, in their order.
pub(super) fn places(slots: &[Slot], phase: FilterPhase) -> impl Iterator<Item = HttpFilter> {
    slots.iter().filter(move |slot| slot.phase == phase).map(place)
}

/// What becomes of requests when the filter fails. One that lets them pass is not started again before its configuration
/// is another one; one that denies them is, soon.
fn on_failure(on_failure: OnFailure) -> PluginConfig {
    match on_failure {
        OnFailure::Deny => {
            let backoff = BackoffStrategy {
                base_interval: Some(milliseconds(RELOAD_AFTER_MS)),
                max_interval: Some(milliseconds(RELOAD_AFTER_MAX_MS)),
            };
            PluginConfig {
                failure_policy: FailurePolicy::FailReload.into(),
                reload_config: Some(ReloadConfig { backoff: Some(backoff) }),
                ..Default::default()
            }
        }
        #[expect(
            deprecated,
            reason = "the newer `FAIL_OPEN` answers requests with 503 that are under way when the filter fails"
        )]
        OnFailure::Allow => PluginConfig { fail_open: true, ..Default::default() },
    }
}

fn allowing(name: &str) -> CapabilityRestrictionConfig {
    let allowed_capabilities: HashMap<_, _> = [(name.to_owned(), SanitizationConfig::default())].into();
    CapabilityRestrictionConfig { allowed_capabilities }
}

/// `VmConfig.capability_restriction_config`
const RESTRICTION_OF_VM: u32 = 8;
/// `PluginConfig.vm_config`
const VM_OF_PLUGIN: u32 = 3;
/// `Wasm.config`
const CONFIG_OF_WASM: u32 = 1;

/// An encoded message with one more field, which is an encoded message.
fn with_field(mut message: Vec<u8>, tag: u32, field: &[u8]) -> Vec<u8> {
    encode_key(tag, WireType::LengthDelimited, &mut message);
    encode_varint(field.len() as u64, &mut message);
    message.extend_from_slice(field);
    message
}
