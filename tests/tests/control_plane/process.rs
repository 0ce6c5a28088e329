//! `chancery control-plane` as a child process, and other commands that talk to it.

use chancery_control::cli::exit::Exit;
use chancery_control::server::api::client::{Client, Credentials};
use chancery_control::server::context::{ADMIN_CONTEXT, Context};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a process may take to start, to answer or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running control plane. It is killed when this is dropped.
pub(super) struct ControlPlane {
    child: Child,
    context_path: PathBuf,
}

/// How a command ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl ControlPlane {
    /// Starts one on a free port, and waits until it serves.
    pub(super) async fn start(data_dir: &Path) -> Self {
        Self::start_by(command(), data_dir, &[]).await
    }

    /// Starts one that may have so many open files at most.
    pub(super) async fn start_with_files(data_dir: &Path, files_max: u32) -> Self {
        let mut limited = Command::new("/bin/sh");
        let limit = format!("ulimit -n {files_max} && exec \"$0\" \"$@\"");
        limited.args(["-c", &limit, env!("CARGO_BIN_EXE_chancery-under-test")]);
        limited.env_remove("CHANCERY_LOG").stdin(Stdio::null());
        Self::start_by(limited, data_dir, &[]).await
    }

    /// Starts one with options, where no Envoy can be found.
    pub(super) async fn start_without_envoy(data_dir: &Path, options: &[&str]) -> Self {
        let mut alone = command();
        alone.env_clear();
        Self::start_by(alone, data_dir, options).await
    }

    async fn start_by(mut command: Command, data_dir: &Path, options: &[&str]) -> Self {
        let mut child = command
            .args(["control-plane", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(data_dir)
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(first.starts_with("The control plane serves at https://127.0.0.1:"), "{first}");
        // What else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, context_path: data_dir.join(ADMIN_CONTEXT) }
    }

    /// Starts one and kills it so soon, wherever it is then.
    pub(super) async fn start_and_kill_after(data_dir: &Path, time: Duration) {
        let mut child = command()
            .args(["control-plane", "--listen", "127.0.0.1:0", "--log", "error", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        tokio::time::sleep(time).await;
        child.kill().await.unwrap();
    }

    /// The admin's context.
    pub(super) fn context(&self) -> Context {
        Context::read(&self.context_path).unwrap()
    }

    /// How much memory it has.
    pub(super) fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// A client with the admin's context.
    pub(super) fn admin(&self) -> Client {
        let context = self.context();
        self.client(Credentials::Token(context.token))
    }

    /// A client that shows something else.
    pub(super) fn client(&self, credentials: Credentials) -> Client {
        let context = self.context();
        Client::new(&context.url, &context.ca_pem, credentials).unwrap()
    }

    /// Runs a command as the admin.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ended {
        Self::run_with(&self.context_path, arguments).await
    }

    /// Runs a command with a context.
    pub(super) async fn run_with(context: &Path, arguments: &[&str]) -> Ended {
        let running = command().args(arguments).env("CHANCERY_CONTEXT", context).output();
        let output = timeout(PATIENCE, running).await.unwrap().unwrap();
        let known = [Exit::Well, Exit::Failed, Exit::BadInput, Exit::Refused, Exit::Unacknowledged];
        let code = output.status.code().unwrap();
        Ended {
            exit: known.into_iter().find(|exit| i32::from(exit.code()) == code).unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Ends it without giving it a chance to do anything.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it orderly, as a supervisor does, and expects that it ends well.
    pub(super) async fn terminate(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery-under-test"));
    command.env_remove("CHANCERY_LOG").stdin(Stdio::null());
    command
}
