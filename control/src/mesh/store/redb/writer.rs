//! The one writer: a thread that owns the contents and takes in writes from a queue.
//!
//! ```text
//! queue --> all that wait now --> contents after them --> one transaction, one flush --> shown to readers
//!                                                                 |                  --> all answered
//!                                                             it failed --> all refused, contents as before
//! ```
//!
//! After a failure the store is closed; it is tried again every so often whether there is room, and then the file
//! is checked and opened anew. Until then reads go on, writes are refused at once, and [`Health`] says so.
//!
//! The database keeps its last two transactions, and goes back to the older one if the newer is damaged. For
//! that never to lose anything, a transaction that changes nothing follows as soon as there is nothing else to do:
//! then both are the same state.

use super::contents::Contents;
use super::medium::Medium;
use super::opening::{self, Opened, beside};
use super::quiet::quietly;
use super::tables::Batch;
use super::{Fault, Limits, Shared, StoreTerms};
use crate::mesh::model::DesiredState;
use crate::mesh::store::{Actor, Change, Health, StoreError};
use ::redb::{Database, Durability};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The most writes that share one flush.
const GROUP_MAX: usize = 256;
/// How long nothing must have been written until the older transaction is made the same as the newer.
const SETTLE_AFTER: Duration = Duration::from_millis(50);
/// How often it is tried whether a store that failed can be written again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long the writer sleeps when there is nothing at all to do.
const IDLE: Duration = Duration::from_secs(3600);
/// There is room again if this much can be written.
const ROOM_BYTES: usize = 256 * 1024;

/// What a write gives back.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// One write.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) by: Actor,
    /// Given back when the write is answered, so that the queue has an end.
    pub(super) turn: OwnedSemaphorePermit,
}

/// What is to be written, and who waits for it.
pub(super) enum Request {
    Commit(Box<Change>, Answer<Arc<DesiredState>>),
    CreateItem(String, Vec<u8>, Answer<Vec<u8>>),
    RemoveItem(String, Answer<bool>),
}

/// Says to who waits how it went; is given why nothing was kept, if nothing was.
type Telling = Box<dyn FnOnce(Option<&StoreError>) + Send>;

pub(super) struct Writer<M> {
    pub(super) shared: Arc<Shared>,
    pub(super) medium: M,
    pub(super) terms: StoreTerms,
    pub(super) limits: Limits,
    pub(super) contents: Contents,
    /// Held as long as the writer lives.
    pub(super) _lock: File,
}

