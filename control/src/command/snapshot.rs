//! `chancery snapshot`: what a sidecar is given, as YAML.

use crate::cli::Global;
use crate::context::Context;
use crate::exit::{CommandResult, Exit, Failure};
use crate::identity::spiffe::is_name;
use crate::terminal;
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
    let client = Context::find(global)?.client()?;
    terminal::print(&client.get_text(&format!("/v1/proxies/{proxy}/snapshot")).await?)?;
    Ok(Exit::Well)
}
