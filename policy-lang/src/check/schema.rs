//! `schema`: the types that headers are read as.

use super::errors;
use super::header_name::{HeaderName, header_name};
use super::scope::FileScope;
use crate::checked::{BaseType, Conversion};
use crate::diagnostic::Findings;
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{AstNode, Schema, SchemaHeader, TypeKind, TypeName};

/// The most elements that a list may be declared to have.
pub(crate) const LIST_ELEMENTS_MAX: i64 = 64;
/// The most bytes that a string may be declared to have.
pub(super) const STRING_BYTES_MAX: i64 = 65_536;

/// What a header is read as.
#[derive(Clone, Debug)]
pub(super) struct HeaderType {
    /// How its text is read; `None` for a plain string.
    pub(super) conversion: Option<Conversion>,
    /// What that gives.
    pub(super) base: BaseType,
    /// Where the type is declared.
    pub(super) span: Span,
}

/// Takes the entries of a `schema` into the scope of its file.
pub(super) fn check(node: &Schema, tree: &SyntaxTree, scope: &mut FileScope, diagnostics: &mut Findings) {
    for entry in node.jwts() {
        diagnostics.push(errors::later::authentication(tree.span(entry.range()), "`jwt` providers"));
    }
    for entry in node.api_keys() {
        diagnostics.push(errors::later::authentication(tree.span(entry.range()), "API keys"));
        scope.api_keys.extend(entry.name().map(|token| token.text().to_owned()));
    }
    for entry in node.headers() {
        check_header(&entry, tree, scope, diagnostics);
    }
}

fn check_header(entry: &SchemaHeader, tree: &SyntaxTree, scope: &mut FileScope, diagnostics: &mut Findings) {
    let (Some(token), Some(ty)) = (entry.name(), entry.ty()) else { return };
    let span = tree.span(token.text_range());
    let name = match header_name(token.text()) {
        HeaderName::Plain(name) => name,
        HeaderName::Attribute(attribute) => {
            diagnostics.push(errors::header_is_attribute(span, token.text(), attribute));
            return;
        }
        HeaderName::TakenAway => {
            diagnostics.push(errors::header_taken_away(span, token.text()));
            return;
        }
        HeaderName::Bad => {
            diagnostics.push(errors::bad_header_name(span, token.text()));
            return;
        }
    };
    let Some(found) = header_type(&ty, tree, diagnostics) else { return };
    match scope.headers.get(&name) {
        Some(first) => diagnostics.push(errors::duplicate_header(span, &name, first.span)),
        None => {
            scope.headers.insert(name, found);
        }
    }
}

fn header_type(ty: &TypeName, tree: &SyntaxTree, diagnostics: &mut Findings) -> Option<HeaderType> {
    let span = tree.span(ty.range());
    let mut bound = |maximum: i64, what: &str| -> Option<Option<u32>> {
        let Some(token) = ty.bound() else { return Some(None) };
        let value = literal::int(token.text())?;
        if !(1..=maximum).contains(&value) {
            diagnostics.push(errors::bad_bound(tree.span(token.text_range()), value, maximum, what));
            return None;
        }
        Some(u32::try_from(value).ok())
    };
    let (conversion, base) = match ty.kind()? {
        TypeKind::String => {
            let bound = bound(STRING_BYTES_MAX, "bytes of a string")?;
            (bound.map(Conversion::BoundedString), BaseType::String)
        }
        TypeKind::Int => (Some(Conversion::Int), BaseType::Int),
        TypeKind::Bool => (Some(Conversion::Bool), BaseType::Bool),
        TypeKind::List => {
            let bound = bound(LIST_ELEMENTS_MAX, "elements of a list")??;
            (Some(Conversion::List(bound)), BaseType::List)
        }
        TypeKind::Enum => {
            let values = ty.values().map(|token| literal::string(token.text()).into());
            (Some(Conversion::Enum(values.collect())), BaseType::String)
        }
    };
    Some(HeaderType { conversion, base, span })
}
