//! The options of every subcommand.

use crate::cli::logging::LogFormat;
use clap::Args;
use std::path::PathBuf;

/// Options of every subcommand.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The file that says where the control plane is and who is asking; the control plane writes
    /// one to DATA-DIR/admin.json
    #[arg(
        long,
        global = true,
        display_order = 100,
        env = "CHANCERY_CONTEXT",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub context: Option<PathBuf>,
    /// What to log to standard error, such as `info` or `chancery_control::delivery::xds=debug,warn`
    /// [default: info for `control-plane` and `sidecar`, else warn]
    #[arg(
        long,
        global = true,
        display_order = 100,
        env = "CHANCERY_LOG",
        value_name = "FILTER",
        hide_env_values = true
    )]
    pub log: Option<String>,
    /// The form of log lines
    #[arg(
        long,
        global = true,
        display_order = 100,
        env = "CHANCERY_LOG_FORMAT",
        value_enum,
        default_value_t
    )]
    #[arg(hide_env_values = true, hide_possible_values = true, value_name = "text|json")]
    pub log_format: LogFormat,
}
