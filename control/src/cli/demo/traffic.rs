//! What `traffic` and `log` policies do, shown one after the other: a canary, a limit, a line without secrets, and a
//! retry that hides a replica which is killed. Each is a file of `examples/quickstart/traffic`, whose statements are
//! shown before what came back, and which is out of force again afterwards.

use super::access::{Direction, Entry};
use super::application::{GREETING, TAKES_MS};
use super::load::{Load, Request, Tally};
use super::mesh::Mesh;
use super::story::{FRONTEND, LEDGER, ORDERS};
use super::teller::Teller;
use crate::cli::exit::Failure;
use hyper::Method;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// A file of policies that is put in force, shown at work, and taken away again.
struct Story {
    /// Name and text.
    file: (&'static str, &'static str),
    /// Names of its policies.
    policies: &'static [&'static str],
}

const CANARY: Story = Story {
    file: ("canary.writ", include_str!("../../../../examples/quickstart/traffic/canary.writ")),
    policies: &["orders-canary"],
};
const LIMIT: Story = Story {
    file: ("limit.writ", include_str!("../../../../examples/quickstart/traffic/limit.writ")),
    policies: &["ledger-limits"],
};
const REDACTED: Story = Story {
    file: ("redacted.writ", include_str!("../../../../examples/quickstart/traffic/redacted.writ")),
    policies: &["orders-lines"],
};
const RETRY: Story = Story {
    file: ("retry.writ", include_str!("../../../../examples/quickstart/traffic/retry.writ")),
    policies: &["orders-retries", "frontend-attempts"],
};

/// How long Envoy's workers may lag behind its acknowledgement, which its main thread gives.
const WORKERS_LAG: Duration = Duration::from_millis(200);
/// How long lines may take from Envoy to here.
const LINES_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests for the canary, and of everybody else.
const FOR_CANARY: u32 = 10;
const OTHERS: u32 = 100;
/// Requests at once where three are let through.
const BURST: u32 = 8;
const LET_THROUGH: u32 = 3;
/// What nobody may read in a log.
const SECRETS: [&str; 3] = ["ann@shop.example", "open-sesame", "Bearer swordfish"];
/// How long the load runs before and after a replica is killed.
const BEFORE: Duration = Duration::from_millis(700);
const AFTER: Duration = Duration::from_secs(2);
/// Requests that take a while, so that some are on their way to the replica when it is killed.
const READ_SLOWLY: [Request; 1] =
    [Request { method: Method::GET, path: "/orders/7", headers: &[(TAKES_MS, "20")] }];

/// Shows all of them. Says whether each did what its lines say.
///
/// # Errors
/// When something could not even be tried.
pub async fn show(teller: &Teller, mesh: &mut Mesh) -> Result<bool, Failure> {
    let mut holds = true;
    begin(teller, mesh, "a canary", &CANARY).await?;
    holds &= canary(teller, mesh).await?;
    end(mesh, &CANARY).await?;
    begin(teller, mesh, "a limit", &LIMIT).await?;
    holds &= limit(teller, mesh).await?;
    end(mesh, &LIMIT).await?;
    begin(teller, mesh, "a line without secrets", &REDACTED).await?;
    holds &= redacted(teller, mesh).await?;
    end(mesh, &REDACTED).await?;
    begin(teller, mesh, "a retry that hides a killed replica", &RETRY).await?;
    holds &= retry(teller, mesh).await?;
    end(mesh, &RETRY).await?;
    Ok(holds)
}

async fn begin(teller: &Teller, mesh: &Mesh, what: &str, story: &Story) -> Result<(), Failure> {
    let (name, text) = story.file;
    teller.step(&format!("{what}: applying examples/quickstart/traffic/{name}"));
    teller.below(&statements(text));
    let revision = mesh.apply(&[story.file]).await?;
    mesh.wait_for_revision(revision, |_, _| ()).await?;
    sleep(WORKERS_LAG).await;
    Ok(())
}

