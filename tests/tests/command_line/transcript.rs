//! Transcripts: files that show commands with all that they print, and that are run again by tests.
//!
//! ```text
//! # What the transcript shows.
//! $ # what the next command shows
//! $ chancery check policies/wrong.writ
//! error[E101]: …                         a line of standard output
//! ! error: …                             a line of standard error
//! [exit 2]                               unless it is 0
//! ```
//!
//! Commands run in `tests/cases/command-line`. `$TMP` is an empty folder of the transcript, and
//! `< FILE` is standard input. With `UPDATE_CASES=1` the file is written anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The command under test.
pub(crate) const CHANCERY: &str = env!("CARGO_BIN_EXE_chancery-under-test");

/// The folder in which the commands of transcripts run.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/command-line")
}

/// Runs a transcript's commands and compares all that they print with what it shows.
pub(crate) fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let shown = fs::read_to_string(&path).unwrap();
    let mut replayed = String::new();
    let temporary = tempfile::tempdir().unwrap();
    let (title, _) = shown.split_once("$ ").unwrap();
    replayed.push_str(title);
    for command in shown.lines().filter_map(|line| line.strip_prefix("$ ")) {
        replayed.push_str(&format!("$ {command}\n"));
        if !command.starts_with('#') {
            replayed.push_str(&run(command, temporary.path()));
        }
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(path, replayed).unwrap();
        return;
    }
    let differs = replayed.lines().zip(shown.lines()).position(|(now, before)| now != before);
    let line = differs.unwrap_or(replayed.lines().count().min(shown.lines().count())) + 1;
    assert!(replayed == shown, "{}:{line}: another output; all of it now:\n{replayed}", path.display());
}

/// What one command line prints, as a transcript shows it.
fn run(line: &str, temporary: &Path) -> String {
    let temporary = temporary.to_str().unwrap();
    let (line, input) = match line.split_once(" < ") {
        Some((line, input)) => (line, Stdio::from(fs::File::open(folder().join(input)).unwrap())),
        None => (line, Stdio::null()),
    };
    let words = words(&line.replace("$TMP", temporary));
    let (program, arguments) = words.split_first().unwrap();
    assert_eq!(program, "chancery", "a transcript runs nothing else");
    let output = Command::new(CHANCERY)
        .args(arguments)
        .current_dir(folder())
        .env_clear()
        .env("COLUMNS", "100")
        .stdin(input)
        .output()
        .unwrap();
    let mut shown = String::new();
    for line in text(&output.stdout, temporary).lines() {
        shown.push_str(&format!("{}\n", line.trim_end()));
    }
    for line in text(&output.stderr, temporary).lines() {
        shown.push_str(format!("! {}", line.trim_end()).trim_end());
        shown.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => shown.push_str(&format!("[exit {code}]\n")),
        None => shown.push_str("[ended by a signal]\n"),
    }
    shown
}

/// Output with what differs from run to run, or with each change of the compiler, made one.
fn text(bytes: &[u8], temporary: &str) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let text = text.replace(temporary, "$TMP").replace("chancery-under-test", "chancery");
    let mut shown = String::new();
    for line in text.split_inclusive('\n') {
        match line.split_once(" bytes, at most ") {
            Some((before, _)) => {
                let (before, _size) = before.rsplit_once(' ').unwrap();
                shown.push_str(&format!("{before} … bytes, at most … steps a decision, sha256 …\n"));
            }
            None => shown.push_str(line),
        }
    }
    shown
}

/// Splits at spaces outside of single quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
