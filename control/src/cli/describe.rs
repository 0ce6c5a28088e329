//! `chancery describe`: everything that is known of one policy, sidecar, service or filter, on one screen.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::filter;
use crate::cli::get::members::services_of;
use crate::cli::get::or_none;
use crate::cli::global::Global;
use crate::cli::listing::{self, ListForm};
use crate::cli::proxies::{inbound, path_of, state, unready};
use crate::cli::status::refusals;
use crate::cli::terminal;
use crate::mesh::identity::spiffe::parse_service;
use crate::server::api::client::{Client, escape};
use crate::server::api::types::{PolicyBody, PolicyList, ProxyBody, ProxyList, RevisionBody, RevisionList};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// How many revisions are looked through for who applied a policy.
const REVISIONS_LOOKED_AT: usize = 1000;

/// Arguments of `chancery describe`.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 it is shown; 2 there is none of this name.\n\n\
    Examples:\n  chancery describe policy orders\n  chancery describe proxy shop/orders/1\n  \
    chancery describe service shop/orders -o json\n  chancery describe filter pii-guard@1.2.0")]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// The form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text, global = true)]
    output: Form,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A policy: what it is about, who applied it when, which sidecars heed it and have it
    Policy {
        /// Its name
        name: String,
    },
    /// A sidecar: where it is, how it stands to the revision, what it refuses, which policies it heeds
    #[command(visible_alias = "sidecar")]
    Proxy {
        /// Its id, as `chancery proxies` shows it
        #[arg(value_name = "NAMESPACE/SERVICE/INSTANCE")]
        id: String,
    },
    /// A service: its replicas, who calls it, what it calls, which policies concern it
    Service {
        /// Its name
        #[arg(value_name = "NAMESPACE/NAME")]
        name: String,
    },
    /// A version of a filter: where it is from, what it may, which policies use it
    Filter {
        /// Which one; the highest version if none is said
        #[arg(value_name = "NAME[@VERSION]")]
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// As JSON
    Json,
    /// As YAML
    Yaml,
}

/// What is known: as text, and as a tree.
struct Described {
    text: String,
    value: Value,
}

/// Prints it.
///
/// # Errors
/// If there is none, or the control plane does not answer.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    let described = match &arguments.what {
        What::Policy { name } => policy(&client, name).await?,
        What::Proxy { id } => proxy(&client, id).await?,
        What::Service { name } => service(&client, name).await?,
        What::Filter { name } => {
            let (text, value) = filter::show::described(&client, name).await?;
            Described { text, value }
        }
    };
    let text = match arguments.output {
        Form::Text => described.text,
        Form::Json => listing::written(&described.value, ListForm::Json)?,
        Form::Yaml => listing::written(&described.value, ListForm::Yaml)?,
    };
    terminal::print_words(&text)?;
    Ok(Exit::Well)
}

async fn policy(client: &Client, name: &str) -> Result<Described, Failure> {
    let policy: PolicyBody = client.get(&format!("/v1/policies/{}", escape(name))).await?;
    let list: ProxyList = client.get("/v1/proxies").await?;
    let history: RevisionList = client.get(&format!("/v1/revisions?count={REVISIONS_LOOKED_AT}")).await?;
    let applied = history.revisions.iter().find(|revision| revision.revision == policy.revision);
    let heeding = policy.proxies.as_deref().unwrap_or_default();
    let heeding: Vec<&ProxyBody> = list.proxies.iter().filter(|proxy| heeding.contains(&proxy.id)).collect();
    let when = |revision: &RevisionBody| format!("{} by {}", revision.at, revision.actor);
    let mut text = lines(
        &format!("policy {}", policy.name),
        &[
            ("mode", policy.mode.clone()),
            ("on", or_none(&policy.targets)),
            ("set", policy.set.clone().unwrap_or_else(|| "-".to_owned())),
            ("file", format!("{}:{}", policy.file, policy.line)),
            ("revision", policy.revision.to_string()),
            ("applied", applied.map_or_else(|| "in a revision that is not kept any more".to_owned(), when)),
            ("heeded by", crate::cli::report::count(heeding.len(), "sidecar", "sidecars")),
        ],
    );
    let rows: Vec<_> = heeding.iter().map(|proxy| standing(proxy, Some(policy.revision))).collect();
    if !rows.is_empty() {
        text += &format!("\n{}", terminal::table(&["PROXY", "STATE", "REVISION", "HAS IT"], &rows));
    }
    let blamed = |proxy: &&&ProxyBody| {
        proxy.rejections.iter().any(|rejection| rejection.policies.contains(&policy.name))
    };
    heeding.iter().filter(blamed).for_each(|proxy| text += &refusals(proxy));
    if let Some(document) = &policy.document {
        text += &format!("\nthe file, as it is in force:\n\n{}", document.text);
    }
    Ok(Described { text, value: json!({"policy": policy, "applied": applied, "sidecars": heeding}) })
}

