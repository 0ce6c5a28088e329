//! What is remembered of a proxy from one stream to the next: what it refused, and what it last took.
//!
//! Envoy answers a rejected extension that is sent again byte for byte with an acknowledgement,
//! while it goes on with the old one, and says after a reconnect that it holds what it refused. So
//! a refused digest is never sent to that proxy again, and never believed to be held.

use crate::delivery::snapshot::{Resource, ResourceType, Resources};
use crate::delivery::xds::message::Event;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Refused versions that are remembered of one resource; the oldest is forgotten first.
const REFUSED_PER_RESOURCE_MAX: usize = 32;
/// The tail of a proxy's words that is kept. Envoy puts the whole configuration before the reason.
const MESSAGE_BYTES_MAX: usize = 1024;

/// What one proxy refused, and what it last took. Kept for it while it has no stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    accepted: BTreeMap<ResourceType, Resources>,
    /// By type and name; nearly always empty.
    refused: BTreeMap<ResourceType, BTreeMap<String, VecDeque<Refusal>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    version: String,
    message: Arc<str>,
}

impl Memory {
    /// The proxy's words when it refused this version, if it did.
    #[must_use]
    pub fn refusal(&self, kind: ResourceType, name: &str, version: &str) -> Option<Arc<str>> {
        let refused = self.refused.get(&kind)?.get(name)?;
        let refusal = refused.iter().find(|refusal| refusal.version == version)?;
        Some(refusal.message.clone())
    }

    /// The resource of this name that the proxy took last.
    #[must_use]
    pub fn accepted(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.accepted.get(&kind)?.get(name)
    }

    /// All refusals of a type: name, version, and the proxy's words.
    pub fn refusals(&self, kind: ResourceType) -> impl Iterator<Item = (&str, &str, &str)> {
        self.refused.get(&kind).into_iter().flatten().flat_map(|(name, refused)| {
            refused.iter().map(|refusal| (name.as_str(), refusal.version.as_str(), &*refusal.message))
        })
    }

    /// Puts back a refusal that was remembered elsewhere.
    pub fn restore(&mut self, kind: ResourceType, name: &str, version: &str, message: &str) {
        self.note_refusal(kind, name, version, message.into());
    }

    /// Learns from what a proxy's request meant.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started => self.forgive_listeners(),
            Event::Accepted { resource } => self.accept(resource),
            Event::Rejected { resource, message } => self.refuse(resource, message),
            Event::Removed { kind, name } => self.remove(*kind, name),
            Event::Application(_) | Event::Unopened(_) | Event::Counts(_) => {}
        }
    }

    fn accept(&mut self, resource: &Arc<Resource>) {
        self.forgive(resource.kind, &resource.name, &resource.version);
        self.accepted.entry(resource.kind).or_default().put(resource.clone());
    }

    /// Forgets that a version was refused.
    fn forgive(&mut self, kind: ResourceType, name: &str, version: &str) {
        let Some(of_kind) = self.refused.get_mut(&kind) else { return };
        if let Some(refused) = of_kind.get_mut(name) {
            refused.retain(|refusal| refusal.version != version);
            if refused.is_empty() {
                of_kind.remove(name);
            }
        }
    }

    /// Of a long message the end is kept.
    fn refuse(&mut self, resource: &Resource, message: &str) {
        let message = tail(message.trim_end(), MESSAGE_BYTES_MAX).into();
        self.note_refusal(resource.kind, &resource.name, &resource.version, message);
    }

    fn note_refusal(&mut self, kind: ResourceType, name: &str, version: &str, message: Arc<str>) {
        if self.accepted(kind, name).is_some_and(|accepted| accepted.version == version) {
            self.forget_accepted(kind, name);
        }
        self.forgive(kind, name, version);
        let refused = self.refused.entry(kind).or_default().entry(name.to_owned()).or_default();
        if refused.len() >= REFUSED_PER_RESOURCE_MAX {
            refused.pop_front();
        }
        refused.push_back(Refusal { version: version.to_owned(), message });
    }

    /// Refusals of extensions outlive the extension: only for those is a repetition dangerous.
    fn remove(&mut self, kind: ResourceType, name: &str) {
        self.forget_accepted(kind, name);
        if kind != ResourceType::Extension
            && let Some(refused) = self.refused.get_mut(&kind)
        {
            refused.remove(name);
        }
    }

    fn forget_accepted(&mut self, kind: ResourceType, name: &str) {
        if let Some(accepted) = self.accepted.get_mut(&kind) {
            accepted.remove(name);
        }
    }

    /// A port that was taken may be free when the proxy asks the next time. To be called for each stream:
    /// of listeners Envoy says again what is wrong with them, so that nothing is hidden by trying again.
    pub(crate) fn forgive_listeners(&mut self) {
        self.refused.remove(&ResourceType::Listener);
    }
}

/// The end of a text, marked as such if something was cut off.
fn tail(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let from = text.len() - bytes_max;
    let kept = (from..text.len()).find_map(|at| text.get(at..)).unwrap_or_default();
    format!("… {kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_message_the_end_is_kept() {
        let message = format!("{}é: duplicate", "x".repeat(5000));
        assert_eq!(tail(&message, 13), "… é: duplicate");
        assert_eq!(tail(&message, 12), "… : duplicate", "no part of a character is kept");
        assert_eq!(tail("short", 12), "short");
    }
}
