//! Filters on trial: each is started with the configuration that a policy gives it, before the policy is in force.

use super::attached::{allowed, called, granting, record};
use super::dry_run::{self, dry_run};
use super::modules::Modules;
use crate::mesh::model::DesiredState;
use chancery_policy_lang::Diagnostic;
use chancery_policy_lang::checked::FilterBody;
use chancery_policy_lang::filters;
use chancery_sdk_admission::{AdmittedModule, Code, Terms};
use chancery_sdk_host::Host;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Trials that are remembered; beyond that, all are forgotten.
const TRIALS_MAX: usize = 4_096;

/// Tries filters out, and remembers what came of it.
#[derive(Debug)]
pub struct FilterTrials {
    modules: Modules,
    host: OnceLock<Host>,
    /// By module, configuration and what is granted: what is wrong with it, if anything is.
    tried: Mutex<HashMap<[u8; 32], Option<Wrong>>>,
}

impl FilterTrials {
    /// Trials of modules that are found there.
    #[must_use]
    pub fn of(modules: Modules) -> Self {
        Self { modules, host: OnceLock::new(), tried: Mutex::default() }
    }

    /// The modules.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Starts a filter as a policy attaches it and asks it about a few requests; gives what is wrong with the policy, if
    /// anything is. One that was not pushed is none of its matter.
    ///
    /// # Errors
    /// In words, if the trial cannot be made.
    pub fn try_out(&self, state: &DesiredState, body: &FilterBody) -> Result<Option<Diagnostic>, String> {
        let Some(record) = record(state, &body.attached) else { return Ok(None) };
        let allowed = allowed(record, &body.may);
        let mut hash = Sha256::new();
        hash.update(record.module.as_bytes());
        let calls: Vec<_> = body.may.calls.iter().map(|service| called(service).to_string()).collect();
        let parts = allowed.iter().chain(&calls).map(String::as_str).chain(body.config.as_deref());
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update([u8::from(body.config.is_some())]);
        let key: [u8; 32] = hash.finalize().into();
        // Whoever panicked in here left the map whole.
        let tried = || self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tried().get(&key).cloned();
        let wrong = match known {
            Some(wrong) => wrong,
            None => {
                let bytes = granting(&self.modules.get(record.module)?, &body.may)?.to_vec();
                let module = AdmittedModule { bytes, allowed };
                let wrong = wrong(self.host()?, &module, body.config.as_deref());
                let mut tried = tried();
                if tried.len() >= TRIALS_MAX {
                    tried.clear();
                }
                tried.insert(key, wrong.clone());
                wrong
            }
        };
        Ok(wrong.map(|wrong| match wrong {
            Wrong::Configuration(words) => filters::refused(body, &words),
            Wrong::Fails(words) => filters::fails(body, &words),
        }))
    }

    fn host(&self) -> Result<&Host, String> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let made = dry_run::host(&Terms::default()).map_err(|error| error.to_string())?;
        Ok(self.host.get_or_init(|| made))
    }
}

/// What is wrong with a module that is started and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    /// It does not accept its configuration, or that there is none; in its words.
    Configuration(String),
    /// It fails.
    Fails(String),
}

/// Why a module cannot be used with a configuration, or with none.
fn wrong(host: &Host, module: &AdmittedModule, config: Option<&str>) -> Option<Wrong> {
    let (finding, _) = dry_run(host, module, config.map(str::as_bytes)).err()?;
    match finding.code {
        // That it wants a configuration is an error here, for it gets none.
        Code::F502 | Code::F503 => {
            let said = finding.reason.split_once(": ").map_or("it gives no reason", |(_, said)| said);
            Some(Wrong::Configuration(said.to_owned()))
        }
        _ if finding.refuses() => Some(Wrong::Fails(finding.reason)),
        _ => None,
    }
}
