//! A tree as a row of pieces: each token with what may stand before it.

use super::spacing;
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};
use rowan::{NodeOrToken, WalkEvent};

/// A token, and what comes before it.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) gap: Gap,
    /// How many blocks it is in.
    pub(super) depth: usize,
    /// Comments between the token before and this one.
    pub(super) comments: Vec<Comment>,
    /// Whether the source has an empty line directly before it.
    pub(super) blank_before: bool,
    /// Whether it stands in one column with its like in the lines around: what a rule's name names, and
    /// the `expect` of a `given`.
    pub(super) is_in_column: bool,
}

/// What stands before a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing.
    None,
    /// A space.
    Space,
    /// A space, or a line break behind which the rest of the line fits better.
    Fill,
    /// A space, or a line break if the statement does not fit a line.
    Clause,
    /// A line break: a statement begins or a block ends.
    Line(Line),
}

/// What begins on a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The file's first item, or one that follows one of its kind and needs no empty line: `let`, `use`.
    CloseItem,
    /// Another item.
    Item,
    /// The first statement of a block.
    First,
    /// Another statement.
    Statement,
    /// The brace that ends a block.
    End,
}

/// A comment.
#[derive(Debug)]
pub(super) struct Comment {
    pub(super) text: String,
    /// Whether it stands on a line of its own; else behind a token.
    pub(super) own_line: bool,
    pub(super) blank_before: bool,
}

/// All pieces of a tree; the last is empty and carries the comments at the end of the file.
pub(super) fn pieces(root: &SyntaxNode) -> Vec<Piece> {
    let mut walk = Walk::default();
    for event in root.preorder_with_tokens() {
        match event {
            WalkEvent::Enter(NodeOrToken::Node(node)) => walk.enter(&node),
            WalkEvent::Enter(NodeOrToken::Token(token)) => walk.token(&token),
            WalkEvent::Leave(NodeOrToken::Node(node)) => walk.leave(&node),
            WalkEvent::Leave(NodeOrToken::Token(_)) => {}
        }
    }
    let gap = if walk.pieces.is_empty() { Line::CloseItem } else { Line::Item };
    walk.push(String::new(), Gap::Line(gap), false);
    walk.pieces
}

#[derive(Default)]
struct Walk {
    pieces: Vec<Piece>,
    /// The blocks that are open: the nodes whose opening brace has been seen.
    blocks: Vec<SyntaxNode>,
    /// What the next token has before it, if a node that begins with it says so.
    next: Option<Gap>,
    comments: Vec<Comment>,
    /// Line breaks since the last token or comment; the file begins with one.
    line_breaks: Option<usize>,
    last: Option<SyntaxToken>,
    last_item: Option<SyntaxKind>,
}

impl Walk {
    fn enter(&mut self, node: &SyntaxNode) {
        let Some(parent) = node.parent() else { return };
        if parent.kind() == SyntaxKind::File {
            let is_close = matches!(node.kind(), SyntaxKind::Let | SyntaxKind::Use)
                && self.last_item == Some(node.kind());
            let is_first = self.last_item.is_none();
            self.next = Some(Gap::Line(if is_close || is_first { Line::CloseItem } else { Line::Item }));
            self.last_item = Some(node.kind());
        } else if self.blocks.last() == Some(&parent) && spacing::has_statements(parent.kind()) {
            self.next = Some(self.statement());
        } else if self.next.is_none() && spacing::is_clause(node.kind()) {
            self.next = Some(Gap::Clause);
        }
    }

    fn statement(&self) -> Gap {
        let is_first = self.last.as_ref().is_some_and(spacing::opens_block);
        Gap::Line(if is_first { Line::First } else { Line::Statement })
    }

    fn leave(&mut self, node: &SyntaxNode) {
        if self.blocks.last() == Some(node) {
            self.blocks.pop();
        }
    }

    fn token(&mut self, token: &SyntaxToken) {
        match token.kind() {
            SyntaxKind::Whitespace => {
                let breaks = token.text().matches('\n').count();
                self.line_breaks = Some(self.line_breaks.unwrap_or(0) + breaks);
            }
            SyntaxKind::Comment => {
                let breaks = self.line_breaks.take().unwrap_or(0);
                self.comments.push(Comment {
                    text: token.text().trim_end().to_owned(),
                    own_line: breaks > 0 || (self.last.is_none() && self.comments.is_empty()),
                    blank_before: breaks > 1,
                });
            }
            _ => self.significant(token),
        }
    }

    fn significant(&mut self, token: &SyntaxToken) {
        let parent = token.parent();
        let closes = spacing::closes_block(token);
        if closes && parent.is_some() && self.blocks.last() == parent.as_ref() {
            self.blocks.pop();
        }
        let gap = if closes {
            let is_empty = self.comments.is_empty() && self.last.as_ref().is_some_and(spacing::opens_block);
            if is_empty { Gap::None } else { Gap::Line(Line::End) }
        } else if let Some(gap) = self.next.take() {
            gap
        } else if spacing::begins_line(token) && self.blocks.last() == parent.as_ref() {
            self.statement()
        } else {
            match &self.last {
                Some(last) => spacing::between(last, token),
                None => Gap::Line(Line::CloseItem),
            }
        };
        self.next = None;
        let is_in_column =
            self.last.as_ref().is_some_and(spacing::ends_label) || spacing::begins_expectations(token);
        self.push(token.text().to_owned(), gap, is_in_column);
        if spacing::opens_block(token) {
            self.blocks.extend(parent);
        }
        self.last = Some(token.clone());
    }

    fn push(&mut self, text: String, gap: Gap, is_in_column: bool) {
        let blank_before = self.line_breaks.take().unwrap_or(0) > 1;
        let depth = self.blocks.len();
        let comments = std::mem::take(&mut self.comments);
        self.pieces.push(Piece { text, gap, depth, comments, blank_before, is_in_column });
    }
}
