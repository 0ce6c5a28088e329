//! What the board shows.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::{AckBoard, ProxyStatus, refusals};
use crate::delivery::snapshot::{Resource, ResourceType};
use crate::delivery::xds::conversation::Progress;
use crate::delivery::xds::message::Event;
use crate::mesh::model::{ProxyId, Revision};
use crate::mesh::store::Store;
use crate::mesh::store::redb::RedbStore;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn orders() -> ProxyId {
    ProxyId("shop/orders/1".to_owned())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn known(board: &AckBoard) -> Option<ProxyStatus> {
    board.statuses().remove(&orders())
}

fn policy(body: &str) -> Arc<Resource> {
    Arc::new(Resource::new(ResourceType::Extension, "writ-inbound", body.as_bytes(), ["orders".to_owned()]))
}

fn refusal(body: &str) -> Event {
    Event::Rejected { resource: policy(body), message: "no".to_owned() }
}

fn progress(revision: u64, is_settled: bool) -> Progress {
    Progress { revision: Revision(revision), is_settled, ..Progress::default() }
}

#[test]
fn a_revision_that_was_applied_stays_applied_while_the_next_is_on_its_way() {
    let board = AckBoard::default();
    let ticket = board.open(&orders(), at(1), &CancellationToken::new());
    board.note(&ticket, &[], progress(1, true));
    board.note(&ticket, &[], progress(2, false));
    let status = known(&board).unwrap();
    assert_eq!((status.applied, status.offered), (Some(Revision(1)), Revision(2)));
    board.close(&ticket, at(9));
    let status = known(&board).unwrap();
    assert_eq!((status.is_connected, status.since, status.applied), (false, at(9), Some(Revision(1))));
}

#[test]
fn a_proxy_that_was_started_anew_has_nothing_applied() {
    let board = AckBoard::default();
    let stop = CancellationToken::new();
    let ticket = board.open(&orders(), at(1), &stop);
    board.note(&ticket, &[Event::Started], progress(1, true));
    let ticket = board.open(&orders(), at(2), &stop);
    board.note(&ticket, &[], progress(2, false));
    assert_eq!(known(&board).unwrap().applied, Some(Revision(1)), "only its stream is new");
    let ticket = board.open(&orders(), at(3), &stop);
    board.note(&ticket, &[Event::Started], progress(2, false));
    assert_eq!(known(&board).unwrap().applied, None);
}

#[test]
fn a_second_stream_takes_the_place_of_the_first() {
    let board = AckBoard::default();
    let first = board.open(&orders(), at(1), &CancellationToken::new());
    board.note(&first, &[refusal("bad")], progress(1, false));
    let second = board.open(&orders(), at(2), &CancellationToken::new());
    assert!(first.stop.is_cancelled() && !second.stop.is_cancelled());
    assert!(second.memory.refusal(ResourceType::Extension, "writ-inbound", &policy("bad").version).is_some());
    // What the first one still says does not count.
    board.note(&first, &[], progress(9, true));
    board.close(&first, at(3));
    let status = known(&board).unwrap();
    assert_eq!((status.is_connected, status.applied), (true, None));
}

#[test]
fn who_left_is_not_shown_and_what_it_refused_is_remembered() {
    let board = AckBoard::default();
    let stop = CancellationToken::new();
    let ticket = board.open(&orders(), at(1), &stop);
    board.note(&ticket, &[refusal("bad")], progress(1, false));
    board.leave(&orders());
    assert!(ticket.stop.is_cancelled());
    assert!(board.statuses().is_empty());
    let ticket = board.open(&orders(), at(2), &stop);
    assert!(ticket.memory.refusal(ResourceType::Extension, "writ-inbound", &policy("bad").version).is_some());
}

#[test]
fn whoever_waits_is_woken_by_changes_and_by_nothing_else() {
    let board = AckBoard::default();
    let ticket = board.open(&orders(), at(1), &CancellationToken::new());
    let mut changes = board.watch();
    board.note(&ticket, &[], progress(1, true));
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    board.note(&ticket, &[], progress(1, true));
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn what_was_refused_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::open(&folder.path().join("state.redb"), Some("mesh.test")).await.unwrap());
    let board = Arc::<AckBoard>::default();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(refusals::keep(store.clone(), board.clone(), stop.clone()));
    let ticket = board.open(&orders(), at(1), &stop);
    board.note(&ticket, &[refusal("bad")], progress(1, false));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), keeping).await.unwrap().unwrap();

    let later = AckBoard::default();
    refusals::restore(&*store, &later).await.unwrap();
    assert!(later.statuses().is_empty());
    let ticket = later.open(&orders(), at(2), &stop);
    let message = ticket.memory.refusal(ResourceType::Extension, "writ-inbound", &policy("bad").version);
    assert_eq!(message.as_deref(), Some("no"));
}

#[test]
fn who_joined_before_a_restart_or_had_a_stream_has_time_to_come_back() {
    let board = AckBoard::default();
    let [before, new] = [orders(), ProxyId("shop/orders/2".to_owned())];
    board.await_return([&before].into_iter(), at(100));
    let returning = |second: i64| [&before, &new].map(|id| board.returning([id].into_iter(), at(second)));
    assert_eq!(returning(100), [1, 0], "who joins now has not shown yet that it serves anybody");
    assert_eq!(returning(159), [1, 0]);
    assert_eq!(returning(160), [0, 0], "it does not come back");
    let tickets = [&before, &new].map(|id| board.open(id, at(200), &CancellationToken::new()));
    assert_eq!(returning(200), [0, 0], "they are there");
    tickets.iter().for_each(|ticket| board.close(ticket, at(300)));
    assert_eq!(returning(309), [1, 1]);
    assert_eq!(returning(310), [0, 0]);
}
