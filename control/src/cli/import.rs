//! `chancery import`: policies of other meshes, written in Writ.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::policy_files::PolicyFiles;
use crate::cli::report::{self, Counts, Format};
use crate::cli::target::DEFAULT_TRUST_DOMAIN;
use crate::cli::terminal;
use crate::policies::import::{self, Imported, Origin, Resources};
use chancery_policy_lang::SourceSet;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file of resources that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The most files that one command reads.
const FILES_MAX: usize = 10_000;
/// The argument that means standard input.
const STANDARD_INPUT: &str = "-";

/// Arguments of `chancery import`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl get authorizationpolicies,virtualservices -A -o yaml | chancery import istio -\n  \
    chancery import istio istio/ > policies/imported.writ\n  chancery import kuma --strict kuma.yaml"
)]
pub struct Arguments {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Resources of Istio: AuthorizationPolicy, PeerAuthentication, VirtualService, DestinationRule
    Istio(Files),
    /// Resources of Kuma: MeshTrafficPermission, MeshHTTPRoute, MeshTimeout, MeshRetry, MeshRateLimit,
    /// MeshCircuitBreaker, MeshAccessLog
    Kuma(Files),
}

#[derive(Args, Debug)]
struct Files {
    /// YAML files, folders of them, or `-` for standard input; all are read together
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Exit with 2 if something is not carried over
    #[arg(long)]
    strict: bool,
}

/// Prints the policies, and says on standard error what is not in them.
///
/// # Errors
/// Bad input if a file cannot be read or is no YAML, if what was made of it is not right as it stands, or if something is
/// not carried over and `--strict` was asked.
pub fn run(arguments: &Arguments) -> CommandResult {
    let (origin, files) = match &arguments.from {
        From::Istio(files) => (Origin::Istio, files),
        From::Kuma(files) => (Origin::Kuma, files),
    };
    let resources = read(&files.files)?;
    let imported =
        import::import(origin, &resources).map_err(|error| Failure::bad_input(error.to_string()))?;
    terminal::print(&imported.text)?;
    for note in &imported.notes {
        terminal::print_error(&format!("note: {note}"));
    }
    let is_right = check(&imported)?;
    terminal::print_error(&format!(
        "{}; {}",
        report::count(imported.policies, "policy", "policies"),
        report::count(imported.notes.len(), "note", "notes")
    ));
    if !is_right {
        return Err(Failure::bad_input("the policies are not right as they stand")
            .help("correct them where it is said above, then `chancery check` them"));
    }
    let is_complete = imported.notes.is_empty() || !files.strict;
    if is_complete { Ok(Exit::Well) } else { Err(Failure::silent(Exit::BadInput)) }
}

/// Checks what was made, and says what is wrong with it.
fn check(imported: &Imported) -> Result<bool, Failure> {
    let mut sources = SourceSet::new();
    sources.add("imported.writ", imported.text.as_str());
    let mut files = PolicyFiles::check(sources, Timestamp::now().to_zoned(TimeZone::UTC).date());
    files.check_combinations(DEFAULT_TRUST_DOMAIN)?;
    let diagnostics = &files.analysis.diagnostics;
    if !diagnostics.is_empty() {
        let text = report::render(&files.sources, diagnostics, Format::Human, terminal::stderr_has_colours());
        terminal::print_error(text.trim_end());
    }
    Ok(Counts::of(diagnostics).errors == 0)
}

/// Reads all files that the arguments mean, those of a folder by name.
fn read(arguments: &[PathBuf]) -> Result<Vec<Resources>, Failure> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == STANDARD_INPUT {
            files.push(Resources {
                name: "<stdin>".to_owned(),
                text: text_of(std::io::stdin().lock(), "<stdin>")?,
            });
            continue;
        }
        for path in paths(argument)? {
            let name = path.display().to_string();
            let file = std::fs::File::open(&path).map_err(|error| unreadable(&path, &error))?;
            files.push(Resources { text: text_of(file, &name)?, name });
        }
        if files.len() > FILES_MAX {
            return Err(Failure::bad_input(format!("more than {FILES_MAX} files of resources")));
        }
    }
    Ok(files)
}

/// The file itself, or the files of YAML in a folder.
fn paths(argument: &Path) -> Result<Vec<PathBuf>, Failure> {
    let metadata = std::fs::metadata(argument).map_err(|error| unreadable(argument, &error))?;
    if !metadata.is_dir() {
        return Ok(vec![argument.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(argument).map_err(|error| unreadable(argument, &error))? {
        let path = entry.map_err(|error| unreadable(argument, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::bad_input(format!("no resource is in `{}`", argument.display()))
            .help("resources are files that end in `.yaml` or `.yml`"));
    }
    Ok(found)
}

fn text_of(reader: impl Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::bad_input(format!("`{name}` cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(
            Failure::bad_input(format!("`{name}` is larger than {FILE_BYTES_MAX} bytes")).help("split it")
        );
    }
    String::from_utf8(bytes).map_err(|_| Failure::bad_input(format!("`{name}` is not UTF-8")))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("`{}` cannot be read: {error}", path.display()))
}
