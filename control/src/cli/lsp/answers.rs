//! What is asked of a file or a place in it.

use super::files::{Checked, Files, Name};
use super::places::{Columns, Lines};
use chancery_policy_lang::editor::{self, CompletionKind, Entry, EntryKind};
use chancery_policy_lang::{FileId, parse, print};
use jiff::civil::Date;
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, DocumentSymbol, Documentation, Hover,
    HoverContents, Location, MarkupContent, MarkupKind, SymbolKind, TextDocumentPositionParams, TextEdit,
    Uri,
};

/// A place in a file that was checked.
struct Place<'a> {
    checked: &'a Checked,
    file: FileId,
    lines: Lines,
    offset: u32,
}

impl<'a> Place<'a> {
    fn of(
        files: &'a mut Files,
        at: &TextDocumentPositionParams,
        columns: Columns,
        today: Date,
    ) -> Option<Self> {
        let name = Name::of(&at.text_document.uri);
        let group = files.group(&name);
        let checked = files.checked(&group, today)?;
        let file = checked.id(&name)?;
        let lines = Lines::of(checked.files.sources.get(file)?, columns);
        let offset = lines.offset(at.position);
        Some(Self { checked, file, lines, offset })
    }
}

/// What the word at a place means.
pub(super) fn hover(
    files: &mut Files,
    at: &TextDocumentPositionParams,
    columns: Columns,
    today: Date,
) -> Option<Hover> {
    let place = Place::of(files, at, columns, today)?;
    let found = editor::hover(&place.checked.files.analysis.trees, place.file, place.offset)?;
    Some(Hover {
        contents: HoverContents::Markup(markdown(found.text)),
        range: Some(place.lines.range(found.span)),
    })
}

/// Where the name at a place gets its meaning.
pub(super) fn definition(
    files: &mut Files,
    at: &TextDocumentPositionParams,
    columns: Columns,
    today: Date,
) -> Option<Location> {
    let place = Place::of(files, at, columns, today)?;
    let span = editor::definition(&place.checked.files.analysis.trees, place.file, place.offset)?;
    let file = place.checked.files.sources.get(span.file)?;
    let uri = place.checked.name(span.file)?.uri()?;
    Some(Location { uri, range: Lines::of(file, columns).range(span) })
}

/// What can stand at a place.
pub(super) fn completion(
    files: &mut Files,
    at: &TextDocumentPositionParams,
    columns: Columns,
    today: Date,
) -> Vec<CompletionItem> {
    let Some(place) = Place::of(files, at, columns, today) else { return Vec::new() };
    let known = &place.checked.files;
    let offered = editor::completions(&known.sources, &known.analysis.trees, place.file, place.offset);
    let items = offered.into_iter().map(|offer| CompletionItem {
        kind: Some(kind(offer.kind)),
        documentation: offer.says.map(|says| Documentation::MarkupContent(markdown(says))),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit {
            range: place.lines.range(offer.span),
            new_text: offer.label.clone(),
        })),
        label: offer.label,
        ..CompletionItem::default()
    });
    items.collect()
}

fn kind(kind: CompletionKind) -> CompletionItemKind {
    match kind {
        CompletionKind::Keyword => CompletionItemKind::KEYWORD,
        CompletionKind::Method => CompletionItemKind::CONSTANT,
        CompletionKind::Attribute => CompletionItemKind::FIELD,
        CompletionKind::Function => CompletionItemKind::FUNCTION,
        CompletionKind::Name => CompletionItemKind::REFERENCE,
    }
}

/// The edit that gives an open file its one form; `None` if it is not open or has a syntax error.
pub(super) fn format(files: &Files, uri: &Uri, columns: Columns) -> Option<Vec<TextEdit>> {
    let text = files.text(&Name::of(uri))?;
    let parsed = parse::parse(FileId::default(), text);
    if parsed.diagnostics.iter().any(chancery_policy_lang::Diagnostic::is_error) {
        return None;
    }
    let printed = print::print(&parsed.tree);
    if printed == text {
        return Some(Vec::new());
    }
    let file = chancery_policy_lang::SourceFile { name: String::new(), text: text.into() };
    Some(vec![TextEdit { range: Lines::of(&file, columns).whole(), new_text: printed }])
}

/// What a file has.
pub(super) fn outline(files: &mut Files, uri: &Uri, columns: Columns, today: Date) -> Vec<DocumentSymbol> {
    let name = Name::of(uri);
    let group = files.group(&name);
    let found = files.checked(&group, today).and_then(|checked| {
        let file = checked.id(&name)?;
        let lines = Lines::of(checked.files.sources.get(file)?, columns);
        let tree = checked.files.analysis.trees.iter().find(|tree| tree.file_id() == file)?;
        Some(editor::outline(tree).into_iter().map(|entry| symbol(entry, &lines)).collect())
    });
    found.unwrap_or_default()
}

#[expect(deprecated, reason = "the field has to be there")]
fn symbol(entry: Entry, lines: &Lines) -> DocumentSymbol {
    let children: Vec<_> = entry.children.into_iter().map(|child| symbol(child, lines)).collect();
    DocumentSymbol {
        name: entry.name,
        detail: (!entry.keyword.is_empty()).then_some(entry.keyword),
        kind: match entry.kind {
            EntryKind::Policy => SymbolKind::CLASS,
            EntryKind::Statement => SymbolKind::METHOD,
            EntryKind::Test => SymbolKind::EVENT,
            EntryKind::Let => SymbolKind::CONSTANT,
            EntryKind::Schema => SymbolKind::STRUCT,
        },
        tags: None,
        deprecated: None,
        range: lines.range(entry.span),
        selection_range: lines.range(entry.name_span),
        children: (!children.is_empty()).then_some(children),
    }
}

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}
