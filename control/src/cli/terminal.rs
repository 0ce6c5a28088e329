//! Standard output and standard error of the command line: the one place that prints.
//!
//! A reader that went away (`chancery proxies | head -1`) is not a failure.

use crate::mesh::words::{visible, visible_lines};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

/// How long a server waits for its first words to be read.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes text to standard output and flushes it, so that scripts see progress at once.
///
/// # Errors
/// Whatever writing gives, except that a closed pipe counts as written.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    forgive_closed_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// As [`print_words`] where there is no end of it: `false` when nobody reads any more.
///
/// # Errors
/// Whatever writing gives but that.
pub fn print_on(text: &str) -> io::Result<bool> {
    let text = if stdout_is_terminal() { visible_lines(text) } else { text.into() };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Writes text that has words of others in it to standard output: as it is for a program, and for a person at a
/// terminal with what would act on the terminal escaped.
///
/// # Errors
/// As [`print()`].
pub fn print_words(text: &str) -> io::Result<()> {
    if stdout_is_terminal() { print(&visible_lines(text)) } else { print(text) }
}

/// As [`print_words`], to standard error, where nobody may be left to tell.
pub fn print_words_aside(text: &str) {
    let text = if io::stderr().is_terminal() { visible_lines(text) } else { text.into() };
    let _nobody_left = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes text and a line end to standard output.
///
/// # Errors
/// As [`print()`].
pub fn print_line(text: &str) -> io::Result<()> {
    print(&format!("{text}\n"))
}

/// Writes text to standard output for whoever started a server. Nobody has to read it: after a moment
/// the server goes on without having written it, and that it cannot be written is no failure.
pub async fn announce(text: String) {
    let printing = tokio::task::spawn_blocking(move || print(&text));
    let _nobody_reads = tokio::time::timeout(ANNOUNCE_TIMEOUT, printing).await;
}

/// Writes bytes to standard output.
///
/// # Errors
/// As [`print()`].
pub fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    forgive_closed_pipe(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Writes a line to standard error; if even that is gone, there is nobody left to tell.
pub fn print_error(text: &str) {
    let _nobody_left = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person looks at standard output.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether text on standard output may have colours: a person looks at it and has not asked for none
/// (`NO_COLOR`, <https://no-color.org>).
#[must_use]
pub fn stdout_has_colours() -> bool {
    io::stdout().is_terminal() && colours_are_wanted()
}

/// Whether text on standard error may have colours.
#[must_use]
pub fn stderr_has_colours() -> bool {
    io::stderr().is_terminal() && colours_are_wanted()
}

/// Writes a value to standard output as JSON, for programs.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print_line(&serde_json::to_string_pretty(value)?)
}

/// Rows as a table with columns two spaces apart; the last column is not padded. Cells may be words of others.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let visible_row = |row: &Vec<String>| row.iter().map(|cell| visible(cell).into_owned()).collect();
    let rows: &[Vec<String>] = &rows.iter().map(visible_row).collect::<Vec<_>>();
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A reader that went away has seen enough.
pub(crate) fn forgive_closed_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_trailing_space() {
        let rows = vec![vec!["shop/orders".to_owned(), "1".to_owned()], vec!["a".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME         N\nshop/orders  1\na\n");
    }

    #[test]
    fn a_cell_cannot_end_its_line_or_colour_it() {
        let rows = vec![vec!["a\n\x1b[31mb".to_owned()]];
        assert_eq!(table(&["NAME"], &rows), "NAME\na\\n\\u{1b}[31mb\n");
    }
}
