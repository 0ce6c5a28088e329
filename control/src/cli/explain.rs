//! `chancery explain`: what would be decided of a request, by which rule, and why not by another.

mod live;

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::policy_files::{self, PolicyFiles};
use crate::cli::report::Format;
use crate::cli::target::{TargetArguments, labels};
use crate::cli::terminal;
use crate::policies::explained::{Explained, Policies};
use chancery_policy_lang::SourceSet;
use chancery_policy_lang::check::request_of;
use chancery_policy_lang::checked::Target;
use chancery_policy_lang::diagnostic::near::nearest;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::request::RawRequest;
use clap::Args;
use live::Live;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Arguments of `chancery explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    chancery explain 'GET /api/x from service shop/cart' --on service shop/orders policies/\n  \
    chancery explain 'DELETE /api/items/7 with header x-role = \"lead\" with ip 10.1.2.3' \\\n      \
    --on service shop/orders --label version=v2 policies/\n  \
    chancery explain 'GET /api/x from service shop/cart' --on service shop/orders --live")]
pub struct Arguments {
    /// The request, as in a `test` block: METHOD PATH [from PEER] [with header NAME = "VALUE"] …; the
    /// path goes up to the next white space, or stands in quotes
    #[arg(value_name = "REQUEST")]
    request: String,
    /// Policy files, folders of them, or `-` for standard input
    #[arg(required_unless_present = "live", conflicts_with = "live", value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// By the policies in force, with the labels of the replicas that have joined; says which of them decide by these
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    target: TargetArguments,
    /// A label of the caller, if that is a service; can be given several times
    #[arg(long = "from-label", value_name = "NAME=VALUE")]
    from_labels: Vec<String>,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Prints the decision and how each rule met the request.
///
/// # Errors
/// Bad input if the request, a file or a policy is wrong; with `--live` also what the control plane says.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let stated = arguments.target.workload()?;
    let caller_labels = labels(&arguments.from_labels)?;
    let live = if arguments.live { Some(Live::ask(global, stated.clone()).await?) } else { None };
    let workload = live.as_ref().map_or(stated, |live| live.workload.clone());
    let request = parse_request(&arguments.request, &workload.trust_domain)?;
    let files = match &live {
        Some(live) => live.files(),
        None => PolicyFiles::read(&arguments.files)?,
    };
    files.say_diagnostics()?;
    let policies = Policies { sources: &files.sources, checked: &files.analysis.policies };
    let explained = match Explained::new(policies, &workload, &caller_labels, &request) {
        Ok(explained) => explained,
        Err(conflicts) => {
            policy_files::say(&files.sources, &conflicts)?;
            return Err(Failure::silent(Exit::BadInput));
        }
    };
    if let Some(near) = near_service(&files, &workload) {
        let own = format!("{}/{}", workload.namespace, workload.service);
        terminal::print_error(&format!("no policy names the service `{own}`: did you mean `{near}`?"));
    }
    match (arguments.format, &live) {
        (Format::Json, None) => terminal::print_json(&explained)?,
        (Format::Json, Some(live)) => {
            let text = serde_json::json!({
                "explained": explained, "revision": live.revision, "sidecars": live.sidecars
            });
            terminal::print_json(&text)?;
        }
        (_, None) => terminal::print_words(&explained.to_string())?,
        (_, Some(live)) => terminal::print_words(&format!("{explained}\n{}", live.standing()))?,
    }
    Ok(Exit::Well)
}

/// The service of the namespace that a policy names and was probably meant, if none names the one that is asked about.
fn near_service(files: &PolicyFiles, workload: &Workload) -> Option<String> {
    let targets = files.analysis.policies.iter().flat_map(|policy| &policy.targets);
    let names: BTreeSet<&str> = targets
        .filter_map(|scope| match &scope.target {
            Target::Service(service) if service.namespace == workload.namespace => {
                Some(service.name.as_str())
            }
            _ => None,
        })
        .collect();
    if names.contains(workload.service.as_str()) {
        return None;
    }
    nearest(&workload.service, names).map(|near| format!("{}/{near}", workload.namespace))
}

/// Reads the request as a `test` block would.
fn parse_request(text: &str, trust_domain: &str) -> Result<RawRequest, Failure> {
    let mut sources = SourceSet::new();
    let file = sources.add("<request>", text);
    match request_of(file, text, trust_domain) {
        Ok(request) => Ok(request),
        Err(diagnostics) => {
            policy_files::say(&sources, &diagnostics)?;
            Err(Failure::bad_input("the request cannot be read"))
        }
    }
}
