//! Pieces to text: line breaks, indentation, columns.

use super::pieces::{Comment, Gap, Line, Piece};
use super::{BLOCK_INDENT, BROKEN_INDENT, LINE_WIDTH_MAX};

/// The text of pieces.
pub(super) fn lay_out(pieces: &[Piece]) -> String {
    let mut page = Page::default();
    let mut lines: Vec<&[Piece]> = pieces.chunk_by(|_, next| !matches!(next.gap, Gap::Line(_))).collect();
    // The last piece only carries the comments at the end of the file.
    let rest = lines.pop();
    let columns = columns(&lines);
    for (line, column) in lines.into_iter().zip(columns) {
        page.line(line, column);
    }
    if let Some([end]) = rest {
        page.comments(&end.comments, 0, matches!(end.gap, Gap::Line(Line::CloseItem)));
    }
    page.finish()
}

/// For each line, how wide what stands before its column shall be: as wide as the widest of the lines
/// that follow each other with a column and without an empty line or a comment between.
fn columns(lines: &[&[Piece]]) -> Vec<usize> {
    let mut columns = Vec::with_capacity(lines.len());
    for group in lines.chunk_by(|last, next| {
        let stands_apart = next
            .first()
            .is_none_or(|first| first.blank_before || first.comments.iter().any(|comment| comment.own_line));
        head(last).is_some() && head(next).is_some() && !stands_apart
    }) {
        let widest = group.iter().filter_map(|line| head(line)).map(flat_width).max().unwrap_or(0);
        columns.extend(std::iter::repeat_n(widest, group.len()));
    }
    columns
}

/// What stands before the column of a line, if it has one: not if a comment breaks the line there, nor if
/// the line does not fit and would be broken at the column.
fn head(line: &[Piece]) -> Option<&[Piece]> {
    let at = line.iter().position(|piece| piece.is_in_column)?;
    let breaks = line.get(1..=at)?.iter().any(|piece| !piece.comments.is_empty());
    let is_clause = line.get(at)?.gap == Gap::Clause;
    if breaks || (is_clause && !fits(line, 0)) { None } else { line.get(..at) }
}

/// Whether a line fits if it has this many further spaces.
fn fits(line: &[Piece], spaces: usize) -> bool {
    let indent = line.first().map_or(0, |first| first.depth * BLOCK_INDENT);
    indent + flat_width(line) + spaces <= LINE_WIDTH_MAX
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// How wide pieces are on one line.
fn flat_width(pieces: &[Piece]) -> usize {
    let gaps = pieces.iter().skip(1).filter(|piece| piece.gap != Gap::None).count();
    pieces.iter().map(|piece| width(&piece.text)).sum::<usize>() + gaps
}

/// The text so far.
#[derive(Default)]
struct Page {
    out: String,
    column: usize,
    /// Whether the line has ended with a comment, so that nothing more can stand on it.
    line_is_full: bool,
}

impl Page {
    /// A statement, or another row of pieces that begins on a line of its own. `column`: how wide what
    /// stands before its column shall be.
    fn line(&mut self, pieces: &[Piece], column: usize) {
        let Some((first, others)) = pieces.split_first() else { return };
        let indent = first.depth * BLOCK_INDENT;
        self.begin(first, indent);
        self.write(&first.text);
        let padding = head(pieces).map_or(0, |head| column.saturating_sub(flat_width(head)));
        let is_broken = !fits(pieces, 0);
        // Where a line is too long only for its column, it goes without.
        let padding = if is_broken || fits(pieces, padding) { padding } else { 0 };
        for (at, piece) in others.iter().enumerate() {
            let inner = indent + BROKEN_INDENT;
            self.comments(&piece.comments, inner, false);
            if self.line_is_full || (is_broken && self.must_break(piece, others.get(at..).unwrap_or(&[]))) {
                self.break_line(inner);
            } else if piece.is_in_column {
                self.write(&" ".repeat(padding + 1));
            } else if piece.gap != Gap::None {
                self.write(" ");
            }
            self.write(&piece.text);
        }
    }

    /// Whether a line break stands before a piece of a statement that does not fit a line.
    fn must_break(&self, piece: &Piece, from_here: &[Piece]) -> bool {
        match piece.gap {
            Gap::Clause => true,
            Gap::Fill => {
                // Up to the next place where the line may be broken.
                let rest = from_here.get(1..).unwrap_or(&[]);
                let end = rest.iter().position(|next| matches!(next.gap, Gap::Fill | Gap::Clause));
                let chunk = from_here.get(..=end.unwrap_or(rest.len())).unwrap_or(from_here);
                self.column + 1 + flat_width(chunk) > LINE_WIDTH_MAX
            }
            _ => false,
        }
    }

    /// The comments before the first piece of a line, and the line break.
    fn begin(&mut self, first: &Piece, indent: usize) {
        let Gap::Line(line) = first.gap else { return };
        // A comment before the end of a block stands in the block.
        let inner = if line == Line::End { indent + BLOCK_INDENT } else { indent };
        let has_own = first.comments.iter().any(|comment| comment.own_line);
        let is_first = matches!(line, Line::First) || self.out.is_empty();
        if line == Line::Item && has_own {
            // The empty line between items stands before the comments of the second.
            let (behind, own) = split(&first.comments);
            self.comments(behind, inner, false);
            self.end_line();
            self.out.push('\n');
            self.comments(own, inner, true);
        } else {
            self.comments(&first.comments, inner, is_first);
        }
        if !self.out.is_empty() {
            self.end_line();
        }
        let wants_blank = match line {
            Line::Item => !has_own || first.blank_before,
            Line::CloseItem | Line::Statement => first.blank_before,
            Line::First => has_own && first.blank_before,
            Line::End => false,
        };
        if wants_blank && !self.out.is_empty() {
            self.out.push('\n');
        }
        self.indent(indent);
    }

    /// Comments, each behind what is there or on a line of its own. `is_first`: nothing stands before
    /// them in their block, so they need no empty line before.
    fn comments(&mut self, comments: &[Comment], indent: usize, is_first: bool) {
        let mut is_first = is_first;
        for comment in comments {
            if comment.own_line || self.line_is_full || self.out.is_empty() {
                if !self.out.is_empty() {
                    self.end_line();
                }
                if comment.blank_before && !is_first {
                    self.out.push('\n');
                }
                self.indent(indent);
            } else {
                self.write(" ");
            }
            self.write(&comment.text);
            self.line_is_full = true;
            is_first = false;
        }
    }

    fn break_line(&mut self, indent: usize) {
        self.end_line();
        self.indent(indent);
    }

    fn end_line(&mut self) {
        if self.column > 0 {
            self.out.push('\n');
        }
        self.column = 0;
        self.line_is_full = false;
    }

    fn indent(&mut self, indent: usize) {
        self.write(&" ".repeat(indent));
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += width(text);
    }

    fn finish(mut self) -> String {
        self.end_line();
        self.out
    }
}

/// The comments behind the token before, and those on lines of their own.
fn split(comments: &[Comment]) -> (&[Comment], &[Comment]) {
    let at = comments.iter().position(|comment| comment.own_line).unwrap_or(comments.len());
    comments.split_at_checked(at).unwrap_or((comments, &[]))
}
