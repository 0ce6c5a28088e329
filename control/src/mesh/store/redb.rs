//! The embedded store: one redb file in the data directory, each write flushed to disk before it
//! is acknowledged.
//!
//! The whole desired state is also held in memory; a write computes the next state, writes what
//! differs in one transaction, and publishes the state once the transaction is on disk.

use super::record::{Record, StoredAudit, StoredDocument, StoredPolicy, StoredProxy};
use super::{AUDIT_ENTRIES_MAX, Actor, AuditEntry, Change, Pending, Store, StoreError};
use crate::mesh::model::{DEFAULT_TRUST_DOMAIN, DesiredState, ProxyId, Revision};
use ::redb::{Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use ::redb::{Table, TableDefinition, WriteTransaction};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The version of the tables; a file of another one is refused.
const FORMAT: &str = "1";

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const POLICIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("policies");
const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");
const PROXIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("proxies");
const ITEMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("items");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// A [`Store`] in one file.
#[derive(Clone)]
pub struct RedbStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    database: Database,
    /// Held while a write is computed, made durable and published.
    writing: Mutex<()>,
    state: watch::Sender<Arc<DesiredState>>,
}

/// Errors inside a transaction, before the path is known.
enum Fault {
    Store(StoreError),
    Redb(::redb::Error),
    Record(serde_json::Error),
}

impl RedbStore {
    /// Opens the store at this path, or creates it. A new store belongs to `trust_domain`, or to
    /// [`DEFAULT_TRUST_DOMAIN`].
    ///
    /// # Errors
    /// If the file is in use, damaged, of another format or of another trust domain, or if the disk fails.
    pub async fn open(path: &Path, trust_domain: Option<&str>) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let asked = trust_domain.map(str::to_owned);
        let opened_path = path.clone();
        let opening = tokio::task::spawn_blocking(move || Inner::open(opened_path, asked.as_deref()));
        let inner = opening.await.unwrap_or_else(|panic| Err(damaged(&path, panic)))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs a piece of work that may wait for the disk.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Pending<'_, T> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let path = inner.path.clone();
            let working =
                tokio::task::spawn_blocking(move || work(&inner).map_err(|fault| fault.at(&inner.path)));
            working.await.unwrap_or_else(|panic| Err(damaged(&path, panic)))
        })
    }
}

impl Store for RedbStore {
    fn watch(&self) -> watch::Receiver<Arc<DesiredState>> {
        self.inner.state.subscribe()
    }

    fn commit(&self, change: Change, by: Actor) -> Pending<'_, Arc<DesiredState>> {
        self.work(move |inner| inner.commit(&change, &by))
    }

    fn item(&self, key: &str) -> Pending<'_, Option<Vec<u8>>> {
        let key = key.to_owned();
        self.work(move |inner| {
            let table = inner.database.begin_read()?.open_table(ITEMS)?;
            Ok(table.get(key.as_str())?.map(|value| value.value().to_vec()))
        })
    }

    fn items(&self, prefix: &str) -> Pending<'_, BTreeMap<String, Vec<u8>>> {
        let prefix = prefix.to_owned();
        self.work(move |inner| {
            let table = inner.database.begin_read()?.open_table(ITEMS)?;
            let mut found = BTreeMap::new();
            for entry in table.range(prefix.as_str()..)? {
                let (key, value) = entry?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                found.insert(key.value().to_owned(), value.value().to_vec());
            }
            Ok(found)
        })
    }

    fn create_item(&self, key: &str, value: Vec<u8>, by: Actor) -> Pending<'_, Vec<u8>> {
        let key = key.to_owned();
        self.work(move |inner| inner.create_item(&key, value, &by))
    }

    fn remove_item(&self, key: &str, by: Actor) -> Pending<'_, bool> {
        let key = key.to_owned();
        self.work(move |inner| inner.remove_item(&key, &by))
    }

    fn audit(&self, count_max: usize) -> Pending<'_, Vec<AuditEntry>> {
        self.work(move |inner| {
            let table = inner.database.begin_read()?.open_table(AUDIT)?;
            let mut entries = Vec::new();
            for entry in table.iter()?.rev().take(count_max) {
                let (number, value) = entry?;
                let stored: StoredAudit = serde_json::from_slice(value.value()).map_err(Fault::Record)?;
                entries.push(stored.into_model(&number.value().to_string()));
            }
            Ok(entries)
        })
    }
}

impl Inner {
    fn open(path: PathBuf, asked: Option<&str>) -> Result<Self, StoreError> {
        let is_new = !path.exists();
        let database = Database::create(&path).map_err(|error| Fault::Redb(error.into()).at(&path))?;
        if is_new {
            let mode = Permissions::from_mode(0o600);
            fs::set_permissions(&path, mode).map_err(|error| disk(&path, &error))?;
            flush_directory_of(&path)?;
        }
        let state = prepare(&database, asked).map_err(|fault| fault.at(&path))?;
        let (state, _) = watch::channel(Arc::new(state));
        Ok(Self { path, database, writing: Mutex::new(()), state })
    }

