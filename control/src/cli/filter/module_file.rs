//! Files that the commands about filters read, none without a limit.

use crate::cli::exit::Failure;
use chancery_sdk_admission::{Finding, limits::MODULE_BYTES_MAX};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a configuration or a body.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The bytes of a module. One byte more than is accepted is read, so that it is found too large.
///
/// # Errors
/// Bad input if the file cannot be read.
pub(super) fn read_module(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path, MODULE_BYTES_MAX.saturating_add(1))
}

/// The bytes of a configuration or body.
///
/// # Errors
/// Bad input if the file cannot be read, or is too large.
pub(super) fn read_text(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read(path, TEXT_BYTES_MAX.saturating_add(1))?;
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("{} has more than {TEXT_BYTES_MAX} bytes", path.display());
        return Err(Failure::bad_input(message).help("a sidecar is not sent as much either"));
    }
    Ok(bytes)
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let cannot =
        |error: std::io::Error| Failure::bad_input(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}

/// Findings as text, an empty line behind each.
pub(super) fn shown(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n\n")).collect()
}
