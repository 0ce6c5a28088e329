//! Packages of Debian, unpacked into a folder instead of installed.

use super::output;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One at a time, since tests run beside each other.
static UNPACKING: Mutex<()> = Mutex::new(());

/// A program: of this machine if it has it at this path below `/`, else that of a package, unpacked in a folder of its name
/// under `cache`.
///
/// # Errors
/// When it cannot be had.
pub fn program(package: &str, path: &str, cache: &Path) -> Result<PathBuf> {
    let installed = Path::new("/").join(path);
    if installed.is_file() {
        return Ok(installed);
    }
    let folder = cache.join(package);
    unpack(&[package], path, &folder)?;
    Ok(folder.join(path))
}

/// Unpacks packages into a folder unless a file is in it that one of them has.
///
/// # Errors
/// When they cannot be had.
pub fn unpack(packages: &[&str], file: &str, folder: &Path) -> Result<()> {
    let _alone = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.join(file).is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let download = || output(Command::new("apt-get").arg("download").args(packages).current_dir(folder));
    // A new machine has no lists of packages yet.
    if download().is_err() {
        output(Command::new("apt-get").arg("update"))?;
        download()?;
    }
    for package in std::fs::read_dir(folder)? {
        let path = package?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            output(Command::new("dpkg").arg("-x").arg(&path).arg(folder))?;
        }
    }
    Ok(())
}