async fn end(mesh: &Mesh, story: &Story) -> Result<(), Failure> {
    let mut newest = None;
    for policy in story.policies {
        newest = Some(mesh.delete(policy).await?);
    }
    match newest {
        Some(revision) => mesh.wait_for_revision(revision, |_, _| ()).await,
        None => Ok(()),
    }
}

/// The lines within the policies of a file.
fn statements(text: &str) -> String {
    let policies = text.lines().take_while(|line| !line.starts_with("test "));
    policies.filter(|line| line.starts_with(' ')).map(|line| format!("{line}\n")).collect()
}

/// Who asks for version 2 gets it, and of the others a share does.
async fn canary(teller: &Teller, mesh: &Mesh) -> Result<bool, Failure> {
    let asked = answered_by(mesh, FOR_CANARY, &[("x-canary", "1")]).await?;
    let others = answered_by(mesh, OTHERS, &[]).await?;
    let of = |counted: &BTreeMap<String, u32>, name: &str| counted.get(name).copied().unwrap_or_default();
    let (first, second) = (of(&others, "orders-1"), of(&others, "orders-2"));
    let holds =
        of(&asked, "orders-2") == FOR_CANARY && first + second == OTHERS && first > second && second > 0;
    let text = format!(
        "x-canary: 1, {FOR_CANARY} requests: {}; {OTHERS} others: {}",
        in_words(&asked),
        in_words(&others)
    );
    Ok(teller.came_back(holds, &text))
}

/// Who answered, how often; whatever is no answer of a replica counts as what it is.
async fn answered_by(
    mesh: &Mesh,
    times: u32,
    headers: &[(&str, &str)],
) -> Result<BTreeMap<String, u32>, Failure> {
    let to = outbound(mesh, FRONTEND, ORDERS)?;
    let mut counted = BTreeMap::new();
    for _ in 0..times {
        let who = match mesh.client.send(to, Method::GET, "/orders/7", headers).await {
            Ok(answer) => match answer.body.strip_prefix(GREETING) {
                Some(name) if answer.status == 200 => name.trim().to_owned(),
                _ => answer.status.to_string(),
            },
            Err(error) => format!("{error:#}"),
        };
        *counted.entry(who).or_default() += 1;
    }
    Ok(counted)
}

fn in_words(counted: &BTreeMap<String, u32>) -> String {
    counted.iter().map(|(who, times)| format!("{times} by {who}")).collect::<Vec<_>>().join(", ")
}

/// The first three charges are served, and the others refused by the limit, in its words.
async fn limit(teller: &Teller, mesh: &Mesh) -> Result<bool, Failure> {
    let to = outbound(mesh, ORDERS, LEDGER)?;
    mesh.access.clear();
    let (mut statuses, mut words) = (BTreeMap::<u16, u32>::new(), String::new());
    for number in 0..BURST {
        let key = number.to_string();
        let sent = mesh.client.send(to, Method::POST, "/charges", &[("idempotency-key", &key)]).await;
        let answer = sent.map_err(|error| Failure::failed(format!("{error:#}")))?;
        *statuses.entry(answer.status).or_default() += 1;
        if answer.status == 429 {
            words = answer.body;
        }
    }
    let refused = BURST - LET_THROUGH;
    let by_limit = |entries: &[Entry]| {
        let named = |entry: &&Entry| entry.rule.as_deref() == Some("ledger-limits/burst");
        (entries.iter().filter(named).count() >= refused as usize).then_some(())
    };
    let is_named = mesh.access.wait_for(LINES_TIMEOUT, by_limit).await.is_some();
    let holds = statuses == BTreeMap::from([(201, LET_THROUGH), (429, refused)])
        && words == "one charge a minute"
        && is_named;
    let statuses: Vec<_> =
        statuses.iter().map(|(status, times)| format!("{times} answered with {status}")).collect();
    let by = if is_named { ", by rule ledger-limits/burst" } else { "" };
    Ok(teller.came_back(holds, &format!("{BURST} charges at once: {} `{words}`{by}", statuses.join(", "))))
}

