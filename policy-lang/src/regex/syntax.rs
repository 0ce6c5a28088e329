//! Patterns as RE2 reads them, on the parser of the `regex-syntax` crate.
//!
//! That parser knows more than RE2 (class operations, nested classes, the flags `x`, `u` and `R`)
//! and reads `\d \w \s \b` as Unicode. What RE2 would read otherwise is refused; the classes and
//! word boundaries are replaced by ASCII ones.

use super::RegexError;
use super::meter::Meter;
use regex_syntax::ast::{
    Ast, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, ClassSetRange, ClassSetUnion,
    Flag, Flags, FlagsItemKind, GroupKind, Literal, LiteralKind, Span, parse::ParserBuilder,
};
use regex_syntax::hir::{Hir, HirKind, Look, translate::TranslatorBuilder};

/// How deeply groups and repetitions may be nested.
const NEST_MAX: u32 = 50;
/// RE2's limit on `{n}`.
const REPETITION_MAX: u32 = 1_000;

/// Steps of reading a class of a Unicode table, such as `\pL`.
const TABLE_STEPS: u64 = 10_000;
/// The same where small letters and capitals are alike.
const FOLDED_TABLE_STEPS: u64 = 300_000;
/// Steps of reading a character where small letters and capitals are alike; the characters of a range
/// cost less.
const FOLDED_STEPS: u64 = 400;
/// So many characters of such a range cost a step.
const FOLDED_RANGE_PER_STEP: u64 = 3;

/// What reading a pattern costs, before its meaning is made.
struct Cost<'m> {
    meter: &'m mut Meter,
    /// Whether small letters and capitals are alike somewhere in it.
    folds_case: bool,
}

impl Cost<'_> {
    fn character(&mut self) -> Result<(), RegexError> {
        self.meter.steps(if self.folds_case { FOLDED_STEPS } else { 1 })
    }

    fn range(&mut self, range: &ClassSetRange) -> Result<(), RegexError> {
        self.character()?;
        let characters = u64::from(u32::from(range.end.c).saturating_sub(u32::from(range.start.c)));
        self.meter.steps(if self.folds_case { characters / FOLDED_RANGE_PER_STEP } else { 0 })
    }

    fn table(&mut self) -> Result<(), RegexError> {
        self.meter.steps(if self.folds_case { FOLDED_TABLE_STEPS } else { TABLE_STEPS })
    }
}

/// Whether one of the flags in a pattern is `i`.
fn folds_case(pattern: &str) -> bool {
    let mut groups = pattern.split("(?").skip(1);
    groups.any(|group| group.bytes().take_while(|byte| b"imsU-".contains(byte)).any(|flag| flag == b'i'))
}

/// The meaning of a pattern.
pub(super) fn parse(pattern: &str, meter: &mut Meter) -> Result<Hir, RegexError> {
    meter.steps(pattern.len() as u64)?;
    let mut ast =
        ParserBuilder::new().nest_limit(NEST_MAX).build().parse(pattern).map_err(|error| RegexError {
            message: sentence(&error.kind().to_string()),
            at: Some(range(error.span())),
            is_shared: false,
        })?;
    restrict(&mut ast, &mut Cost { meter, folds_case: folds_case(pattern) })?;
    let hir =
        TranslatorBuilder::new().utf8(true).build().translate(pattern, &ast).map_err(|error| RegexError {
            message: sentence(&error.kind().to_string()),
            at: Some(range(error.span())),
            is_shared: false,
        })?;
    Ok(ascii_boundaries(&hir))
}

/// Refuses what RE2 has not, and replaces `\d`, `\w` and `\s` by ASCII classes.
fn restrict(ast: &mut Ast, cost: &mut Cost<'_>) -> Result<(), RegexError> {
    match ast {
        Ast::Flags(set) => restrict_flags(&set.flags),
        Ast::ClassPerl(class) => {
            *ast = Ast::ClassBracketed(Box::new(ascii_class(class)));
            cost.character()
        }
        Ast::ClassBracketed(class) => restrict_set(&mut class.kind, cost),
        Ast::Repetition(repetition) => {
            let count = pattern_count(repetition);
            if count.is_some_and(|count| count > REPETITION_MAX) {
                return Err(refusal(&format!("more than {REPETITION_MAX} repetitions"), &repetition.op.span));
            }
            restrict(&mut repetition.ast, cost)
        }
        Ast::Group(group) => {
            if let GroupKind::NonCapturing(flags) = &group.kind {
                restrict_flags(flags)?;
            }
            restrict(&mut group.ast, cost)
        }
        Ast::Alternation(alternation) => alternation.asts.iter_mut().try_for_each(|ast| restrict(ast, cost)),
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(|ast| restrict(ast, cost)),
        Ast::ClassUnicode(_) => cost.table(),
        Ast::Empty(_) | Ast::Literal(_) | Ast::Dot(_) | Ast::Assertion(_) => cost.character(),
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

fn restrict_set(set: &mut ClassSet, cost: &mut Cost<'_>) -> Result<(), RegexError> {
    match set {
        ClassSet::Item(item) => restrict_item(item, cost),
        ClassSet::BinaryOp(operation) => {
            Err(refusal("operations on classes are not supported; escape `&`, `-` or `~`", &operation.span))
        }
    }
}

fn restrict_item(item: &mut ClassSetItem, cost: &mut Cost<'_>) -> Result<(), RegexError> {
    match item {
        ClassSetItem::Perl(class) => {
            *item = ClassSetItem::Bracketed(Box::new(ascii_class(class)));
            cost.character()
        }
        ClassSetItem::Bracketed(class) => {
            Err(refusal("classes in classes are not supported; write `\\[` for the character", &class.span))
        }
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(|item| restrict_item(item, cost)),
        ClassSetItem::Range(range) => cost.range(range),
        ClassSetItem::Unicode(_) => cost.table(),
        ClassSetItem::Empty(_) | ClassSetItem::Literal(_) | ClassSetItem::Ascii(_) => cost.character(),
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
    RegexError { message: message.to_owned(), at: Some(range(span)), is_shared: false }
}

fn range(span: &Span) -> std::ops::Range<usize> {
    span.start.offset..span.end.offset
}

/// The first line without its final period.
fn sentence(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}
