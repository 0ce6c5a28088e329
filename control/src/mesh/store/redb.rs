//! The embedded store: one redb file, written by one thread, checked from end to end before it is used.
//!
//! ```text
//! handle --queue--> Writer (owns the contents) --transaction--> file
//!   |                  '--> Shared: newest state, items, health
//!   '--- reads -------------------^
//! ```
//!
//! The whole desired state and all items are held in memory, in persistent maps; the modules of filters are not. Writes that wait together are
//! made in one transaction, which costs in proportion to what they change, and are answered once it is on disk.

mod contents;
mod filters;
mod medium;
mod opening;
mod quiet;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use super::history::{HISTORY_BYTES_MAX, PoliciesAt, REVISIONS_MAX, RevisionRecord, check_kept, undo};
use super::record::{Record, StoredAudit, StoredDocument, StoredPolicy, StoredRevision};
use super::{AUDIT_ENTRIES_MAX, Actor, AuditEntry, AuditLog, Change, Health, Pending, Store, StoreError};
use crate::mesh::model::filter::FilterDigest;
use crate::mesh::model::{DesiredState, Document, PolicyRecord, Revision};
use ::redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError};
use contents::{Contents, Items};
use medium::{Files, Medium};
use quiet::quietly;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use tables::{Table, number_key};
use tokio::sync::{Semaphore, oneshot, watch};
use writer::{Answer, Job, Request, Writer};

/// The most writes that wait; who comes later waits to wait.
const WAITING_MAX: usize = 4096;

/// A [`Store`] in one file.
#[derive(Clone)]
pub struct RedbStore {
    handle: Arc<Handle>,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreTerms {
    /// The trust domain that it must belong to, or that a new one is to belong to; any, or the default, if absent.
    pub trust_domain: Option<String>,
    /// Whether one is made if there is none.
    pub may_create: bool,
    /// Whether the file may be a copy, and is the only one in use from now on.
    pub is_restored: bool,
}

/// What all handles share with the writer.
struct Shared {
    path: PathBuf,
    /// `None` after a failure, until it is opened again.
    database: RwLock<Option<Database>>,
    state: watch::Sender<Arc<DesiredState>>,
    items: RwLock<Items>,
    /// The oldest revision whose policies can be read.
    oldest: RwLock<Revision>,
    health: watch::Sender<Health>,
}

struct Handle {
    shared: Arc<Shared>,
    /// `None` once the last handle is dropped.
    queue: Option<Sender<Job>>,
    turns: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Limits {
    audit_entries: usize,
    revisions: usize,
    history_bytes: u64,
}

const LIMITS: Limits =
    Limits { audit_entries: AUDIT_ENTRIES_MAX, revisions: REVISIONS_MAX, history_bytes: HISTORY_BYTES_MAX };

/// Errors inside a transaction, before the path is known.
#[derive(Debug)]
enum Fault {
    Store(StoreError),
    Redb(::redb::Error),
    Record(serde_json::Error),
}

impl Default for StoreTerms {
    fn default() -> Self {
        Self { trust_domain: None, may_create: true, is_restored: false }
    }
}

impl RedbStore {
    /// Opens the store at this path, or creates it. A new store belongs to `trust_domain`, or to
    /// [`DEFAULT_TRUST_DOMAIN`](crate::mesh::model::DEFAULT_TRUST_DOMAIN).
    ///
    /// # Errors
    /// If the file is in use, damaged, a copy, of another format or of another trust domain, or if the disk fails.
    pub async fn open(path: &Path, trust_domain: Option<&str>) -> Result<Self, StoreError> {
        let terms = StoreTerms { trust_domain: trust_domain.map(str::to_owned), ..StoreTerms::default() };
        Self::open_with(path, terms).await
    }

    /// Opens the store at this path on terms.
    ///
    /// # Errors
    /// As [`RedbStore::open`]; also if it is missing and may not be created.
    pub async fn open_with(path: &Path, terms: StoreTerms) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || Self::open_on(path, terms, Files, LIMITS));
        opening.await.unwrap_or_else(|gone| Err(stopped(gone.to_string())))
    }

