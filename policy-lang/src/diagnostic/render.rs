//! Diagnostics as text: for people at a terminal, and one line each for editors and scripts.

use super::{Diagnostic, Label, Severity, is_visible, visible};
use crate::source::{FileId, SourceSet, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::borrow::Cow;
use std::ops::Range;

/// Places that are further than this many lines from the main place are told in a sentence of their
/// own, so that what is shown stays in sight.
const LINES_SHOWN_MAX: usize = 40;

/// Of a longer line only a piece is shown.
const LINE_BYTES_MAX: usize = 10_000;
/// How many bytes of it behind the place, and a quarter as many before it.
const LINE_BYTES_SHOWN: usize = 120;

/// How many diagnostics are shown; of the others, how many they are.
pub const SHOWN_MAX: usize = 100;

/// With the lines of the source and underlines, an empty line between two diagnostics.
#[must_use]
pub fn human(diagnostics: &[Diagnostic], sources: &SourceSet, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in shown(diagnostics) {
        if !out.is_empty() {
            out.push('\n');
        }
        let rendered = renderer.render(&[group(diagnostic, sources)]);
        out.push_str(placed(rendered, diagnostic, sources).trim_end());
        out.push('\n');
    }
    if let Some(rest) = rest(diagnostics) {
        out.push_str(&format!("\n{rest}\n"));
    }
    out
}

/// One line each: `file:line:column: error[E110]: message; help: remedy`.
#[must_use]
pub fn plain(diagnostics: &[Diagnostic], sources: &SourceSet) -> String {
    let mut out = String::new();
    for diagnostic in shown(diagnostics) {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = place(diagnostic.primary.span, sources);
        let code = diagnostic.code.0;
        out.push_str(&format!("{place}: {severity}[{code}]: {}", printable(&diagnostic.message)));
        if let Some(help) = &diagnostic.help {
            out.push_str(&format!("; help: {}", printable(help)));
        }
        out.push('\n');
    }
    if let Some(rest) = rest(diagnostics) {
        out.push_str(&format!("{rest}\n"));
    }
    out
}

/// Those that are shown: all in their order, or where that is too many, errors before warnings, so that no
/// error hides behind them.
fn shown(diagnostics: &[Diagnostic]) -> impl Iterator<Item = &Diagnostic> {
    let mut all: Vec<&Diagnostic> = diagnostics.iter().collect();
    if all.len() > SHOWN_MAX {
        all.sort_by_key(|diagnostic| diagnostic.severity == Severity::Warning);
    }
    all.into_iter().take(SHOWN_MAX)
}

/// What is said of those that are not shown.
fn rest(diagnostics: &[Diagnostic]) -> Option<String> {
    let count = diagnostics.len().checked_sub(SHOWN_MAX).filter(|count| *count > 0)?;
    Some(format!("... and {count} more"))
}

/// A rendered diagnostic with the place that the source has, not that of the escaped lines.
fn placed(rendered: String, diagnostic: &Diagnostic, sources: &SourceSet) -> String {
    let span = diagnostic.primary.span;
    let window = Window::around(span, &diagnostic.secondary, sources);
    let seeming = window.and_then(|window| window.seeming_place(span));
    match (seeming, rendered.split_once('\n')) {
        (Some(seeming), Some((title, lines))) => {
            format!("{title}\n{}", lines.replacen(&seeming, &place(span, sources), 1))
        }
        _ => rendered,
    }
}

fn group<'d>(diagnostic: &'d Diagnostic, sources: &'d SourceSet) -> Group<'d> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(printable(&diagnostic.message)).id(diagnostic.code.0);
    let mut group = Group::with_title(title);
    let primary = &diagnostic.primary;
    if let Some(window) = Window::around(primary.span, &diagnostic.secondary, sources) {
        if window.is_cut {
            // The place is not that of the piece that is shown.
            let at = window.file_place(primary.span, sources);
            group = group.element(at);
        }
        let mut snippet = window.snippet().annotation(annotation(AnnotationKind::Primary, primary, &window));
        for label in diagnostic.secondary.iter().filter(|label| window.holds(label.span)) {
            snippet = snippet.annotation(annotation(AnnotationKind::Context, label, &window));
        }
        group = group.element(snippet);
        for label in diagnostic.secondary.iter().filter(|label| !window.holds(label.span)) {
            let text = format!("{}: {}", place(label.span, sources), printable(&label.text));
            group = group.element(Level::NOTE.message(text));
        }
    }
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(printable(help))),
        None => group,
    }
}

fn annotation<'d>(
    kind: AnnotationKind,
    label: &'d Label,
    window: &Window<'_>,
) -> annotate_snippets::Annotation<'d> {
    let annotation = kind.span(window.range(label.span));
    if label.text.is_empty() { annotation } else { annotation.label(printable(&label.text)) }
}

