//! What can go wrong when a filter is built, in words for whoever builds it.

use crate::cli::exit::Failure;
use std::fmt::Display;
use std::path::Path;

/// The folder has none of the files by which a project is known.
pub(super) fn no_project(folder: &Path) -> Failure {
    Failure::bad_input(format!("{} is no project of a filter", folder.display()))
        .help("it has a Cargo.toml, a go.mod or an asconfig.json; `chancery filter new NAME` begins one")
}

/// The folder has several of them.
pub(super) fn two_projects(folder: &Path, first: &str, second: &str) -> Failure {
    Failure::bad_input(format!("{} has both {first} and {second}", folder.display()))
        .help("a project is in one language: move one of them to a folder of its own")
}

/// The module's file, or its folder, cannot be written.
pub(super) fn cannot_write(module: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", module.display()))
}

/// A program is not on the path, or cannot be run.
pub(super) fn no_tool(name: &str, error: &std::io::Error, remedy: &str) -> Failure {
    Failure::failed(format!("cannot run `{name}`: {error}")).help(remedy)
}

/// A program ended otherwise than well; it said itself why.
pub(super) fn tool_failed(words: &str, status: impl Display) -> Failure {
    Failure::failed(format!("the filter does not build: `{words}` ended with {status}"))
}

/// The Rust compiler cannot compile for Wasm, and rustup could not change that.
pub(super) fn no_target(target: &str, sysroot: &str) -> Failure {
    Failure::failed(format!("the Rust compiler in {sysroot} does not compile for {target}")).help(format!(
        "get the target by `rustup target add {target}`, or where Rust is of the system by its packages \
         (Debian: `apt-get install libstd-rust-dev-wasm32`)"
    ))
}

/// Cargo made no module.
pub(super) fn no_module(folder: &Path) -> Failure {
    Failure::bad_input(format!("the package in {} makes no module", folder.display()))
        .help("its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]`")
}

/// The build ended well and left no file.
pub(super) fn nothing_written(module: &Path) -> Failure {
    Failure::failed(format!("the build ended well and wrote no {}", module.display()))
        .help("the script `build` has to end with the compiler `asc`, which is told where to write")
}
