//! `chancery filter keygen`: makes a pair of Ed25519 keys for signing filters.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::terminal;
use crate::policies::filters::signature::NewKey;
use clap::Args;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Arguments of `chancery filter keygen`.
#[derive(Args, Debug)]
#[command(
    after_help = "NAME.key is the private key, which only its owner can read; NAME.pem the public one, which\n\
    `chancery control-plane --filter-keys` trusts. No file is overwritten.\n\n\
    Example:\n  chancery filter keygen release\n  \
    chancery filter push my.wasm --name pii-guard --version 1.2.0 --sign release.key"
)]
pub(super) struct Arguments {
    /// What the files are called
    #[arg(value_name = "NAME")]
    name: PathBuf,
}

/// Makes the keys.
///
/// # Errors
/// Bad input if there is a file of that name, failed if one cannot be written.
pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let NewKey { private_pem, public_pem, id } = NewKey::make()?;
    let (private, public) = (with_ending(&arguments.name, ".key"), with_ending(&arguments.name, ".pem"));
    if public.exists() {
        return Err(taken(&public));
    }
    write_new(&private, &private_pem, 0o600)?;
    write_new(&public, &public_pem, 0o644)?;
    let text = format!("key {id}\n  private  {}\n  public   {}\n", private.display(), public.display());
    terminal::print_words(&text)?;
    Ok(Exit::Well)
}

fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut file = name.as_os_str().to_owned();
    file.push(ending);
    file.into()
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(path)),
        Err(error) => Err(Failure::failed(format!("cannot write {}: {error}", path.display()))),
    }
}

fn taken(path: &Path) -> Failure {
    Failure::bad_input(format!("{} is there already", path.display())).help("choose another name")
}
