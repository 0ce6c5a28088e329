//! `chancery filter build`: makes the module of a project with its own toolchain, and looks at it as `filter check` does.

mod assembly_script;
mod errors;
mod go;
mod rust;
mod tool;

use super::check::{self, TrialArguments};
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::output::OutputArguments;
use clap::Args;
use std::path::{Path, PathBuf};

/// Where the module is put, in the project.
const OUTPUT_FOLDER: &str = "build";

/// Arguments of `chancery filter build`.
#[derive(Args, Debug)]
#[command(
    after_help = "A folder with a Cargo.toml is a project in Rust, one with a go.mod in Go, one with an\n\
    asconfig.json in AssemblyScript. The exit code is 1 if the project does not build, and 2 if a\n\
    finding refuses its module.\n\n\
    Examples:\n  chancery filter build\n  \
    chancery filter build filters/hmac-auth --config c.json -o json"
)]
pub(super) struct Arguments {
    /// The project
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Where the module is put; `build/NAME.wasm` in the project unless stated, with the name of its folder
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The profile of cargo by which a project in Rust is built
    #[arg(long, value_name = "PROFILE", default_value = rust::PROFILE)]
    profile: String,
    #[command(flatten)]
    trial: TrialArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// In what a project is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Rust,
    Go,
    AssemblyScript,
}

/// The files by which a project's language is known.
const MARKS: [(&str, Language); 3] =
    [("Cargo.toml", Language::Rust), ("go.mod", Language::Go), ("asconfig.json", Language::AssemblyScript)];

/// A project to build.
#[derive(Debug)]
struct Project<'a> {
    /// Its folder, from the root on.
    folder: &'a Path,
    /// Where its module is to be, from the root on.
    module: &'a Path,
}

/// Builds the module, looks at it and prints the report.
///
/// # Errors
/// Bad input if the folder is no project, or the module is refused; failed if a toolchain is not there or does not build it.
pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let folder = &arguments.folder;
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", folder.display())))?;
    let language = language_of(&folder)?;
    let module = match &arguments.write {
        Some(path) => std::path::absolute(path)?,
        None => folder.join(OUTPUT_FOLDER).join(module_name(&folder)).with_extension("wasm"),
    };
    make_room(&module)?;
    let project = Project { folder: &folder, module: &module };
    match language {
        Language::Rust => rust::build(&project, &arguments.profile)?,
        Language::Go => go::build(&project)?,
        Language::AssemblyScript => assembly_script::build(&project)?,
    }
    let (report, admitted) = check::look(&module, &arguments.trial)?;
    report.print(arguments.output)?;
    if admitted.is_some() { Ok(Exit::Well) } else { Err(Failure::silent(Exit::BadInput)) }
}

fn language_of(folder: &Path) -> Result<Language, Failure> {
    let found: Vec<_> = MARKS.iter().filter(|(file, _)| folder.join(file).is_file()).collect();
    match *found {
        [(_, language)] => Ok(*language),
        [] => Err(errors::no_project(folder)),
        [(first, _), (second, _), ..] => Err(errors::two_projects(folder, first, second)),
    }
}

fn module_name(folder: &Path) -> &std::ffi::OsStr {
    folder.file_name().unwrap_or("filter".as_ref())
}

/// A module of an earlier build must not be taken for that of one that fails.
fn make_room(module: &Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| errors::cannot_write(module, &error);
    if let Some(folder) = module.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    match std::fs::remove_file(module) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let message = |folder: &Path| {
            language_of(folder).unwrap_err().message.replace(&*folder.to_string_lossy(), "DIR")
        };
        assert_eq!(message(folder.path()), "DIR is no project of a filter");
        std::fs::write(folder.path().join("go.mod"), "").unwrap();
        assert_eq!(language_of(folder.path()).unwrap(), Language::Go);
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        assert_eq!(message(folder.path()), "DIR has both Cargo.toml and go.mod");
    }

    #[test]
    fn the_module_of_an_earlier_build_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("build/x.wasm");
        make_room(&module).unwrap();
        std::fs::write(&module, "old").unwrap();
        make_room(&module).unwrap();
        assert!(!module.exists());
    }
}
