//! The files that an editor has open, and which files are checked together.

use crate::cli::exit::Failure;
use crate::cli::policy_files::PolicyFiles;
use crate::cli::target::DEFAULT_TRUST_DOMAIN;
use crate::policies::sources;
use chancery_policy_lang::{FileId, SourceSet};
use jiff::civil::Date;
use lsp_types::Uri;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use url::Url;

/// A file by its path; what is not on a disk yet, by what the editor calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A file of the disk.
    File(PathBuf),
    /// Something that only the editor has.
    Unsaved(String),
}

/// Which files are checked together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// All below a folder that was stated.
    Below(PathBuf),
    /// Those in a folder.
    In(PathBuf),
    /// One alone.
    Alone(String),
}

/// Files that were checked together.
pub(super) struct Checked {
    /// What they are and what is wrong in them.
    pub(super) files: PolicyFiles,
    /// Their names, at the index of their id.
    pub(super) names: Vec<Name>,
    /// Why files on the disk cannot be read, if so; then only those that are open were checked.
    pub(super) unreadable: Option<String>,
    /// Whether what is wrong where policies meet is among what is wrong.
    pub(super) is_whole: bool,
}

/// What an editor has open.
#[derive(Default)]
pub(super) struct Files {
    folders: Vec<PathBuf>,
    open: BTreeMap<Name, String>,
    checked: BTreeMap<Group, Checked>,
}

impl Name {
    pub(super) fn of(uri: &Uri) -> Self {
        let path = Url::parse(uri.as_str()).ok().and_then(|url| url.to_file_path().ok());
        path.map_or_else(|| Self::Unsaved(uri.as_str().to_owned()), Self::File)
    }

    /// What the protocol calls it; `None` for a path that has no address.
    pub(super) fn uri(&self) -> Option<Uri> {
        let text = match self {
            Self::File(path) => Url::from_file_path(path).ok()?.to_string(),
            Self::Unsaved(name) => name.clone(),
        };
        Uri::from_str(&text).ok()
    }

    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Unsaved(name) => name.clone(),
        }
    }
}

impl Files {
    /// Nothing is open; what is below each of these folders belongs together.
    pub(super) fn below(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// A file has this text now, whatever the disk says.
    pub(super) fn put(&mut self, name: Name, text: String) {
        self.forget(&name);
        self.open.insert(name, text);
    }

    /// A file has the text that is on the disk.
    pub(super) fn close(&mut self, name: &Name) {
        self.forget(name);
        self.open.remove(name);
    }

    /// The disk has changed: what was read of it is not known any more.
    pub(super) fn disk_changed(&mut self) {
        self.checked.clear();
    }

    /// The text of a file that is open.
    pub(super) fn text(&self, name: &Name) -> Option<&str> {
        self.open.get(name).map(String::as_str)
    }

    fn forget(&mut self, name: &Name) {
        let group = self.group(name);
        self.checked.remove(&group);
    }

    /// The groups of which a file is open.
    pub(super) fn groups(&self) -> BTreeSet<Group> {
        self.open.keys().map(|name| self.group(name)).collect()
    }

    /// The group of a file: the innermost of the stated folders that it is below, or its own folder.
    pub(super) fn group(&self, name: &Name) -> Group {
        let path = match name {
            Name::File(path) => path,
            Name::Unsaved(name) => return Group::Alone(name.clone()),
        };
        let stated = self.folders.iter().filter(|folder| path.starts_with(folder));
        match (stated.max_by_key(|folder| folder.components().count()), path.parent()) {
            (Some(folder), _) => Group::Below(folder.clone()),
            (None, Some(folder)) => Group::In(folder.to_owned()),
            (None, None) => Group::Alone(name.shown()),
        }
    }

    /// What is known of a group, checked if it has changed.
    pub(super) fn checked(&mut self, group: &Group, today: Date) -> Option<&Checked> {
        if !self.checked.contains_key(group) {
            let made = self.check(group, today);
            self.checked.insert(group.clone(), made);
        }
        self.checked.get(group)
    }

    /// Finds what is wrong where the policies of a group meet, unless that is known; says whether it had to.
    ///
    /// # Errors
    /// Failed if the compiler itself is broken.
    pub(super) fn complete(&mut self, group: &Group, today: Date) -> Result<bool, Failure> {
        self.checked(group, today);
        let Some(checked) = self.checked.get_mut(group).filter(|checked| !checked.is_whole) else {
            return Ok(false);
        };
        checked.is_whole = true;
        checked.files.check_combinations(DEFAULT_TRUST_DOMAIN)?;
        Ok(true)
    }

    fn check(&self, group: &Group, today: Date) -> Checked {
        let (mut paths, unreadable) = match on_disk(group) {
            Ok(paths) => (paths, None),
            Err(why) => (BTreeSet::new(), Some(why)),
        };
        paths.extend(self.open.keys().filter(|name| self.group(name) == *group).cloned());
        let mut sources = SourceSet::new();
        let mut names = Vec::new();
        let mut unreadable = unreadable;
        for name in paths {
            let text = match (self.open.get(&name), &name) {
                (Some(text), _) => text.clone(),
                (None, Name::File(path)) => match sources::read_file(path) {
                    Ok(text) => text,
                    Err(error) => {
                        unreadable.get_or_insert(error.to_string());
                        continue;
                    }
                },
                (None, Name::Unsaved(_)) => continue,
            };
            sources.add(name.shown(), text);
            names.push(name);
        }
        Checked { files: PolicyFiles::check(sources, today), names, unreadable, is_whole: false }
    }
}

impl Checked {
    /// The id of a file.
    pub(super) fn id(&self, name: &Name) -> Option<FileId> {
        let at = self.names.iter().position(|known| known == name)?;
        u32::try_from(at).ok().map(FileId)
    }

    /// The name of the file with this id.
    pub(super) fn name(&self, file: FileId) -> Option<&Name> {
        self.names.get(file.0 as usize)
    }
}

/// The files of a group that are on the disk.
fn on_disk(group: &Group) -> Result<BTreeSet<Name>, String> {
    let paths = match group {
        Group::Alone(_) => return Ok(BTreeSet::new()),
        Group::In(folder) => in_folder(folder),
        // A folder in which no policy is yet is no mistake here.
        Group::Below(folder) if !has_policies(folder) => return Ok(BTreeSet::new()),
        Group::Below(folder) => {
            sources::find(std::slice::from_ref(folder)).map_err(|error| error.to_string())
        }
    };
    paths.map(|paths| paths.into_iter().map(Name::File).collect())
}

fn has_policies(folder: &Path) -> bool {
    sources::find(&[folder.to_owned()]).is_ok()
}

/// The policies in a folder, not those below it.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("`{}` cannot be read: {error}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // The editor may have a file in a folder that will be made when it is saved.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let is_policy = path.extension().is_some_and(|extension| extension == sources::EXTENSION);
        if is_policy && path.is_file() {
            paths.push(path);
        }
        if paths.len() > sources::FILES_MAX {
            return Err(format!(
                "more than {} policy files are in `{}`",
                sources::FILES_MAX,
                folder.display()
            ));
        }
    }
    Ok(paths)
}
