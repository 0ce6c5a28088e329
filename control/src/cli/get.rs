//! `chancery get`: shows what the control plane has.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::terminal;
use crate::mesh::words::visible;
use crate::policies::sources;
use crate::server::api::client::{Client, escape};
use crate::server::api::types::{AuditList, DocumentBody, DocumentList, PolicyBody, PolicyList, TokenList};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `chancery get`.
#[derive(Args, Debug)]
#[command(
    after_help = "`get policy NAME` prints the whole file that the policy is in force from, byte for byte,\n\
    with its schema, lets, tests, comments and other policies: what it decides depends on them.\n\
    What the file had and does not count any more (a policy that was applied anew from another\n\
    file, or deleted) is left out and named on standard error. Applied again, what is printed\n\
    changes nothing.\n\n\
    Examples:\n  chancery get policy\n  chancery get policy orders > orders.writ\n  \
    chancery get policy --output in-force/\n  chancery get token\n  chancery get audit --count 20\n  \
    chancery get audit --count 10000 --json-lines"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All policies and sinks in force, or the whole file that one stands in
    #[command(visible_aliases = ["policies", "sink", "sinks"])]
    Policy {
        /// Its name
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write the files that the policies are in force from into a new folder
        #[arg(short, long, value_name = "DIR", conflicts_with_all = ["json", "name"])]
        output: Option<PathBuf>,
    },
    /// All tokens in force, without their secrets
    #[command(visible_alias = "tokens")]
    Token {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The newest writes: who did what when
    Audit {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        count: usize,
        /// The writes of sidecars and of the control plane itself, which have a log of their own
        #[arg(long)]
        machines: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print a line of JSON for each write, the oldest first, for a file that grows
        #[arg(long, conflicts_with = "json")]
        json_lines: bool,
    },
}

/// Prints what was asked for.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    let text = match &arguments.what {
        What::Policy { output: Some(folder), .. } => write_documents(&client, folder).await?,
        What::Policy { name: Some(name), json, .. } => policy(&client, name, *json).await?,
        What::Policy { name: None, json, .. } => policies(&client, *json).await?,
        What::Token { json } => tokens(&client, *json).await?,
        What::Audit { count, machines, json, json_lines } => {
            audit(&client, *count, *machines, (*json, *json_lines)).await?
        }
    };
    terminal::print_words(&text)?;
    Ok(Exit::Well)
}

async fn policy(client: &Client, name: &str, json: bool) -> Result<String, Failure> {
    let policy: PolicyBody = client.get(&format!("/v1/policies/{}", escape(name))).await?;
    if json {
        return pretty(&policy);
    }
    let document = policy.document.ok_or_else(|| {
        Failure::failed(format!("the control plane did not send the file of policy `{name}`"))
            .help("is it of this version?")
    })?;
    note_what_is_left_out(&document);
    Ok(document.text)
}

/// Writes all files into a folder, each called after its first policy: names that are unique in the mesh and
/// can be names of files, which what people called them may not.
async fn write_documents(client: &Client, folder: &Path) -> Result<String, Failure> {
    let list: DocumentList = client.get("/v1/documents").await?;
    let unwritable =
        |path: &Path, error| Failure::failed(format!("`{}` cannot be written: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
    if fs::read_dir(folder).map_err(|error| unwritable(folder, error))?.next().is_some() {
        return Err(Failure::bad_input(format!("`{}` is not empty", folder.display()))
            .help("name a new folder: with older files in it, it would not be what is in force"));
    }
    let mut text = String::new();
    for document in &list.documents {
        let Some(name) = document.policies.first() else { continue };
        let path = folder.join(format!("{name}.{}", sources::EXTENSION));
        fs::write(&path, &document.text).map_err(|error| unwritable(&path, error))?;
        note_what_is_left_out(document);
        text.push_str(&format!("{}: {}\n", path.display(), document.policies.join(", ")));
    }
    text.push_str(&format!("revision {}\n", list.revision));
    Ok(text)
}

fn note_what_is_left_out(document: &DocumentBody) {
    for left in &document.left_out {
        let note = format!(
            "note: the {} `{}` ({}:{}) is left out: it {}",
            left.kind, left.name, left.file, left.line, left.reason
        );
        terminal::print_error(&visible(&note));
    }
}

async fn policies(client: &Client, json: bool) -> Result<String, Failure> {
    let list: PolicyList = client.get("/v1/policies").await?;
    if json {
        return pretty(&list);
    }
    if list.policies.is_empty() {
        return Ok("no policy is in force; put some in force with `chancery apply`\n".to_owned());
    }
    let row = |policy: PolicyBody| {
        let (on, revision) = (policy.targets.join(", "), policy.revision.to_string());
        vec![
            policy.name,
            policy.mode,
            on,
            revision,
            policy.set.unwrap_or_else(|| "-".to_owned()),
            policy.file,
        ]
    };
    let rows: Vec<_> = list.policies.into_iter().map(row).collect();
    Ok(terminal::table(&["POLICY", "MODE", "ON", "REVISION", "SET", "FILE"], &rows))
}

async fn tokens(client: &Client, json: bool) -> Result<String, Failure> {
    let list: TokenList = client.get("/v1/tokens").await?;
    if json {
        return pretty(&list);
    }
    let end = |at: Option<String>| at.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<_> =
        list.tokens.into_iter().map(|token| vec![token.id, token.grants, end(token.expires_at)]).collect();
    Ok(terminal::table(&["TOKEN", "GRANTS", "ENDS"], &rows))
}

async fn audit(
    client: &Client,
    count: usize,
    machines: bool,
    (json, json_lines): (bool, bool),
) -> Result<String, Failure> {
    let log = if machines { "machines" } else { "people" };
    let list: AuditList = client.get(&format!("/v1/audit?count={count}&log={log}")).await?;
    if json {
        return pretty(&list);
    }
    if json_lines {
        let line = |entry| serde_json::to_string(entry).map(|line| line + "\n");
        let lines: Result<String, _> = list.entries.iter().rev().map(line).collect();
        return lines.map_err(|error| Failure::failed(error.to_string()));
    }
    let row = |entry: crate::server::api::types::AuditBody| {
        vec![entry.number.to_string(), entry.at, entry.revision.to_string(), entry.actor, entry.action]
    };
    let rows: Vec<_> = list.entries.into_iter().map(row).collect();
    Ok(terminal::table(&["N", "AT", "REVISION", "BY", "DID"], &rows))
}

fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(format!("{text}\n"))
}