    fn commit(&self, change: &Change, by: &Actor) -> Result<Arc<DesiredState>, Fault> {
        let _one_writer = self.one_writer();
        let old = Arc::clone(&self.state.borrow());
        let new = change.apply_to(&old).map_err(Fault::Store)?;
        if new == *old {
            return Ok(old);
        }
        let transaction = begin_durable_write(&self.database)?;
        write_difference(&transaction, &old, &new)?;
        write_audit(&transaction, by, change.describe(), new.revision)?;
        transaction.commit()?;
        let new = Arc::new(new);
        self.state.send_replace(Arc::clone(&new));
        Ok(new)
    }

    fn create_item(&self, key: &str, value: Vec<u8>, by: &Actor) -> Result<Vec<u8>, Fault> {
        let _one_writer = self.one_writer();
        let transaction = begin_durable_write(&self.database)?;
        {
            let mut table = transaction.open_table(ITEMS)?;
            if let Some(present) = table.get(key)? {
                return Ok(present.value().to_vec());
            }
            table.insert(key, value.as_slice())?;
        }
        write_audit(&transaction, by, format!("create item `{key}`"), self.state.borrow().revision)?;
        transaction.commit()?;
        Ok(value)
    }

    fn remove_item(&self, key: &str, by: &Actor) -> Result<bool, Fault> {
        let _one_writer = self.one_writer();
        let transaction = begin_durable_write(&self.database)?;
        if transaction.open_table(ITEMS)?.remove(key)?.is_none() {
            return Ok(false);
        }
        write_audit(&transaction, by, format!("remove item `{key}`"), self.state.borrow().revision)?;
        transaction.commit()?;
        Ok(true)
    }

    /// A writer that panicked has published nothing, so its poison says nothing about the state.
    fn one_writer(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the tables if there are none, and reads the desired state.
fn prepare(database: &Database, asked: Option<&str>) -> Result<DesiredState, Fault> {
    let transaction = begin_durable_write(database)?;
    let state = {
        let mut meta = transaction.open_table(META)?;
        if meta.is_empty()? {
            meta.insert("format", FORMAT)?;
            meta.insert("trust_domain", asked.unwrap_or(DEFAULT_TRUST_DOMAIN))?;
            meta.insert("revision", "0")?;
        }
        transaction.open_table(ITEMS)?;
        transaction.open_table(AUDIT)?;
        let revision = read_meta(&meta, "revision")?;
        let mut state = DesiredState {
            revision: Revision(revision.parse().map_err(|_| odd("its revision is not a number"))?),
            trust_domain: checked_trust_domain(&meta, asked)?,
            ..DesiredState::default()
        };
        let documents = read_all::<StoredDocument>(&transaction.open_table(DOCUMENTS)?)?;
        state.documents = documents.into_iter().map(|(digest, text)| (digest, Arc::new(text))).collect();
        for record in read_all::<StoredPolicy>(&transaction.open_table(POLICIES)?)?.into_values() {
            state.place(record);
        }
        let proxies = read_all::<StoredProxy>(&transaction.open_table(PROXIES)?)?;
        state.proxies = proxies.into_iter().map(|(id, proxy)| (ProxyId(id), Arc::new(proxy))).collect();
        state
    };
    transaction.commit()?;
    Ok(state)
}

fn checked_trust_domain(meta: &Table<'_, &str, &str>, asked: Option<&str>) -> Result<String, Fault> {
    let format = read_meta(meta, "format")?;
    if format != FORMAT {
        return Err(odd(format!("it has format {format}, this program reads format {FORMAT}")));
    }
    let stored = read_meta(meta, "trust_domain")?;
    match asked {
        Some(asked) if asked != stored => {
            Err(Fault::Store(StoreError::OtherTrustDomain { stored, asked: asked.to_owned() }))
        }
        _ => Ok(stored),
    }
}

fn read_meta(meta: &Table<'_, &str, &str>, key: &str) -> Result<String, Fault> {
    let value = meta.get(key)?.map(|value| value.value().to_owned());
    value.ok_or_else(|| odd(format!("it does not say its {key}")))
}

fn read_all<R: Record>(table: &Table<'_, &str, &[u8]>) -> Result<BTreeMap<String, R::Model>, Fault> {
    let mut all = BTreeMap::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let stored: R = serde_json::from_slice(value.value()).map_err(Fault::Record)?;
        all.insert(key.value().to_owned(), stored.into_model(key.value()));
    }
    Ok(all)
}

fn begin_durable_write(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

fn write_difference(
    transaction: &WriteTransaction,
    old: &DesiredState,
    new: &DesiredState,
) -> Result<(), Fault> {
    let identity = |key: &String| key.clone();
    write_map::<StoredPolicy, _, _>(transaction, POLICIES, (&old.policies, &new.policies), identity)?;
    write_map::<StoredDocument, _, _>(transaction, DOCUMENTS, (&old.documents, &new.documents), identity)?;
    write_map::<StoredProxy, _, _>(transaction, PROXIES, (&old.proxies, &new.proxies), |id| id.0.clone())?;
    if old.revision != new.revision {
        transaction.open_table(META)?.insert("revision", new.revision.to_string().as_str())?;
    }
    Ok(())
}

/// Writes what the second map has and the first has not, or has otherwise; removes what only the first has.
fn write_map<R: Record, K: Ord, V: std::borrow::Borrow<R::Model> + PartialEq>(
    transaction: &WriteTransaction,
    definition: TableDefinition<'_, &str, &[u8]>,
    (old, new): (&OrdMap<K, V>, &OrdMap<K, V>),
    key_text: impl Fn(&K) -> String,
) -> Result<(), Fault> {
    let mut table = transaction.open_table(definition)?;
    for difference in old.diff(new) {
        match difference {
            DiffItem::Remove(key, _) => {
                table.remove(key_text(key).as_str())?;
            }
            DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => {
                let bytes = serde_json::to_vec(&R::of(value.borrow())).map_err(Fault::Record)?;
                table.insert(key_text(key).as_str(), bytes.as_slice())?;
            }
        }
    }
    Ok(())
}

fn write_audit(
    transaction: &WriteTransaction,
    by: &Actor,
    action: String,
    revision: Revision,
) -> Result<(), Fault> {
    let mut table = transaction.open_table(AUDIT)?;
    let number = table.last()?.map_or(1, |(number, _)| number.value() + 1);
    let entry = AuditEntry { number, at: by.at, actor: by.name.clone(), action, revision };
    let bytes = serde_json::to_vec(&StoredAudit::of(&entry)).map_err(Fault::Record)?;
    table.insert(number, bytes.as_slice())?;
    while table.len()? > AUDIT_ENTRIES_MAX as u64 {
        table.pop_first()?;
    }
    Ok(())
}

/// A new file is only there after a crash if its directory was flushed too.
fn flush_directory_of(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| disk(path, &error))
}

fn disk(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Disk { path: path.to_owned(), detail: error.to_string() }
}

fn damaged(path: &Path, panic: tokio::task::JoinError) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), detail: format!("the file is damaged ({panic})") }
}

