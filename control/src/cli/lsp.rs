//! `chancery lsp`: the language server by which editors know Writ.
//!
//! ```text
//! editor <-- stdin, stdout --> server: one message after the other
//!                                files: what is open, and which files are checked together
//!                                answers: what is asked of a place
//!                                diagnostics: what is wrong, said whenever somebody stops writing
//! ```
//!
//! It says what `chancery check` says of the same files: what is wrong in them at once, and what is wrong where policies
//! meet, for which they are linked and compiled, when nothing was written for a moment.

mod answers;
mod diagnostics;
mod files;
mod places;
mod server;

use crate::cli::exit::{CommandResult, Exit, Failure};
use clap::Args;
use lsp_server::Connection;
use std::path::PathBuf;

/// Arguments of `chancery lsp`.
#[derive(Args, Debug)]
#[command(after_help = "Editors start it and talk to it over standard input and output.\n\
    examples/editor says how to set them up.\n\nExamples:\n  chancery lsp\n  chancery lsp policies/")]
pub struct Arguments {
    /// Folders whose policies are checked together, with all below them; a file elsewhere is checked with those
    /// of its own folder
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Taken and ignored: editors give it to say that they talk over standard input and output
    #[arg(long, hide = true)]
    stdio: bool,
}

/// Serves until the editor says that it ends.
///
/// # Errors
/// Bad input if a folder is none; failed if the editor goes away without a word, or says what is no message.
pub fn run(arguments: &Arguments) -> CommandResult {
    let folders = arguments.folders.iter().map(|folder| match folder.canonicalize() {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(_) => Err(Failure::bad_input(format!("`{}` is no folder", folder.display()))
            .help("name the folder in which the policies are")),
        Err(error) => Err(Failure::bad_input(format!("`{}` cannot be read: {error}", folder.display()))),
    });
    let folders = folders.collect::<Result<Vec<_>, _>>()?;
    let (connection, threads) = Connection::stdio();
    let served = server::serve(&connection, folders);
    // The threads end when the connection is gone.
    drop(connection);
    let ended = threads.join();
    served?;
    ended.map_err(|error| Failure::failed(format!("what the editor says cannot be read: {error}")))?;
    Ok(Exit::Well)
}
