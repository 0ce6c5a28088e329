//! The `chancery` command under another name, so that cargo has it built and current when tests run.

use std::process::ExitCode;

fn main() -> ExitCode {
    chancery_control::run(std::env::args_os())
}
