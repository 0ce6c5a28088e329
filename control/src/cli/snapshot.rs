//! `chancery snapshot`: what a sidecar is given, as YAML.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::terminal;
use crate::mesh::identity::spiffe::is_name;
use clap::Args;

/// Arguments of `chancery snapshot`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  chancery snapshot shop/orders/1")]
pub struct Arguments {
    /// The proxy, as `chancery proxies` shows it
    #[arg(value_name = "NAMESPACE/SERVICE/INSTANCE")]
    proxy: String,
}

/// Prints the snapshot.
///
/// # Errors
/// If there is no such proxy, or the control plane does not answer.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let proxy = &arguments.proxy;
    if proxy.split('/').count() != 3 || !proxy.split('/').all(is_name) {
        return Err(Failure::bad_input(format!("`{proxy}` is not the name of a proxy"))
            .help("write NAMESPACE/SERVICE/INSTANCE, as `chancery proxies` shows it"));
    }
    let client = context::find(global)?.client()?;
    terminal::print_words(&client.get_text(&format!("/v1/proxies/{proxy}/snapshot")).await?)?;
    Ok(Exit::Well)
}