    fn open_on<M: Medium>(
        path: PathBuf,
        terms: StoreTerms,
        medium: M,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let lock = opening::lock(&path)?;
        let opened = opening::open(&path, &medium, &terms)?;
        let (state, _) = watch::channel(Arc::default());
        let (health, _) = watch::channel(Health::Good);
        let database = RwLock::new(Some(opened.database));
        let (items, oldest) = (RwLock::default(), RwLock::default());
        let shared = Arc::new(Shared { path, database, state, items, oldest, health });
        shared.show(&opened.contents);
        // From now on it is opened as what it is, whatever was asked for.
        let terms = StoreTerms { trust_domain: None, may_create: false, is_restored: false };
        let contents = opened.contents;
        let writer = Writer { shared: Arc::clone(&shared), medium, terms, limits, contents, _lock: lock };
        let (queue, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(&jobs));
        let thread = thread.map_err(|error| opening::disk(&shared.path, &error))?;
        let turns = Arc::new(Semaphore::new(WAITING_MAX));
        let handle = Handle { shared, queue: Some(queue), turns, writer: Some(thread) };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Gives a write to the writer and waits for the answer.
    fn write<T: Send + 'static>(
        &self,
        by: Actor,
        request: impl FnOnce(Answer<T>) -> Request + Send + 'static,
    ) -> Pending<'_, T> {
        Box::pin(async move {
            let turn = Arc::clone(&self.handle.turns).acquire_owned().await;
            let turn = turn.map_err(|closed| stopped(closed.to_string()))?;
            let (answer, answered) = oneshot::channel();
            let job = Job { request: request(answer), by, turn };
            let sent = self.handle.queue.as_ref().is_some_and(|queue| queue.send(job).is_ok());
            if !sent {
                return Err(stopped("its writer has ended".to_owned()));
            }
            answered.await.unwrap_or_else(|gone| Err(stopped(gone.to_string())))
        })
    }

    /// Reads from the file, which may wait for the disk.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared, &ReadTransaction) -> Result<T, Fault> + Send + 'static,
    ) -> Pending<'_, T> {
        let shared = Arc::clone(&self.handle.shared);
        Box::pin(async move {
            let reading = tokio::task::spawn_blocking(move || shared.read(read));
            reading.await.unwrap_or_else(|gone| Err(stopped(gone.to_string())))
        })
    }
}

impl Store for RedbStore {
    fn watch(&self) -> watch::Receiver<Arc<DesiredState>> {
        self.handle.shared.state.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.handle.shared.health.subscribe()
    }

    fn commit(&self, change: Change, by: Actor) -> Pending<'_, Arc<DesiredState>> {
        self.write(by, |answer| Request::Commit(Box::new(change), answer))
    }

    fn blob(&self, digest: FilterDigest) -> Pending<'_, Option<Arc<[u8]>>> {
        self.read(move |_, transaction| {
            let table = match transaction.open_table(Table::Modules.definition()) {
                // A file of earlier versions has none until it is written to.
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                opened => opened?,
            };
            let found = table.get(digest.to_string().as_str())?;
            Ok(found.map(|bytes| Arc::from(bytes.value())))
        })
    }

    fn item(&self, key: &str) -> Pending<'_, Option<Vec<u8>>> {
        let items = self.handle.shared.items();
        let value = items.get(key).map(|value| value.to_vec());
        Box::pin(std::future::ready(Ok(value)))
    }

    fn items(&self, prefix: &str) -> Pending<'_, BTreeMap<String, Vec<u8>>> {
        let items = self.handle.shared.items();
        let found = items.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let found = found.map(|(key, value)| (key.clone(), value.to_vec())).collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn create_item(&self, key: &str, value: Vec<u8>, by: Actor) -> Pending<'_, Vec<u8>> {
        let key = key.to_owned();
        self.write(by, |answer| Request::CreateItem(key, value, answer))
    }

    fn remove_item(&self, key: &str, by: Actor) -> Pending<'_, bool> {
        let key = key.to_owned();
        self.write(by, |answer| Request::RemoveItem(key, answer))
    }

    fn audit(&self, log: AuditLog, count_max: usize) -> Pending<'_, Vec<AuditEntry>> {
        self.read(move |_, transaction| {
            let table = transaction.open_table(Table::of_log(log).definition())?;
            let entries = table.iter()?.rev().take(count_max);
            let entry =
                |entry: Result<(::redb::AccessGuard<'_, &str>, ::redb::AccessGuard<'_, &[u8]>), _>| {
                    let (key, value) = entry?;
                    model::<StoredAudit>(key.value(), value.value())
                };
            entries.map(entry).collect()
        })
    }

    fn revisions(&self, count_max: usize) -> Pending<'_, Vec<RevisionRecord>> {
        self.read(move |_, transaction| {
            let table = transaction.open_table(Table::Revisions.definition())?;
            let mut records = Vec::new();
            for entry in table.iter()?.rev().take(count_max) {
                let (key, value) = entry?;
                records.push(model::<StoredRevision>(key.value(), value.value())?);
            }
            Ok(records)
        })
    }

    fn policies_at(&self, revision: Revision) -> Pending<'_, PoliciesAt> {
        self.read(move |shared, transaction| {
            let mut policies: BTreeMap<String, PolicyRecord> = BTreeMap::new();
            for entry in transaction.open_table(Table::Policies.definition())?.iter()? {
                let (key, value) = entry?;
                policies.insert(key.value().to_owned(), model::<StoredPolicy>(key.value(), value.value())?);
            }
            let revisions = transaction.open_table(Table::Revisions.definition())?;
            let newest = match revisions.last()? {
                Some((key, value)) => model::<StoredRevision>(key.value(), value.value())?.revision,
                None => Revision(0),
            };
            check_kept(revision, shared.oldest(), newest)?;
            let later = number_key(revision.0 + 1);
            for entry in revisions.range(later.as_str()..)?.rev() {
                let (key, value) = entry?;
                let record = model::<StoredRevision>(key.value(), value.value())?;
                undo(&mut policies, &record.policies).map_err(|name| {
                    Fault::odd(format!("policy `{name}` is not as revision {} left it", record.revision))
                })?;
            }
            let documents = documents(transaction, &policies)?;
            Ok(PoliciesAt { revision, policies, documents })
        })
    }
}

