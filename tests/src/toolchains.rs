//! Compilers of other languages for wasm32, and the modules that they make.
//!
//! Each is the one of this machine where it is new enough, else it is got once by a package registry's ordinary client,
//! into a folder of the caller's that outlives a test. What cannot be had is an error that says so; nothing is skipped.

pub mod debian;
pub mod go;
pub mod node;
pub mod rust;
mod wheels;

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The environment of a command that builds modules with the compilers that it finds: all of them are there, under `cache` where
/// not on this machine. What it builds with cargo is put there, too.
///
/// # Errors
/// When a compiler cannot be had.
pub fn environment(cache: &Path) -> Result<Vec<(OsString, OsString)>> {
    let mut variables = rust::variables(cache)?;
    let programs = [go::command(cache)?, node::command(cache)?];
    let found = programs.iter().filter_map(|program| program.parent()).filter(|folder| folder.is_absolute());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = found.map(Path::to_path_buf).chain(std::env::split_paths(&path));
    variables.push(("PATH".into(), std::env::join_paths(folders)?));
    variables.push(("CARGO_TARGET_DIR".into(), cache.into()));
    variables.push(("GOFLAGS".into(), "-buildvcs=false".into()));
    Ok(variables)
}

/// Runs a command, and gives what it printed.
///
/// # Errors
/// When it cannot be run or does not end well; with what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        bail!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&words));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Copies a folder with what is in it, but for folders of this name.
fn copy_folder(from: &Path, to: &Path, but: &str) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if !entry.file_type()?.is_dir() {
            // Not its permissions: what registries' clients keep may be read only.
            fs::write(&copy, fs::read(&source)?)?;
        } else if entry.file_name() != but {
            copy_folder(&source, &copy, but)?;
        }
    }
    Ok(())
}
