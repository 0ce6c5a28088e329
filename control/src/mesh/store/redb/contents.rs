//! What is in a store, in memory: made from the file when it is opened, kept current by each write.
//!
//! Of filters' modules only the digests are held: the bytes stay in the file.
//!
//! All of it is persistent, so that the contents after a write can be made beside those before, and thrown away
//! if the write fails. A write says what has to be written in a [`Batch`], which is in proportion to the change.

use super::filters;
use super::tables::{Batch, Meta, TABLES, Table, Tally, check_format, number_key};
use super::{Fault, Limits};
use crate::mesh::model::filter::FilterDigest;
use crate::mesh::model::{DesiredState, Document, FilterId, PolicyRecord, ProxyId, Revision, hex};
use crate::mesh::store::history::{RevisionRecord, undo};
use crate::mesh::store::record::{
    Record, StoredAudit, StoredDocument, StoredFilter, StoredPolicy, StoredProxy, StoredRetiredFilter,
    StoredRevision,
};
use crate::mesh::store::rollout_record::StoredRollout;
use crate::mesh::store::{Actor, AuditChange, AuditEntry, AuditLog, Change, Changes, Step};
use ::redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableError};
use imbl::OrdMap;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Small named secrets and settings.
pub(super) type Items = OrdMap<String, Arc<[u8]>>;

/// The item that says how far the newest rollout is.
const ROLLOUT: &str = "rollout";

/// Everything in a store; of old revisions and of the audit log only what writes need.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) state: DesiredState,
    pub(super) items: Items,
    pub(super) meta: Meta,
    pub(super) tally: Tally,
    /// Of the policies in force: each revision keeps it.
    policies: Tally,
    /// The numbers in the audit log of people, and in that of machines.
    audit: Range<u64>,
    machine_audit: Range<u64>,
    history: History,
}

/// Which documents the revisions that are kept speak of.
#[derive(Clone, Debug, Default)]
struct History {
    /// The digests that each revision speaks of, before or after.
    revisions: OrdMap<u64, Arc<[String]>>,
    documents: OrdMap<String, Kept>,
    bytes: u64,
}

/// A document that revisions speak of.
#[derive(Clone, Copy, Debug)]
struct Kept {
    revisions: u64,
    bytes: u64,
}

impl Contents {
    /// Those of a new store.
    pub(super) fn new(trust_domain: String, home: u64) -> Self {
        let state = DesiredState { trust_domain: trust_domain.clone(), ..DesiredState::default() };
        Self {
            state,
            items: Items::new(),
            meta: Meta { trust_domain, revision: 0, writes: 0, home },
            tally: Tally::default(),
            policies: Tally::default(),
            audit: 1..1,
            machine_audit: 1..1,
            history: History::default(),
        }
    }

    /// The oldest revision whose policies can still be told.
    pub(super) fn oldest_revision(&self) -> Revision {
        let oldest_change = self.history.revisions.keys().next();
        Revision(oldest_change.map_or(self.meta.revision, |revision| revision.saturating_sub(1)))
    }

