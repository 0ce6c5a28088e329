//! `chancery get`: shows what the control plane has.

pub(super) mod members;

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::listing::{self, Item, ListArguments, Listing};
use crate::cli::terminal;
use crate::mesh::words::visible;
use crate::policies::sources;
use crate::server::api::client::{Client, escape};
use crate::server::api::types::{
    AuditBody, AuditList, DocumentBody, DocumentList, FilterBody, FilterList, PolicyBody, PolicyList,
    TokenBody, TokenList,
};
use clap::{Args, Subcommand};
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
    chancery get policy --write in-force/\n  chancery get policy orders -o yaml\n  chancery get proxy -o wide --watch\n  \
    chancery get service\n  chancery get token\n  chancery get audit --count 20\n  \
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
        /// Write the files that the policies are in force from into a new folder
        #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "output", "watch", "name"])]
        write: Option<PathBuf>,
        #[command(flatten)]
        list: ListArguments,
    },
    /// The sidecars that joined
    #[command(visible_alias = "proxies")]
    Proxy {
        #[command(flatten)]
        list: ListArguments,
    },
    /// The services that sidecars offer or call
    #[command(visible_alias = "services")]
    Service {
        #[command(flatten)]
        list: ListArguments,
    },
    /// The versions of filters that can be used
    #[command(visible_alias = "filters")]
    Filter {
        #[command(flatten)]
        list: ListArguments,
    },
    /// All tokens in force, without their secrets
    #[command(visible_alias = "tokens")]
    Token {
        #[command(flatten)]
        list: ListArguments,
    },
    /// The newest writes: who did what when
    Audit {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        count: usize,
        /// The writes of sidecars and of the control plane itself, which have a log of their own
        #[arg(long)]
        machines: bool,
        #[command(flatten)]
        list: ListArguments,
        /// Print a line of JSON for each write, the oldest first, for a file that grows
        #[arg(long, conflicts_with_all = ["json", "output", "watch"])]
        json_lines: bool,
    },
}

/// Prints what was asked for.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    match &arguments.what {
        What::Policy { write: Some(folder), .. } => {
            terminal::print_words(&write_documents(&client, folder).await?)?;
            Ok(Exit::Well)
        }
        What::Policy { name: Some(name), list, .. } => policy(&client, name, *list).await,
        What::Policy { name: None, list, .. } => listing::show(*list, async || policies(&client).await).await,
        What::Proxy { list } => listing::show(*list, async || members::proxies(&client).await).await,
        What::Service { list } => listing::show(*list, async || members::services(&client).await).await,
        What::Filter { list } => listing::show(*list, async || filters(&client).await).await,
        What::Token { list } => listing::show(*list, async || tokens(&client).await).await,
        What::Audit { count, machines, json_lines: true, .. } => {
            audit_lines(&client, *count, *machines).await
        }
        What::Audit { count, machines, list, .. } => {
            listing::show(*list, async || audit(&client, *count, *machines).await).await
        }
    }
}

