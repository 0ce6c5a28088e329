//! The tables of the file, the digest over all of them, and writes in proportion to what changes.
//!
//! Each record is a key and a value, both bytes that say what they are (values are JSON, or as they were given).
//! A [`Tally`] is the sum of the digests of all records: one record more or less changes it by an addition, so it
//! is kept current for the cost of the change. With each write goes the *seal*: the digest of the tally and of
//! what else the file says of itself. A file whose records do not add up to its seal is damaged, whatever the
//! database library thinks of it.

use super::Fault;
use crate::mesh::store::AuditLog;
use ::redb::{ReadTransaction, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The version of the tables; a file of another one is refused.
pub(super) const FORMAT: &str = "2";

/// What the file says of itself.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// A table of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Policies in force, by name.
    Policies,
    /// Documents that a policy is in force from, or was in a revision that is kept; by digest.
    Documents,
    /// Sidecars, by id.
    Proxies,
    /// Items, by key.
    Items,
    /// The audit log of people, by number.
    Audit,
    /// The audit log of machines, by number.
    MachineAudit,
    /// What each revision changed, by revision.
    Revisions,
    /// Versions of filters, by `name@version`.
    Filters,
    /// Versions of filters that were deleted, by `name@version`.
    RetiredFilters,
    /// Modules of filters as they were pushed and as sidecars get them; by digest.
    Modules,
}

/// All tables of records.
pub(super) const TABLES: [Table; 10] = [
    Table::Policies,
    Table::Documents,
    Table::Proxies,
    Table::Items,
    Table::Audit,
    Table::MachineAudit,
    Table::Revisions,
    Table::Filters,
    Table::RetiredFilters,
    Table::Modules,
];

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Documents => "documents",
            Self::Proxies => "proxies",
            Self::Items => "items",
            Self::Audit => "audit",
            Self::MachineAudit => "machine_audit",
            Self::Revisions => "revisions",
            Self::Filters => "filters",
            Self::RetiredFilters => "retired_filters",
            Self::Modules => "modules",
        }
    }

    /// The table of an audit log.
    pub(super) fn of_log(log: AuditLog) -> Self {
        match log {
            AuditLog::People => Self::Audit,
            AuditLog::Machines => Self::MachineAudit,
        }
    }

    /// The table in the database.
    pub(super) fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// Numbers as keys, which come in the order of the numbers.
pub(super) fn number_key(number: u64) -> String {
    format!("{number:020}")
}

/// Records to write and to remove; of two for one key the later one counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch(BTreeMap<(Table, String), Option<Vec<u8>>>);

impl Batch {
    pub(super) fn put(&mut self, table: Table, key: impl Into<String>, value: Vec<u8>) {
        self.0.insert((table, key.into()), Some(value));
    }

    pub(super) fn remove(&mut self, table: Table, key: impl Into<String>) {
        self.0.insert((table, key.into()), None);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes all of it, and changes the tally by what differs.
    pub(super) fn write(&self, transaction: &WriteTransaction, tally: &mut Tally) -> Result<(), Fault> {
        for table in TABLES {
            let from = (table, String::new());
            let mut records = self.0.range(from..).take_while(|((of, _), _)| *of == table).peekable();
            if records.peek().is_none() {
                continue;
            }
            let mut open = transaction.open_table(table.definition())?;
            for ((_, key), value) in records {
                let before = match value {
                    Some(value) => open.insert(key.as_str(), value.as_slice())?,
                    None => open.remove(key.as_str())?,
                };
                if let Some(before) = before {
                    tally.take_away(table, key, before.value());
                }
                if let Some(value) = value {
                    tally.add(table, key, value);
                }
            }
        }
        Ok(())
    }
}

/// The sum of the digests of records, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally([u64; 4]);

impl Tally {
    pub(super) fn add(&mut self, table: Table, key: &str, value: &[u8]) {
        let lanes = lanes(&[table.name().as_bytes(), key.as_bytes(), value]);
        self.0.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.wrapping_add(lane));
    }

    pub(super) fn take_away(&mut self, table: Table, key: &str, value: &[u8]) {
        let lanes = lanes(&[table.name().as_bytes(), key.as_bytes(), value]);
        self.0.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.wrapping_sub(lane));
    }

    /// The sum, in hex.
    pub(super) fn text(self) -> String {
        self.0.iter().map(|lane| format!("{lane:016x}")).collect()
    }
}

/// SHA-256 of parts that cannot run into each other, as four numbers.
fn lanes(parts: &[&[u8]]) -> [u64; 4] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(hash.finalize().chunks_exact(8)) {
        *lane = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    }
    lanes
}

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// The SPIFFE trust domain.
    pub(super) trust_domain: String,
    /// The revision.
    pub(super) revision: u64,
    /// How many writes were made in all.
    pub(super) writes: u64,
    /// The number of the file on its disk: that of a copy differs.
    pub(super) home: u64,
}

impl Meta {
    /// Writes it, sealed with a tally.
    pub(super) fn write(&self, transaction: &WriteTransaction, tally: Tally) -> Result<(), Fault> {
        let mut table = transaction.open_table(META)?;
        for (key, value) in self.entries() {
            table.insert(key, value.as_str())?;
        }
        table.insert("seal", self.seal(tally).as_str())?;
        Ok(())
    }

    /// Reads it, and checks that it is sealed with this tally.
    pub(super) fn read(transaction: &ReadTransaction, tally: Tally) -> Result<Self, Fault> {
        let table = transaction.open_table(META)?;
        let text = |key: &str| {
            let value = table.get(key)?.map(|value| value.value().to_owned());
            value.ok_or_else(|| Fault::odd(format!("it does not say its {key}")))
        };
        let number = |key: &str| {
            text(key)?.parse::<u64>().map_err(|_| Fault::odd(format!("its {key} is not a number")))
        };
        let meta = Self {
            trust_domain: text("trust_domain")?,
            revision: number("revision")?,
            writes: number("writes")?,
            home: number("home")?,
        };
        if text("seal")? != meta.seal(tally) {
            return Err(Fault::odd("its records do not add up to its seal"));
        }
        Ok(meta)
    }

    fn entries(&self) -> [(&'static str, String); 5] {
        [
            ("format", FORMAT.to_owned()),
            ("home", self.home.to_string()),
            ("revision", self.revision.to_string()),
            ("trust_domain", self.trust_domain.clone()),
            ("writes", self.writes.to_string()),
        ]
    }

    fn seal(&self, tally: Tally) -> String {
        let mut hash = Sha256::new();
        for (key, value) in self.entries() {
            hash.update(format!("{key}={value}\n"));
        }
        hash.update(tally.text());
        crate::mesh::model::hex(&hash.finalize())
    }
}

/// Refuses a file of another format.
pub(super) fn check_format(transaction: &ReadTransaction) -> Result<(), Fault> {
    let table = transaction.open_table(META)?;
    let format = table.get("format")?.map(|format| format.value().to_owned());
    match format.as_deref() {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(Fault::odd(format!("it has format {other}, this program reads format {FORMAT}"))),
        None => Err(Fault::odd("it does not say its format")),
    }
}