    /// Makes a change; says what has to be written.
    pub(super) fn commit(
        &mut self,
        change: &Change,
        by: &Actor,
        limits: Limits,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let next = change.apply_to(&self.state)?;
        let touched = touched(change);
        let is_same = |id: &ProxyId| next.proxies.get(id) == self.state.proxies.get(id);
        let filters_are_same = next.filters.ptr_eq(&self.state.filters);
        let is_of_policies = matches!(change, Change::Policies(_) | Change::Rollout(_));
        if !is_of_policies && touched.iter().all(is_same) && filters_are_same {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.state, next);
        self.meta.revision = self.state.revision.0;
        let changes = changes(change, &before, &self.state)?;
        match change {
            Change::Policies(policies) => {
                let names = policies.placed.keys().chain(policies.removed.keys()).cloned().collect();
                let steps = self.write_policies(&before, names, batch)?;
                self.write_revision(steps, change.describe(), by, batch)?;
                self.forget_old_revisions(limits, batch);
                self.write_rollout(&before, batch)?;
            }
            Change::Rollout(_) => {
                if before.revision != self.state.revision {
                    let names = Changes::between(&before, &self.state).policies.into_keys().collect();
                    let steps = self.write_policies(&before, names, batch)?;
                    self.write_revision(steps, change.describe(), by, batch)?;
                    self.forget_old_revisions(limits, batch);
                }
                self.write_rollout(&before, batch)?;
            }
            Change::PushFilter(push) => filters::write_modules(&before, push, batch)?,
            Change::DeleteFilter(_) => {}
            Change::RegisterProxy(_) | Change::Readiness(_) | Change::RemoveProxy(_) => {
                for id in touched {
                    match self.state.proxies.get(&id) {
                        Some(proxy) => batch.put(Table::Proxies, id.0, bytes(&StoredProxy::of(proxy))?),
                        None => batch.remove(Table::Proxies, id.0),
                    }
                }
            }
        }
        filters::remove_modules(&before, &self.state, batch);
        filters::write_records(&before, &self.state, batch)?;
        self.log(by, change.describe(), changes, limits, batch)
    }

    /// Creates an item unless there is one; gives what is there then.
    pub(super) fn create_item(
        &mut self,
        key: &str,
        value: Vec<u8>,
        by: &Actor,
        limits: Limits,
        batch: &mut Batch,
    ) -> Result<Arc<[u8]>, Fault> {
        if let Some(present) = self.items.get(key) {
            return Ok(Arc::clone(present));
        }
        let kept: Arc<[u8]> = value.as_slice().into();
        self.items.insert(key.to_owned(), Arc::clone(&kept));
        batch.put(Table::Items, key, value);
        self.log(by, format!("create item `{key}`"), Vec::new(), limits, batch)?;
        Ok(kept)
    }

    /// Removes an item; says whether there was one.
    pub(super) fn remove_item(
        &mut self,
        key: &str,
        by: &Actor,
        limits: Limits,
        batch: &mut Batch,
    ) -> Result<bool, Fault> {
        if self.items.remove(key).is_none() {
            return Ok(false);
        }
        batch.remove(Table::Items, key);
        self.log(by, format!("remove item `{key}`"), Vec::new(), limits, batch)?;
        Ok(true)
    }

    fn write_policies(
        &mut self,
        before: &DesiredState,
        names: BTreeSet<String>,
        batch: &mut Batch,
    ) -> Result<BTreeMap<String, Step<PolicyRecord>>, Fault> {
        let mut steps = BTreeMap::new();
        for name in &names {
            let (old, new) = (before.policies.get(name), self.state.policies.get(name));
            if old == new {
                continue;
            }
            if let Some(old) = old {
                self.policies.take_away(Table::Policies, name, &bytes(&StoredPolicy::of(old))?);
            }
            match new {
                Some(new) => {
                    let value = bytes(&StoredPolicy::of(new))?;
                    self.policies.add(Table::Policies, name, &value);
                    batch.put(Table::Policies, name, value);
                }
                None => batch.remove(Table::Policies, name),
            }
            steps.insert(name.clone(), Step { before: old.cloned(), after: new.cloned() });
        }
        let placed = names.iter().filter_map(|name| self.state.policies.get(name));
        for digest in placed.map(|record| &record.document).collect::<BTreeSet<_>>() {
            let Some(document) = self.state.documents.get(digest) else {
                let detail = format!("a policy is in force from a document that is not there, {digest}");
                return Err(Fault::odd(detail));
            };
            if !before.documents.contains_key(digest) && !self.history.documents.contains_key(digest) {
                batch.put(Table::Documents, digest, bytes(&StoredDocument::of(document))?);
            }
        }
        Ok(steps)
    }