/// The lines of a file that are shown.
struct Window<'d> {
    name: &'d str,
    file: FileId,
    /// Byte offset of the first line in the file.
    start: usize,
    /// Number of the first line, from 1.
    line: usize,
    text: &'d str,
    /// The text as it is shown, with [`escaped`] characters.
    shown: Cow<'d, str>,
    shifts: Vec<(usize, usize)>,
    /// Whether it is only a piece of a very long line.
    is_cut: bool,
}

impl<'d> Window<'d> {
    /// The lines of the main place and of the others that are near it in the same file.
    fn around(primary: Span, others: &[Label], sources: &'d SourceSet) -> Option<Self> {
        let source = sources.get(primary.file)?;
        let text: &str = &source.text;
        let line_start = |offset: usize| {
            let before = text.as_bytes().get(..offset.min(text.len())).unwrap_or_default();
            before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        let line_end = |offset: usize| {
            let behind = text.as_bytes().get(offset.min(text.len())..).unwrap_or_default();
            behind.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| offset.min(text.len()) + at)
        };
        let mut start = line_start(primary.start as usize);
        // Of a place of many lines the first is enough.
        let mut end = line_end(primary.start as usize);
        for other in others.iter().filter(|other| other.span.file == primary.file) {
            let from = line_start(other.span.start as usize).min(start);
            let to = line_end(other.span.start as usize).max(end);
            let lines = text.get(from..to).map_or(usize::MAX, |piece| piece.matches('\n').count());
            if lines <= LINES_SHOWN_MAX {
                (start, end) = (from, to);
            }
        }
        let line = text.get(..start)?.matches('\n').count() + 1;
        let longest = text.get(start..end)?.lines().map(str::len).max().unwrap_or(0);
        let is_cut = longest > LINE_BYTES_MAX;
        if is_cut {
            let (from, to) = around_place(text, primary.start as usize);
            start = from.max(line_start(primary.start as usize));
            end = to.min(line_end(primary.start as usize)).max(start);
        }
        let line = if is_cut { text.get(..start)?.matches('\n').count() + 1 } else { line };
        // Of a line end of two bytes the first would be shown as a character.
        let text = text.get(start..end)?.trim_end_matches('\r');
        let (shown, shifts) = escaped(text);
        Some(Self { is_cut, shown, shifts, name: &source.name, file: primary.file, start, line, text })
    }

    fn snippet(&self) -> Snippet<'d, annotate_snippets::Annotation<'d>> {
        let snippet = Snippet::source(self.shown.clone()).line_start(self.line);
        if self.is_cut { snippet } else { snippet.path(printable(self.name)) }
    }

    /// What a place seems to be by the text that is shown, where characters are escaped in it.
    fn seeming_place(&self, span: Span) -> Option<String> {
        if self.is_cut || self.shifts.is_empty() {
            return None;
        }
        let before = self.shown.get(..self.range(span).start)?;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let line = self.line + before.matches('\n').count();
        Some(format!("{}:{line}:{column}", printable(self.name)))
    }

    fn file_place(&self, span: Span, sources: &SourceSet) -> Origin<'d> {
        let at = sources.get(span.file).map(|file| file.line_column(span.start));
        let (line, column) = at.map_or((self.line, 1), |at| (at.line as usize, at.column as usize));
        Origin::path(printable(self.name)).line(line).char_column(column)
    }

    fn holds(&self, span: Span) -> bool {
        let start = span.start as usize;
        span.file == self.file && (self.start..=self.start + self.text.len()).contains(&start)
    }

    /// A place as a range in the window, on character boundaries.
    fn range(&self, span: Span) -> Range<usize> {
        let clamp = |offset: u32| {
            let mut at = (offset as usize).saturating_sub(self.start).min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            let shift = self.shifts.iter().rev().find(|(behind, _)| *behind <= at);
            at + shift.map_or(0, |(_, bytes)| *bytes)
        };
        let start = clamp(span.start);
        start..clamp(span.end).max(start)
    }
}

/// The bytes around a place that are shown of a very long line, on character boundaries.
fn around_place(text: &str, at: usize) -> (usize, usize) {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    (boundary(at.saturating_sub(LINE_BYTES_SHOWN / 4)), boundary(at.saturating_add(LINE_BYTES_SHOWN)))
}

/// `file:line:column`.
fn place(span: Span, sources: &SourceSet) -> String {
    match sources.get(span.file) {
        Some(file) => {
            let at = file.line_column(span.start);
            format!("{}:{}:{}", printable(&file.name), at.line, at.column)
        }
        None => "?".to_owned(),
    }
}

/// Text in which every character is seen, as in messages.
fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_visible) { Cow::Borrowed(text) } else { Cow::Owned(visible(text.to_owned())) }
}

/// Lines of a source in which every character is seen; and where a character was escaped, the byte behind it
/// in the source with how many bytes have come in until there.
fn escaped(lines: &str) -> (Cow<'_, str>, Vec<(usize, usize)>) {
    let stays = |character: char| matches!(character, '\n' | '\r' | '\t') || is_visible(character);
    if lines.chars().all(stays) {
        return (Cow::Borrowed(lines), Vec::new());
    }
    let (mut text, mut shifts) = (String::with_capacity(2 * lines.len()), Vec::new());
    for (at, character) in lines.char_indices() {
        if stays(character) {
            text.push(character);
        } else {
            text.extend(character.escape_unicode());
            let behind = at + character.len_utf8();
            shifts.push((behind, text.len().saturating_sub(behind)));
        }
    }
    (Cow::Owned(text), shifts)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]
