//! What stands between a push and the store: who vouches for a module, all looks at it, and the record that is made of it.

use crate::mesh::model::filter::{FilterDigest, FilterSource};
use crate::mesh::model::{DesiredState, FilterId, FilterRecord};
use crate::mesh::store::{Actor, FilterPush, StoreError, is_pushed};
use crate::policies::effort::Effort;
use crate::policies::filters::dry_run::DryRun;
use crate::policies::filters::look::{Candidate, EnvoyTrial, LookError, Looked, ModuleTrial, look_at};
use crate::policies::filters::signature::{SignatureError, TrustedKeys};
use chancery_sdk_admission::{Capability, Finding, Terms};
use std::collections::BTreeSet;
use std::sync::Arc;

/// On which terms a control plane admits filters.
#[derive(Clone, Debug, Default)]
pub struct PushTerms {
    /// Where modules are tried beside the dry run.
    pub trial: Option<Arc<dyn ModuleTrial>>,
    /// The keys one of which must have signed; `None` if signatures are not asked for.
    pub keys: Option<TrustedKeys>,
    /// Whether an Envoy must have loaded a module.
    pub requires_envoy: bool,
}

/// A filter that somebody wants to have.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Name and version.
    pub id: FilterId,
    /// The module.
    pub bytes: Vec<u8>,
    /// What it is configured with when it is tried.
    pub configuration: Option<Vec<u8>>,
    /// What it may do at the most; `None` leaves that to policies.
    pub may: Option<BTreeSet<Capability>>,
    /// Where the bytes came from.
    pub source: FilterSource,
    /// In base64.
    pub signature: Option<String>,
}

/// A filter that may be stored.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What to store; `None` if it is there.
    pub push: Option<FilterPush>,
    /// Warnings about the module.
    pub findings: Vec<Finding>,
    /// What was not looked at, as sentences.
    pub notes: Vec<String>,
    /// How far the dry run came.
    pub dry_run: Option<DryRun>,
}

/// Why a filter is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum PushRefusal {
    /// For what was found.
    #[error("the module is refused: {}; nothing was changed", errors(.0))]
    Findings(Vec<Finding>),
    /// For who did not sign it.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// An Envoy must have loaded it, and none did.
    #[error("the module was not tried in an Envoy, which this control plane requires: {reason}")]
    NotTried {
        /// Why not.
        reason: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The version stands for something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Looks at a filter that somebody wants to have, on a state.
///
/// # Errors
/// If it is refused, or cannot be looked at.
pub fn admit_push(
    state: &DesiredState,
    proposal: &Proposal,
    terms: &PushTerms,
    by: &Actor,
    effort: &Effort,
) -> Result<Admitted, PushRefusal> {
    let digest = FilterDigest::of(&proposal.bytes);
    let mut notes = Vec::new();
    let signed_by = match &terms.keys {
        Some(keys) => Some(keys.verify(&proposal.id, digest, proposal.signature.as_deref())?),
        None => {
            if proposal.signature.is_some() {
                notes.push(
                    "the signature was not verified: this control plane has no keys (`--filter-keys`)"
                        .to_owned(),
                );
            }
            None
        }
    };
    if is_pushed(state, &proposal.id, digest, proposal.may.as_ref())? {
        return Ok(Admitted { push: None, findings: Vec::new(), notes, dry_run: None });
    }
    let admission = Terms { may: proposal.may.clone(), ..Terms::default() };
    let candidate = Candidate {
        bytes: &proposal.bytes,
        configuration: proposal.configuration.as_deref(),
        terms: &admission,
    };
    let looked = look_at(candidate, terms.trial.as_deref(), effort)?;
    let Looked { findings, uses, module, dry_run, envoy, withheld: _ } = looked;
    let Some(module) = module else { return Err(PushRefusal::Findings(findings)) };
    let envoy = loaded_by(envoy, terms.requires_envoy, &mut notes)?;
    let record = FilterRecord {
        id: proposal.id.clone(),
        digest,
        module: FilterDigest::of(&module.bytes),
        bytes: proposal.bytes.len() as u64,
        module_bytes: module.bytes.len() as u64,
        uses,
        may: proposal.may.clone(),
        allowed: module.allowed,
        envoy,
        pushed_by: by.name.clone(),
        pushed_at: by.at,
        source: proposal.source.clone(),
        signed_by,
    };
    let push = FilterPush {
        record: Arc::new(record),
        pushed: proposal.bytes.as_slice().into(),
        module: module.bytes.into(),
    };
    Ok(Admitted { push: Some(push), findings, notes, dry_run })
}

/// The version of the Envoy that loaded a module; if none did, says so or refuses.
fn loaded_by(
    trial: EnvoyTrial,
    is_required: bool,
    notes: &mut Vec<String>,
) -> Result<Option<String>, PushRefusal> {
    let (reason, help) = match trial {
        EnvoyTrial::Loads(version) => return Ok(Some(version)),
        EnvoyTrial::NotReached | EnvoyTrial::LoadsNot(_) => {
            ("it does not accept that there is no configuration", "try it with one: `--config FILE`")
        }
        EnvoyTrial::NoEnvoy | EnvoyTrial::NotWanted => (
            "there is none where the control plane runs",
            "install one there with `chancery envoy install`, or name one in CHANCERY_ENVOY",
        ),
    };
    if is_required {
        return Err(PushRefusal::NotTried { reason, help });
    }
    notes.push(format!("the module was not tried in an Envoy: {reason}; {help}"));
    Ok(None)
}

fn errors(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.refuses()).count();
    format!("{errors} {}", if errors == 1 { "error" } else { "errors" })
}
