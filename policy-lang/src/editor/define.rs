//! Where a name is given its meaning.

use super::symbol::{around, captures, is_sink, named_statements, place, policies, token_at, tree_of};
use crate::lex::literal;
use crate::syntax::ast::{AstNode, Let, SchemaApiKey, SchemaHeader, SchemaJwt, Test};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken, SyntaxTree};
use crate::{FileId, Span};

/// What a name means: where it is said, and the whole that says it.
pub(super) struct Definition {
    /// The name there.
    pub(super) name: Span,
    /// The `let`, statement, policy or entry; `None` for a capture, which is part of a path.
    pub(super) node: Option<SyntaxNode>,
}

/// Where the name at a place is given its meaning: that of a `let`, a policy, a rule, a sink, a capture, or an entry of a
/// schema; `None` if there is no name, or nothing gives it a meaning.
#[must_use]
pub fn definition(trees: &[SyntaxTree], file: FileId, offset: u32) -> Option<Span> {
    let tree = tree_of(trees, file)?;
    definition_of(trees, tree, &token_at(tree, offset)?).map(|found| found.name)
}

/// The same for a token.
pub(super) fn definition_of(
    trees: &[SyntaxTree],
    tree: &SyntaxTree,
    token: &SyntaxToken,
) -> Option<Definition> {
    let parent = token.parent()?;
    match (token.kind(), parent.kind()) {
        (SyntaxKind::Name, SyntaxKind::NameExpr) => meaning_of_let(tree, token),
        (SyntaxKind::Name, SyntaxKind::FieldExpr) if parent.text().to_string().starts_with("path.") => {
            let (_, range) = captures(token).into_iter().find(|(name, _)| name == token.text())?;
            Some(Definition { name: tree.span(range), node: None })
        }
        (SyntaxKind::Name, SyntaxKind::Test) => policy(trees, token.text(), false),
        (SyntaxKind::Name, SyntaxKind::RuleName) => rule(trees, token, &parent),
        (SyntaxKind::Name, SyntaxKind::Statement) if first_word(&parent) == "send" => {
            policy(trees, token.text(), true)
        }
        (SyntaxKind::Name, SyntaxKind::Peer | SyntaxKind::With) => {
            entry(tree, token.text(), first_word(&parent).as_str())
        }
        (SyntaxKind::String, SyntaxKind::LiteralExpr) if is_key_of_headers(&parent) => header(tree, token),
        _ => None,
    }
}

fn first_word(node: &SyntaxNode) -> String {
    let first = node
        .children_with_tokens()
        .find_map(|element| element.into_token().filter(|token| token.kind() == SyntaxKind::Keyword));
    let word = first.map_or_else(String::new, |token| token.text().to_owned());
    if word != "with" {
        return word;
    }
    let words = node.children_with_tokens().filter_map(|element| element.into_token());
    words
        .filter(|token| token.kind() == SyntaxKind::Keyword)
        .nth(1)
        .map_or(word, |token| token.text().to_owned())
}

/// The `let` of this name: of the policy around, or of the file.
fn meaning_of_let(tree: &SyntaxTree, token: &SyntaxToken) -> Option<Definition> {
    let policy = around(token, SyntaxKind::Policy);
    let scopes = policy.into_iter().chain([tree.root()]);
    let mut lets = scopes.flat_map(|scope| scope.children()).filter_map(Let::cast);
    lets.find_map(|meaning| {
        let name = meaning.name().filter(|name| name.text() == token.text())?;
        Some(Definition { name: place(tree, &name), node: Some(meaning.syntax().clone()) })
    })
}

fn policy(trees: &[SyntaxTree], wanted: &str, wants_sink: bool) -> Option<Definition> {
    policies(trees).find_map(|(tree, policy)| {
        let name = policy.name().filter(|name| name.text() == wanted && is_sink(&policy) == wants_sink)?;
        Some(Definition { name: place(tree, &name), node: Some(policy.syntax().clone()) })
    })
}

/// The statement that `RULE` or `POLICY/RULE` names, in the policies under test; for `POLICY` there, the policy.
fn rule(trees: &[SyntaxTree], token: &SyntaxToken, named: &SyntaxNode) -> Option<Definition> {
    let names: Vec<SyntaxToken> = named
        .children_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| token.kind() == SyntaxKind::Name)
        .collect();
    let of_policy = match names.as_slice() {
        [policy_name, _] if policy_name == token => return policy(trees, token.text(), false),
        [policy_name, _] => vec![policy_name.text().to_owned()],
        _ => policies_under_test(token),
    };
    let tested = policies(trees).filter(|(_, policy)| {
        policy.name().is_some_and(|name| of_policy.iter().any(|wanted| wanted == name.text()))
    });
    tested
        .flat_map(|(tree, policy)| named_statements(&policy).map(|found| (tree, found)).collect::<Vec<_>>())
        .find(|(_, (name, _))| name.text() == token.text())
        .map(|(tree, (name, node))| Definition { name: place(tree, &name), node: Some(node) })
}

/// The names of the policies that the test around a token is about.
pub(super) fn policies_under_test(token: &SyntaxToken) -> Vec<String> {
    let test = around(token, SyntaxKind::Test).and_then(Test::cast);
    test.iter().flat_map(Test::policies).map(|name| name.text().to_owned()).collect()
}

/// The entry of the schema that a caller of this kind names.
fn entry(tree: &SyntaxTree, wanted: &str, kind: &str) -> Option<Definition> {
    let entries = tree.root().descendants();
    let mut found = entries.filter_map(|node| {
        let name = match kind {
            "jwt" => SchemaJwt::cast(node.clone())?.name()?,
            "apikey" => SchemaApiKey::cast(node.clone())?.name()?,
            _ => return None,
        };
        (name.text() == wanted).then(|| Definition { name: place(tree, &name), node: Some(node) })
    });
    found.next()
}

/// Whether a literal is the key in `headers["..."]`.
fn is_key_of_headers(literal: &SyntaxNode) -> bool {
    literal.parent().is_some_and(|parent| {
        parent.kind() == SyntaxKind::IndexExpr && parent.text().to_string().starts_with("headers[")
    })
}

/// The type that the schema gives a header.
fn header(tree: &SyntaxTree, token: &SyntaxToken) -> Option<Definition> {
    let wanted = literal::string(token.text()).to_ascii_lowercase();
    tree.root().descendants().filter_map(SchemaHeader::cast).find_map(|header| {
        let name = header.name().filter(|name| name.text().eq_ignore_ascii_case(&wanted))?;
        Some(Definition { name: place(tree, &name), node: Some(header.syntax().clone()) })
    })
}