/// The line of a request that has secrets has none, and no log of any sidecar has.
async fn redacted(teller: &Teller, mesh: &Mesh) -> Result<bool, Failure> {
    let to = outbound(mesh, FRONTEND, ORDERS)?;
    mesh.access.clear();
    let [customer, token, login] = SECRETS;
    let path = format!("/orders/7?token={token}");
    let headers = [("x-customer", customer), ("authorization", login)];
    let sent = mesh.client.send(to, Method::GET, &path, &headers).await;
    let answer = sent.map_err(|error| Failure::failed(format!("{error:#}")))?;
    teller.below(&format!("GET {path}  x-customer: {customer}  authorization: {login}"));
    let line = mesh.access.wait_for(LINES_TIMEOUT, |entries| {
        let found = entries.iter().find(|entry| entry.direction == Direction::Inbound)?;
        Some((found.replica.clone(), found.line.clone()))
    });
    let Some((replica, line)) = line.await else {
        return Ok(teller.came_back(false, "no line of it in any log"));
    };
    let is_hashed = line.contains(r#""customer":""#) && !line.contains(r#""customer":"""#);
    let leaks = SECRETS.iter().any(|secret| line.contains(secret)) || mesh.logs_contain(&SECRETS)?;
    let holds = teller.came_back(
        answer.status == 200 && is_hashed && !leaks,
        &format!("its line in the log of {replica}, and no secret in any log:"),
    );
    teller.below(&line);
    Ok(holds)
}

/// A replica is killed under load: no request fails, since what it did not answer the other one does.
async fn retry(teller: &Teller, mesh: &mut Mesh) -> Result<bool, Failure> {
    mesh.access.clear();
    let load = Load::start(outbound(mesh, FRONTEND, ORDERS)?, &READ_SLOWLY);
    sleep(BEFORE).await;
    mesh.kill_sidecar("orders-2").await?;
    teller.step("killed orders-2, its Envoy with it, while requests are on their way");
    sleep(AFTER).await;
    let tally: Tally = load.finish().await;
    let is_retried = |entry: &&Entry| entry.direction == Direction::Outbound && entry.attempts > Some(1);
    let retried = |entries: &[Entry]| entries.iter().filter(is_retried).count();
    let some = mesh.access.wait_for(LINES_TIMEOUT, |entries| (retried(entries) > 0).then_some(())).await;
    let times = mesh.access.look(retried);
    let holds = tally.failed == 0 && tally.served > 0 && some.is_some();
    let text =
        format!("{} requests: {} failed, {times} took more than one attempt", tally.sent(), tally.failed);
    teller.came_back(holds, &text);
    teller.below(&tally.failures.join("\n"));
    mesh.start_sidecar_again("orders-2")?;
    mesh.wait_until_ready(|_, _| ()).await?;
    mesh.wait_until_endpoints().await?;
    teller.step("started orders-2 again");
    Ok(holds)
}

fn outbound(mesh: &Mesh, from: &str, to: &str) -> Result<std::net::SocketAddr, Failure> {
    mesh.outbound(from, to).ok_or_else(|| Failure::failed(format!("{from} does not call {to}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::story::POLICIES;
    use chancery_policy_lang::SourceSet;
    use chancery_policy_lang::analyse::analyse;
    use chancery_policy_lang::check::CheckOptions;

    #[test]
    fn the_stories_have_neither_errors_nor_warnings_beside_the_policies() {
        for story in [CANARY, LIMIT, REDACTED, RETRY] {
            let mut sources = SourceSet::new();
            for (name, text) in POLICIES.into_iter().chain([story.file]) {
                sources.add(name, text);
            }
            let found = analyse(&sources, CheckOptions::default()).diagnostics;
            let found: Vec<_> = found.iter().map(|found| &found.message).collect();
            assert!(found.is_empty(), "{}: {found:?}", story.file.0);
        }
    }

    #[test]
    fn what_is_shown_of_a_file_is_what_its_policies_say() {
        assert_eq!(
            statements(CANARY.file.1),
            "  canary: route /** when headers[\"x-canary\"] == \"1\" -> service shop/orders@v2\n  \
             split:  route /** -> service shop/orders@v1 75%, service shop/orders@v2 25%\n"
        );
        assert_eq!(statements(RETRY.file.1).lines().count(), 3);
    }
}