impl<M: Medium> Writer<M> {
    /// Writes until nobody can ask for it any more.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        let mut is_settled = false;
        let mut failed_at: Option<Instant> = None;
        loop {
            let wait = match (failed_at, is_settled) {
                (Some(_), _) => RETRY_INTERVAL,
                (None, false) => SETTLE_AFTER,
                (None, true) => IDLE,
            };
            let outcome = match queue.recv_timeout(wait) {
                Ok(first) => {
                    if failed_at.is_some_and(|at| at.elapsed() >= RETRY_INTERVAL) {
                        failed_at = self.recover().err().map(|_| Instant::now());
                    }
                    let group = std::iter::once(first).chain(queue.try_iter()).take(GROUP_MAX).collect();
                    is_settled = false;
                    self.write_group(group)
                }
                Err(RecvTimeoutError::Timeout) if failed_at.is_some() => {
                    failed_at = self.recover().err().map(|_| Instant::now());
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    is_settled = true;
                    self.settle()
                }
                Err(RecvTimeoutError::Disconnected) => return self.close(is_settled),
            };
            if let Err(error) = outcome
                && failed_at.is_none()
            {
                self.fail(&error);
                failed_at = Some(Instant::now());
            }
        }
    }

    /// Makes writes together durable, shows the state that they give, and answers each.
    fn write_group(&mut self, group: Vec<Job>) -> Result<(), StoreError> {
        let mut next = self.contents.clone();
        let mut batch = Batch::default();
        let limits = self.limits;
        let tellings: Vec<Telling> = group
            .into_iter()
            .map(|job| make(job, &mut next, limits, &mut batch, &self.shared.path))
            .collect();
        let outcome = if batch.is_empty() { self.check_open() } else { self.write(&batch, &mut next) };
        if outcome.is_ok() {
            self.contents = next;
            self.shared.show(&self.contents);
        }
        for tell in tellings {
            tell(outcome.as_ref().err());
        }
        outcome
    }

    fn write(&self, batch: &Batch, next: &mut Contents) -> Result<(), StoreError> {
        next.meta.writes += 1;
        self.transact(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            batch.write(&transaction, &mut next.tally)?;
            next.meta.write(&transaction, next.tally)?;
            Ok(transaction.commit()?)
        })
    }

    /// Makes the older transaction of the file the same as the newer one.
    fn settle(&self) -> Result<(), StoreError> {
        self.transact(|database| opening::write_meta(database, &self.contents))
    }

    fn transact(&self, work: impl FnOnce(&Database) -> Result<(), Fault>) -> Result<(), StoreError> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*database else { return Err(self.shared.closed()) };
        let done = quietly(|| work(database));
        done.unwrap_or_else(|panic| Err(Fault::odd(panic))).map_err(|fault| fault.at(&self.shared.path))
    }

    /// Whether there is anything that could be written to.
    fn check_open(&self) -> Result<(), StoreError> {
        self.transact(|_| Ok(()))
    }

    fn fail(&self, error: &StoreError) {
        tracing::error!(%error, "the store cannot be written: writes are refused until it can");
        let detail = error.to_string();
        self.shared.health.send_replace(Health::Failing { detail });
    }

    /// Tries whether the store can be written again, and opens it anew then.
    fn recover(&mut self) -> Result<(), StoreError> {
        let path = &self.shared.path;
        let opened = try_room(path).map_err(|error| opening::disk(path, &error)).and_then(|()| self.reopen());
        match opened {
            Ok(contents) => {
                self.contents = contents;
                self.shared.show(&self.contents);
                self.settle()?;
                self.shared.health.send_replace(Health::Good);
                tracing::info!("the store can be written again");
                Ok(())
            }
            Err(error) => {
                let detail = error.to_string();
                let failing = Health::Failing { detail };
                let is_news = self
                    .shared
                    .health
                    .send_if_modified(|health| std::mem::replace(health, failing.clone()) != failing);
                if is_news {
                    tracing::error!(%error, "the store cannot be opened again");
                }
                Err(error)
            }
        }
    }

    /// Closes the file, checks it and opens it again; all that was acknowledged has to be in it.
    fn reopen(&self) -> Result<Contents, StoreError> {
        let mut place = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        let closed = place.take();
        // What it says about closing does not matter: whatever was acknowledged is in the file.
        let _ = quietly(move || drop(closed));
        let Opened { database, contents } =
            opening::open_existing(&self.shared.path, &self.medium, &self.terms)?;
        if contents.meta.writes < self.contents.meta.writes {
            let lost = self.contents.meta.writes - contents.meta.writes;
            return Err(
                Fault::odd(format!("the last {lost} writes are not in it any more")).at(&self.shared.path)
            );
        }
        *place = Some(database);
        Ok(contents)
    }

    fn close(&self, is_settled: bool) {
        if !is_settled && let Err(error) = self.settle() {
            tracing::warn!(%error, "the store was not closed orderly; nothing is lost");
        }
        let closed = self.shared.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(panic) = quietly(move || drop(closed)) {
            tracing::warn!(panic, "the store was not closed orderly; nothing is lost");
        }
    }
}

/// Makes one write in memory. What is wrong with it concerns nobody else in its group.
fn make(job: Job, next: &mut Contents, limits: Limits, batch: &mut Batch, path: &Path) -> Telling {
    let Job { request, by, turn } = job;
    let at = |fault: Fault| fault.at(path);
    match request {
        Request::Commit(change, answer) => {
            let made = next.commit(&change, &by, limits, batch).map_err(at);
            telling(turn, answer, made.map(|()| Arc::new(next.state.clone())))
        }
        Request::CreateItem(key, value, answer) => {
            let made = next.create_item(&key, value, &by, limits, batch).map_err(at);
            telling(turn, answer, made.map(|value| value.to_vec()))
        }
        Request::RemoveItem(key, answer) => {
            telling(turn, answer, next.remove_item(&key, &by, limits, batch).map_err(at))
        }
    }
}

fn telling<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    answer: Answer<T>,
    made: Result<T, StoreError>,
) -> Telling {
    Box::new(move |failure| {
        // Who does not wait any more is not told.
        let _ = answer.send(match failure {
            Some(error) => made.and(Err(error.clone())),
            None => made,
        });
        drop(turn);
    })
}

/// Tries whether there is room for a write beside the store.
fn try_room(path: &Path) -> io::Result<()> {
    let probe = beside(path, "room");
    let written = File::create(&probe).and_then(|mut file| {
        file.write_all(&vec![1; ROOM_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&probe);
    written.and(removed)
}
