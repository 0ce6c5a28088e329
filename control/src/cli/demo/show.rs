//! The demo: a whole mesh on this machine, shown at work in about half a minute.
//!
//! ```text
//! shop/frontend --+--> shop/orders (two replicas) --> pay/ledger      every arrow: application, sidecar,
//!                 +--> pay/ledger ------------------> shop/orders     mTLS, sidecar, application
//! ```
//!
//! Nothing of it is pretended: control plane and sidecars are processes of this program, each
//! sidecar runs an Envoy, and which rule decided is read from the access log of the sidecar that did.

use super::access::{Direction, Entry};
use super::load::{Load, READ_AND_PLACE, Tally};
use super::mesh::Mesh;
use super::story::{CALLS, CHANGE_POLICY, Call, FRONTEND, LEDGER, ORDERS, POLICIES};
use super::teller::Teller;
use super::traffic;
use crate::cli::exit::Failure;
use crate::cli::terminal;
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long an entry may take from Envoy's access log to here.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the load runs before the first change and after the last.
const STEADY: Duration = Duration::from_secs(1);
/// How long the load runs while there is no control plane.
const ALONE: Duration = Duration::from_secs(3);

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Envoy to run.
    pub envoy: PathBuf,
    /// Where data and logs are kept while it runs.
    pub directory: PathBuf,
    /// How often the policy is changed under load.
    pub changes: u32,
    /// Whether everything goes on running after the show.
    pub keep: bool,
}

/// Runs the demo until it is over, or `stop`. Says whether everything held.
///
/// # Errors
/// When something could not even be tried.
pub async fn run(options: &Options, stop: &CancellationToken) -> Result<bool, Failure> {
    let mut mesh = Mesh::prepare(&options.directory, options.envoy.clone()).await?;
    let show = Show { options, teller: Teller::start() };
    let outcome = tokio::select! {
        // One that is over and was kept ends as what it showed, and is not interrupted.
        biased;
        outcome = show.run(&mut mesh, stop) => outcome,
        () = stop.cancelled() => Err(Failure::failed("the demo was interrupted")),
    };
    show.teller.step("stopping everything");
    mesh.stop().await;
    outcome
}

/// The show, step by step.
struct Show<'a> {
    options: &'a Options,
    teller: Teller,
}

impl Show<'_> {
    async fn run(&self, mesh: &mut Mesh, stop: &CancellationToken) -> Result<bool, Failure> {
        self.set_up(mesh).await?;
        let mut holds = self.table(mesh, &CALLS).await?;
        holds &= self.change(mesh).await?;
        holds &= traffic::show(&self.teller, mesh).await?;
        holds &= self.without_control_plane(mesh).await?;
        self.teller.say(if holds { "\neverything held" } else { "\nNOT everything held: see above" });
        if self.options.keep {
            self.keep(mesh, stop).await?;
        }
        Ok(holds)
    }

    async fn set_up(&self, mesh: &mut Mesh) -> Result<(), Failure> {
        let url = mesh.start_control_plane().await?;
        self.teller.step(&format!("control plane at {url}"));
        mesh.start_sidecars().await?;
        mesh.wait_until_ready(|ready, total| self.teller.step(&format!("{ready}/{total} sidecars ready")))
            .await?;
        mesh.wait_until_endpoints().await?;
        let revision = mesh.apply(&POLICIES).await?;
        self.teller.step(&format!("applied examples/quickstart/policies: revision {revision}"));
        self.wait_for_revision(mesh, revision).await
    }

    async fn wait_for_revision(&self, mesh: &Mesh, revision: u64) -> Result<(), Failure> {
        let progress =
            |done, total| self.teller.step(&format!("{done}/{total} sidecars on revision {revision}"));
        mesh.wait_for_revision(revision, progress).await
    }

    /// Sends the calls and prints what became of them. Says whether all was as expected.
    async fn table(&self, mesh: &Mesh, calls: &[Call]) -> Result<bool, Failure> {
        let mut rows = Vec::new();
        let mut holds = true;
        for call in calls {
            let (got, rule) = send(mesh, call).await;
            let is_right = got == call.status.to_string() && call.is_decided_by(&rule);
            holds &= is_right;
            rows.push(vec![
                call.in_words(),
                format!("{} -> {}", call.from, call.to),
                call.status.to_string(),
                got,
                rule,
                if is_right { "" } else { "WRONG" }.to_owned(),
            ]);
        }
        self.teller.say("");
        self.teller
            .say(terminal::table(&["REQUEST", "CALL", "EXPECTED", "GOT", "BY RULE", ""], &rows).trim_end());
        self.teller.say("");
        Ok(holds)
    }

    /// Changes the policy while a load runs.
    async fn change(&self, mesh: &Mesh) -> Result<bool, Failure> {
        let changes = self.options.changes;
        self.teller.step(&format!("changing policy `{CHANGE_POLICY}` {changes} times under load"));
        let load = start_load(mesh)?;
        sleep(STEADY).await;
        let mut durations = Vec::new();
        for number in 0..changes {
            match super::change::make(mesh, number % 2 == 0).await {
                Ok(duration) => durations.push(duration),
                Err(failure) => {
                    self.tell(&load.finish().await);
                    return Err(failure);
                }
            }
        }
        sleep(STEADY).await;
        let tally = load.finish().await;
        if changes % 2 == 1 {
            let revision = mesh.delete(CHANGE_POLICY).await?;
            self.wait_for_revision(mesh, revision).await?;
        }
        self.tell(&tally);
        if let Some((median, max)) = super::change::median_and_max(&durations) {
            self.teller.step(&format!(
                "from apply to enforced by the last replica: median {} ms, max {} ms",
                median.as_millis(),
                max.as_millis()
            ));
        }
        Ok(tally.failed == 0 && (changes == 0 || tally.refused > 0))
    }

    /// Kills the control plane and shows that nothing changes, not even for a sidecar that starts.
    async fn without_control_plane(&self, mesh: &mut Mesh) -> Result<bool, Failure> {
        mesh.kill_control_plane().await?;
        self.teller.step("killed the control plane; the same load, and the same requests again");
        let load = start_load(mesh)?;
        sleep(ALONE).await;
        let tally = load.finish().await;
        self.tell(&tally);
        mesh.restart_sidecars(LEDGER).await?;
        self.teller
            .step(&format!("restarted the sidecar of {LEDGER}, which has only its own copy to start from"));
        mesh.wait_until_ready(|ready, total| self.teller.step(&format!("{ready}/{total} sidecars ready")))
            .await?;
        Ok(self.table(mesh, &CALLS).await? && tally.failed == 0 && tally.refused == 0)
    }

    async fn keep(&self, mesh: &mut Mesh, stop: &CancellationToken) -> Result<(), Failure> {
        let url = mesh.start_control_plane().await?;
        self.teller.step(&format!("started the control plane again at {url}"));
        let revision = mesh.apply(&POLICIES).await?;
        self.wait_for_revision(mesh, revision).await?;
        self.teller.say(&suggestions(mesh, &self.options.directory));
        stop.cancelled().await;
        Ok(())
    }

    fn tell(&self, tally: &Tally) {
        self.teller.step(&format!(
            "{} requests: {} served, {} refused by the policy, {} failed",
            tally.sent(),
            tally.served,
            tally.refused,
            tally.failed
        ));
        self.teller.below(&tally.failures.join("\n"));
    }
}