async fn proxy(client: &Client, id: &str) -> Result<Described, Failure> {
    path_of(id)?;
    let list: ProxyList = client.get("/v1/proxies").await?;
    let found = list.proxies.into_iter().find(|proxy| proxy.id == id);
    let proxy = found.ok_or_else(|| {
        Failure::bad_input(format!("no sidecar `{id}` has joined"))
            .help("`chancery proxies` lists those that have")
    })?;
    let policies: PolicyList = client.get(&format!("/v1/policies?proxy={}", escape(id))).await?;
    let number = |revision: Option<u64>| revision.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let labels: Vec<String> = proxy.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let calls: Vec<String> =
        proxy.outbounds.iter().map(|it| format!("{} at {}", it.service, it.listen)).collect();
    let own = proxy.inbound.as_ref();
    let mut text = lines(
        &format!("sidecar {}", proxy.id),
        &[
            ("service", proxy.service.clone()),
            ("labels", or_none(&labels)),
            ("state", state(&proxy).to_owned()),
            ("revision", format!("{}, offered {}", number(proxy.revision), number(proxy.offered))),
            ("reached at", own.map_or_else(|| "-".to_owned(), inbound)),
            ("listens at", own.map_or_else(|| "-".to_owned(), |own| own.listen.to_string())),
            ("application", own.map_or_else(|| "-".to_owned(), |own| own.application.to_string())),
            ("check", own.and_then(|own| own.check.clone()).unwrap_or_else(|| "-".to_owned())),
            ("calls", or_none(&calls)),
            ("policies", or_none(&names(&policies))),
        ],
    );
    text += &refusals(&proxy);
    text += &unready(&proxy);
    Ok(Described { text, value: json!({"proxy": proxy, "policies": policies.policies}) })
}

async fn service(client: &Client, name: &str) -> Result<Described, Failure> {
    parse_service(name).map_err(Failure::bad_input)?;
    let list: ProxyList = client.get("/v1/proxies").await?;
    let policies: PolicyList = client.get(&format!("/v1/policies?service={}", escape(name))).await?;
    let mut services = services_of(&list.proxies);
    let Some(service) = services.remove(name) else {
        return Err(Failure::bad_input(format!("no sidecar of `{name}` has joined, and none calls it"))
            .help("`chancery get service` lists the services; `chancery token --service` lets one in"));
    };
    let set =
        |names: &std::collections::BTreeSet<String>| or_none(&names.iter().cloned().collect::<Vec<_>>());
    let mut text = lines(
        &format!("service {name}"),
        &[
            (
                "replicas",
                format!(
                    "{}, of which {} get requests and {} are away",
                    service.replicas.len(),
                    service.ready.len(),
                    service.away.len()
                ),
            ),
            ("called by", set(&service.callers)),
            ("calls", set(&service.calls)),
            ("policies", or_none(&names(&policies))),
        ],
    );
    let replicas: Vec<&ProxyBody> = list.proxies.iter().filter(|proxy| proxy.service == name).collect();
    let rows: Vec<_> = replicas.iter().map(|proxy| standing(proxy, None)).collect();
    if !rows.is_empty() {
        text += &format!("\n{}", terminal::table(&["PROXY", "STATE", "REVISION", "INBOUND"], &rows));
    }
    for proxy in &replicas {
        text += &refusals(proxy);
        text += &unready(proxy);
    }
    Ok(Described {
        text,
        value: json!({"service": service, "policies": policies.policies, "sidecars": replicas}),
    })
}

/// A row of a sidecar; with whether it has a revision, or with where it is reached.
fn standing(proxy: &ProxyBody, wanted: Option<u64>) -> Vec<String> {
    let last = match wanted {
        Some(wanted) if proxy.revision.is_some_and(|has| has >= wanted) => "yes".to_owned(),
        Some(_) => "no".to_owned(),
        None => proxy.inbound.as_ref().map_or_else(|| "-".to_owned(), inbound),
    };
    let revision = proxy.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string());
    vec![proxy.id.clone(), state(proxy).to_owned(), revision, last]
}

fn names(list: &PolicyList) -> Vec<String> {
    list.policies.iter().map(|policy| policy.name.clone()).collect()
}

fn lines(title: &str, of: &[(&str, String)]) -> String {
    let mut text = format!("{title}\n");
    text.extend(of.iter().map(|(name, value)| format!("  {name:<12} {value}\n")));
    text
}