    /// Keeps how far the rollout is; the policies that can be gone back to are in the history.
    fn write_rollout(&mut self, before: &DesiredState, batch: &mut Batch) -> Result<(), Fault> {
        let Some(rollout) = self.state.rollout.as_ref().filter(|_| before.rollout != self.state.rollout)
        else {
            return Ok(());
        };
        let value = bytes(&StoredRollout::of(rollout))?;
        self.items.insert(ROLLOUT.to_owned(), value.as_slice().into());
        batch.put(Table::Items, ROLLOUT, value);
        Ok(())
    }

    /// Takes up the rollout that was written down, with the policies that it can go back to.
    fn take_up_rollout(&mut self, transaction: &ReadTransaction) -> Result<(), Fault> {
        let Some(item) = self.items.get(ROLLOUT) else { return Ok(()) };
        let mut rollout = read::<StoredRollout>(ROLLOUT, item)?;
        if rollout.is_under_way() {
            let mut policies =
                self.state.policies.iter().map(|(name, record)| (name.clone(), record.clone())).collect();
            let table = transaction.open_table(Table::Revisions.definition())?;
            let newest = table.get(number_key(rollout.to.0).as_str())?;
            let newest = newest.ok_or_else(|| Fault::odd("the revision that is rolled out is missing"))?;
            let newest = read::<StoredRevision>(&rollout.to.0.to_string(), newest.value())?;
            undo(&mut policies, &newest.policies).map_err(|name| {
                Fault::odd(format!("policy `{name}` is not as revision {} left it", rollout.to))
            })?;
            let documents = super::documents(transaction, &policies)?.into_iter().collect();
            let mut stable = DesiredState { documents, ..DesiredState::default() };
            policies.into_values().for_each(|record| stable.place(record));
            rollout.stable = Some(stable.policy_set());
        }
        self.state.rollout = Some(Arc::new(rollout));
        Ok(())
    }

    fn write_revision(
        &mut self,
        policies: BTreeMap<String, Step<PolicyRecord>>,
        action: String,
        by: &Actor,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let revision = self.state.revision;
        let record = RevisionRecord { revision, at: by.at, actor: by.name.clone(), action, policies };
        let stored = StoredRevision::of(&record).sealed(self.policies.text());
        batch.put(Table::Revisions, number_key(revision.0), bytes(&stored)?);
        let sizes = |digest: &str| {
            let document = self.state.documents.get(digest).map(|document| document.text.len() as u64);
            document.or_else(|| self.history.documents.get(digest).map(|kept| kept.bytes))
        };
        let spoken_of = spoken_of(&record);
        let sizes: Vec<u64> = spoken_of.iter().map(|digest| sizes(digest).unwrap_or(0)).collect();
        self.history.add(revision.0, spoken_of, &sizes);
        Ok(())
    }

    fn forget_old_revisions(&mut self, limits: Limits, batch: &mut Batch) {
        while self.history.is_beyond(limits) {
            let Some((revision, digests)) = self.history.take_oldest() else { return };
            batch.remove(Table::Revisions, number_key(revision));
            for digest in digests {
                if !self.state.documents.contains_key(&digest) {
                    batch.remove(Table::Documents, digest);
                }
            }
        }
    }

    fn log(
        &mut self,
        by: &Actor,
        action: String,
        changes: Vec<AuditChange>,
        limits: Limits,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let table = Table::of_log(by.log());
        let numbers = match by.log() {
            AuditLog::People => &mut self.audit,
            AuditLog::Machines => &mut self.machine_audit,
        };
        let (number, actor, revision) = (numbers.end, by.name.clone(), self.state.revision);
        let entry = AuditEntry { number, at: by.at, actor, action, revision, changes };
        batch.put(table, number_key(number), bytes(&StoredAudit::of(&entry))?);
        numbers.end += 1;
        while numbers.end - numbers.start > limits.audit_entries as u64 {
            batch.remove(table, number_key(numbers.start));
            numbers.start += 1;
        }
        Ok(())
    }

