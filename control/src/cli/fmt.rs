//! `chancery fmt`: policies in the one form that there is.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::report::{self, Counts, Format};
use crate::cli::terminal;
use crate::policies::sources;
use chancery_policy_lang::{SourceSet, parse, print};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `chancery fmt`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  chancery fmt policies/\n  chancery fmt --check policies/\n  \
    chancery fmt - < orders.writ")]
pub struct Arguments {
    /// Policy files, folders of them, or `-`: from standard input to standard output
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Change nothing; print the names of files that would change, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
}

/// Formats the files. One that has a syntax error is left alone, and the others are formatted.
///
/// # Errors
/// Bad input if a file cannot be read or has a syntax error; failed if one cannot be written, or
/// would change and `--check` was asked.
pub fn run(arguments: &Arguments) -> CommandResult {
    let paths = sources::find(&arguments.files)?;
    let mut wrong = false;
    let mut differs = false;
    for path in paths {
        let sources = sources::read(std::slice::from_ref(&path))?;
        let Some((before, after)) = formatted(&sources)? else {
            wrong = true;
            continue;
        };
        let changed = before != after;
        differs |= changed;
        if arguments.check {
            if changed {
                terminal::print_line(&shown_name(&sources))?;
            }
        } else if sources::is_standard_input(&path) {
            terminal::print(&after)?;
        } else if changed {
            replace(&path, &after).map_err(|error| {
                Failure::failed(format!("`{}` cannot be written: {error}", path.display()))
            })?;
        }
    }
    match (wrong, arguments.check && differs) {
        (true, _) => Err(Failure::silent(Exit::BadInput)),
        (false, true) => {
            terminal::print_error("not in the one form: `chancery fmt` writes it so");
            Err(Failure::silent(Exit::Failed))
        }
        (false, false) => Ok(Exit::Well),
    }
}

/// The text of the one file before and after, or `None` if it has syntax errors, which are said.
fn formatted(sources: &SourceSet) -> Result<Option<(String, String)>, Failure> {
    let Some((id, file)) = sources.iter().next() else { return Ok(None) };
    let parsed = parse::parse(id, &file.text);
    if Counts::of(&parsed.diagnostics).errors == 0 {
        return Ok(Some((file.text.to_string(), print::print(&parsed.tree))));
    }
    terminal::print_error(
        report::render(sources, &parsed.diagnostics, Format::Human, terminal::stderr_has_colours())
            .trim_end(),
    );
    Ok(None)
}

fn shown_name(sources: &SourceSet) -> String {
    sources.iter().map(|(_, file)| file.name.clone()).collect()
}

/// Replaces a file's text at once, so that no failure leaves half of it; permissions stay.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = path.canonicalize()?;
    let permissions = fs::metadata(&path)?.permissions();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = fs::File::create_new(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(permissions)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    })();
    if written.is_err() {
        // The first error is the one to tell.
        let _leftover = fs::remove_file(&temporary);
    }
    written
}