fn odd(detail: impl Into<String>) -> Fault {
    Fault::Redb(::redb::Error::Corrupted(detail.into()))
}

impl Fault {
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
            Self::Redb(Error::PreviousIo) => StoreError::Disk {
                path,
                detail: "an earlier write failed; restart the control plane".to_owned(),
            },
            Self::Redb(other) => StoreError::Corrupt { path, detail: other.to_string() },
        }
    }
}

fn is_content(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

impl<E: Into<::redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::conformance::{self, apply, proxy, somebody};
    use super::*;

    #[tokio::test]
    async fn conforms() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&directory.path().join("state.redb"), None).await.unwrap();
        conformance::check(&store).await;
    }

    #[tokio::test]
    async fn a_reopened_store_has_everything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = RedbStore::open(&path, Some("mesh.example")).await.unwrap();
        store.commit(apply(0, "a.writ", "one", &["p"]), somebody()).await.unwrap();
        store.commit(Change::RegisterProxy(proxy("shop/orders/1")), somebody()).await.unwrap();
        store.create_item("k", b"v".to_vec(), somebody()).await.unwrap();
        let before = Arc::clone(&store.watch().borrow());
        drop(store);

        let store = RedbStore::open(&path, None).await.unwrap();
        assert_eq!(*store.watch().borrow(), before);
        assert_eq!(before.trust_domain, "mesh.example");
        assert_eq!(store.item("k").await.unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(store.audit(10).await.unwrap().len(), 3);
        drop(store);

        let other = RedbStore::open(&path, Some("other.example")).await;
        assert!(matches!(other, Err(StoreError::OtherTrustDomain { .. })));
    }

    #[tokio::test]
    async fn a_store_in_use_is_not_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let _first = RedbStore::open(&path, None).await.unwrap();
        let second = RedbStore::open(&path, None).await;
        assert!(matches!(second, Err(StoreError::InUse(_))));
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_is_a_clear_error_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in [("short", &b"hello"[..]), ("long", &[0x5a; 8192][..])] {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = RedbStore::open(&path, None).await.err().unwrap();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error:?}");
            assert!(error.to_string().contains("Restore it from a backup"), "{name}: {error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
        }
    }

    #[tokio::test]
    async fn a_damaged_store_is_a_clear_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = RedbStore::open(&path, None).await.unwrap();
        store.commit(apply(0, "a.writ", "one", &["p"]), somebody()).await.unwrap();
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(64).step_by(3) {
            *byte ^= 0xff;
        }
        std::fs::write(&path, &bytes).unwrap();
        let error = RedbStore::open(&path, None).await.err().unwrap();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
}
