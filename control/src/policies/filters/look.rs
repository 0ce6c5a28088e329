//! All looks at a module of somebody else, one after the other: it is read, run dry, and tried in an Envoy, if there is one.
//!
//! ```text
//! bytes --admit--> module with bounds --dry run--> started --ModuleTrial--> loaded by Envoy
//!           \__________________\___________________________\______ findings
//! ```
//!
//! Each look comes only if the one before found nothing that refuses the module.

use crate::policies::effort::{Effort, Stopped};
use crate::policies::filters::dry_run::{self, DryRun};
use crate::policies::filters::errors;
use chancery_sdk_admission::{AdmittedModule, Capability, Finding, Terms, admit};
use chancery_sdk_host::HostError;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

/// An Envoy of this machine in which modules are tried.
pub trait ModuleTrial: Send + Sync + Debug {
    /// Lets an Envoy load a module in a process of its own; `None` if there is no Envoy.
    ///
    /// # Errors
    /// When an Envoy is there and cannot be started, in words for the operator.
    fn try_module(&self, module: &AdmittedModule, configuration: &[u8]) -> Result<Option<Tried>, String>;
}

/// What an Envoy made of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The version of the Envoy.
    pub envoy: String,
    /// What it did.
    pub verdict: Verdict,
}

/// What an Envoy did with a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It loads it.
    Loads,
    /// It refuses it, in these words.
    Refuses(String),
    /// It ended by this signal.
    Crashes(i32),
    /// It had not loaded it after so long.
    Hangs(Duration),
}

/// Whether a module was tried in an Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvoyTrial {
    /// That version loads it.
    Loads(String),
    /// That version does not.
    LoadsNot(String),
    /// It was not tried: there is none.
    NoEnvoy,
    /// It was not tried, for that was not wanted.
    NotWanted,
    /// It was not tried, for the dry run did not come that far.
    NotReached,
}

/// A module, and how it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What it is configured with when it is tried.
    pub configuration: Option<&'a [u8]>,
    /// On which terms it would be admitted.
    pub terms: &'a Terms,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Looked {
    /// All that is wrong with the module or odd about it.
    pub findings: Vec<Finding>,
    /// What it could make use of.
    pub uses: BTreeSet<Capability>,
    /// What of that it is cut off from.
    pub withheld: BTreeSet<Capability>,
    /// The module with its bounds; `None` if a finding refuses it.
    pub module: Option<AdmittedModule>,
    /// How far the dry run came; `None` if there was none, or it found what refuses the module.
    pub dry_run: Option<DryRun>,
    /// What became of the trial in Envoy.
    pub envoy: EnvoyTrial,
}

/// Why nothing is known of a module.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Wasmtime cannot be set up on this machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Envoy cannot be started.
    #[error("the module cannot be tried in Envoy: {0}")]
    Envoy(String),
    /// It took longer than it may, or nobody waits any more.
    #[error("the module was not looked at to the end: {0}")]
    Stopped(#[from] Stopped),
}

/// Looks at a module; not in an Envoy if there is no `trial`.
///
/// # Errors
/// When it cannot be looked at, which says nothing about the module.
pub fn look_at(
    candidate: Candidate<'_>,
    trial: Option<&dyn ModuleTrial>,
    effort: &Effort,
) -> Result<Looked, LookError> {
    effort.go_on()?;
    let admission = admit(candidate.bytes, candidate.terms);
    let mut looked = Looked {
        findings: admission.findings,
        uses: admission.uses,
        withheld: admission.withheld,
        module: None,
        dry_run: None,
        envoy: EnvoyTrial::NotReached,
    };
    let Some(module) = admission.module else { return Ok(looked) };
    effort.go_on()?;
    looked.run_dry(&module, candidate)?;
    // Envoy would say of a missing configuration what was said.
    if matches!(looked.dry_run, Some(DryRun::Requests(_) | DryRun::Started)) {
        effort.go_on()?;
        looked.try_in_envoy(&module, candidate, trial)?;
    }
    looked.module = (!looked.is_refused()).then_some(module);
    Ok(looked)
}

impl Looked {
    /// Whether a finding refuses the module.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(Finding::refuses)
    }

    fn run_dry(&mut self, module: &AdmittedModule, candidate: Candidate<'_>) -> Result<(), LookError> {
        let host = dry_run::host(candidate.terms)?;
        self.dry_run = match dry_run::dry_run(&host, module, candidate.configuration) {
            Ok(reached) => Some(reached),
            Err((finding, reached)) => {
                self.findings.push(*finding);
                reached
            }
        };
        Ok(())
    }

    fn try_in_envoy(
        &mut self,
        module: &AdmittedModule,
        candidate: Candidate<'_>,
        trial: Option<&dyn ModuleTrial>,
    ) -> Result<(), LookError> {
        let Some(trial) = trial else {
            self.envoy = EnvoyTrial::NotWanted;
            return Ok(());
        };
        let configuration = candidate.configuration.unwrap_or_default();
        let tried = trial.try_module(module, configuration).map_err(LookError::Envoy)?;
        let Some(Tried { envoy, verdict }) = tried else {
            self.envoy = EnvoyTrial::NoEnvoy;
            return Ok(());
        };
        let finding = match verdict {
            Verdict::Loads => {
                self.envoy = EnvoyTrial::Loads(envoy);
                return Ok(());
            }
            Verdict::Refuses(words) => errors::refused_by_envoy(&words),
            Verdict::Crashes(signal) => errors::envoy_crashes(signal),
            Verdict::Hangs(after) => errors::envoy_hangs(after.as_secs()),
        };
        self.envoy = EnvoyTrial::LoadsNot(envoy);
        self.findings.push(finding);
        Ok(())
    }
}

impl EnvoyTrial {
    /// What became of it, in words; `None` if it did not come to it.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Loads(version) => Some(format!("{version} loads it")),
            Self::LoadsNot(version) => Some(format!("{version} does not load it")),
            Self::NoEnvoy => Some(
                "not tried: there is none on this machine (`chancery envoy install` gets one)".to_owned(),
            ),
            Self::NotWanted | Self::NotReached => None,
        }
    }
}
