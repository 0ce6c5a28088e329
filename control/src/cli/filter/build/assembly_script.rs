//! Projects in AssemblyScript: npm gets the compiler, and the project's script `build` runs it.

use super::tool::Tool;
use super::{Project, errors};
use crate::cli::exit::Failure;

const REMEDY: &str = "install Node.js 20 or newer, which comes with npm";

/// Builds the project; its packages are got first unless they are there.
///
/// # Errors
/// If there is no npm, a package cannot be had, or the project does not build.
pub(super) fn build(project: &Project<'_>) -> Result<(), Failure> {
    let npm = || Tool::new("npm", project.folder, REMEDY);
    if !project.folder.join("node_modules").is_dir() {
        let is_locked = project.folder.join("package-lock.json").is_file();
        let install = if is_locked { "ci" } else { "install" };
        npm().args(&[install, "--no-audit", "--no-fund", "--ignore-scripts"]).run()?;
    }
    npm().args(&["run", "build", "--", "--outFile"]).path(project.module).run()?;
    if project.module.is_file() { Ok(()) } else { Err(errors::nothing_written(project.module)) }
}
