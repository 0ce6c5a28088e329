//! The Envoy of this machine, as one in which modules are tried.

use crate::policies::filters::look::{ModuleTrial, Tried, Verdict};
use crate::sidecar::envoy_binary::Search;
use crate::sidecar::envoy_binary::trial::{self, TRIAL_TIMEOUT, Trial};
use chancery_sdk_admission::AdmittedModule;

/// Whatever Envoy is found when a module is tried: it may be installed, or gone, meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalEnvoy;

impl ModuleTrial for LocalEnvoy {
    fn try_module(&self, module: &AdmittedModule, configuration: &[u8]) -> Result<Option<Tried>, String> {
        let found = Search::from_environment(None).find().map_err(|error| error.to_string())?;
        let Some(envoy) = found else { return Ok(None) };
        let allowed: Vec<String> = module.allowed.iter().cloned().collect();
        let trial = Trial { module: &module.bytes, configuration, allowed: &allowed };
        let verdict = match envoy.try_module(&trial).map_err(|error| error.to_string())? {
            trial::Verdict::Accepted => Verdict::Loads,
            trial::Verdict::Refused(words) => Verdict::Refuses(words),
            trial::Verdict::Crashed(signal) => Verdict::Crashes(signal),
            trial::Verdict::Hung => Verdict::Hangs(TRIAL_TIMEOUT),
        };
        Ok(Some(Tried { envoy: envoy.version.to_string(), verdict }))
    }
}
