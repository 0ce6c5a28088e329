//! Pieces to text: line breaks, indentation, columns.

use super::pieces::{Comment, Gap, Line, Piece};
use super::{BLOCK_INDENT, BROKEN_INDENT, LINE_WIDTH_MAX};

/// The text of pieces.
pub(super) fn lay_out(pieces: &[Piece]) -> String {
    let mut page = Page::default();
    let mut lines: Vec<&[Piece]> = pieces.chunk_by(|_, next| !matches!(next.gap, Gap::Line(_))).collect();
    // The last piece only carries the comments at the end of the file.
    let rest = lines.pop();
    let labels = label_widths(&lines);
    for (line, label_width) in lines.into_iter().zip(labels) {
        page.line(line, label_width);
    }
    if let Some([end]) = rest {
        page.comments(&end.comments, 0, matches!(end.gap, Gap::Line(Line::CloseItem)));
    }
    page.finish()
}

/// For each line, how wide its name with colon shall be: as wide as the widest of the names in the lines
/// that follow each other without an empty line, a comment or a line without a name between; 0 if it
/// has none.
fn label_widths(lines: &[&[Piece]]) -> Vec<usize> {
    let mut widths = Vec::with_capacity(lines.len());
    for group in lines.chunk_by(|last, next| {
        let stands_apart = next
            .first()
            .is_none_or(|first| first.blank_before || first.comments.iter().any(|comment| comment.own_line));
        label_width(last) > 0 && label_width(next) > 0 && !stands_apart
    }) {
        let widest = group.iter().map(|line| label_width(line)).max().unwrap_or(0);
        widths.extend(std::iter::repeat_n(widest, group.len()));
    }
    widths
}

fn label_width(line: &[Piece]) -> usize {
    match line {
        [name, colon, ..] if colon.ends_label => width(&name.text) + width(&colon.text),
        _ => 0,
    }
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
    /// A statement, or another row of pieces that begins on a line of its own.
    fn line(&mut self, pieces: &[Piece], label_width: usize) {
        let Some((first, others)) = pieces.split_first() else { return };
        let indent = first.depth * BLOCK_INDENT;
        self.begin(first, indent);
        self.write(&first.text);
        let is_broken = indent + flat_width(pieces) > LINE_WIDTH_MAX;
        for (at, piece) in others.iter().enumerate() {
            let behind_label = at == 1 && label_width > 0;
            let inner = indent + BROKEN_INDENT;
            self.comments(&piece.comments, inner, false);
            if self.line_is_full || (is_broken && self.must_break(piece, others.get(at..).unwrap_or(&[]))) {
                self.break_line(inner);
            } else if behind_label {
                let written = pieces.iter().take(2).map(|piece| width(&piece.text)).sum::<usize>();
                self.write(&" ".repeat(label_width.saturating_sub(written) + 1));
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
