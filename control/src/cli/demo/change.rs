//! Changes of the policy under load, and how long each takes until the last replica enforces it.
//!
//! Measured by the requests themselves: the load is spread over all replicas, and the access log of
//! each tells when a request began and which rule decided it. A replica enforces a change from the
//! first request on after the last one that the old rules decided.

use super::access::{Direction, Entry};
use super::mesh::Mesh;
use super::story::{CHANGE, CHANGE_POLICY, ORDERS};
use crate::cli::exit::Failure;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::sleep;

/// How long the change may take to show in all replicas.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long entries may be on their way from Envoy to here.
const LOG_DELAY: Duration = Duration::from_millis(600);
/// The request whose decision changes.
const METHOD: &str = "POST";
const PATH: &str = "/orders";
const OPEN_RULE: &str = "orders/place";
const CLOSED_RULE: &str = "stocktaking/closed";

/// Puts the policy in force, or takes it out, and gives the time from then until the last replica
/// of the service enforced it.
///
/// # Errors
/// When the control plane refuses the change, or it does not show in time.
pub async fn make(mesh: &Mesh, close: bool) -> Result<Duration, Failure> {
    mesh.access.clear();
    let asked_at = Timestamp::now();
    let rule = if close {
        mesh.apply(&[CHANGE]).await?;
        CLOSED_RULE
    } else {
        mesh.delete(CHANGE_POLICY).await?;
        OPEN_RULE
    };
    let instances: Vec<&str> = mesh.instances(ORDERS).collect();
    let all_enforce = |entries: &[Entry]| {
        instances.iter().map(|instance| enforced_from(entries, instance, rule)).collect::<Option<Vec<_>>>()
    };
    let not_seen = || Failure::failed(format!("not every replica of {ORDERS} decided by {rule} in time"));
    mesh.access.wait_for(CHANGE_TIMEOUT, all_enforce).await.ok_or_else(not_seen)?;
    // A request that an old rule decided may still be on its way into the log.
    sleep(LOG_DELAY).await;
    let enforced = mesh.access.wait_for(CHANGE_TIMEOUT, all_enforce).await.ok_or_else(not_seen)?;
    let last = enforced.into_iter().max().unwrap_or(asked_at);
    Ok(Duration::try_from(last.duration_since(asked_at)).unwrap_or_default())
}

/// When the first request began from which on this replica decided by `rule` only.
fn enforced_from(entries: &[Entry], instance: &str, rule: &str) -> Option<Timestamp> {
    let mut decided: Vec<(Timestamp, bool)> = entries
        .iter()
        .filter(|entry| entry.replica == instance && entry.direction == Direction::Inbound)
        .filter(|entry| entry.method == METHOD && entry.path == PATH)
        .map(|entry| (entry.began, entry.rule.as_deref() == Some(rule)))
        .collect();
    decided.sort();
    let last_old = decided.iter().rposition(|(_, is_new)| !is_new);
    decided.get(last_old.map_or(0, |at| at + 1)).map(|(began, _)| *began)
}

/// The middle and the largest of some durations.
#[must_use]
pub fn median_and_max(durations: &[Duration]) -> Option<(Duration, Duration)> {
    let mut sorted = durations.to_vec();
    sorted.sort();
    Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    fn entry(replica: &str, rule: &str, millisecond: i64) -> Entry {
        Entry {
            replica: replica.to_owned(),
            method: METHOD.to_owned(),
            path: PATH.to_owned(),
            direction: Direction::Inbound,
            rule: Some(rule.to_owned()),
            began: Timestamp::from_millisecond(millisecond).unwrap(),
            attempts: None,
            line: String::new(),
        }
    }

    #[test]
    fn a_replica_enforces_from_the_first_request_after_the_last_old_decision() {
        let entries = [
            entry("a", "old", 1),
            entry("a", "new", 5),
            entry("a", "old", 6),
            entry("b", "old", 9),
            entry("a", "new", 8),
            entry("a", "new", 9),
        ];
        let at = |replica| enforced_from(&entries, replica, "new").map(Timestamp::as_millisecond);
        assert_eq!(at("a"), Some(8));
        assert_eq!(at("b"), None, "it has not decided by the new rule yet");
        assert_eq!(at("c"), None);
    }

    #[test]
    fn the_median_is_of_the_sorted_durations() {
        let milliseconds = |list: &[u64]| list.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let found = median_and_max(&milliseconds(&[30, 10, 20])).unwrap();
        assert_eq!((found.0.as_millis(), found.1.as_millis()), (20, 30));
        assert_eq!(median_and_max(&[]), None);
    }
}
