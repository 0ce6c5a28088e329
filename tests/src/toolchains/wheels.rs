//! Programs that Python's registry has as packages.

use super::output;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One at a time, since tests run beside each other.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Unpacks a package of this version under a folder, once, and gives where.
///
/// # Errors
/// When it cannot be had.
pub(super) fn unpacked(package: &str, version: &str, cache: &Path) -> Result<PathBuf> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = cache.join(format!("{package}-{version}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let unfinished = folder.with_extension("unfinished");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"]);
    pip.arg(&unfinished).arg(format!("{package}=={version}"));
    output(&mut pip).with_context(|| format!("{package} cannot be installed"))?;
    fs::rename(&unfinished, &folder)?;
    Ok(folder)
}
