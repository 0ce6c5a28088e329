//! What the sidecars of the demo wrote into their access logs: the demo's only source for who
//! decided a request, and when.

use jiff::Timestamp;
use serde::Deserialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// An entry of a sidecar in front of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The replica that was asked.
    pub replica: String,
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// When the request began.
    pub began: Timestamp,
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
    direction: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    rule: Option<String>,
    time: String,
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

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry in a line, if it is one of a request that came in.
fn parse(replica: &str, line: &str) -> Option<Entry> {
    let line: Line = serde_json::from_str(line).ok().filter(|line: &Line| line.target == "access")?;
    let message: Message = serde_json::from_str(&line.fields.message).ok()?;
    (message.direction == "inbound").then_some(())?;
    let Message { method, path, rule, time, .. } = message;
    Some(Entry { replica: replica.to_owned(), method, path, rule, began: time.parse().ok()? })
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
    }

    #[test]
    fn other_lines_are_passed_over() {
        assert_eq!(parse("a", "hello"), None);
        assert_eq!(parse("a", r#"{"target":"envoy","fields":{"message":"x"}}"#), None);
        assert_eq!(parse("a", &line(r#"{"direction":"outbound","time":"2026-11-23T04:44:55Z"}"#)), None);
        assert_eq!(parse("a", &line("{}")), None);
    }
}
