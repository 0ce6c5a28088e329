//! Rust: crates of this repository, and others, as modules.

use super::{debian, output};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's packages of a compiler and the sources of its standard library, of one version.
const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rust-web-src", "libllvm22"];

/// Builds the crate in a folder of the repository for wasm32, under `target`, and gives where its module is.
///
/// With the target of rustup where that can be had, else with Debian's compiler, unpacked there.
///
/// # Errors
/// When neither compiler can be had, or the filter does not build.
pub fn build(folder: &str, profile: &str, module: &str, target: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut build = cargo(target)?;
    build.args(["--profile", profile]).current_dir(source);
    output(&mut build)?;
    Ok(modules(target, profile).join(module).with_extension("wasm"))
}

/// Where modules are put that are built under `target` in a profile.
#[must_use]
pub fn modules(target: &Path, profile: &str) -> PathBuf {
    target.join(TARGET).join(if profile == "dev" { "debug" } else { profile })
}

/// A `cargo build` for wasm32 under `target`, which a caller tells what to build.
///
/// # Errors
/// When no compiler can be had.
pub fn cargo(target: &Path) -> Result<Command> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--target", TARGET]).env("CARGO_TARGET_DIR", target);
    if !has_target() {
        use_debian_compiler(&mut build, target)?;
    }
    Ok(build)
}

/// What has to be in the environment of a `cargo build` for wasm32 that somebody else makes: nothing where the ordinary
/// compiler has the target.
pub(super) fn variables(target: &Path) -> Result<Vec<(OsString, OsString)>> {
    let mut build = Command::new(env!("CARGO"));
    if !has_target() {
        use_debian_compiler(&mut build, target)?;
        build.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
    }
    let set = build.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    Ok(set.collect())
}

/// Whether the ordinary compiler has the target, or rustup can add it.
fn has_target() -> bool {
    let installed = sysroot().is_ok_and(|sysroot| sysroot.join("lib/rustlib").join(TARGET).is_dir());
    installed
        || Command::new("rustup")
            .args(["target", "add", TARGET])
            .status()
            .is_ok_and(|status| status.success())
}

/// Unpacks Debian's compiler into a folder and lets a build use it, with the ordinary linker.
fn use_debian_compiler(build: &mut Command, target: &Path) -> Result<()> {
    let folder = target.join("debian");
    debian::unpack(&DEBIAN_PACKAGES, "usr/bin/rustc", &folder)?;
    let linker = sysroot()?.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    build.args(["-Z", "build-std=std,panic_abort"]);
    build.env("LD_LIBRARY_PATH", folder.join("usr/lib/x86_64-linux-gnu"));
    build.env("RUSTC", folder.join("usr/bin/rustc")).env("RUSTC_BOOTSTRAP", "1");
    build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    Ok(())
}

fn sysroot() -> Result<PathBuf> {
    Ok(PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?.trim()))
}