    /// Reads everything, and checks all that can be checked.
    pub(super) fn read(database: &Database) -> Result<Self, Fault> {
        let transaction = database.begin_read()?;
        check_format(&transaction)?;
        let mut reader = Reader::default();
        for table in TABLES {
            let opened = match transaction.open_table(table.definition()) {
                // A file of earlier versions has not all of them; they are made with the first write.
                Err(TableError::TableDoesNotExist(_)) => continue,
                opened => opened?,
            };
            for entry in opened.iter()? {
                let (key, value) = entry?;
                reader.take_in(table, key.value(), value.value())?;
            }
        }
        let meta = Meta::read(&transaction, reader.tally)?;
        let mut contents = reader.finish(meta)?;
        contents.take_up_rollout(&transaction)?;
        Ok(contents)
    }
}

impl History {
    fn add(&mut self, revision: u64, digests: Vec<String>, sizes: &[u64]) {
        for (digest, &bytes) in digests.iter().zip(sizes) {
            let kept = self.documents.get(digest).copied().unwrap_or(Kept { revisions: 0, bytes });
            if kept.revisions == 0 {
                self.bytes += bytes;
            }
            self.documents.insert(digest.clone(), Kept { revisions: kept.revisions + 1, ..kept });
        }
        self.revisions.insert(revision, digests.into());
    }

    /// Forgets the oldest revision; gives the documents that none that is kept speaks of any more.
    fn take_oldest(&mut self) -> Option<(u64, Vec<String>)> {
        let oldest = *self.revisions.keys().next()?;
        let digests = self.revisions.remove(&oldest)?;
        let mut gone = Vec::new();
        for digest in digests.iter() {
            let Some(kept) = self.documents.get(digest).copied() else { continue };
            if kept.revisions > 1 {
                self.documents.insert(digest.clone(), Kept { revisions: kept.revisions - 1, ..kept });
            } else {
                self.documents.remove(digest);
                self.bytes -= kept.bytes;
                gone.push(digest.clone());
            }
        }
        Some((oldest, gone))
    }

    /// Whether there is more than may be kept. The newest revision is always kept.
    fn is_beyond(&self, limits: Limits) -> bool {
        let revisions = self.revisions.len();
        revisions > limits.revisions || (revisions > 1 && self.bytes > limits.history_bytes)
    }
}

/// What a change changes, for the audit log.
fn changes(change: &Change, before: &DesiredState, after: &DesiredState) -> Result<Vec<AuditChange>, Fault> {
    let registration = |state: &DesiredState, id: &ProxyId| {
        let stored = state.proxies.get(id).map(|proxy| bytes(&StoredProxy::of(proxy)));
        stored.transpose().map(|stored| stored.map(|stored| digest(&stored)))
    };
    let of_proxy = |id: ProxyId| {
        let (before, after) = (registration(before, &id)?, registration(after, &id)?);
        Ok(AuditChange { what: format!("proxy `{}`", id.0), before, after })
    };
    let of_filter = |id: &FilterId| {
        let digest = |state: &DesiredState| state.filters.get(id).map(|record| record.digest.to_string());
        AuditChange { what: format!("filter `{id}`"), before: digest(before), after: digest(after) }
    };
    match change {
        Change::Policies(policies) => {
            let placed = policies
                .placed
                .iter()
                .map(|(name, placement)| (name, placement.before.clone(), Some(placement.document.clone())));
            let removed =
                policies.removed.iter().map(|(name, document)| (name, Some(document.clone()), None));
            let changed = placed.chain(removed).filter(|(_, before, after)| before != after);
            let entry =
                |(name, before, after)| AuditChange { what: format!("policy `{name}`"), before, after };
            Ok(changed.map(entry).collect())
        }
        Change::PushFilter(push) => Ok(vec![of_filter(&push.record.id)]),
        Change::DeleteFilter(deletion) => Ok(vec![of_filter(&deletion.id)]),
        Change::Rollout(_) => {
            let document = |record: &PolicyRecord| record.document.clone();
            let entry = |(name, step): (String, Step<PolicyRecord>)| AuditChange {
                what: format!("policy `{name}`"),
                before: step.before.as_ref().map(document),
                after: step.after.as_ref().map(document),
            };
            Ok(Changes::between(before, after).policies.into_iter().map(entry).collect())
        }
        Change::RegisterProxy(_) | Change::Readiness(_) | Change::RemoveProxy(_) => {
            touched(change).into_iter().map(of_proxy).collect()
        }
    }
}

