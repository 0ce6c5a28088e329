//! The `chancery` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    chancery_control::run(std::env::args_os())
}
