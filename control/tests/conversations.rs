//! Replays xDS conversations that are written down as text, and compares them with what is said now.
//!
//! A file in `conversations/` holds what happens, and what follows from it:
//!
//! ```text
//! # text                                        a remark
//! snapshot 2: clusters a=1 b=1; listeners x=2   the control plane has new resources (name=version)
//! snapshot 3: extensions e!                     e should be there and could not be made
//! snapshot 4: clusters a=1<0                    a=1 is to come behind a=0 where there is no a
//! stream                                        the proxy opens a new stream
//! forget                                        what is known of the proxy from earlier streams is lost
//! -> subscribe clusters [*] holding [a=1]       the proxy asks; `unsubscribe` likewise
//! -> ack 1            -> nack 1 "words"         the proxy answers the response with this nonce
//! <- clusters 1 [a=1 b=1] gone [c]              follows: a response, with its nonce
//!    accepted clusters a=1                      follows: what a request means
//!    settled on 2 | not settled on 2            follows: where the proxy stands, when that changes
//!    refused listeners x=2: why                 follows: a resource that it should have and refused;
//!                                               an earlier one may be in use in its place
//! ```
//!
//! `UPDATE_EXPECT=1 cargo test -p chancery-control --test conversations` writes down anew what follows.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a malformed conversation should end the test"
)]

use chancery_control::delivery::snapshot::{Resource, ResourceType, Snapshot};
use chancery_control::delivery::xds::conversation::Refusal;
use chancery_control::delivery::xds::message::{Answer, Event, Request};
use chancery_control::delivery::xds::{Conversation, Memory};
use chancery_control::mesh::model::Revision;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

#[test]
fn conversations_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no conversations in {}", folder.display());
    for file in files {
        let script = std::fs::read_to_string(&file).unwrap();
        expect_test::expect_file![&file].assert_eq(&replay(&script));
    }
}

/// The script with all that follows from it.
fn replay(script: &str) -> String {
    let mut player = Player::new();
    for line in script.lines() {
        let is_consequence = line.starts_with("<-") || line.starts_with("   ");
        if !is_consequence {
            player.play(line);
        }
    }
    player.transcript
}

struct Player {
    snapshot: Arc<Snapshot>,
    memory: Memory,
    conversation: Option<Conversation>,
    labels: BTreeMap<String, String>,
    /// Types of responses by nonce.
    types: BTreeMap<String, ResourceType>,
    latest: ResourceType,
    standing: String,
    transcript: String,
}

impl Player {
    fn new() -> Self {
        Self {
            snapshot: Arc::default(),
            memory: Memory::default(),
            conversation: None,
            labels: BTreeMap::new(),
            types: BTreeMap::new(),
            latest: ResourceType::Cluster,
            standing: String::new(),
            transcript: String::new(),
        }
    }

    fn play(&mut self, line: &str) {
        writeln!(self.transcript, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        if let Some(rest) = line.strip_prefix("snapshot ") {
            let (revision, resources) = rest.split_once(':').unwrap();
            self.snapshot = Arc::new(self.read_snapshot(revision.parse().unwrap(), resources));
            if let Some(conversation) = &mut self.conversation {
                conversation.update(self.snapshot.clone());
            }
        } else if line == "stream" {
            self.conversation = Some(Conversation::new(self.snapshot.clone(), self.memory.clone()));
            self.types.clear();
        } else if line == "forget" {
            self.memory = Memory::default();
        } else if let Some(request) = line.strip_prefix("-> ") {
            self.request(request);
        } else {
            panic!("not understood: {line}");
        }
        self.tell();
    }

    fn read_snapshot(&mut self, revision: u64, text: &str) -> Snapshot {
        let (mut resources, mut unmade) = (Vec::new(), BTreeMap::<ResourceType, BTreeSet<String>>::new());
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (kind, names) = part.split_once(' ').unwrap_or((part, ""));
            for text in names.split_whitespace() {
                match text.strip_suffix('!') {
                    Some(name) => _ = unmade.entry(kind_of(kind)).or_default().insert(name.to_owned()),
                    None => resources.push(Arc::new(self.resource(kind_of(kind), text))),
                }
            }
        }
        Snapshot { unmade, ..Snapshot::new(Revision(revision), resources) }
    }