/// The sidecars that a change is about.
fn touched(change: &Change) -> BTreeSet<ProxyId> {
    match change {
        Change::Policies(_) | Change::Rollout(_) | Change::PushFilter(_) | Change::DeleteFilter(_) => {
            BTreeSet::new()
        }
        Change::RegisterProxy(proxy) => [proxy.id.clone()].into(),
        Change::Readiness(changes) => changes.iter().map(|change| change.seen.id.clone()).collect(),
        Change::RemoveProxy(id) => [id.clone()].into(),
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The digests of the documents that a revision speaks of, each once.
fn spoken_of(record: &RevisionRecord) -> Vec<String> {
    let steps = record.policies.values().flat_map(|step| step.before.iter().chain(&step.after));
    let digests: BTreeSet<&String> = steps.map(|policy| &policy.document).collect();
    digests.into_iter().cloned().collect()
}

/// Everything that was read, before it is known to fit together.
#[derive(Default)]
struct Reader {
    tally: Tally,
    policies: BTreeMap<String, PolicyRecord>,
    policies_tally: Tally,
    in_force: BTreeSet<String>,
    state: DesiredState,
    items: Items,
    /// Sizes of all documents.
    documents: BTreeMap<String, u64>,
    audit: Vec<u64>,
    machine_audit: Vec<u64>,
    revisions: Vec<(RevisionRecord, String)>,
    modules: BTreeSet<FilterDigest>,
}

impl Reader {
    fn take_in(&mut self, table: Table, key: &str, value: &[u8]) -> Result<(), Fault> {
        self.tally.add(table, key, value);
        match table {
            Table::Policies => {
                let record = read::<StoredPolicy>(key, value)?;
                self.policies_tally.add(table, key, value);
                self.in_force.insert(record.document.clone());
                self.policies.insert(key.to_owned(), record);
            }
            Table::Documents => {
                let document: Document = read::<StoredDocument>(key, value)?;
                if document.digest() != key {
                    return Err(Fault::odd(format!(
                        "the document `{}` is not as it was stored",
                        document.name
                    )));
                }
                self.documents.insert(key.to_owned(), document.text.len() as u64);
                if self.in_force.contains(key) {
                    self.state.documents.insert(key.to_owned(), Arc::new(document));
                }
            }
            Table::Proxies => {
                self.state.register(Arc::new(read::<StoredProxy>(key, value)?));
            }
            Table::Items => {
                self.items.insert(key.to_owned(), value.into());
            }
            Table::Audit => self.audit.push(read_number(key)?),
            Table::MachineAudit => self.machine_audit.push(read_number(key)?),
            Table::Revisions => {
                let stored: StoredRevision = serde_json::from_slice(value).map_err(Fault::Record)?;
                let state = stored.state.clone();
                let record =
                    RevisionRecord { revision: Revision(read_number(key)?), ..stored.into_model(key) };
                self.revisions.push((record, state));
            }
            Table::Filters => {
                let record = read::<StoredFilter>(key, value)?;
                self.state.filters.insert(record.id.clone(), Arc::new(record));
            }
            Table::RetiredFilters => {
                let id = key.parse().map_err(|_| Fault::odd("a deleted filter has no name"))?;
                self.state.retired_filters.insert(id, Arc::new(read::<StoredRetiredFilter>(key, value)?));
            }
            Table::Modules => {
                let digest = FilterDigest::of(value);
                if digest.to_string() != key {
                    return Err(Fault::odd(format!("the module {key} is not as it was stored")));
                }
                self.modules.insert(digest);
            }
        }
        Ok(())
    }

    fn finish(self, meta: Meta) -> Result<Contents, Fault> {
        if let Some(missing) = self.in_force.iter().find(|digest| !self.documents.contains_key(*digest)) {
            return Err(Fault::odd(format!(
                "a document that policies are in force from is missing, {missing}"
            )));
        }
        self.check_filters()?;
        let history = self.check_history(&meta)?;
        let mut state = self.state;
        state.revision = Revision(meta.revision);
        state.trust_domain.clone_from(&meta.trust_domain);
        self.policies.into_values().for_each(|record| state.place(record));
        let (audit, machine_audit) = (without_gap(&self.audit)?, without_gap(&self.machine_audit)?);
        let (items, tally, policies) = (self.items, self.tally, self.policies_tally);
        Ok(Contents { state, items, meta, tally, policies, audit, machine_audit, history })
    }

    /// Each filter must have its modules, and each policy its filters.
    fn check_filters(&self) -> Result<(), Fault> {
        for record in self.state.filters.values() {
            if [record.digest, record.module].iter().any(|digest| !self.modules.contains(digest)) {
                return Err(Fault::odd(format!("a module of filter `{}` is missing", record.id)));
            }
        }
        let used = self.policies.values().flat_map(|policy| &policy.filters);
        match used.into_iter().find(|id| !self.state.filters.contains_key(*id)) {
            Some(missing) => Err(Fault::odd(format!("a policy uses filter `{missing}`, which is missing"))),
            None => Ok(()),
        }
    }

    /// Goes back from the policies in force, revision by revision: each must be the one that was sealed.
    fn check_history(&self, meta: &Meta) -> Result<History, Fault> {
        let mut history = History::default();
        for (record, _) in &self.revisions {
            let digests = spoken_of(record);
            let size = |digest: &String| {
                let size = self.documents.get(digest).copied();
                size.ok_or_else(|| {
                    Fault::odd(format!("a document of revision {} is missing", record.revision))
                })
            };
            let sizes = digests.iter().map(size).collect::<Result<Vec<u64>, Fault>>()?;
            history.add(record.revision.0, digests, &sizes);
        }
        let (mut policies, mut tally) = (self.policies.clone(), self.policies_tally);
        let mut expected = meta.revision;
        for (record, state) in self.revisions.iter().rev() {
            if record.revision.0 != expected || tally.text() != *state {
                return Err(Fault::odd(format!(
                    "the policies of revision {expected} are not as they were stored"
                )));
            }
            undo(&mut policies, &record.policies).map_err(|name| {
                Fault::odd(format!("policy `{name}` is not as revision {expected} left it"))
            })?;
            for (name, step) in &record.policies {
                if let Some(after) = &step.after {
                    tally.take_away(Table::Policies, name, &bytes(&StoredPolicy::of(after))?);
                }
                if let Some(before) = &step.before {
                    tally.add(Table::Policies, name, &bytes(&StoredPolicy::of(before))?);
                }
            }
            expected = expected.saturating_sub(1);
        }
        if meta.revision > 0 && self.revisions.is_empty() {
            return Err(Fault::odd("it does not say what its last revision changed"));
        }
        Ok(history)
    }
}

/// The range of the numbers of an audit log.
fn without_gap(numbers: &[u64]) -> Result<Range<u64>, Fault> {
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if last - first + 1 == numbers.len() as u64 => Ok(*first..last + 1),
        (None, None) => Ok(1..1),
        _ => Err(Fault::odd("its audit log has a gap")),
    }
}

pub(super) fn bytes<R: Record>(record: &R) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(record).map_err(Fault::Record)
}

fn read<R: Record>(key: &str, value: &[u8]) -> Result<R::Model, Fault> {
    let stored: R = serde_json::from_slice(value).map_err(Fault::Record)?;
    Ok(stored.into_model(key))
}

fn read_number(key: &str) -> Result<u64, Fault> {
    key.parse().map_err(|_| Fault::odd(format!("`{}` is not a number", key.escape_debug())))
}
