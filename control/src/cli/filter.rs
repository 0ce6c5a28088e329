//! `chancery filter`: Wasm filters of one's own, looked at and run before any sidecar does, and kept in the mesh.

mod build;
mod catalogue;
mod check;
mod delete;
mod keygen;
mod list;
mod may;
mod module_file;
mod new;
mod push;
mod run;
pub(super) mod show;
mod trial;
mod versions;

pub(crate) use trial::LocalEnvoy;

use crate::cli::exit::CommandResult;
use crate::cli::global::Global;
use clap::{Args, Subcommand};

/// Arguments of `chancery filter`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Begin a filter of one's own: a folder that builds and tests
    New(new::Arguments),
    /// List the ready filters
    Catalogue(catalogue::Arguments),
    /// Build a filter of one's own and look at the module
    Build(build::Arguments),
    /// Say everything that is wrong with a module, try it, and write what sidecars would run
    Check(check::Arguments),
    /// Run a module on a request, as a sidecar would, and show what it does
    Run(Box<run::Arguments>),
    /// Keep a module in the mesh, as a version of a filter that policies can use
    Push(Box<push::Arguments>),
    /// List the filters
    List(list::Arguments),
    /// Show one version of a filter
    Show(show::Arguments),
    /// List the versions of a filter: who pushed or deleted which
    Versions(versions::Arguments),
    /// Delete a version of a filter that no policy uses
    Delete(delete::Arguments),
    /// Make a pair of keys: one to sign filters with, one for the control plane to trust
    Keygen(keygen::Arguments),
}

/// Does what the subcommand says.
///
/// # Errors
/// As the subcommands.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    match &arguments.action {
        Action::New(arguments) => new::run(arguments),
        Action::Catalogue(arguments) => catalogue::run(arguments),
        Action::Build(arguments) => build::run(arguments),
        Action::Check(arguments) => check::run(arguments),
        Action::Run(arguments) => run::run(arguments),
        Action::Push(arguments) => push::run(arguments, global).await,
        Action::List(arguments) => list::run(arguments, global).await,
        Action::Show(arguments) => show::run(arguments, global).await,
        Action::Versions(arguments) => versions::run(arguments, global).await,
        Action::Delete(arguments) => delete::run(arguments, global).await,
        Action::Keygen(arguments) => keygen::run(arguments),
    }
}
