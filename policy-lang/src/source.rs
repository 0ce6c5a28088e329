//! Source files and places in them.
//!
//! Offsets are bytes into a file's text; lines and columns are computed only for people.

use std::sync::Arc;

/// The largest source file that is read, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Which file of a [`SourceSet`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A half-open range of bytes in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Byte offset of the first byte.
    pub start: u32,
    /// Byte offset behind the last byte.
    pub end: u32,
}

/// One file: the name that people see, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The name shown in diagnostics and rule locations, as the user wrote it.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
}

/// The files of one compilation. A [`FileId`] is an index into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSet {
    files: Vec<SourceFile>,
}

/// A line and a column, both counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl SourceSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file and gives its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        id
    }

    /// Puts a file in the place of another one, which nothing refers to any more.
    pub fn put(&mut self, id: FileId, name: impl Into<String>, text: impl Into<Arc<str>>) {
        if let Some(file) = self.files.get_mut(id.0 as usize) {
            *file = SourceFile { name: name.into(), text: text.into() };
        }
    }

    /// The file with this id, or `None` if the id is of another set.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// All files with their ids, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(at, file)| (FileId(at as u32), file))
    }

    /// The text under a span; empty if the span is not inside the file.
    #[must_use]
    pub fn snippet(&self, span: Span) -> &str {
        self.get(span.file)
            .and_then(|file| file.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// `name:line`, as rule locations are shown.
    #[must_use]
    pub fn location(&self, span: Span) -> String {
        match self.get(span.file) {
            Some(file) => format!("{}:{}", file.name, file.line_column(span.start).line),
            None => "?".to_owned(),
        }
    }
}

impl SourceFile {
    /// Line and column of a byte offset; an offset behind the end counts as the end.
    #[must_use]
    pub fn line_column(&self, offset: u32) -> LineColumn {
        // An offset inside a character counts as the next one's.
        let mut end = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let before = self.text.as_bytes().get(..end).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let of_line = before.get(line_start..).unwrap_or_default();
        let column = of_line.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count();
        let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        LineColumn { line: number(line), column: number(column) }
    }
}

impl Span {
    /// Whether the other lies inside this one.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }

    /// The smallest span that covers both; they must be of one file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}
