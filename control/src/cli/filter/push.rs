//! `chancery filter push`: hands a module to the control plane, which looks at it and keeps it as a version of a filter.

use super::may::capability;
use super::{catalogue, module_file};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::mesh::model::FilterId;
use crate::mesh::model::filter::{FilterDigest, FilterName, FilterVersion};
use crate::mesh::words::visible_lines;
use crate::policies::filters::oci::{Pulled, Reference, Registry, read_credentials};
use crate::policies::filters::ready::ReadyFilter;
use crate::policies::filters::signature::SigningKey;
use crate::server::api::types::{FilterSourceBody, PushRequest, PushResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_sdk_admission::Capability;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chancery filter push`.
#[derive(Args, Debug)]
#[command(
    after_help = "The control plane looks at the module as `chancery filter check` does, and keeps it if\n\
    nothing refuses it. A version never gets other bytes, not even after it was deleted; the same\n\
    again changes nothing.\n\
    Nothing runs it until a policy uses it.\n\n\
    Examples:\n  chancery filter push my.wasm --name pii-guard --version 1.2.0\n  \
    chancery filter push my.wasm --name pii-guard --version 1.2.0 --config c.json --may call\n  \
    chancery filter push my.wasm --name pii-guard --version 1.2.0 --sign release.key\n  \
    chancery filter push --ready hmac-auth --config c.json\n  \
    chancery filter push --from oci://ghcr.io/acme/pii-guard:1.2.0 --name pii-guard --version 1.2.0"
)]
pub(super) struct Arguments {
    /// The module
    #[arg(value_name = "MODULE", required_unless_present_any = ["from", "ready"], conflicts_with_all = ["from", "ready"])]
    module: Option<PathBuf>,
    /// Take the ready filter of this name, as `chancery filter catalogue` lists it, in the version of this `chancery`
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    ready: Option<FilterName>,
    /// Get the module from an OCI registry, from this machine: `oci://HOST/NAME:TAG` or `oci://HOST/NAME@sha256:DIGEST`
    #[arg(long, value_name = "REFERENCE")]
    from: Option<Reference>,
    /// What registries are shown: a file as `docker login` writes it
    #[arg(long, env = "CHANCERY_REGISTRY_AUTH", value_name = "FILE", hide_env_values = true)]
    registry_auth: Option<PathBuf>,
    /// Certificates (PEM) that are trusted of the registry beside those of this machine
    #[arg(long, env = "CHANCERY_REGISTRY_CA", value_name = "FILE", hide_env_values = true)]
    registry_ca: Option<PathBuf>,
    /// The name of the filter; that of the ready one unless stated
    #[arg(long, value_name = "NAME", required_unless_present = "ready")]
    name: Option<FilterName>,
    /// Its version, such as 1.2.0; that of the ready one unless stated
    #[arg(long, value_name = "VERSION", required_unless_present = "ready")]
    version: Option<FilterVersion>,
    /// Sign it with this private key (Ed25519, PKCS #8, PEM)
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// What the module may do at the most: `call`, `read body`, `change body`, `share data`; left to policies unless one is
    /// stated
    #[arg(long, value_name = "WORDS", value_parser = capability)]
    may: Vec<Capability>,
    /// What the module is configured with when it is tried
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at everything, change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArguments,
}

/// A module and where it came from.
struct Source {
    bytes: Vec<u8>,
    from: FilterSourceBody,
}

/// Pushes the module, and says what came of it.
///
/// # Errors
/// Bad input if a file cannot be read or the module is refused, refused if the version is taken.
pub(super) async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let key = arguments.sign.as_deref().map(SigningKey::read).transpose()?;
    let configuration = arguments.config.as_deref().map(module_file::read_text).transpose()?;
    let client = context::find(global)?.client()?;
    let Source { bytes, from } = source(arguments).await?;
    let id = id(arguments)?;
    let request = PushRequest {
        name: id.name.to_string(),
        version: id.version.to_string(),
        source: from,
        may: may(&arguments.may),
        configuration: configuration.map(|bytes| STANDARD.encode(bytes)),
        signature: key.map(|key| key.sign(&id, FilterDigest::of(&bytes))),
        module: STANDARD.encode(bytes),
        dry_run: arguments.dry_run,
    };
    let response: PushResponse = client.post("/v1/filters", &request).await?;
    terminal::print_words(&arguments.output.render(&response, text)?)?;
    Ok(Exit::Well)
}

fn id(arguments: &Arguments) -> Result<FilterId, Failure> {
    let name = arguments.name.as_ref().or(arguments.ready.as_ref());
    let name = name.ok_or_else(|| Failure::bad_input("say the name: `--name NAME`"))?.clone();
    let version = match &arguments.version {
        Some(version) => version.clone(),
        None => ReadyFilter::version().parse().map_err(|error| Failure::failed(format!("{error}")))?,
    };
    Ok(FilterId { name, version })
}

async fn source(arguments: &Arguments) -> Result<Source, Failure> {
    let path = match (&arguments.from, &arguments.ready, &arguments.module) {
        (Some(reference), _, _) => return pull(arguments, reference).await,
        (None, Some(name), _) => catalogue::module_of(&name.to_string())?,
        (None, None, Some(path)) => path.clone(),
        (None, None, None) => {
            return Err(Failure::bad_input("say which module: a file, `--ready NAME` or `--from oci://…`"));
        }
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Source { bytes: module_file::read_module(&path)?, from: FilterSourceBody::File(name) })
}

async fn pull(arguments: &Arguments, reference: &Reference) -> Result<Source, Failure> {
    let credentials = arguments.registry_auth.as_deref().map(read_credentials).transpose()?;
    let roots = arguments.registry_ca.as_deref().map(module_file::read_text).transpose()?;
    let credentials = credentials.unwrap_or_default();
    let mut registry = Registry::of(reference.clone(), &credentials, &roots.unwrap_or_default())?;
    let Pulled { module, manifest } = registry.pull().await?;
    let (reference, manifest) = (reference.to_string(), manifest.to_string());
    Ok(Source { bytes: module, from: FilterSourceBody::Registry { reference, manifest } })
}

fn may(stated: &[Capability]) -> Option<Vec<String>> {
    (!stated.is_empty()).then(|| stated.iter().map(|capability| capability.as_str().to_owned()).collect())
}

/// What came of it, for people: warnings first.
fn text(response: &PushResponse) -> String {
    let PushResponse { filter, dry_run, outcome, findings, notes, tried } = response;
    let findings = findings.iter().map(|found| format!("{}\n\n", visible_lines(&found.rendered)));
    let mut text: String = findings.collect();
    text.extend(notes.iter().map(|note| format!("note: {note}\n")));
    let outcome = match outcome.as_str() {
        "unchanged" => "was pushed before; nothing was changed",
        _ if *dry_run => "would be pushed; nothing was changed",
        outcome => outcome,
    };
    text.push_str(&format!("filter {}@{} {outcome}\n", filter.name, filter.version));
    text.push_str(&format!("  sha256   {}\n", filter.digest));
    let bounds = format!("{} bytes, {} with bounds", filter.bytes, filter.module_bytes);
    text.push_str(&format!("  size     {bounds}\n"));
    text.extend(tried.as_ref().map(|tried| format!("  dry run  {tried}\n")));
    text.extend(filter.envoy.as_ref().map(|version| format!("  envoy    {version} loads it\n")));
    text.extend(filter.signed_by.as_ref().map(|key| format!("  signed   by {key}\n")));
    text
}
