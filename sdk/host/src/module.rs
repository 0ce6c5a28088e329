//! Hosts and the modules that they loaded.

use crate::abi::Version;
use crate::shared_queues::SharedQueues;
use crate::state::State;
use crate::{HostError, Limits, Plugin, PluginConfiguration, SharedData, calls, limits, validate};
use wasmtime::{Config, Engine, InstancePre, Linker, Module, OptLevel, RegallocAlgorithm};

/// A host: one wasmtime engine with the host calls, and the data that its modules share.
#[derive(Clone)]
pub struct Host {
    engine: Engine,
    linker: Linker<State>,
    limits: Limits,
    shared_data: SharedData,
    shared_queues: SharedQueues,
}

/// A module that keeps the contract, compiled and ready to start as often as wanted.
#[derive(Clone)]
pub struct LoadedModule {
    instance: InstancePre<State>,
    version: Version,
    limits: Limits,
    shared_data: SharedData,
    shared_queues: SharedQueues,
}

impl Host {
    /// A host with these limits.
    ///
    /// Fails with [`HostError::Engine`] where wasmtime cannot compile for this machine.
    pub fn new(limits: Limits) -> Result<Self, HostError> {
        Self::with(limits, Config::new())
    }

    /// A host that loads modules fast and runs them slowly, for those that are called a few times.
    ///
    /// Fails as [`Host::new`].
    pub fn for_few_calls(limits: Limits) -> Result<Self, HostError> {
        let mut config = Config::new();
        config.cranelift_opt_level(OptLevel::None);
        config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
        Self::with(limits, config)
    }

    fn with(limits: Limits, mut config: Config) -> Result<Self, HostError> {
        config.consume_fuel(true);
        config.max_wasm_stack(limits::STACK_BYTES_MAX);
        let engine = Engine::new(&config).map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        calls::offer_all(&mut linker).map_err(engine_error)?;
        let (shared_data, shared_queues) = (SharedData::default(), SharedQueues::default());
        Ok(Self { engine, linker, limits, shared_data, shared_queues })
    }

    /// Checks a module against the contract and compiles it. Nothing of it runs yet.
    ///
    /// The error names what is wrong: a section, an import, an export.
    pub fn load(&self, bytes: &[u8]) -> Result<LoadedModule, HostError> {
        validate::check_bytes(bytes, &self.limits)?;
        let module = Module::from_binary(&self.engine, bytes).map_err(invalid)?;
        let version = validate::check_module(&module, &self.limits)?;
        let instance = self.linker.instantiate_pre(&module).map_err(invalid)?;
        let (shared_data, shared_queues) = (self.shared_data.clone(), self.shared_queues.clone());
        Ok(LoadedModule { instance, version, limits: self.limits, shared_data, shared_queues })
    }

    /// What the modules of this host share.
    #[must_use]
    pub fn shared_data(&self) -> &SharedData {
        &self.shared_data
    }
}

impl LoadedModule {
    /// Starts a VM with one plugin: constructors, `proxy_on_context_create`, `proxy_on_vm_start`,
    /// `proxy_on_configure`.
    ///
    /// Fails with [`HostError::Refused`] if the module does not accept the configuration, or as any
    /// callback may.
    pub fn start(&self, configuration: PluginConfiguration) -> Result<Plugin, HostError> {
        let shared = (self.shared_data.clone(), self.shared_queues.clone());
        Plugin::start(&self.instance, self.version, self.limits, shared, configuration)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Host").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LoadedModule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LoadedModule").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn engine_error(error: wasmtime::Error) -> HostError {
    HostError::Engine(error.root_cause().to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn invalid(error: wasmtime::Error) -> HostError {
    HostError::Invalid(error.root_cause().to_string())
}