    /// The resource `name=label`, or `name=label<before`; its body is the label.
    fn resource(&mut self, kind: ResourceType, text: &str) -> Resource {
        let (name, labels) = text.split_once('=').unwrap();
        let mut before = None;
        for label in labels.rsplit('<') {
            let resource = Resource::new(kind, name, label.as_bytes(), []).after(before);
            self.labels.insert(resource.version.clone(), label.to_owned());
            before = Some(resource);
        }
        before.unwrap()
    }

    fn request(&mut self, text: &str) {
        let (verb, rest) = text.split_once(' ').unwrap();
        let mut request = Request::default();
        let kind = match verb {
            "subscribe" | "unsubscribe" => {
                let (kind, rest) = rest.split_once(' ').unwrap();
                let (names, held) = rest.split_once(" holding ").unwrap_or((rest, "[]"));
                let names = list(names).map(str::to_owned).collect();
                let kind = kind_of(kind);
                match verb {
                    "subscribe" => request.subscribe = names,
                    _ => request.unsubscribe = names,
                }
                for text in list(held) {
                    let resource = self.resource(kind, text);
                    request.held.insert(resource.name, resource.version);
                }
                kind
            }
            "ack" | "nack" => {
                let (nonce, words) = rest.split_once(' ').unwrap_or((rest, ""));
                let rejection = (verb == "nack").then(|| words.trim_matches('"').to_owned());
                request.answer = Some(Answer { nonce: nonce.to_owned(), rejection });
                self.types.get(nonce).copied().unwrap_or(self.latest)
            }
            _ => panic!("not understood: {text}"),
        };
        self.latest = kind;
        let conversation = self.conversation.as_mut().unwrap();
        match conversation.receive(kind, &request) {
            Ok(events) => {
                for event in events {
                    self.memory.apply(&event);
                    self.note(&event);
                }
            }
            Err(violation) => writeln!(self.transcript, "   the stream ends: {violation}").unwrap(),
        }
    }

    fn note(&mut self, event: &Event) {
        let line = match event {
            Event::Started => "started anew".to_owned(),
            Event::Accepted { resource } => format!("accepted {}", self.show(resource)),
            Event::Rejected { resource, message } => format!("rejected {}: {message}", self.show(resource)),
            Event::Removed { kind, name } => format!("removed {} {name}", kind.as_str()),
            Event::Application(application) => format!("application {application:?}"),
            Event::Unopened(unopened) => format!("unopened {unopened:?}"),
            Event::Counts(counts) => format!("counts {counts:?}"),
        };
        writeln!(self.transcript, "   {line}").unwrap();
    }

    fn show(&self, resource: &Resource) -> String {
        format!("{} {}={}", resource.kind.as_str(), resource.name, self.labels[&resource.version])
    }

    /// Writes down all responses that may be sent now, and where the proxy stands.
    fn tell(&mut self) {
        while let Some(response) = self.conversation.as_mut().and_then(Conversation::next_response) {
            self.types.insert(response.nonce.clone(), response.kind);
            let show =
                |resource: &Arc<Resource>| format!("{}={}", resource.name, self.labels[&resource.version]);
            let resources: Vec<_> = response.resources.iter().map(show).collect();
            write!(self.transcript, "<- {} {}", response.kind.as_str(), response.nonce).unwrap();
            write!(self.transcript, " [{}]", resources.join(" ")).unwrap();
            if !response.removed.is_empty() {
                write!(self.transcript, " gone [{}]", response.removed.join(" ")).unwrap();
            }
            self.transcript.push('\n');
        }
        let Some(conversation) = &self.conversation else { return };
        let progress = conversation.progress();
        let mut standing = String::new();
        let state = if progress.is_settled { "settled" } else { "not settled" };
        writeln!(standing, "   {state} on {}", progress.revision.0).unwrap();
        for Refusal { resource, message, keeps_earlier } in &progress.refused {
            let kept = if *keeps_earlier { " (keeps an earlier one)" } else { "" };
            writeln!(standing, "   refused {}: {message}{kept}", self.show(resource)).unwrap();
        }
        if standing != self.standing {
            self.transcript.push_str(&standing);
            self.standing = standing;
        }
    }
}

fn kind_of(text: &str) -> ResourceType {
    let found = ResourceType::ALL.into_iter().find(|kind| kind.as_str() == text);
    found.unwrap_or_else(|| panic!("no type of resources: {text}"))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.trim().trim_start_matches('[').trim_end_matches(']').split_whitespace()
}
