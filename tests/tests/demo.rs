//! `chancery demo` and `examples/quickstart`: the policies by themselves, the whole show through real
//! Envoys, and that nothing of it stays behind.

use crate::command_line::transcript::CHANCERY;
use crate::tidy::root;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the show may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn the_demo_holds_what_it_shows_and_tidies_up() {
    let mut demo = Demo::start(&["--changes", "3", "--keep"]);
    demo.wait_for("It goes on running until Ctrl-C");
    demo.interrupt();
    let status = demo.wait();
    let shown = demo.shown();
    assert_eq!(status.code(), Some(0), "{shown}");
    // The table before and after the control plane was killed.
    assert_eq!(shown.matches("orders/no-bulk").count(), 4, "{shown}");
    assert_eq!(shown.matches(" 0 failed").count(), 3, "{shown}");
    for (what, line, came_back) in [
        ("a canary", "split:  route /** -> ", "x-canary: 1, 10 requests: 10 by orders-2; "),
        (
            "a limit",
            "burst: limit 1/m burst 3 ",
            "3 answered with 201, 5 answered with 429 `one charge a minute`",
        ),
        ("a line without secrets", "redact headers[\"x-customer\"] with hash", "no secret in any log:\n"),
        ("a retry that hides", "retry 3 on connect, reset", " took more than one attempt\n"),
    ] {
        let told = shown.split_once(what).map(|(_, told)| told).unwrap_or_default();
        let told = told.split_once(line).map(|(_, told)| told).unwrap_or_default();
        assert!(told.contains(came_back), "{what}:\n{shown}");
    }
    assert!(shown.contains("everything held") && !shown.contains("WRONG"), "{shown}");
    demo.must_be_tidy();
}

#[test]
fn an_interrupted_demo_tidies_up() {
    let mut demo = Demo::start(&[]);
    demo.wait_for("sidecars ready");
    demo.interrupt();
    let status = demo.wait();
    let shown = demo.shown();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("the demo was interrupted"), "{shown}");
    demo.must_be_tidy();
}

#[test]
fn the_policies_of_the_quickstart_can_be_asked_before_anything_runs() {
    let check = |arguments: &[&str], expected: &str| {
        let output = Command::new(CHANCERY).args(arguments).current_dir(root()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && said.contains(expected), "{arguments:?}:\n{said}");
    };
    check(&["check", "examples/quickstart/policies"], "0 errors, 0 warnings");
    check(&["test", "examples/quickstart/policies"], "4 passed, 0 failed");
    check(&["test", "examples/quickstart/policies", "examples/quickstart/traffic"], "6 passed, 0 failed");
    let request = "POST /orders/7/paid from service shop/frontend";
    let on = ["--on", "service", "shop/orders", "examples/quickstart/policies"];
    check(&[["explain", request].as_slice(), &on].concat(), "by orders/otherwise");
}

/// A running demo, with a folder for what it leaves and a file for what it says.
struct Demo {
    process: Child,
    folder: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let said = File::create(folder.path().join("said")).unwrap();
        let process = Command::new(CHANCERY)
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", folder.path().join("tmp"))
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    fn shown(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    fn wait_for(&self, text: &str) {
        let began = Instant::now();
        while !self.shown().contains(text) {
            assert!(began.elapsed() < PATIENCE, "no `{text}` in:\n{}", self.shown());
            sleep(PAUSE);
        }
    }

    fn interrupt(&self) {
        let status = Command::new("kill").arg("-INT").arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the demo does not end:\n{}", self.shown());
            sleep(PAUSE);
        }
    }

    /// No file, and no process that was started with one.
    fn must_be_tidy(&self) {
        let left: Vec<_> = fs::read_dir(self.folder.path().join("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let mark = self.folder.path().to_str().unwrap();
        let running: Vec<String> = command_lines().filter(|line| line.contains(mark)).collect();
        assert!(running.is_empty(), "{running:?}");
    }
}

impl Drop for Demo {
    /// What the demo started dies with it.
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }
}

/// The command lines of all processes. One that ends meanwhile has none.
fn command_lines() -> impl Iterator<Item = String> {
    let processes = fs::read_dir(Path::new("/proc")).unwrap().map(|entry| entry.unwrap().path());
    processes
        .filter_map(|process| fs::read(process.join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
}
