//! Makes a store, or opens one after all of it has been checked.
//!
//! ```text
//! lock --> is there a file? --no--> made whole as FILE.new, flushed, renamed --+
//!                 |                                                           v
//!                yes -------> looked at through an Overlay: library's check, own digests --> opened
//! ```
//!
//! A file is there whole or not at all, so whatever is wrong with one is damage. Nothing is written to a file
//! that is refused. The lock is a file of its own, as the store may have to be closed and opened again.

use super::contents::Contents;
use super::medium::{Medium, Overlay};
use super::quiet::quietly;
use super::tables::TABLES;
use super::{Fault, StoreTerms};
use crate::mesh::model::DEFAULT_TRUST_DOMAIN;
use crate::mesh::store::StoreError;
use ::redb::{Builder, Database, Durability, StorageBackend};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much of the file is kept in memory by the database library; the contents are kept by the store itself.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A store that is open.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) contents: Contents,
}

/// Takes the store for this process: nobody else has it until the file is dropped.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, "lock");
    let open =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
    let file = open.map_err(|error| disk(&lock_path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(disk(&lock_path, &error)),
    }
}

/// Opens the store at a path whose lock is held, or makes one there.
pub(super) fn open<M: Medium>(path: &Path, medium: &M, terms: &StoreTerms) -> Result<Opened, StoreError> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) if terms.may_create => create(path, terms)?,
        Ok(false) => return Err(StoreError::Missing(path.to_owned())),
        Err(error) => return Err(disk(path, &error)),
    }
    open_existing(path, medium, terms)
}

/// Opens the store at a path whose lock is held.
pub(super) fn open_existing<M: Medium>(
    path: &Path,
    medium: &M,
    terms: &StoreTerms,
) -> Result<Opened, StoreError> {
    let mut contents = examine(path)?;
    let stored = &contents.meta.trust_domain;
    if let Some(asked) = terms.trust_domain.as_ref().filter(|asked| *asked != stored) {
        return Err(StoreError::OtherTrustDomain { stored: stored.clone(), asked: asked.clone() });
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| disk(path, &error))?;
    let home = home(&file).map_err(|error| disk(path, &error))?;
    if contents.meta.home != home && !terms.is_restored {
        return Err(StoreError::Copied(path.to_owned()));
    }
    let opening = quietly(|| {
        let database = builder().create_with_backend(medium.backend(file)?)?;
        if contents.meta.home != home {
            contents.meta.home = home;
            write_meta(&database, &contents)?;
        }
        Ok(Opened { database, contents })
    });
    opening.unwrap_or_else(|panic| Err(Fault::odd(panic))).map_err(|fault| fault.at(path))
}

/// Reads and checks everything in the file, and leaves the file as it is.
fn examine(path: &Path) -> Result<Contents, StoreError> {
    let file = File::open(path).map_err(|error| disk(path, &error))?;
    let overlay = Overlay::new(file).map_err(|error| disk(path, &error))?;
    if overlay.len().map_err(|error| disk(path, &error))? == 0 {
        return Err(Fault::odd("it is empty").at(path));
    }
    let examining = quietly(|| {
        let database = builder().create_with_backend(overlay)?;
        Contents::read(&database)
    });
    examining.unwrap_or_else(|panic| Err(Fault::odd(panic))).map_err(|fault| fault.at(path))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Makes a store under another name and gives it its own once it is whole.
fn create(path: &Path, terms: &StoreTerms) -> Result<(), StoreError> {
    let part = beside(path, "new");
    let at = |error: io::Error| disk(&part, &error);
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&part).map_err(at)?;
    let copy = file.try_clone().map_err(at)?;
    let home = home(&file).map_err(at)?;
    let trust_domain = terms.trust_domain.clone().unwrap_or_else(|| DEFAULT_TRUST_DOMAIN.to_owned());
    let contents = Contents::new(trust_domain, home);
    let making = quietly(|| {
        let database = builder().create_with_backend(super::medium::Files.backend(file)?)?;
        write_meta(&database, &contents)?;
        Ok(database.close()?)
    });
    making.unwrap_or_else(|panic| Err(Fault::odd(panic))).map_err(|fault: Fault| fault.at(&part))?;
    copy.sync_all().map_err(at)?;
    fs::rename(&part, path).map_err(at)?;
    flush_directory_of(path)
}

/// Writes what the file says of itself, and makes the tables that are missing.
pub(super) fn write_meta(database: &Database, contents: &Contents) -> Result<(), Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    for table in TABLES {
        transaction.open_table(table.definition())?;
    }
    contents.meta.write(&transaction, contents.tally)?;
    transaction.commit()?;
    Ok(())
}

/// Which file this is on its disk. A copy is another one; a file that is renamed stays the same.
fn home(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// A new file is only there after a crash if its directory was flushed too.
fn flush_directory_of(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| disk(path, &error))
}

/// A file of the same name with something behind it.
pub(super) fn beside(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

pub(super) fn disk(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Disk { path: path.to_owned(), detail: error.to_string() }
}
