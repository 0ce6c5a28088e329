//! What the database reads and writes through: the file itself, or the file with all writes kept in memory.
//!
//! A store is looked at through an [`Overlay`] before it is opened: whatever the database library does to a
//! damaged file while it looks, the file stays as it is, to be restored, or examined.

use ::redb::StorageBackend;
use ::redb::backends::FileBackend;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Makes a file into what the database works on. Tests have one whose disk is full.
pub(crate) trait Medium: Clone + Send + Sync + 'static {
    /// What the database works on.
    type Backend: StorageBackend;
    /// Works on this file.
    fn backend(&self, file: File) -> Result<Self::Backend, ::redb::Error>;
}

/// Files as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files;

impl Medium for Files {
    type Backend = FileBackend;

    fn backend(&self, file: File) -> Result<FileBackend, ::redb::Error> {
        Ok(FileBackend::new(file)?)
    }
}

/// Bytes that are kept together.
const BLOCK_BYTES: usize = 4096;

/// A file that is only read, and what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    under: File,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(under: File) -> io::Result<Self> {
        let len = under.metadata()?.len();
        Ok(Self { under, over: Mutex::new(Over { len, blocks: BTreeMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of the file below; zeros where it has none.
    fn block_under(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; BLOCK_BYTES];
        let (mut rest, mut offset) = (block.as_mut_slice(), number * BLOCK_BYTES as u64);
        while !rest.is_empty() {
            let count = self.under.read_at(rest, offset)?;
            if count == 0 {
                break;
            }
            offset += count as u64;
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(block)
    }

    /// Does something with each piece of a range that lies in one block: the block's number, where the piece
    /// begins in it, and where in the range.
    fn pieces(
        offset: u64,
        len: usize,
        mut each: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = usize::try_from(at % BLOCK_BYTES as u64).map_err(io::Error::other)?;
            let end = len.min(done + BLOCK_BYTES - within);
            each(at / BLOCK_BYTES as u64, within, done..end)?;
            done = end;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > over.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = out.len();
        Self::pieces(offset, len, |number, within, range| {
            let read;
            let block = match over.blocks.get(&number) {
                Some(block) => block,
                None => {
                    read = self.block_under(number)?;
                    &read
                }
            };
            let piece = out.get_mut(range).zip(block.get(within..));
            let (to, from) = piece.ok_or(io::ErrorKind::UnexpectedEof)?;
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        let shrinks = len < over.len;
        over.len = len;
        if shrinks {
            // What lies behind the new end is zeros if the file grows again.
            let last = len / BLOCK_BYTES as u64;
            let mut block = match over.blocks.remove(&last) {
                Some(block) => block,
                None => self.block_under(last)?,
            };
            let kept = usize::try_from(len % BLOCK_BYTES as u64).map_err(io::Error::other)?;
            block.get_mut(kept..).unwrap_or_default().fill(0);
            over.blocks.insert(last, block);
            let under_end = self.under.metadata()?.len().div_ceil(BLOCK_BYTES as u64);
            for number in last + 1..under_end {
                over.blocks.insert(number, vec![0; BLOCK_BYTES]);
            }
            over.blocks.retain(|number, _| *number <= last || *number < under_end);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        let end = offset.checked_add(data.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        over.len = over.len.max(end);
        Self::pieces(offset, data.len(), |number, within, range| {
            let block = match over.blocks.entry(number) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.block_under(number)?),
            };
            let block = block.get_mut(within..);
            let (to, from) = block.zip(data.get(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            Ok(())
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_reads_what_was_written_and_leaves_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut model: Vec<u8> = (0..10_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        std::fs::write(&path, &model).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
        let check = |model: &[u8]| {
            assert_eq!(overlay.len().unwrap(), model.len() as u64);
            let mut read = vec![1; model.len()];
            overlay.read(0, &mut read).unwrap();
            assert_eq!(read, model);
        };
        check(&model);
        overlay.write(4090, &[7; 20]).unwrap();
        model[4090..4110].fill(7);
        check(&model);
        overlay.set_len(4100).unwrap();
        overlay.set_len(12_000).unwrap();
        model.truncate(4100);
        model.resize(12_000, 0);
        check(&model);
        overlay.write(11_990, &[3; 30]).unwrap();
        model.resize(12_020, 0);
        model[11_990..].fill(3);
        check(&model);
        assert!(overlay.read(12_000, &mut [0; 21]).is_err(), "behind the end");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10_000);
    }
}
