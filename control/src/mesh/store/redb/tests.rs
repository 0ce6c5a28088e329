//! Tests of the embedded store that need its file: damage, a full disk, copies, and how much is written.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::super::RolloutStep;
use super::super::conformance::filters::{apply_using, deletion, push};
use super::super::conformance::{self, apply, delete, proxy, somebody};
use super::*;
use ::redb::{BackendError, StorageBackend, backends::FileBackend};
use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[tokio::test]
async fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&directory.path().join("state.redb"), None).await.unwrap();
    conformance::check(&store).await;
    let other = open_here(&directory.path().join("other.redb")).unwrap();
    conformance::check_rollout(&other).await;
}

/// Everything that a store has.
#[derive(Debug, PartialEq)]
struct Everything {
    state: DesiredState,
    items: BTreeMap<String, Vec<u8>>,
    audit: Vec<AuditEntry>,
    machine_audit: Vec<AuditEntry>,
    revisions: Vec<RevisionRecord>,
    history: Vec<PoliciesAt>,
    modules: Vec<Option<Arc<[u8]>>>,
}

async fn everything(store: &RedbStore) -> Everything {
    let state = (**store.watch().borrow()).clone();
    let mut history = Vec::new();
    for revision in store.handle.shared.oldest().0..=state.revision.0 {
        history.push(store.policies_at(Revision(revision)).await.unwrap());
    }
    let mut modules = Vec::new();
    for digest in state.filters.values().flat_map(|record| [record.digest, record.module]) {
        modules.push(store.blob(digest).await.unwrap());
    }
    Everything {
        modules,
        state,
        items: store.items("").await.unwrap(),
        audit: store.audit(AuditLog::People, usize::MAX).await.unwrap(),
        machine_audit: store.audit(AuditLog::Machines, usize::MAX).await.unwrap(),
        revisions: store.revisions(usize::MAX).await.unwrap(),
        history,
    }
}

/// Changes a policy, as if the newest state had been looked at.
async fn change(store: &RedbStore, change: Change) {
    let state = store.watch().borrow().clone();
    store.commit(change.seen(&state), somebody()).await.unwrap();
}

/// Some of everything.
async fn fill(store: &RedbStore) {
    for at in 0..40 {
        let name = format!("policy-{}", at % 12);
        let text = format!("auth {name} on mesh {{ {} }}", "allow GET /some/path\n".repeat(at * 9 + 1));
        change(store, apply(0, &format!("{name}.writ"), &text, &[&name])).await;
        store.commit(Change::RegisterProxy(proxy(&format!("shop/orders/{at}"))), somebody()).await.unwrap();
        store
            .create_item(&format!("token/{at}"), vec![u8::try_from(at).unwrap(); 40], somebody())
            .await
            .unwrap();
    }
    change(store, delete("policy-3")).await;
    for (id, bytes) in [("f@1.0.0", "one"), ("f@1.1.0", "two"), ("f@1.2.0", "three")] {
        store.commit(Change::PushFilter(Box::new(push(id, bytes))), somebody()).await.unwrap();
    }
    store.commit(apply_using(store, "policy-5", &["f@1.1.0"]), somebody()).await.unwrap();
    store.commit(deletion("f@1.2.0"), somebody()).await.unwrap();
}

fn open_here(path: &Path) -> Result<RedbStore, StoreError> {
    RedbStore::open_on(path.to_owned(), StoreTerms::default(), Files, LIMITS)
}

#[tokio::test]
async fn a_reopened_store_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = RedbStore::open(&path, Some("mesh.example")).await.unwrap();
    fill(&store).await;
    let before = everything(&store).await;
    assert_eq!((before.revisions.len(), before.items.len()), (42, 40));
    assert_eq!((before.state.filters.len(), before.state.retired_filters.len()), (2, 1));
    assert!(before.modules.len() == 4 && before.modules.iter().all(Option::is_some));
    drop(store);

    let store = RedbStore::open(&path, None).await.unwrap();
    assert_eq!(everything(&store).await, before);
    assert_eq!(before.state.trust_domain, "mesh.example");
    change(&store, delete("policy-4")).await;
    drop(store);

    let other = RedbStore::open(&path, Some("other.example")).await;
    assert!(matches!(other, Err(StoreError::OtherTrustDomain { .. })));
}

