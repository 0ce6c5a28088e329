//! What reviewers tire of, kept by tests: the form of source files, the layers of the design, that every
//! diagnostic is documented and shown, and that what the documents say is so.
//!
//! A check collects all it finds in [`Problems`] and shows them at once.

mod api_codes;
mod decisions;
mod diagnostics;
pub(crate) mod documents;
mod layers;
pub(crate) mod shell;
mod sources;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the repository.
pub(crate) struct TextFile {
    /// Its path from the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What a check found wrong. Shown, all together, when it is dropped by [`Problems::must_be_none`].
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: impl Display, what: impl Display) {
        self.0.push(format!("{place}: {what}"));
    }

    fn add_if(&mut self, wrong: bool, place: impl Display, what: impl Display) {
        if wrong {
            self.add(place, what);
        }
    }

    #[track_caller]
    fn must_be_none(self) {
        assert!(self.0.is_empty(), "{} problems:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files with one of these extensions, sorted by path; what is built or hidden is left out.
pub(crate) fn files(extensions: &[&str]) -> Vec<TextFile> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| extensions.iter().any(|&wanted| ext == wanted)) {
                found.push(read(path));
            }
        }
    }
    assert!(!found.is_empty(), "the repository's files were not found");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// One file by its path from the root.
pub(crate) fn file(path: &str) -> TextFile {
    read(root().join(path))
}

fn read(path: PathBuf) -> TextFile {
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display())).unwrap();
    let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
    TextFile { path, text }
}
