//! Places as editors count them: lines and columns from 0, columns in the units that both sides agreed on.

use chancery_policy_lang::{SourceFile, Span};
use line_index::{LineCol, LineIndex, TextSize, WideEncoding, WideLineCol};
use lsp_types::{InitializeParams, Position, PositionEncodingKind, Range};

/// In what columns are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// Bytes.
    Utf8,
    /// Units of UTF-16, as every editor can.
    Utf16,
}

impl Columns {
    /// Bytes if the editor can count them.
    pub(super) fn agreed(asked: &InitializeParams) -> Self {
        let general = asked.capabilities.general.as_ref();
        let offered = general.and_then(|general| general.position_encodings.as_ref());
        let has_bytes = offered.is_some_and(|offered| offered.contains(&PositionEncodingKind::UTF8));
        if has_bytes { Self::Utf8 } else { Self::Utf16 }
    }

    /// Its name in the protocol.
    pub(super) fn name(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
        }
    }
}

/// The lines of a text.
pub(super) struct Lines {
    index: LineIndex,
    columns: Columns,
    length: u32,
}

impl Lines {
    pub(super) fn of(file: &SourceFile, columns: Columns) -> Self {
        let length = u32::try_from(file.text.len()).unwrap_or(u32::MAX);
        Self { index: LineIndex::new(&file.text), columns, length }
    }

    /// The byte offset of a position; one behind the end of the text counts as the end.
    pub(super) fn offset(&self, position: Position) -> u32 {
        let line = match self.columns {
            Columns::Utf8 => Some(LineCol { line: position.line, col: position.character }),
            Columns::Utf16 => {
                let wide = WideLineCol { line: position.line, col: position.character };
                self.index.to_utf8(WideEncoding::Utf16, wide)
            }
        };
        let offset = line.and_then(|line| self.index.offset(line)).map_or(self.length, u32::from);
        offset.min(self.length)
    }

    /// Where a span is.
    pub(super) fn range(&self, span: Span) -> Range {
        Range { start: self.position(span.start), end: self.position(span.end) }
    }

    /// From the beginning of the text to its end.
    pub(super) fn whole(&self) -> Range {
        Range { start: Position::default(), end: self.position(self.length) }
    }

    fn position(&self, offset: u32) -> Position {
        let inside = TextSize::from(offset.min(self.length));
        let Some(line) = self.index.try_line_col(inside) else { return Position::default() };
        let wide = match self.columns {
            Columns::Utf8 => None,
            Columns::Utf16 => self.index.to_wide(WideEncoding::Utf16, line),
        };
        match wide {
            Some(wide) => Position { line: wide.line, character: wide.col },
            None => Position { line: line.line, character: line.col },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_policy_lang::FileId;

    #[test]
    fn columns_are_counted_as_was_agreed() {
        let file = SourceFile { name: String::new(), text: "a\n\u{1f600}bc".into() };
        for (columns, character) in [(Columns::Utf8, 4), (Columns::Utf16, 2)] {
            let lines = Lines::of(&file, columns);
            let position = Position { line: 1, character };
            assert_eq!(lines.offset(position), 6);
            let range = lines.range(Span { file: FileId(0), start: 6, end: 7 });
            assert_eq!(range.start, position);
            assert_eq!(lines.offset(Position { line: 9, character: 9 }), 8);
            assert_eq!(lines.whole().start, Position::default());
        }
    }
}