#[tokio::test]
async fn a_rollout_goes_on_where_it_was_when_a_store_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = open_here(&path).unwrap();
    conformance::begin_rollout(&store).await;
    let step = RolloutStep::GoOn { stage: 0, bound: Some(7), at: jiff::Timestamp::UNIX_EPOCH };
    let before = store.commit(conformance::step(step), somebody()).await.unwrap();
    drop(store);
    let store = open_here(&path).unwrap();
    let after = store.watch().borrow().clone();
    assert_eq!(after.rollout, before.rollout);
    assert_eq!(after.stable(), before.stable());
    assert!(after.stable().is_some_and(|stable| stable.policies.len() == 2));
    store.commit(conformance::step(RolloutStep::Finish), somebody()).await.unwrap();
    drop(store);
    let after = open_here(&path).unwrap().watch().borrow().clone();
    assert!(after.rollout.as_ref().is_some_and(|rollout| !rollout.is_under_way()));
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
    for (name, bytes) in [("empty", &b""[..]), ("short", b"hello"), ("long", &[0x5a; 8192])] {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = RedbStore::open(&path, None).await.err().unwrap();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains("Restore it from a backup"), "{name}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name}");
    }
}

#[tokio::test]
async fn a_missing_store_is_made_only_in_a_new_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let terms = StoreTerms { may_create: false, ..StoreTerms::default() };
    let missing = RedbStore::open_with(&path, terms).await.err().unwrap();
    assert!(matches!(missing, StoreError::Missing(_)));
    assert!(missing.to_string().contains("restore it from a backup"), "{missing}");
    assert!(!path.exists());
    fs::write(directory.path().join("state.redb.new"), "what a start left that was killed").unwrap();
    drop(RedbStore::open(&path, None).await.unwrap());
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the store and its lock: {names:?}");
}

#[tokio::test]
async fn a_copy_is_opened_only_if_it_is_said_to_be_the_only_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let original = RedbStore::open(&path, None).await.unwrap();
    fill(&original).await;
    let copy = directory.path().join("copy.redb");
    fs::copy(&path, &copy).unwrap();
    let refused = RedbStore::open(&copy, None).await.err().unwrap();
    assert!(matches!(refused, StoreError::Copied(_)), "{refused}");
    let terms = StoreTerms { is_restored: true, ..StoreTerms::default() };
    let restored = RedbStore::open_with(&copy, terms).await.unwrap();
    assert_eq!(everything(&restored).await, everything(&original).await);
    drop(restored);
    drop(RedbStore::open(&copy, None).await.unwrap());
    drop(original);
    let moved = directory.path().join("moved.redb");
    fs::rename(&path, &moved).unwrap();
    drop(RedbStore::open(&moved, None).await.unwrap());
}

#[tokio::test]
async fn old_revisions_go_with_their_documents() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let limits = Limits { audit_entries: 5, revisions: 3, history_bytes: 1000 };
    let open = || RedbStore::open_on(path.clone(), StoreTerms::default(), Files, limits).unwrap();
    let store = open();
    for at in 0..10 {
        change(&store, apply(0, "a.writ", &format!("text {at}"), &["p"])).await;
    }
    let counts = |store: &RedbStore| {
        let count = |shared: &Shared, table: Table| {
            let read = |_: &Shared, transaction: &ReadTransaction| {
                Ok(transaction.open_table(table.definition())?.iter()?.count())
            };
            shared.read(read).unwrap()
        };
        [Table::Revisions, Table::Documents, Table::Audit].map(|table| count(&store.handle.shared, table))
    };
    assert_eq!(counts(&store), [3, 4, 5], "three steps are between four texts");
    assert!(store.policies_at(Revision(7)).await.is_ok());
    let gone = store.policies_at(Revision(6)).await;
    assert!(matches!(gone, Err(StoreError::NoSuchRevision { oldest: Revision(7), .. })), "{gone:?}");
    let before = everything(&store).await;
    drop(store);
    let store = open();
    assert_eq!(everything(&store).await, before);
    change(&store, apply(0, "a.writ", &"x".repeat(2000), &["p"])).await;
    assert_eq!(counts(&store), [1, 2, 5], "too many bytes: only the newest step is kept");
    change(&store, delete("p")).await;
    assert_eq!(counts(&store), [1, 1, 5]);
    let back = store.policies_at(Revision(11)).await.unwrap();
    assert_eq!(back.documents.len(), 1, "the text of what was deleted last is there to go back to");
    change(&store, apply(0, "b.writ", "b", &["q"])).await;
    assert_eq!(counts(&store), [1, 1, 5]);
}

