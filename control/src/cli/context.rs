//! Which context a command acts with.

use crate::cli::exit::Failure;
use crate::cli::global::Global;
use crate::server::context::{ADMIN_CONTEXT, Context};
use std::io;
use std::path::{Path, PathBuf};

/// Where the control plane keeps its data unless it is told otherwise.
pub const DATA_DIRECTORY_DEFAULT: &str = ".chancery/control-plane";

/// What is said first when there is none.
pub const NO_CONTEXT: &str = "there is no context file";

/// The context that a command was given, or the one that a control plane on this machine wrote to its usual
/// place.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn find(global: &Global) -> Result<Context, Failure> {
    let usual = || Path::new(DATA_DIRECTORY_DEFAULT).join(ADMIN_CONTEXT);
    let path: PathBuf = global.context.clone().unwrap_or_else(usual);
    match Context::read(&path) {
        Ok(context) => Ok(context),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::bad_input(format!(
            "{NO_CONTEXT} at `{}`",
            path.display()
        ))
        .help(
            "name the one that the control plane wrote: --context DATA-DIR/admin.json, or CHANCERY_CONTEXT",
        )),
        Err(error) => {
            Err(Failure::bad_input(format!("the context file `{}` cannot be used: {error}", path.display()))
                .help("the control plane writes a good one to DATA-DIR/admin.json each time it starts"))
        }
    }
}
