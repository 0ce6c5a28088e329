//! Policy sources from the disk: which files a command line means, read whole into a [`SourceSet`].
//!
//! A file is taken whatever its name; a folder stands for all `*.writ` files below it, except hidden
//! ones. Files come in the order of their names, and a file that is meant twice is read once, so that the
//! same tree gives the same set. Bytes that cannot be a policy are refused here, with the place.

use chancery_policy_lang::SourceSet;
use chancery_policy_lang::source::SOURCE_BYTES_MAX;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The extension of policy files.
pub const EXTENSION: &str = "writ";
/// The argument that means standard input.
pub const STANDARD_INPUT: &str = "-";
/// The most files that one command reads.
pub const FILES_MAX: usize = 10_000;
/// How deep folders may lie in each other.
pub const FOLDER_DEPTH_MAX: usize = 32;

/// Why files are not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourcesError {
    /// What is wrong, and where.
    pub message: String,
    /// What to do, if it does not go without saying.
    pub help: Option<String>,
}

impl SourcesError {
    fn new(message: String) -> Self {
        Self { message, help: None }
    }

    fn help(self, text: impl Into<String>) -> Self {
        Self { help: Some(text.into()), ..self }
    }
}

/// Reads all files that these arguments mean.
///
/// # Errors
/// If a path does not exist, a folder has no policy, a file is too large or not UTF-8, or
/// there are too many, or the disk fails.
pub fn read(arguments: &[PathBuf]) -> Result<SourceSet, SourcesError> {
    let mut sources = SourceSet::new();
    for path in find(arguments)? {
        let text = if is_standard_input(&path) { read_standard_input()? } else { read_file(&path)? };
        sources.add(shown_name(&path), text);
    }
    Ok(sources)
}

/// The files that these arguments mean: arguments in the order given, the files of a folder by name.
///
/// # Errors
/// As [`read`].
pub fn find(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, SourcesError> {
    let mut found = Found::default();
    for argument in arguments {
        if is_standard_input(argument) {
            found.add(argument.clone())?;
            continue;
        }
        let metadata = fs::metadata(argument).map_err(|error| unreadable(argument, &error))?;
        if metadata.is_dir() {
            let before = found.files.len();
            found.add_folder(argument, FOLDER_DEPTH_MAX)?;
            if found.files.len() == before && !found.skipped_known_file {
                return Err(SourcesError::new(format!("no policy is in `{}`", argument.display()))
                    .help(format!("policies are files that end in `.{EXTENSION}`")));
            }
        } else {
            found.add(argument.clone())?;
        }
    }
    Ok(found.files)
}

/// Reads one file as the text of a policy.
///
/// # Errors
/// As [`read`].
pub fn read_file(path: &Path) -> Result<String, SourcesError> {
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    read_text(file, &path.display().to_string())
}

/// Whether an argument means standard input.
#[must_use]
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

/// Files found so far, and how they are told apart.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    known: BTreeSet<PathBuf>,
    /// Whether a file was met a second time, so that a folder without new files is not an empty one.
    skipped_known_file: bool,
}

impl Found {
    fn add(&mut self, path: PathBuf) -> Result<(), SourcesError> {
        let identity =
            if is_standard_input(&path) { path.clone() } else { path.canonicalize().unwrap_or(path.clone()) };
        if !self.known.insert(identity) {
            self.skipped_known_file = true;
            return Ok(());
        }
        if self.files.len() == FILES_MAX {
            return Err(SourcesError::new(format!("more than {FILES_MAX} policy files")));
        }
        self.files.push(path);
        Ok(())
    }

    fn add_folder(&mut self, folder: &Path, depth_left: usize) -> Result<(), SourcesError> {
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(SourcesError::new(format!(
                "`{}` lies more than {FOLDER_DEPTH_MAX} folders deep",
                folder.display()
            )));
        };
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| unreadable(folder, &error))?.path());
        }
        paths.sort();
        for path in paths.into_iter().filter(|path| !is_hidden(path)) {
            if path.is_dir() {
                self.add_folder(&path, depth_left)?;
            } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
                self.add(path)?;
            }
        }
        Ok(())
    }
}

fn read_standard_input() -> Result<String, SourcesError> {
    read_text(io::stdin().lock(), shown_name(Path::new(STANDARD_INPUT)).as_str())
}

/// Reads at most one byte more than a policy may have, so that an endless file is no trap.
fn read_text(reader: impl Read, name: &str) -> Result<String, SourcesError> {
    let mut bytes = Vec::new();
    let limit = SOURCE_BYTES_MAX as u64 + 1;
    reader
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| SourcesError::new(format!("`{name}` cannot be read: {error}")))?;
    if bytes.len() > SOURCE_BYTES_MAX {
        return Err(SourcesError::new(format!("`{name}` is larger than {SOURCE_BYTES_MAX} bytes"))
            .help("split it: the order of files and policies does not matter"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|&&byte| byte == b'\n').count();
        SourcesError::new(format!("`{name}` is not UTF-8: byte {valid}, in line {line}"))
    })
}

fn shown_name(path: &Path) -> String {
    if is_standard_input(path) { "<stdin>".to_owned() } else { path.display().to_string() }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn unreadable(path: &Path, error: &io::Error) -> SourcesError {
    let unreadable = SourcesError::new(format!("`{}` cannot be read: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound => {
            unreadable.help("name files or folders that are there, or `-` for standard input")
        }
        io::ErrorKind::PermissionDenied => unreadable.help("let this user read it"),
        _ => unreadable,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    fn names(sources: &SourceSet, root: &Path) -> Vec<String> {
        let prefix = format!("{}/", root.display());
        sources.iter().map(|(_, file)| file.name.replace(&prefix, "")).collect()
    }

    fn message(arguments: &[PathBuf]) -> String {
        read(arguments).unwrap_err().message
    }

    #[test]
    fn a_folder_stands_for_its_policies_in_the_order_of_their_names() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("b/c")).unwrap();
        for name in ["z.writ", "a.writ", "b/c/x.writ", "b/notes.md", ".hidden.writ"] {
            fs::write(at(name), "").unwrap();
        }
        let whole = read(&[root.path().to_owned()]).unwrap();
        assert_eq!(names(&whole, root.path()), ["a.writ", "b/c/x.writ", "z.writ"]);
    }

    #[test]
    fn a_file_that_is_meant_twice_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.writ");
        fs::write(&file, "").unwrap();
        let twice = read(&[file, root.path().to_owned()]).unwrap();
        assert_eq!(names(&twice, root.path()), ["a.writ"]);
    }

    #[test]
    fn what_cannot_be_a_policy_is_refused_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        assert!(message(&[root.path().to_owned()]).starts_with("no policy is in `"));
        assert!(message(&[root.path().join("none.writ")]).contains("cannot be read: No such file"));
        let file = root.path().join("a.writ");
        fs::write(&file, b"# fine\n\xff").unwrap();
        assert!(message(std::slice::from_ref(&file)).ends_with("is not UTF-8: byte 7, in line 2"));
        fs::write(&file, vec![b' '; SOURCE_BYTES_MAX + 1]).unwrap();
        assert!(message(&[file]).ends_with("is larger than 1048576 bytes"));
    }
}