/// A generator of numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

const PAGE: usize = 4096;

/// Damages a file in one of many ways; says how.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) -> String {
    // Half of all damage where the file is in use, and some in its first bytes, which say what it is.
    let len = bytes.len();
    let used: Vec<usize> =
        (0..len / PAGE).filter(|at| bytes[at * PAGE..][..PAGE].iter().any(|byte| *byte != 0)).collect();
    let page = |numbers: &mut Numbers| used[numbers.below(used.len())] * PAGE;
    match numbers.below(8) {
        0 => {
            let at = numbers.below(320);
            bytes[at] ^= 1 << numbers.below(8);
            format!("a bit of the header, {at}")
        }
        1 | 2 => {
            let at = page(numbers) + numbers.below(PAGE);
            bytes[at] ^= 1 << numbers.below(8);
            format!("a bit at {at}")
        }
        3 => {
            let keep = numbers.below(len);
            bytes.truncate(keep);
            format!("cut to {keep}")
        }
        4 => {
            let at = page(numbers);
            bytes[at..at + PAGE].fill(0);
            format!("zeros at {at}")
        }
        5 => {
            let (one, other) = (page(numbers), page(numbers));
            let (first, second) = (bytes[one..one + PAGE].to_vec(), bytes[other..other + PAGE].to_vec());
            bytes[one..one + PAGE].copy_from_slice(&second);
            bytes[other..other + PAGE].copy_from_slice(&first);
            format!("pages {one} and {other} swapped")
        }
        6 => {
            let at = page(numbers);
            for byte in &mut bytes[at..at + PAGE] {
                *byte = u8::try_from(numbers.below(256)).unwrap();
            }
            format!("noise at {at}")
        }
        _ => {
            let at = page(numbers) + numbers.below(PAGE - 16);
            bytes[at..at + 16].fill(0xff);
            format!("sixteen bytes at {at}")
        }
    }
}

/// How many damages are tried; another number by this variable.
const DAMAGES: &str = "CHANCERY_TEST_DAMAGES";

#[tokio::test]
async fn a_damaged_store_is_refused_or_the_same() {
    let rounds = std::env::var(DAMAGES).map_or(240, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = RedbStore::open(&path, None).await.unwrap();
    fill(&store).await;
    let expected = everything(&store).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let killed = fs::read(&path).unwrap();
    drop(store);
    let closed = fs::read(&path).unwrap();
    let mut numbers = Numbers(7);
    let (mut refused, mut same) = (0, 0);
    for round in 0..rounds {
        let mut bytes = if round % 2 == 0 { closed.clone() } else { killed.clone() };
        let what = damage(&mut bytes, &mut numbers);
        // The same file, so that it is not a copy.
        fs::write(&path, &bytes).unwrap();
        match open_here(&path) {
            Ok(store) => {
                assert_eq!(everything(&store).await, expected, "round {round}: {what}");
                same += 1;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }), "round {round}: {what}: {error:?}");
                let text = error.to_string();
                assert!(text.contains("state.redb") && text.contains("Restore it from a backup"), "{text}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "round {round}: {what}: the file was touched");
                refused += 1;
            }
        }
    }
    assert!(refused > rounds / 4 && same > 0, "{refused} refused, {same} the same");
}

