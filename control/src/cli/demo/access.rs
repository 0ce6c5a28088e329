//! What the sidecars of the demo wrote into their access logs: the demo's only source for who
//! decided a request, and when.

use jiff::Timestamp;
use serde::Deserialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Which way a request went through a sidecar.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the service beside it.
    Inbound,
    /// From that service to another.
    Outbound,
}

/// An entry of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The replica beside the sidecar.
    pub replica: String,
    /// Whether that was asked, or asked another.
    pub direction: Direction,
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// When the request began.
    pub began: Timestamp,
    /// How often it was sent, where a policy has that logged.
    pub attempts: Option<u64>,
    /// All of it, as Envoy wrote it.
    pub line: String,
}

/// The entries of all sidecars. Its clones are one.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    entries: Arc<Mutex<Vec<Entry>>>,
    grown: Arc<Notify>,
}

/// A line of a sidecar's own log.
#[derive(Deserialize)]
struct Line {
    target: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    message: String,
}

/// An entry as Envoy writes it.
#[derive(Deserialize)]
struct Message {
    direction: Direction,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    rule: Option<String>,
    time: String,
    attempts: Option<u64>,
}

impl AccessLog {
    /// Takes in a line that the sidecar of this replica logged.
    pub fn hear(&self, replica: &str, line: &str) {
        if let Some(entry) = parse(replica, line) {
            self.entries().push(entry);
            self.grown.notify_waiters();
        }
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        self.entries().clear();
    }

    /// Waits until `find` finds in the entries what it looks for; `None` if it does not within `patience`.
    pub async fn wait_for<T>(&self, patience: Duration, find: impl Fn(&[Entry]) -> Option<T>) -> Option<T> {
        let search = async {
            loop {
                let grown = self.grown.notified();
                if let Some(found) = find(&self.entries()) {
                    return found;
                }
                grown.await;
            }
        };
        timeout(patience, search).await.ok()
    }

    /// What is seen in the entries now.
    pub fn look<T>(&self, see: impl Fn(&[Entry]) -> T) -> T {
        see(&self.entries())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry in a line, if it is one of a request.
fn parse(replica: &str, line: &str) -> Option<Entry> {
    let line: Line = serde_json::from_str(line).ok().filter(|line: &Line| line.target == "access")?;
    let line = line.fields.message;
    let Message { direction, method, path, rule, time, attempts } = serde_json::from_str(&line).ok()?;
    let began = time.parse().ok()?;
    Some(Entry { replica: replica.to_owned(), direction, method, path, rule, began, attempts, line })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    fn line(message: &str) -> String {
        let message = serde_json::Value::from(message);
        format!(r#"{{"level":"INFO","target":"access","fields":{{"message":{message}}}}}"#)
    }

    #[test]
    fn an_entry_says_who_decided_and_when() {
        let entry = parse(
            "orders-1",
            &line(
                r#"{"direction":"inbound","method":"GET","path":"/a","rule":"orders/read","time":"2026-11-23T04:44:55.093Z"}"#,
            ),
        );
        let entry = entry.unwrap();
        assert_eq!((entry.replica.as_str(), entry.rule.as_deref()), ("orders-1", Some("orders/read")));
        assert_eq!(entry.began.to_string(), "2026-11-23T04:44:55.093Z");
        assert_eq!((entry.direction, entry.attempts), (Direction::Inbound, None));
        let sent = r#"{"direction":"outbound","time":"2026-11-23T04:44:55Z","attempts":2}"#;
        let entry = parse("frontend-1", &line(sent)).unwrap();
        assert_eq!((entry.direction, entry.attempts), (Direction::Outbound, Some(2)));
        assert_eq!(entry.line, sent);
    }

    #[test]
    fn other_lines_are_passed_over() {
        assert_eq!(parse("a", "hello"), None);
        assert_eq!(parse("a", r#"{"target":"envoy","fields":{"message":"x"}}"#), None);
        assert_eq!(parse("a", &line(r#"{"direction":"sideways","time":"2026-11-23T04:44:55Z"}"#)), None);
        assert_eq!(parse("a", &line("{}")), None);
    }
}
