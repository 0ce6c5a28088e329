//! Projects in Rust: cargo with a profile for modules, and the target for Wasm by rustup where it is missing.

use super::tool::Tool;
use super::{Project, errors};
use crate::cli::exit::Failure;
use crate::cli::terminal;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The profile unless another one is asked for.
pub(super) const PROFILE: &str = "filter";
/// What that profile is: modules are small, fast, and have no way to unwind.
const PROFILE_SETTINGS: [(&str, &str); 6] = [
    ("inherits", "\"release\""),
    ("codegen-units", "1"),
    ("debug", "false"),
    ("lto", "\"fat\""),
    ("panic", "\"abort\""),
    ("strip", "\"debuginfo\""),
];
const TARGET: &str = "wasm32-unknown-unknown";
const REMEDY: &str = "install Rust 1.95 or newer by rustup";
/// Cargo's own variable for a compiler that builds the standard library, too, and so needs no target.
const BUILD_STD: &str = "CARGO_UNSTABLE_BUILD_STD";

/// What cargo says about something that it made.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the package of the project's folder.
///
/// # Errors
/// If there is no Rust or no target, or the package does not build or makes no module.
pub(super) fn build(project: &Project<'_>, profile: &str) -> Result<(), Failure> {
    ensure_target(project.folder)?;
    let settings: Vec<String> =
        PROFILE_SETTINGS.iter().map(|(name, value)| format!("profile.{PROFILE}.{name}={value}")).collect();
    let mut cargo = Tool::new("cargo", project.folder, REMEDY)
        .args(&["build", "--target", TARGET, "--profile", profile])
        .args(&["--message-format", "json-render-diagnostics"]);
    if profile == PROFILE {
        for setting in &settings {
            cargo = cargo.args(&["--config", setting]);
        }
    }
    let messages = cargo.read()?;
    let module = module_in(&messages, &project.folder.join("Cargo.toml"))
        .ok_or_else(|| errors::no_module(project.folder))?;
    std::fs::copy(module, project.module).map_err(|error| errors::cannot_write(project.module, &error))?;
    Ok(())
}

/// The module among what cargo made of a manifest.
fn module_in(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let made = messages.filter(|message| {
        message.reason == "compiler-artifact"
            && message.manifest_path.canonicalize().is_ok_and(|path| path == manifest)
    });
    let mut files = made.flat_map(|message| message.filenames);
    files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

/// Sees to it that the compiler of the folder has the target.
fn ensure_target(folder: &Path) -> Result<(), Failure> {
    if std::env::var_os(BUILD_STD).is_some() {
        return Ok(());
    }
    let sysroot = Tool::new("rustc", folder, REMEDY).args(&["--print", "sysroot"]).read()?;
    let sysroot = sysroot.trim();
    if Path::new(sysroot).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    terminal::print_error(&format!("the Rust compiler has no target {TARGET}; rustup is asked for it"));
    let rustup = Tool::new("rustup", folder, REMEDY).args(&["target", "add", TARGET]);
    rustup.run().map_err(|_| errors::no_target(TARGET, sysroot))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_that_of_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let manifest = folder.join("Cargo.toml");
        std::fs::write(&manifest, "").unwrap();
        let artifact = |manifest: &Path, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact", "manifest_path": manifest, "filenames": ["/t/lib.rlib", file],
            })
        };
        let other = artifact(Path::new("/elsewhere/Cargo.toml"), "/t/other.wasm");
        let ours = artifact(&manifest, "/t/ours.wasm");
        let messages =
            format!("warming up\n{other}\n{ours}\n{{\"reason\":\"build-finished\",\"success\":true}}\n");
        assert_eq!(module_in(&messages, &manifest), Some(PathBuf::from("/t/ours.wasm")));
        assert_eq!(module_in(&other.to_string(), &manifest), None);
    }
}
