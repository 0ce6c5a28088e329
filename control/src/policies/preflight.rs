//! A trial of compiled policies before any sidecar sees them: the module runs in the wasmtime host,
//! and has to decide a few requests as the evaluator, which defines the language, does.
//!
//! A module that fails here is a fault of the compiler, not of the author; a sidecar would refuse it,
//! or worse. What passed once is remembered by its digest.

use crate::policies::policy_runner::{PolicyRunner, Ran, answer};
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::eval::{Buckets, evaluate_at};
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::module::Module;
use chancery_policy_lang::request::{Request, ServiceIdentity, Source};
use chancery_policy_lang::testing::BEGINNING_NS;
use chancery_sdk_host::{Host, HostError, Limits};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

/// Digests that are remembered; then all are forgotten, and tried again when they come.
const REMEMBERED_MAX: usize = 10_000;

/// Tries modules out.
pub struct Preflight {
    /// Tests run in this one, which takes its time to make code that runs fast.
    host: Host,
    /// Trials are a few calls.
    trial_ground: Host,
    passed: Mutex<BTreeSet<String>>,
}

/// Why a module must not go out.
#[derive(Debug, thiserror::Error)]
#[error("the module of policies {policies} for service {service} failed its trial: {detail}")]
pub struct TrialError {
    policies: String,
    service: String,
    detail: String,
}

impl TrialError {
    /// What went wrong with the module of a program, or when it was made.
    pub fn new(program: &LinkedProgram, detail: impl Into<String>) -> Self {
        Self {
            policies: program.policies.join(", "),
            service: format!("{}/{}", program.workload.namespace, program.workload.service),
            detail: detail.into(),
        }
    }
}

impl Preflight {
    /// A trial ground.
    ///
    /// # Errors
    /// If the host cannot be made on this machine.
    pub fn new() -> Result<Self, HostError> {
        let (host, trial_ground) = (Host::new(Limits::default())?, Host::for_few_calls(Limits::default())?);
        Ok(Self { host, trial_ground, passed: Mutex::default() })
    }

    /// The host for tests to run in.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The host for a few calls of a module.
    #[must_use]
    pub fn trial_ground(&self) -> &Host {
        &self.trial_ground
    }

    /// Tries the module of a program out.
    ///
    /// # Errors
    /// If the module does not load or start, fails, or decides otherwise than the evaluator.
    pub fn try_out(&self, program: &LinkedProgram, module: &Module) -> Result<(), TrialError> {
        if self.lock().contains(&module.digest) {
            return Ok(());
        }
        self.run(program, &module.bytes).map_err(|detail| TrialError::new(program, detail))?;
        let mut passed = self.lock();
        if passed.len() >= REMEMBERED_MAX {
            passed.clear();
        }
        passed.insert(module.digest.clone());
        Ok(())
    }

    fn run(&self, program: &LinkedProgram, module: &[u8]) -> Result<(), String> {
        let mut runner =
            PolicyRunner::on_host(&self.trial_ground, module).map_err(|error| error.to_string())?;
        let mut buckets = Buckets::default();
        for request in requests(program) {
            let ran = runner.run(&request, BEGINNING_NS).map_err(|error| error.to_string())?;
            let decision = evaluate_at(program, &request, &mut buckets, BEGINNING_NS);
            let defined = Ran::by(program, &request, &decision, &answer());
            if ran != defined {
                let path = String::from_utf8_lossy(&request.path).into_owned();
                return Err(format!("it decides `{path}` as {ran:?}, which is defined as {defined:?}"));
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests that reach the ends of every module: a plain one, one with an identity, headers and a
/// query, one that is refused before any rule.
fn requests(program: &LinkedProgram) -> [Request; 3] {
    let workload = &program.workload;
    let caller = ServiceRef { namespace: workload.namespace.clone(), name: "caller".to_owned() };
    let principal = ServiceIdentity::new(&workload.trust_domain, &caller).to_string();
    let known = Request {
        path: b"/api/items/7?q=1".to_vec(),
        headers: vec![(b"x-trial".to_vec(), b"1".to_vec()), (b"x-trial".to_vec(), b"2".to_vec())],
        source: Source {
            principal: Some(principal.into_bytes()),
            ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            port: 40_000,
            mtls: true,
        },
        ..Request::default()
    };
    let odd = Request { path: b"/a/../b".to_vec(), ..Request::default() };
    [Request::default(), known, odd]
}

impl std::fmt::Debug for Preflight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preflight").field("passed", &self.lock().len()).finish_non_exhaustive()
    }
}
