//! Names of the mesh, for a shell to offer: asked of the control plane while somebody writes a command.

use crate::cli::context;
use crate::cli::exit::Failure;
use crate::cli::get::members::services_of;
use crate::cli::global::Global;
use crate::cli::logging::LogFormat;
use crate::server::api::client::Client;
use crate::server::api::types::{FilterList, PolicyList, ProxyList};
use clap::Command;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How long a control plane is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most names that are offered: more nobody reads.
const NAMES_MAX: usize = 500;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Policy,
    Proxy,
    Service,
    Filter,
}

/// Where names stand: subcommands, the argument's id, and what it names.
const PLACES: [(&[&str], &str, Kind); 14] = [
    (&["get", "policy"], "name", Kind::Policy),
    (&["delete", "policy"], "name", Kind::Policy),
    (&["describe", "policy"], "name", Kind::Policy),
    (&["describe", "proxy"], "id", Kind::Proxy),
    (&["describe", "service"], "name", Kind::Service),
    (&["describe", "filter"], "name", Kind::Filter),
    (&["shadow"], "policy", Kind::Policy),
    (&["logs"], "policy", Kind::Policy),
    (&["snapshot"], "proxy", Kind::Proxy),
    (&["proxies", "evict"], "ids", Kind::Proxy),
    (&["proxies", "forget"], "ids", Kind::Proxy),
    (&["token"], "service", Kind::Service),
    (&["filter", "show"], "filter", Kind::Filter),
    (&["filter", "versions"], "name", Kind::Filter),
];

/// The context file that the command names which is being written.
pub(super) fn context(arguments: &[OsString]) -> Option<PathBuf> {
    const OPTION: &str = "--context";
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == OPTION {
            return words.next().map(PathBuf::from);
        }
        let inline = word.to_str().and_then(|word| word.strip_prefix(OPTION)?.strip_prefix('='));
        if let Some(file) = inline {
            return Some(file.into());
        }
    }
    std::env::var_os("CHANCERY_CONTEXT").map(PathBuf::from)
}

/// The command line, with names where they can stand.
pub(super) fn known(command: Command, context: Option<PathBuf>) -> Command {
    PLACES.iter().fold(command, |command, (path, argument, kind)| {
        let (context, kind) = (context.clone(), *kind);
        let candidates = ArgValueCandidates::new(move || offered(context.clone(), kind));
        at(command, path, argument, candidates)
    })
}

fn at(command: Command, path: &[&str], argument: &str, candidates: ArgValueCandidates) -> Command {
    match path.split_first() {
        None => command.mut_arg(argument, |argument| argument.add(candidates)),
        Some((first, rest)) => command.mut_subcommand(*first, |inner| at(inner, rest, argument, candidates)),
    }
}

/// Names of the mesh; none, if the control plane does not answer at once or refuses.
fn offered(context: Option<PathBuf>, kind: Kind) -> Vec<CompletionCandidate> {
    let global = Global { context, log: None, log_format: LogFormat::default() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let asked = async { tokio::time::timeout(PATIENCE, names(&global, kind)).await };
    let names = runtime.block_on(asked).ok().and_then(Result::ok).unwrap_or_default();
    names.into_iter().take(NAMES_MAX).map(CompletionCandidate::new).collect()
}

async fn names(global: &Global, kind: Kind) -> Result<BTreeSet<String>, Failure> {
    let client: Client = context::find(global)?.client()?;
    Ok(match kind {
        Kind::Policy => {
            let list: PolicyList = client.get("/v1/policies").await?;
            list.policies.into_iter().map(|policy| policy.name).collect()
        }
        Kind::Proxy => {
            let list: ProxyList = client.get("/v1/proxies").await?;
            list.proxies.into_iter().map(|proxy| proxy.id).collect()
        }
        Kind::Service => {
            let list: ProxyList = client.get("/v1/proxies").await?;
            services_of(&list.proxies).into_keys().collect()
        }
        Kind::Filter => {
            let list: FilterList = client.get("/v1/filters").await?;
            list.filters.into_iter().map(|filter| filter.name).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn each_place_is_one_of_the_command_line() {
        // Naming another one panics.
        let command = known(Cli::command(), None);
        for (path, argument, _) in PLACES {
            let mut at = &command;
            for name in path {
                let found = at.find_subcommand(name);
                assert!(found.is_some(), "{path:?}");
                at = found.unwrap_or(at);
            }
            assert!(at.get_arguments().any(|known| known.get_id() == argument), "{path:?} {argument}");
        }
    }

    #[test]
    fn the_context_is_the_one_of_the_command_that_is_written() {
        let context = |words: &[&str]| context(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(context(&["chancery", "--context", "a.json", "get"]), Some("a.json".into()));
        assert_eq!(context(&["chancery", "get", "--context=b.json"]), Some("b.json".into()));
    }
}
