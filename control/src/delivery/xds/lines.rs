//! Lines of logs that somebody follows: what the control plane asks a sidecar for, and what that sends.
//!
//! ```text
//!  control plane -- Asked: which lines, none if nobody follows any more --> sidecar
//!                <-- Batch: lines, and how many were left out ------------
//! ```
//!
//! Both are messages about a type of resources that there is not, like what is said of the
//! [application](super::application). A line is an object of JSON, as the sinks of the sidecar get it.

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What such a message says that it is about.
pub const TYPE_URL: &str = "type.googleapis.com/chancery.sidecar.v1.Lines";
/// The most lines of one batch.
pub const BATCH_LINES_MAX: usize = 128;
/// The longest line that is sent, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The most that a sidecar is asked for at a time.
pub const ASKED_MAX: usize = 32;

/// What decides without a policy that denied: these are the other words for a decision.
const PASSED: [&str; 3] = ["allowed", "exempt", "otherwise-allowed"];

/// Which lines are wanted; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Only of requests that were denied, refused or limited by the mesh.
    pub denied: bool,
    /// Only of those of which a policy in shadow mode says something else.
    pub shadow: bool,
    /// Only of those that a statement of this policy decided, or would have in shadow mode.
    pub policy: Option<String>,
    /// Only of those that this statement decided, or would have: `POLICY/NAME`, or its name alone.
    pub rule: Option<String>,
}

/// What is asked of a line.
#[derive(Debug, Deserialize)]
pub struct Entry<'a> {
    #[serde(borrow, default)]
    rule: Cow<'a, str>,
    #[serde(borrow, default)]
    answered: Cow<'a, str>,
    #[serde(borrow, default)]
    shadow: Cow<'a, str>,
    #[serde(borrow, default)]
    decision: Cow<'a, str>,
    /// A policy may have a field of this name, too, with whatever value.
    #[serde(default)]
    details: serde_json::Value,
}

impl<'a> Entry<'a> {
    /// Of a line; `None` if it is no object of a log.
    #[must_use]
    pub fn read(line: &'a str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// Whether the mesh answered in place of the application. A line that no module wrote does not say how it was
    /// decided; but then what decided stands in the details of the answer, too.
    fn is_denied(&self) -> bool {
        match &*self.decision {
            "" => !self.rule.is_empty() && self.details.as_str() == Some(&*self.rule),
            decision => !PASSED.contains(&decision),
        }
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        [&*self.rule, &*self.answered, &*self.shadow].into_iter().filter(|id| !id.is_empty())
    }
}

impl Wanted {
    /// Whether a line is among them.
    #[must_use]
    pub fn takes(&self, entry: &Entry<'_>) -> bool {
        let is_of = |policy: &String| entry.ids().any(|id| policy_of(id) == policy);
        let is_by = |rule: &String| entry.ids().any(|id| id == rule || statement_of(id) == Some(rule));
        (!self.denied || entry.is_denied())
            && (!self.shadow || !entry.shadow.is_empty())
            && self.policy.as_ref().is_none_or(is_of)
            && self.rule.as_ref().is_none_or(is_by)
    }
}

fn policy_of(id: &str) -> &str {
    id.split_once('/').map_or(id, |(policy, _)| policy)
}

fn statement_of(id: &str) -> Option<&str> {
    id.split_once('/').map(|(_, statement)| statement)
}

/// The message that asks a sidecar for lines; for none if nobody follows.
#[must_use]
pub fn ask(wanted: &[Wanted]) -> DeltaDiscoveryResponse {
    let resource = |wanted: &Wanted| {
        let name = serde_json::to_string(wanted).ok()?;
        Some(Resource { name, ..Resource::default() })
    };
    DeltaDiscoveryResponse {
        type_url: TYPE_URL.to_owned(),
        resources: wanted.iter().take(ASKED_MAX).filter_map(resource).collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

/// What a message asks for; `None` if it is about something else. What is not understood is not asked for.
#[must_use]
pub fn read_asked(response: &DeltaDiscoveryResponse) -> Option<Vec<Wanted>> {
    let read = |resource: &Resource| serde_json::from_str(&resource.name).ok();
    let resources = response.resources.iter().take(ASKED_MAX);
    (response.type_url == TYPE_URL).then(|| resources.filter_map(read).collect())
}

/// Lines that a sidecar sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Objects of JSON.
    pub lines: Vec<String>,
    /// How many more there were, for which there was no room.
    pub left_out: u64,
}

impl Batch {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.left_out == 0
    }

    /// The request that says so.
    #[must_use]
    pub fn report(self) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            resource_names_subscribe: self.lines,
            resource_names_unsubscribe: vec![self.left_out.to_string()],
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// The lines that a request says; `None` if it is about something else.
    #[must_use]
    pub fn read(request: &mut DeltaDiscoveryRequest) -> Option<Self> {
        if request.type_url != TYPE_URL {
            return None;
        }
        let mut lines = std::mem::take(&mut request.resource_names_subscribe);
        lines.truncate(BATCH_LINES_MAX);
        let left_out = request.resource_names_unsubscribe.first().and_then(|count| count.parse().ok());
        Some(Self { lines, left_out: left_out.unwrap_or_default() })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let wanted = vec![
            Wanted::default(),
            Wanted { denied: true, policy: Some("orders".to_owned()), ..Wanted::default() },
        ];
        assert_eq!(read_asked(&ask(&wanted)), Some(wanted));
        assert_eq!(read_asked(&ask(&[])), Some(Vec::new()));
        assert_eq!(read_asked(&DeltaDiscoveryResponse::default()), None);
        let batch = Batch { lines: vec!["{}".to_owned()], left_out: 17 };
        assert_eq!(Batch::read(&mut batch.clone().report()), Some(batch));
        assert_eq!(Batch::read(&mut DeltaDiscoveryRequest::default()), None);
    }

    #[test]
    fn denials_policies_and_statements_are_told_apart() {
        let by_envoy = r#"{"rule":"orders/read","details":"via_upstream","code":403}"#;
        let denied_by_envoy = r#"{"rule":"orders/otherwise","details":"orders/otherwise","code":403}"#;
        let by_module = r#"{"rule":"orders/read","decision":"allowed","shadow":"strict/read","code":200}"#;
        let limited = r#"{"rule":"orders-limits/all","decision":"limited","path":"/\u0022","details":null}"#;
        let lines = [by_envoy, denied_by_envoy, by_module, limited];
        let taken = |wanted: Wanted| -> Vec<usize> {
            let takes = |line: &str| wanted.takes(&Entry::read(line).unwrap());
            lines.iter().enumerate().filter(|(_, line)| takes(line)).map(|(at, _)| at).collect()
        };
        assert_eq!(taken(Wanted::default()), [0, 1, 2, 3]);
        assert_eq!(taken(Wanted { denied: true, ..Wanted::default() }), [1, 3]);
        assert_eq!(taken(Wanted { shadow: true, ..Wanted::default() }), [2]);
        let policy = |name: &str| Wanted { policy: Some(name.to_owned()), ..Wanted::default() };
        assert_eq!(taken(policy("orders")), [0, 1, 2]);
        assert_eq!(taken(policy("strict")), [2]);
        let rule = |name: &str| Wanted { rule: Some(name.to_owned()), ..Wanted::default() };
        assert_eq!(taken(rule("read")), [0, 2]);
        assert_eq!(taken(rule("strict/read")), [2]);
        assert_eq!(taken(rule("rea")), [0_usize; 0]);
        assert!(Entry::read("hello").is_none());
    }
}
