//! What can stand at a place.

use super::define::policies_under_test;
use super::hover::described;
use super::symbol::{captures, is_sink, named_statements, policies, token_at, tree_of};
use super::words;
use crate::FileId;
use crate::check::expression_names::{function_names, method_names, names_under, roots};
use crate::parse::{Wish, wishes};
use crate::source::{SourceSet, Span};
use crate::syntax::ast::{AstNode, Let, Ref};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken, SyntaxTree};
use std::collections::BTreeSet;

/// How many names of one sort are offered at most; an editor asks again when more is written.
const OFFERED_MAX: usize = 1_000;

/// The methods that are offered.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// The name by which a denial is known that no rule decided.
const DEFAULT_DENY: &str = "default-deny";

/// What something that can stand there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CompletionKind {
    /// A word of the language.
    Keyword,
    /// A method.
    Method,
    /// An attribute or a field of one.
    Attribute,
    /// A function.
    Function,
    /// A name that the author gave: of a `let`, policy, rule, sink, service or capture.
    Name,
}

/// Something that can stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The text.
    pub label: String,
    /// What it is.
    pub kind: CompletionKind,
    /// What it means, as Markdown, if it is a word of the language.
    pub says: Option<String>,
    /// What it is put in the place of: the word that is begun.
    pub span: Span,
}

/// What can stand at a place, beginning with what stands there already; the names in all files are known.
#[must_use]
pub fn completions(sources: &SourceSet, trees: &[SyntaxTree], file: FileId, offset: u32) -> Vec<Completion> {
    let place = Place::of(sources, trees, file, offset);
    let offered = place.as_ref().map(Place::offers).unwrap_or_default();
    let span = place.map_or(Span { file, start: offset, end: offset }, |place| place.span);
    let offered = offered.into_iter().take(OFFERED_MAX);
    offered
        .map(|(kind, label)| Completion { says: said(kind, &label), kind, label: last_part(label), span })
        .collect()
}

/// Whether a string has its closing quote.
fn is_closed(string: &str) -> bool {
    let quote = if string.ends_with('\'') { '\'' } else { '"' };
    string.ends_with(quote) && string.matches(quote).count() > 1
}

/// What is said of a completion, by its whole name.
fn said(kind: CompletionKind, name: &str) -> Option<String> {
    let word = match kind {
        CompletionKind::Keyword => words::keyword(name),
        CompletionKind::Attribute => words::attribute(name),
        CompletionKind::Function => words::function(name),
        CompletionKind::Method | CompletionKind::Name => None,
    };
    word.map(described)
}

/// What is still to be written of a name: `method` of `request.method`.
fn last_part(name: String) -> String {
    name.rsplit_once('.').map_or_else(|| name.clone(), |(_, last)| last.to_owned())
}

/// What can stand there, by whole names.
type Offers = BTreeSet<(CompletionKind, String)>;

/// A place, with what stands before it.
struct Place<'a> {
    trees: &'a [SyntaxTree],
    tree: &'a SyntaxTree,
    /// The file up to the word that is begun.
    before: &'a str,
    /// The word that is begun.
    span: Span,
    /// The token before the place.
    token: Option<SyntaxToken>,
}

impl<'a> Place<'a> {
    /// `None` where nothing is offered: in comments, strings and paths.
    fn of(sources: &'a SourceSet, trees: &'a [SyntaxTree], file: FileId, offset: u32) -> Option<Self> {
        let tree = tree_of(trees, file)?;
        let text: &str = &sources.get(file)?.text;
        let written = text.get(..offset as usize)?;
        let is_of_name =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        let word = written.len() - written.trim_end_matches(is_of_name).len();
        // A service is one word, whatever of it is written.
        let whole = written.len() - written.trim_end_matches(|at| is_of_name(at) || at == '/').len();
        let begins_with_slash = written.get(written.len() - whole..).is_none_or(|word| word.starts_with('/'));
        let begun = if begins_with_slash { word } else { whole };
        let start = written.len() - begun;
        let last = tree.root().token_at_offset(u32::try_from(start).ok()?.into()).left_biased();
        let is_inside = |token: &SyntaxToken| {
            let end = usize::from(token.text_range().end());
            match token.kind() {
                SyntaxKind::Comment => true,
                SyntaxKind::String => start < end || !is_closed(token.text()),
                SyntaxKind::Path => true,
                _ => false,
            }
        };
        if last
            .as_ref()
            .is_some_and(|token| start > usize::from(token.text_range().start()) && is_inside(token))
        {
            return None;
        }
        let span = Span { file, start: u32::try_from(start).ok()?, end: offset };
        Some(Self { trees, tree, before: text.get(..start)?, span, token: token_at(tree, offset) })
    }

