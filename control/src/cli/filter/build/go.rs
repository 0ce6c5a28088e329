//! Projects in Go: the standard toolchain makes a reactor of WASI, which is what a filter is.

use super::Project;
use super::tool::Tool;
use crate::cli::exit::Failure;

const REMEDY: &str = "install Go 1.24 or newer";

/// Builds the main package of the project's folder.
///
/// # Errors
/// If there is no Go, or the package does not build.
pub(super) fn build(project: &Project<'_>) -> Result<(), Failure> {
    Tool::new("go", project.folder, REMEDY)
        .args(&["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"])
        .path(project.module)
        .args(&["."])
        .env(&[("GOOS", "wasip1"), ("GOARCH", "wasm"), ("CGO_ENABLED", "0")])
        .run()
}