/// Files on a disk that can be full, and that counts what it is asked to flush.
#[derive(Clone, Debug, Default)]
struct Disk {
    is_full: Arc<AtomicBool>,
    flushes: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct OnDisk {
    file: FileBackend,
    disk: Disk,
}

impl Medium for Disk {
    type Backend = OnDisk;

    fn backend(&self, file: File) -> Result<OnDisk, ::redb::Error> {
        Ok(OnDisk { file: FileBackend::new(file)?, disk: self.clone() })
    }
}

impl OnDisk {
    fn check_room(&self) -> io::Result<()> {
        if self.disk.is_full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.flushes.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_room()?;
        self.disk.bytes.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }

    fn try_lock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
}

#[tokio::test]
async fn a_store_on_a_full_disk_takes_writes_again_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let disk = Disk::default();
    let store = RedbStore::open_on(path.clone(), StoreTerms::default(), disk.clone(), LIMITS).unwrap();
    fill(&store).await;
    let before = everything(&store).await;
    let mut health = store.health();
    assert_eq!(*health.borrow_and_update(), Health::Good);

    disk.is_full.store(true, Ordering::SeqCst);
    for at in 0..3 {
        let refused =
            store.commit(Change::RegisterProxy(proxy(&format!("shop/late/{at}"))), somebody()).await;
        assert!(matches!(refused, Err(StoreError::Disk { .. })), "{refused:?}");
        let refused = store.create_item("late", vec![], somebody()).await;
        assert!(matches!(refused, Err(StoreError::Disk { .. })), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(
            matches!(&*health.borrow_and_update(), Health::Failing { detail } if detail.contains("state.redb"))
        );
        assert_eq!(store.item("token/1").await.unwrap().unwrap(), vec![1; 40], "reads go on");
        assert_eq!(**store.watch().borrow(), before.state, "nothing of it was kept");
    }

    disk.is_full.store(false, Ordering::SeqCst);
    let recovery =
        tokio::time::timeout(Duration::from_secs(20), health.wait_for(|health| *health == Health::Good));
    recovery.await.unwrap().unwrap();
    assert_eq!(everything(&store).await, before);
    change(&store, delete("policy-5")).await;
    let after = everything(&store).await;
    drop(store);
    assert_eq!(everything(&open_here(&path).unwrap()).await, after);
}

#[tokio::test]
async fn writes_that_wait_together_share_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let path = directory.path().join("state.redb");
    let store = RedbStore::open_on(path, StoreTerms::default(), disk.clone(), LIMITS).unwrap();
    let before = disk.flushes.load(Ordering::SeqCst);
    let mut writing = tokio::task::JoinSet::new();
    for at in 0..400 {
        let store = store.clone();
        writing.spawn(async move {
            store
                .commit(Change::RegisterProxy(proxy(&format!("shop/orders/{at}"))), somebody())
                .await
                .unwrap();
        });
    }
    writing.join_all().await;
    let flushes = disk.flushes.load(Ordering::SeqCst) - before;
    assert!(flushes <= 40, "{flushes} flushes for 400 writes");
}

/// Bytes written for one registration when there are so many already.
async fn bytes_of_one_write(size: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let path = directory.path().join("state.redb");
    let store = RedbStore::open_on(path, StoreTerms::default(), disk.clone(), LIMITS).unwrap();
    let writes: Vec<_> = (0..size)
        .map(|at| {
            let store = store.clone();
            let change = Change::RegisterProxy(proxy(&format!("shop/orders/{at}")));
            tokio::spawn(async move { store.commit(change, somebody()).await.unwrap() })
        })
        .collect();
    for write in writes {
        write.await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = disk.bytes.load(Ordering::SeqCst);
    store.commit(Change::RegisterProxy(proxy("shop/late/1")), somebody()).await.unwrap();
    disk.bytes.load(Ordering::SeqCst) - before
}

#[tokio::test]
async fn what_is_written_is_in_proportion_to_the_change() {
    let (few, many) = (bytes_of_one_write(50).await, bytes_of_one_write(5_000).await);
    assert!(many < few * 3, "{few} bytes among 50, {many} among 5,000");
}
