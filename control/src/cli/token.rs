//! `chancery token`: makes tokens for joining and for the API, and revokes them.

use crate::cli::context;
use crate::cli::durations;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::proxies::say_evicted;
use crate::cli::terminal;
use crate::server::api::client::{Client, escape};
use crate::server::api::types::{Evicted, Role, TokenRequest, TokenResponse};
use crate::server::context::Context;
use clap::{ArgGroup, Args, ValueEnum};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// Arguments of `chancery token`.
#[derive(Args, Debug)]
#[command(
    after_help = "The token is the only line on standard output; what is said about it goes to standard error.\n\n\
    Examples:\n  \
    chancery token --service shop/orders -o orders.token\n  \
    chancery token --service shop/orders --expires 7d -o orders.token\n  \
    chancery token --role reader --expires 30d -o reader.json     # a context file for --context\n  \
    chancery token --revoke 3f2a9c51d0e4\n  \
    chancery token --revoke 3f2a9c51d0e4 --with-members"
)]
#[command(group = ArgGroup::new("what").required(true).multiple(false))]
pub struct Arguments {
    /// Make a token with which sidecars of this service join
    #[arg(long, value_name = "NAMESPACE/NAME", group = "what")]
    service: Option<String>,
    /// Make a context file with a token for the API
    #[arg(long, group = "what")]
    role: Option<RoleName>,
    /// End a token, by its id
    #[arg(long, value_name = "ID", group = "what")]
    revoke: Option<String>,
    /// Shut out the sidecars that joined with it, too
    #[arg(long, requires = "revoke", conflicts_with_all = ["service", "role"])]
    with_members: bool,
    /// How long it is good [default: 24h for joining, for ever for a role]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse_some, conflicts_with = "revoke")]
    expires: Option<Duration>,
    /// Write it to a file that only this user can read (mode 0600), in place of standard output
    #[arg(long, short, value_name = "FILE", conflicts_with = "revoke")]
    output: Option<PathBuf>,
}

/// Where a token goes: a file that this user alone can read, or standard output.
fn hand_over(arguments: &Arguments, text: &str) -> Result<(), Failure> {
    let Some(file) = &arguments.output else { return Ok(terminal::print_line(text)?) };
    write_private(file, text).map_err(|error| {
        Failure::failed(format!("the token cannot be written to `{}`: {error}", file.display()))
            .help("it was made, and is lost; name a file in a folder that this user can write to")
    })
}

/// Replaces a file as a whole by one that nobody else can read.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let file = std::path::absolute(file)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut new = NamedTempFile::new_in(folder)?;
    writeln!(new, "{text}")?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Reads everything but secrets
    Reader,
    /// Reads and changes everything
    Admin,
}

/// Makes or revokes a token.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let context = context::find(global)?;
    let client = context.client()?;
    let lifetime_seconds = arguments.expires.map(|duration| duration.as_secs().max(1));
    if let Some(id) = &arguments.revoke {
        return revoke(&client, id, arguments.with_members).await;
    }
    if let Some(service) = &arguments.service {
        let request = TokenRequest::Join { service: service.clone(), lifetime_seconds };
        let new: TokenResponse = client.post("/v1/tokens", &request).await?;
        hand_over(arguments, &new.token)?;
        say(&format!("for service {service}"), &new);
        return Ok(Exit::Well);
    }
    let role = match arguments.role {
        Some(RoleName::Reader) => Role::Reader,
        Some(RoleName::Admin) => Role::Admin,
        None => return Err(Failure::bad_input("say what the token is for: --service or --role")),
    };
    let new: TokenResponse =
        client.post("/v1/tokens", &TokenRequest::Role { role, lifetime_seconds }).await?;
    let theirs = Context { token: new.token.clone(), ..context };
    let text = serde_json::to_string_pretty(&theirs).map_err(|error| Failure::failed(error.to_string()))?;
    hand_over(arguments, &text)?;
    say(&format!("for role {}", role.as_str()), &new);
    Ok(Exit::Well)
}

async fn revoke(client: &Client, id: &str, with_members: bool) -> CommandResult {
    let path = format!("/v1/tokens/{}?members={with_members}", escape(id));
    let gone: Evicted = client.delete(&path).await?;
    terminal::print_line(&format!("token {id} revoked"))?;
    say_evicted(&gone)?;
    Ok(Exit::Well)
}

fn say(purpose: &str, new: &TokenResponse) {
    let until =
        new.expires_at.as_ref().map_or_else(|| "until revoked".to_owned(), |at| format!("until {at}"));
    terminal::print_error(&format!("token {} {purpose}, good {until}", new.id));
}
