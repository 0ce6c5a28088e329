//! Patterns as RE2 reads them, on the parser of the `regex-syntax` crate.
//!
//! That parser knows more than RE2 (class operations, nested classes, the flags `x`, `u` and `R`)
//! and reads `\d \w \s \b` as Unicode. What RE2 would read otherwise is refused; the classes and
//! word boundaries are replaced by ASCII ones.

use super::RegexError;
use regex_syntax::ast::{
    Ast, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, ClassSetRange, ClassSetUnion,
    Flag, Flags, FlagsItemKind, GroupKind, Literal, LiteralKind, Span, parse::ParserBuilder,
};
use regex_syntax::hir::{Hir, HirKind, Look, translate::TranslatorBuilder};

/// How deeply groups and repetitions may be nested.
const NEST_MAX: u32 = 50;
/// RE2's limit on `{n}`.
const REPETITION_MAX: u32 = 1_000;

/// The meaning of a pattern.
pub(super) fn parse(pattern: &str) -> Result<Hir, RegexError> {
    let mut ast = ParserBuilder::new().nest_limit(NEST_MAX).build().parse(pattern).map_err(|error| {
        RegexError { message: sentence(&error.kind().to_string()), at: Some(range(error.span())) }
    })?;
    restrict(&mut ast)?;
    let hir = TranslatorBuilder::new().utf8(true).build().translate(pattern, &ast).map_err(|error| {
        RegexError { message: sentence(&error.kind().to_string()), at: Some(range(error.span())) }
    })?;
    Ok(ascii_boundaries(&hir))
}

/// Refuses what RE2 has not, and replaces `\d`, `\w` and `\s` by ASCII classes.
fn restrict(ast: &mut Ast) -> Result<(), RegexError> {
    match ast {
        Ast::Flags(set) => restrict_flags(&set.flags),
        Ast::ClassPerl(class) => {
            *ast = Ast::ClassBracketed(Box::new(ascii_class(class)));
            Ok(())
        }
        Ast::ClassBracketed(class) => restrict_set(&mut class.kind),
        Ast::Repetition(repetition) => {
            let count = pattern_count(repetition);
            if count.is_some_and(|count| count > REPETITION_MAX) {
                return Err(refusal(&format!("more than {REPETITION_MAX} repetitions"), &repetition.op.span));
            }
            restrict(&mut repetition.ast)
        }
        Ast::Group(group) => {
            if let GroupKind::NonCapturing(flags) = &group.kind {
                restrict_flags(flags)?;
            }
            restrict(&mut group.ast)
        }
        Ast::Alternation(alternation) => alternation.asts.iter_mut().try_for_each(restrict),
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(restrict),
        Ast::Empty(_) | Ast::Literal(_) | Ast::Dot(_) | Ast::Assertion(_) | Ast::ClassUnicode(_) => Ok(()),
    }
}

fn pattern_count(repetition: &regex_syntax::ast::Repetition) -> Option<u32> {
    use regex_syntax::ast::{RepetitionKind, RepetitionRange};
    match &repetition.op.kind {
        RepetitionKind::Range(
            RepetitionRange::Exactly(count)
            | RepetitionRange::AtLeast(count)
            | RepetitionRange::Bounded(_, count),
        ) => Some(*count),
        _ => None,
    }
}

fn restrict_flags(flags: &Flags) -> Result<(), RegexError> {
    for item in &flags.items {
        if let FlagsItemKind::Flag(Flag::IgnoreWhitespace | Flag::Unicode | Flag::CRLF) = item.kind {
            return Err(refusal("this flag is not supported; `i`, `m`, `s` and `U` are", &item.span));
        }
    }
    Ok(())
}

fn restrict_set(set: &mut ClassSet) -> Result<(), RegexError> {
    match set {
        ClassSet::Item(item) => restrict_item(item),
        ClassSet::BinaryOp(operation) => {
            Err(refusal("operations on classes are not supported; escape `&`, `-` or `~`", &operation.span))
        }
    }
}

fn restrict_item(item: &mut ClassSetItem) -> Result<(), RegexError> {
    match item {
        ClassSetItem::Perl(class) => {
            *item = ClassSetItem::Bracketed(Box::new(ascii_class(class)));
            Ok(())
        }
        ClassSetItem::Bracketed(class) => {
            Err(refusal("classes in classes are not supported; write `\\[` for the character", &class.span))
        }
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(restrict_item),
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_)
        | ClassSetItem::Unicode(_) => Ok(()),
    }
}

/// `\d`, `\w` or `\s` of RE2; its `\s` has no vertical tab.
fn ascii_class(class: &ClassPerl) -> ClassBracketed {
    let ranges: &[(char, char)] = match class.kind {
        ClassPerlKind::Digit => &[('0', '9')],
        ClassPerlKind::Word => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        ClassPerlKind::Space => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
    };
    let literal = |c| Literal { span: class.span, kind: LiteralKind::Verbatim, c };
    let items = ranges.iter().map(|(start, end)| {
        ClassSetItem::Range(ClassSetRange { span: class.span, start: literal(*start), end: literal(*end) })
    });
    let kind = ClassSet::union(ClassSetUnion { span: class.span, items: items.collect() });
    ClassBracketed { span: class.span, negated: class.negated, kind }
}

/// The same with ASCII word boundaries.
fn ascii_boundaries(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            other => *other,
        }),
        HirKind::Repetition(repetition) => {
            Hir::repetition(repetition.with(ascii_boundaries(&repetition.sub)))
        }
        HirKind::Capture(capture) => ascii_boundaries(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(ascii_boundaries).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(ascii_boundaries).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

fn refusal(message: &str, span: &Span) -> RegexError {
    RegexError { message: message.to_owned(), at: Some(range(span)) }
}

fn range(span: &Span) -> std::ops::Range<usize> {
    span.start.offset..span.end.offset
}

/// The first line without its final period.
fn sentence(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}
