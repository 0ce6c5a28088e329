//! ECDS: the filters that decide what comes in and what goes out. A new policy replaces its configuration at once
//! and drops no connection.

use super::message::{any, inline_bytes};
use super::{INBOUND_POLICY, PROBES_POLICY, outbound_policy};
use crate::delivery::snapshot::{Resource, ResourceType};
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::log::LogKey;
use chancery_policy_lang::module::Module;
use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, TypedExtensionConfig};
use envoy_types::pb::envoy::config::rbac::v3::Rbac as RbacRules;
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::{Any, BytesValue};
use prost::{Message as _, Name as _};
use std::sync::Arc;

/// Digits of the module's digest in the plugin's name.
const DIGEST_DIGITS: usize = 16;

/// The policies of a service, as a module; it is told by what values are hashed in logs only if it hashes some.
#[must_use]
pub fn policy(module: &Module, log_key: LogKey) -> Resource {
    shared_policy(module, log_key, &[])
}

/// The same, with the number of replicas for each of the module's shares.
#[must_use]
pub fn shared_policy(module: &Module, log_key: LogKey, replicas: &[u32]) -> Resource {
    of_module(INBOUND_POLICY, module, log_key, replicas)
}

/// What a caller's sidecar does with requests to a service, as a module; of hashes as above.
#[must_use]
pub fn steering(service: &ServiceRef, module: &Module, log_key: LogKey) -> Resource {
    of_module(&outbound_policy(service), module, log_key, &[])
}

/// A caller's sidecar sends a service nothing, for what its policies say is not known.
#[must_use]
pub fn closed(service: &ServiceRef) -> Resource {
    extension(&outbound_policy(service), deny_all(), &[])
}

/// A caller's sidecar has nothing to decide of its requests to a service.
#[must_use]
pub fn undecided(service: &ServiceRef) -> Resource {
    extension(&outbound_policy(service), any(&Rbac::default()), &[])
}

fn of_module(name: &str, module: &Module, log_key: LogKey, replicas: &[u32]) -> Resource {
    let code = AsyncDataSource { specifier: Some(Specifier::Local(inline_bytes(&module.bytes))) };
    let vm = VmConfig {
        // One for all versions of the policy: data that a module shares outlives an update.
        vm_id: name.to_owned(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(code),
        // Of the plugin's configuration Envoy keeps what it told as long as a stream uses it, and tells it to no VM again.
        configuration: (!replicas.is_empty()).then(|| {
            let value = replicas.iter().copied().flat_map(u32::to_le_bytes).collect();
            any(&BytesValue { value })
        }),
        ..Default::default()
    };
    let digest = module.digest.get(..DIGEST_DIGITS).unwrap_or(&module.digest);
    let plugin = PluginConfig {
        // Of a module that it cannot use, Envoy says this name and nothing else.
        name: format!("{name}/{digest}"),
        root_id: name.to_owned(),
        vm: Some(Vm::VmConfig(vm)),
        configuration: module.manifest.hashes.then(|| any(&BytesValue { value: log_key.0.to_vec() })),
        // With the other policies one failure disables the filter, or the service, for good.
        failure_policy: FailurePolicy::FailReload.into(),
        ..Default::default()
    };
    extension(name, any(&Wasm { config: Some(plugin) }), module.manifest.policies.as_slice())
}

/// What is let through without an identity, as a module; `None`: nothing is.
#[must_use]
pub fn probes(module: Option<&Module>, log_key: LogKey) -> Resource {
    match module {
        Some(module) => of_module(PROBES_POLICY, module, log_key, &[]),
        None => extension(PROBES_POLICY, deny_all(), &[]),
    }
}

/// No policy concerns the service: everything is allowed.
#[must_use]
pub fn unrestricted() -> Resource {
    extension(INBOUND_POLICY, any(&Rbac::default()), &[])
}

/// What decides as long as there is nothing else: everything is denied.
pub(super) fn deny_all() -> Any {
    let rules = RbacRules { action: Action::Allow.into(), ..Default::default() };
    any(&Rbac { rules: Some(rules), ..Default::default() })
}

/// What lets everything pass that the filters beside it let pass.
pub(super) fn allow_all() -> Any {
    any(&Rbac::default())
}

/// The types of filters that may be sent for a policy.
pub(super) fn type_urls() -> Vec<String> {
    vec![Wasm::type_url(), Rbac::type_url()]
}

pub(super) fn extension(name: &str, filter: Any, policies: &[String]) -> Resource {
    let config = TypedExtensionConfig { name: name.to_owned(), typed_config: Some(filter) };
    let policies: Arc<[String]> = policies.into();
    Resource::new(ResourceType::Extension, name, config.encode_to_vec(), policies)
}