mod tests {
    use super::{SHOWN_MAX, human, plain};
    use crate::diagnostic::{Code, Diagnostic};
    use crate::source::{SourceSet, Span};

    #[test]
    fn no_error_hides_behind_warnings() {
        let mut sources = SourceSet::new();
        let span = Span { file: sources.add("a.writ", "deny"), start: 0, end: 4 };
        let mut all = vec![Diagnostic::warning(Code("W112"), span, "odd"); 2 * SHOWN_MAX];
        all.push(Diagnostic::error(Code("E301"), span, "wrong"));
        assert!(plain(&all, &sources).starts_with("a.writ:1:1: error[E301]: wrong\n"));
        assert!(human(&all, &sources, false).starts_with("error[E301]: wrong\n"));
    }

    #[test]
    fn any_place_in_any_text_can_be_shown() {
        let mut sources = SourceSet::new();
        let texts = ["", "\n", "é", "a\r\nb", "\u{1b}[31m", "\t\tx\n\n", "日本\n語"];
        for text in texts {
            let file = sources.add("x.writ", text);
            for start in 0..=text.len() as u32 + 1 {
                for end in start..=text.len() as u32 + 1 {
                    let span = Span { file, start, end };
                    let diagnostic = Diagnostic::error(Code("E101"), span, "it is so").with(span, "here");
                    assert!(human(std::slice::from_ref(&diagnostic), &sources, false).contains("E101"));
                    assert!(plain(&[diagnostic], &sources).starts_with("x.writ:"));
                }
            }
        }
    }

    #[test]
    fn line_ends_are_not_shown() {
        let mut sources = SourceSet::new();
        let file = sources.add("x.writ", "one\r\ntwo\r\n");
        let span = Span { file, start: 5, end: 8 };
        let shown = human(&[Diagnostic::error(Code("E101"), span, "it is so")], &sources, false);
        assert!(shown.lines().any(|line| line == "2 | two"), "{shown:?}");
    }

    #[test]
    fn of_a_very_long_line_a_piece_is_shown() {
        let mut sources = SourceSet::new();
        let file = sources.add("x.writ", "é".repeat(5_000) + "here" + &"日".repeat(5_000));
        let span = Span { file, start: 10_000, end: 10_004 };
        let shown = human(&[Diagnostic::error(Code("E101"), span, "it is so")], &sources, false);
        assert!(shown.contains("x.writ:1:5001"), "{shown}");
        assert!(shown.contains("here") && shown.contains("^^^^") && shown.len() < 2_000, "{shown}");
    }

    #[test]
    fn of_very_many_the_first_are_shown_and_the_others_counted() {
        let mut sources = SourceSet::new();
        let file = sources.add("x.writ", "a");
        let one = Diagnostic::error(Code("E101"), Span { file, start: 0, end: 1 }, "it is so");
        let many = vec![one; SHOWN_MAX + 7];
        for text in [plain(&many, &sources), human(&many, &sources, false)] {
            assert_eq!(text.matches("E101").count(), SHOWN_MAX);
            assert!(text.ends_with("... and 7 more\n"), "{text}");
        }
        assert!(!plain(&many[..SHOWN_MAX], &sources).contains("more"));
    }

    #[test]
    fn what_is_not_seen_is_escaped_in_quoted_lines_and_names() {
        let mut sources = SourceSet::new();
        let file = sources.add("a\u{202e}.writ", "deny \u{200b}\u{202e}\"x\" here");
        let at = "deny \u{200b}\u{202e}\"x\" ".len() as u32;
        let span = Span { file, start: at, end: at + 4 };
        let shown = human(&[Diagnostic::error(Code("E101"), span, "it is so")], &sources, false);
        assert!(shown.contains("a\\u{202e}.writ:1:12\n"), "{shown}");
        assert!(shown.contains("1 | deny \\u{200b}\\u{202e}\"x\" here\n"), "{shown}");
        let under = shown.lines().find(|line| line.contains("^^^^")).unwrap_or_default();
        assert_eq!(under.find('^'), Some("1 | deny \\u{200b}\\u{202e}\"x\" ".len()), "{shown}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut sources = SourceSet::new();
        let file = sources.add("x.writ", "a \u{1b}[2J b");
        let diagnostic = Diagnostic::error(
            Code("E101"),
            Span { file, start: 0, end: 1 },
            "found `\u{1b}[2J`\nerror: forged",
        );
        assert_eq!(
            plain(std::slice::from_ref(&diagnostic), &sources),
            "x.writ:1:1: error[E101]: found `\\u{1b}[2J`\\u{a}error: forged\n"
        );
        assert!(!human(&[diagnostic], &sources, false).contains('\u{1b}'));
    }
}