/// Sends a call; gives the status, or what went wrong, and the rule that decided.
async fn send(mesh: &Mesh, call: &Call) -> (String, String) {
    let nothing = || "-".to_owned();
    let (Some(to), Ok(method)) = (mesh.outbound(call.from, call.to), call.method.parse::<Method>()) else {
        return ("no way there".to_owned(), nothing());
    };
    mesh.access.clear();
    // The log counts in whole milliseconds.
    let asked_at = Timestamp::now() - SignedDuration::from_millis(1);
    let answer = match mesh.client.send(to, method, call.path, call.headers).await {
        Ok(answer) => answer.status.to_string(),
        Err(error) => return (format!("{error:#}"), nothing()),
    };
    let replicas: Vec<&str> = mesh.instances(call.to).collect();
    let rule = mesh.access.wait_for(ENTRY_TIMEOUT, |entries| {
        let is_it = |entry: &&Entry| {
            entry.began >= asked_at
                && entry.direction == Direction::Inbound
                && entry.method == call.method
                && replicas.contains(&entry.replica.as_str())
        };
        let entry = entries.iter().find(is_it)?;
        Some(entry.rule.clone().unwrap_or_else(nothing))
    });
    (answer, rule.await.unwrap_or_else(nothing))
}

fn start_load(mesh: &Mesh) -> Result<Load, Failure> {
    let to = mesh.outbound(FRONTEND, ORDERS);
    to.map(|to| Load::start(to, &READ_AND_PLACE))
        .ok_or_else(|| Failure::failed("the frontend does not call the order service"))
}

/// What a person may try next.
fn suggestions(mesh: &Mesh, directory: &Path) -> String {
    let at = |from, to| mesh.outbound(from, to).map_or_else(String::new, |address| address.to_string());
    let orders = at(FRONTEND, ORDERS);
    format!(
        "\nIt goes on running until Ctrl-C. In another terminal:\n\n  \
         export CHANCERY_CONTEXT={context}\n  \
         chancery status\n  \
         chancery proxies\n\n  \
         curl -i http://{orders}/orders/7                  # as the frontend\n  \
         curl -i -X POST http://{orders}/orders\n  \
         curl -i -X DELETE http://{orders}/orders/7        # refused\n  \
         curl -i -X POST http://{ledger}/charges           # as the frontend: refused\n\n  \
         chancery apply -f examples/quickstart/change --wait\n  \
         curl -i -X POST http://{orders}/orders            # closed for stocktaking\n  \
         chancery delete policy {CHANGE_POLICY}\n  \
         chancery apply -f examples/quickstart/traffic/canary.writ --wait\n  \
         curl -H 'x-canary: 1' http://{orders}/orders/7     # orders-2, each time\n\n\
         Logs are in {logs}\n",
        context = mesh.context_file().display(),
        ledger = at(FRONTEND, LEDGER),
        logs = directory.join("logs").display(),
    )
}
