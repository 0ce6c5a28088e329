//! `chancery filter new`: begins a filter of one's own, as a folder that builds and tests.

mod project;
mod sdk;

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::terminal;
use clap::{Args, ValueEnum};
use project::{File, Project};
use std::path::{Path, PathBuf};

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 40;
/// Words that cannot name a crate or a package.
const RESERVED: [&str; 6] = ["test", "core", "std", "alloc", "main", "proxywasm"];

/// Arguments of `chancery filter new`.
#[derive(Args, Debug)]
#[command(
    after_help = "A project in Rust has a copy of the SDK of this `chancery`, so that it builds without the\n\
    sources of Chancery.\n\n\
    Examples:\n  chancery filter new my-filter\n  \
    chancery filter new only-tls --kind tcp\n  \
    chancery filter new my-filter --lang go --in filters"
)]
pub(super) struct Arguments {
    /// The filter's name: small letters, digits and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// The language
    #[arg(long = "lang", value_enum, value_name = "LANGUAGE", default_value_t = Language::Rust)]
    language: Language,
    /// What it filters
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::Http)]
    kind: Kind,
    /// Use the SDK in this folder, in place of a copy of it
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
    /// Where the folder NAME is made
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    parent: PathBuf,
}

/// In what a filter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// On the SDK
    Rust,
    /// The standard toolchain, 1.24 or newer
    Go,
    /// By npm
    #[value(name = "assemblyscript")]
    AssemblyScript,
}

/// What a filter is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Requests and responses
    Http,
    /// The bytes of connections
    Tcp,
}

/// Writes the project.
///
/// # Errors
/// Bad input for a name that is none, a folder that is not empty, or a combination that there is not; failed if something
/// cannot be written.
pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let Arguments { name, language, kind, sdk, parent } = arguments;
    check_name(name)?;
    if *kind == Kind::Tcp && *language != Language::Rust {
        let message = "filters of connections are written in Rust";
        return Err(Failure::bad_input(message).help("leave out --lang, or --kind"));
    }
    if sdk.is_some() && *language != Language::Rust {
        let message = "the SDK is for filters in Rust";
        return Err(Failure::bad_input(message).help("leave out --sdk"));
    }
    let sdk = sdk.as_deref().map(sdk_folder).transpose()?;
    let project = Project { name, language: *language, kind: *kind, sdk: sdk.as_deref() };
    let folder = if parent == Path::new(".") { name.into() } else { parent.join(name) };
    check_room(&folder)?;
    write(&folder, &project.files()?)?;
    let text = format!(
        "{} is written\n  next: cd {} && {}\n",
        folder.display(),
        folder.display(),
        project.next_step()
    );
    terminal::print_words(&text)?;
    Ok(Exit::Well)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let refuse = |message: String| {
        let help = "a name begins with a letter and has small letters, digits and `-`, as `my-filter`";
        Err(Failure::bad_input(message).help(help))
    };
    let is_letter = |at: Option<char>| at.is_some_and(|letter| letter.is_ascii_lowercase());
    let known = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.len() > NAME_BYTES_MAX {
        return refuse(format!("`{name}` has more than {NAME_BYTES_MAX} letters"));
    }
    if !is_letter(name.chars().next()) || !name.chars().all(known) || name.ends_with('-') {
        return refuse(format!("`{name}` cannot name a filter"));
    }
    if RESERVED.contains(&name) {
        return refuse(format!("`{name}` is the name of something else"));
    }
    Ok(())
}

/// The SDK's folder as a path that does not depend on where one is.
fn sdk_folder(path: &Path) -> Result<PathBuf, Failure> {
    let is_sdk = std::fs::read_to_string(path.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line == "name = \"chancery-sdk\""));
    if !is_sdk {
        let message = format!("{} is not the folder of the SDK", path.display());
        return Err(Failure::bad_input(message).help("it is `sdk` in the sources of Chancery"));
    }
    path.canonicalize().map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

/// What is there already is left alone.
fn check_room(folder: &Path) -> Result<(), Failure> {
    let is_empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_empty {
        return Ok(());
    }
    let message = format!("{} is there already, and not an empty folder", folder.display());
    Err(Failure::bad_input(message).help("choose another name, or another folder with --in"))
}

fn write(folder: &Path, files: &[File]) -> Result<(), Failure> {
    for File { path, text } in files {
        let path = folder.join(path);
        let written = match path.parent() {
            Some(parent) => std::fs::create_dir_all(parent),
            None => Ok(()),
        };
        written
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    #[track_caller]
    fn name_is_refused(name: &str, expected: &str) {
        assert_eq!(check_name(name).unwrap_err().message, expected);
    }

    #[test]
    fn a_name_is_one_of_a_crate_a_package_and_a_filter() {
        assert!(check_name("pii-guard2").is_ok());
        name_is_refused("", "`` cannot name a filter");
        name_is_refused("My-filter", "`My-filter` cannot name a filter");
        name_is_refused("2nd", "`2nd` cannot name a filter");
        name_is_refused("a_b", "`a_b` cannot name a filter");
        name_is_refused("../x", "`../x` cannot name a filter");
        name_is_refused("a-", "`a-` cannot name a filter");
        name_is_refused("core", "`core` is the name of something else");
    }
}