    fn offers(&self) -> Offers {
        if let Some(before) = self.before.strip_suffix('.') {
            return self.members(before);
        }
        wishes(self.before).into_iter().flat_map(|wish| self.fulfil(wish)).collect()
    }

    /// What can stand behind a dot.
    fn members(&self, before: &str) -> Offers {
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let root = before.get(before.trim_end_matches(is_of_name).len()..).unwrap_or_default();
        if root == "path" {
            let captures = self.token.as_ref().map(captures).unwrap_or_default();
            return captures.into_iter().map(|(name, _)| (CompletionKind::Name, name)).collect();
        }
        let fields: Offers =
            names_under(root).map(|name| (CompletionKind::Attribute, format!("{root}.{name}"))).collect();
        if fields.is_empty() {
            return method_names().map(|name| (CompletionKind::Function, name.to_owned())).collect();
        }
        fields
    }

    fn fulfil(&self, wish: Wish) -> Offers {
        let names = |names: Vec<String>| names.into_iter().map(|name| (CompletionKind::Name, name)).collect();
        match wish {
            Wish::Word(word) => Offers::from([(CompletionKind::Keyword, word.to_owned())]),
            Wish::Method => METHODS.map(|method| (CompletionKind::Method, method.to_owned())).into(),
            Wish::Path => Offers::new(),
            Wish::Service => names(self.services()),
            Wish::Policy => names(self.policy_names(false)),
            Wish::Sink => names(self.policy_names(true)),
            Wish::Rule => names(self.rules()),
            Wish::Expression => self.expressions(),
        }
    }

    /// The services that stand anywhere.
    fn services(&self) -> Vec<String> {
        let nodes = self.trees.iter().flat_map(|tree| tree.root().descendants());
        let references = nodes.filter_map(Ref::cast).filter(|found| self.is_elsewhere(found.syntax()));
        let names = references.filter_map(|found| Some((found.namespace()?, found.name()?)));
        names.map(|(namespace, name)| format!("{}/{}", namespace.text(), name.text())).collect()
    }

    /// Whether a node is not what is being written.
    fn is_elsewhere(&self, node: &SyntaxNode) -> bool {
        let is_same_tree = node.ancestors().last().is_some_and(|root| root == self.tree.root());
        !is_same_tree || u32::from(node.text_range().start()) != self.span.start
    }

    fn policy_names(&self, wants_sinks: bool) -> Vec<String> {
        let wanted = policies(self.trees).filter(|(_, policy)| is_sink(policy) == wants_sinks);
        wanted.filter_map(|(_, policy)| Some(policy.name()?.text().to_owned())).collect()
    }

    /// The names of the statements of the policies under test.
    fn rules(&self) -> Vec<String> {
        let tested = self.token.as_ref().map(policies_under_test).unwrap_or_default();
        let is_tested = |name: &SyntaxToken| tested.iter().any(|wanted| wanted == name.text());
        let policies =
            policies(self.trees).filter(|(_, policy)| policy.name().as_ref().is_some_and(is_tested));
        let mut names: Vec<String> = policies
            .flat_map(|(_, policy)| named_statements(&policy).collect::<Vec<_>>())
            .map(|(name, _)| name.text().to_owned())
            .collect();
        names.push(DEFAULT_DENY.to_owned());
        names
    }

    fn expressions(&self) -> Offers {
        let attributes = roots().map(|name| (CompletionKind::Attribute, name.to_owned()));
        let functions = function_names().map(|name| (CompletionKind::Function, name.to_owned()));
        let around = self.token.iter().flat_map(SyntaxToken::parent_ancestors);
        let policy = around.filter(|node| node.kind() == SyntaxKind::Policy);
        let scopes = policy.chain([self.tree.root()]);
        let lets = scopes.flat_map(|scope| scope.children()).filter_map(Let::cast);
        let lets = lets.filter_map(|meaning| Some((CompletionKind::Name, meaning.name()?.text().to_owned())));
        attributes.chain(functions).chain(lets).collect()
    }
}