async fn policy(client: &Client, name: &str, list: ListArguments) -> CommandResult {
    let policy: PolicyBody = client.get(&format!("/v1/policies/{}", escape(name))).await?;
    if let Some(form) = list.for_programs() {
        terminal::print_words(&listing::written(&listing::tree(&policy)?, form)?)?;
        return Ok(Exit::Well);
    }
    let document = policy.document.ok_or_else(|| {
        Failure::failed(format!("the control plane did not send the file of policy `{name}`"))
            .help("is it of this version?")
    })?;
    note_what_is_left_out(&document);
    terminal::print_words(&document.text)?;
    Ok(Exit::Well)
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

async fn policies(client: &Client) -> Result<Listing, Failure> {
    let list: PolicyList = client.get("/v1/policies").await?;
    let item = |policy: &PolicyBody| {
        let (on, revision) = (policy.targets.join(", "), policy.revision.to_string());
        let set = policy.set.clone().unwrap_or_else(|| "-".to_owned());
        Ok(Item {
            key: policy.name.clone(),
            cells: (
                vec![policy.name.clone(), policy.mode.clone(), on, revision, set, policy.file.clone()],
                vec![policy.line.to_string()],
            ),
            value: listing::tree(policy)?,
        })
    };
    Ok(Listing {
        titles: (&["POLICY", "MODE", "ON", "REVISION", "SET", "FILE"], &["LINE"]),
        items: list.policies.iter().map(item).collect::<Result<_, Failure>>()?,
        whole: listing::tree(&list)?,
        none: "no policy is in force; put some in force with `chancery apply`",
    })
}

async fn filters(client: &Client) -> Result<Listing, Failure> {
    let list: FilterList = client.get("/v1/filters").await?;
    let item = |filter: &FilterBody| {
        let key = format!("{}@{}", filter.name, filter.version);
        let users = or_none(&filter.used_by);
        let signed = filter.signed_by.clone().unwrap_or_else(|| "-".to_owned());
        Ok(Item {
            cells: (
                vec![key.clone(), filter.bytes.to_string(), filter.pushed_at.clone(), users],
                vec![filter.pushed_by.clone(), signed, filter.digest.clone()],
            ),
            key,
            value: listing::tree(filter)?,
        })
    };
    Ok(Listing {
        titles: (&["FILTER", "BYTES", "PUSHED", "POLICIES"], &["BY", "SIGNED", "SHA256"]),
        items: list.filters.iter().map(item).collect::<Result<_, Failure>>()?,
        whole: listing::tree(&list)?,
        none: "there is no filter; push one with `chancery filter push`",
    })
}

async fn tokens(client: &Client) -> Result<Listing, Failure> {
    let list: TokenList = client.get("/v1/tokens").await?;
    let item = |token: &TokenBody| {
        let ends = token.expires_at.clone().unwrap_or_else(|| "-".to_owned());
        let cells = (vec![token.id.clone(), token.grants.clone(), ends], Vec::new());
        Ok(Item { key: token.id.clone(), cells, value: listing::tree(token)? })
    };
    Ok(Listing {
        titles: (&["TOKEN", "GRANTS", "ENDS"], &[]),
        items: list.tokens.iter().map(item).collect::<Result<_, Failure>>()?,
        whole: listing::tree(&list)?,
        none: "no token is in force; make one with `chancery token`",
    })
}

async fn entries(client: &Client, count: usize, machines: bool) -> Result<AuditList, Failure> {
    let log = if machines { "machines" } else { "people" };
    Ok(client.get(&format!("/v1/audit?count={count}&log={log}")).await?)
}

async fn audit_lines(client: &Client, count: usize, machines: bool) -> CommandResult {
    let list = entries(client, count, machines).await?;
    let line = |entry| serde_json::to_string(entry).map(|line| line + "\n");
    let lines: Result<String, _> = list.entries.iter().rev().map(line).collect();
    terminal::print_words(&lines.map_err(|error| Failure::failed(error.to_string()))?)?;
    Ok(Exit::Well)
}

async fn audit(client: &Client, count: usize, machines: bool) -> Result<Listing, Failure> {
    let list = entries(client, count, machines).await?;
    let item = |entry: &AuditBody| {
        let (number, revision) = (entry.number.to_string(), entry.revision.to_string());
        let changes: Vec<&str> = entry.changes.iter().map(|change| change.what.as_str()).collect();
        Ok(Item {
            key: number.clone(),
            cells: (
                vec![number, entry.at.clone(), revision, entry.actor.clone(), entry.action.clone()],
                vec![if changes.is_empty() { "-".to_owned() } else { changes.join(", ") }],
            ),
            value: listing::tree(entry)?,
        })
    };
    Ok(Listing {
        titles: (&["N", "AT", "REVISION", "BY", "DID"], &["CHANGED"]),
        items: list.entries.iter().map(item).collect::<Result<_, Failure>>()?,
        whole: listing::tree(&list)?,
        none: "nothing was written yet",
    })
}

/// Words with commas between them, or a dash.
pub(super) fn or_none(words: &[String]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}
