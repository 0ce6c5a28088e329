//! Writes lines to a file, on a thread of its own: a disk that hangs stalls nobody else.
//!
//! A line is written whole or not at all: what a full disk cut off is taken back. A file that was moved away, as
//! `logrotate` does, is begun anew without anybody saying so; one that has become too large is moved to `NAME.1` first.

use super::counts::Counts;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The largest file; there is one older one beside it.
pub(super) const FILE_BYTES_MAX: u64 = 256 << 20;
/// So many bytes are written at once.
const BATCH_BYTES: usize = 256 << 10;
/// How long after a failure nothing is tried; what comes meanwhile is lost.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes one file.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    counts: Arc<Counts>,
    open: Option<Open>,
    paused_until: Option<Instant>,
    bytes_max: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Writer {
    pub(super) fn new(path: PathBuf, counts: Arc<Counts>) -> Self {
        Self { path, counts, open: None, paused_until: None, bytes_max: FILE_BYTES_MAX }
    }

    /// Writes what comes until nobody hands on any more.
    pub(super) async fn run(mut self, mut lines: mpsc::Receiver<Arc<str>>) {
        let (ended, end) = oneshot::channel::<()>();
        let counts = self.counts.clone();
        let work = move || {
            while let Some(line) = lines.blocking_recv() {
                self.write(&batch(line, &mut lines));
            }
            drop(ended);
        };
        match thread::Builder::new().name("sink".to_owned()).spawn(work) {
            // It says nothing but that it has ended.
            Ok(_) => drop(end.await),
            Err(error) => counts.say("file", &error.to_string()),
        }
    }

    /// Writes lines, or counts them as lost.
    fn write(&mut self, lines: &[Arc<str>]) {
        let bytes = lines.iter().map(|line| line.len()).sum::<usize>();
        self.counts.taken_out(bytes);
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            self.counts.dropped(lines.len());
            return;
        }
        let text: Vec<u8> = lines.iter().flat_map(|line| line.bytes().chain([b'\n'])).collect();
        match self.append(&text) {
            Ok(()) => {
                self.paused_until = None;
                self.counts.written(lines.len());
            }
            Err(error) => {
                self.open = None;
                self.paused_until = Some(Instant::now() + PAUSE);
                self.counts.dropped(lines.len());
                self.counts.say(&self.path.display().to_string(), &error.to_string());
            }
        }
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let bytes_max = self.bytes_max;
        let path = self.path.clone();
        let mut open = self.opened()?;
        if open.bytes > 0 && open.bytes + text.len() as u64 > bytes_max {
            std::fs::rename(&path, older(&path))?;
            open = self.opened()?;
        }
        match open.file.write_all(text) {
            Ok(()) => {
                open.bytes += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                // No half of a line stays.
                open.file.set_len(open.bytes)?;
                Err(error)
            }
        }
    }

    /// The file that has the path now.
    fn opened(&mut self) -> io::Result<&mut Open> {
        let is_still_there = self.open.as_ref().is_some_and(|open| is_at(&open.file, &self.path));
        let open = match self.open.take().filter(|_| is_still_there) {
            Some(open) => open,
            None => open_at(&self.path)?,
        };
        Ok(self.open.insert(open))
    }
}

/// A line and those that wait behind it, up to a size.
fn batch(first: Arc<str>, lines: &mut mpsc::Receiver<Arc<str>>) -> Vec<Arc<str>> {
    let mut bytes = first.len();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES {
        let Ok(line) = lines.try_recv() else { break };
        bytes += line.len();
        batch.push(line);
    }
    batch
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Opens a file, and nothing else of that name: a link may lead anywhere, and a FIFO may have no reader.
fn open_at(path: &Path) -> io::Result<Open> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something that is no file"));
    }
    Ok(Open { file, bytes: metadata.len() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;
    use std::process::Command;

    fn writer(path: &Path) -> Writer {
        Writer::new(path.to_owned(), Arc::default())
    }

    fn write(writer: &mut Writer, lines: &[&str]) {
        let lines: Vec<Arc<str>> = lines.iter().map(|line| (*line).into()).collect();
        assert!(lines.iter().all(|line| writer.counts.take_in(line.len(), usize::MAX)));
        writer.write(&lines);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a.jsonl"), folder.path().join("moved"));
        let mut writer = writer(&path);
        write(&mut writer, &["1", "2"]);
        std::fs::rename(&path, &moved).unwrap();
        write(&mut writer, &["3"]);
        std::fs::remove_file(&path).unwrap();
        write(&mut writer, &["4"]);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "1\n2\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "4\n");
        assert_eq!((writer.counts.lines_written(), writer.counts.lines_dropped()), (4, 0));
    }

    #[test]
    fn a_file_that_has_become_too_large_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut writer = Writer { bytes_max: 10, ..writer(&path) };
        for line in ["12345", "1234", "6789", "longer than a file may be", "x"] {
            write(&mut writer, &[line]);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x\n");
        assert_eq!(std::fs::read_to_string(older(&path)).unwrap(), "longer than a file may be\n");
    }

    #[test]
    fn what_is_no_file_of_that_name_is_left_alone_and_stalls_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, link) = (folder.path().join("fifo"), folder.path().join("link"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        for path in [&fifo, &link, folder.path()] {
            let mut writer = writer(path);
            write(&mut writer, &["1"]);
            // It is not tried again at once.
            write(&mut writer, &["2"]);
            assert_eq!((writer.counts.lines_written(), writer.counts.lines_dropped()), (0, 2), "{path:?}");
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_cuts_none() {
        let mut writer = writer(Path::new("/dev/full"));
        write(&mut writer, &["1"]);
        assert_eq!(writer.counts.lines_dropped(), 1);
    }
}