/// The documents that policies stand in.
fn documents(
    transaction: &ReadTransaction,
    policies: &BTreeMap<String, PolicyRecord>,
) -> Result<BTreeMap<String, Arc<Document>>, Fault> {
    let table = transaction.open_table(Table::Documents.definition())?;
    let digests: BTreeSet<&String> = policies.values().map(|record| &record.document).collect();
    let mut documents = BTreeMap::new();
    for digest in digests {
        let value = table.get(digest.as_str())?;
        let value = value.ok_or_else(|| Fault::odd(format!("a document is missing, {digest}")))?;
        documents.insert(digest.clone(), Arc::new(model::<StoredDocument>(digest, value.value())?));
    }
    Ok(documents)
}

fn model<R: Record>(key: &str, value: &[u8]) -> Result<R::Model, Fault> {
    let stored: R = serde_json::from_slice(value).map_err(Fault::Record)?;
    Ok(stored.into_model(key))
}

impl Shared {
    /// Shows contents that are durable.
    fn show(&self, contents: &Contents) {
        *self.items.write().unwrap_or_else(PoisonError::into_inner) = contents.items.clone();
        *self.oldest.write().unwrap_or_else(PoisonError::into_inner) = contents.oldest_revision();
        self.state.send_if_modified(|shown| {
            // Of a write that changed an item alone no reader of the state need know.
            let is_news = !shown.is_same(&contents.state);
            if is_news {
                *shown = Arc::new(contents.state.clone());
            }
            is_news
        });
    }

    fn items(&self) -> Items {
        self.items.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn oldest(&self) -> Revision {
        *self.oldest.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Self, &ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*database else { return Err(self.closed()) };
        let done = quietly(|| read(self, &database.begin_read()?));
        done.unwrap_or_else(|panic| Err(Fault::odd(panic))).map_err(|fault| fault.at(&self.path))
    }

    /// What is said while the file is closed after a failure.
    fn closed(&self) -> StoreError {
        let detail =
            "an earlier write failed; it is tried every second whether there is room again".to_owned();
        StoreError::Disk { path: self.path.clone(), detail }
    }
}

impl Drop for Handle {
    /// Waits until the file is closed, so that it can be opened again.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store broke an invariant of its own");
        }
    }
}

/// The writer has ended before its time, which is our fault.
fn stopped(detail: String) -> StoreError {
    StoreError::Stopped(detail)
}

impl Fault {
    /// Something in the file that cannot be.
    fn odd(detail: impl Into<String>) -> Self {
        Self::Redb(::redb::Error::Corrupted(detail.into()))
    }

    fn at(self, path: &Path) -> StoreError {
        use ::redb::Error;
        let path = path.to_owned();
        match self {
            Self::Store(error) => error,
            Self::Record(error) => {
                StoreError::Corrupt { path, detail: format!("a record cannot be read: {error}") }
            }
            Self::Redb(Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch) => StoreError::InUse(path),
            Self::Redb(Error::Corrupted(detail)) => StoreError::Corrupt { path, detail },
            Self::Redb(Error::Io(error)) if is_content(error.kind()) => {
                StoreError::Corrupt { path, detail: format!("it is not a store of this program: {error}") }
            }
            Self::Redb(Error::Io(error)) => StoreError::Disk { path, detail: error.to_string() },
            Self::Redb(Error::PreviousIo) => {
                StoreError::Disk { path, detail: "an earlier write failed".to_owned() }
            }
            Self::Redb(other) => StoreError::Corrupt { path, detail: other.to_string() },
        }
    }
}

fn is_content(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => {
        $(impl From<::redb::$error> for Fault {
            fn from(error: ::redb::$error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}

from_redb!(Error DatabaseError TransactionError TableError StorageError CommitError SetDurabilityError);
