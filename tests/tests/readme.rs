//! READMEs: the commands of those of examples, and what they show of what these print; the blocks by hand of the first
//! one, in their order.

use crate::command_line::transcript::{CHANCERY, words};
use crate::tidy::{file, root};
use chancery_tests::mesh::ports;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the commands of an example's README, which are so many, and looks for the block of it that begins so in what
/// they print.
pub(crate) fn says_what_its_commands_do(example: &str, count: usize, shown: &str) {
    let readme = file(&format!("{example}/README.md")).text;
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("chancery ")).collect();
    assert_eq!(commands.len(), count, "{readme}");
    let mut printed = String::new();
    for command in commands {
        let arguments = words(command);
        let output = Command::new(CHANCERY)
            .args(arguments.iter().skip(1))
            .current_dir(root())
            .env_clear()
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{command}: {stderr}");
        printed.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    let shown = readme.split("```\n").find(|block| block.starts_with(shown)).unwrap();
    assert!(printed.contains(shown), "the README shows\n{shown}\nof\n{printed}");
}

/// How long somebody may need from the built command to a first policy of their own that is in force.
const FIRST_POLICY_MAX: Duration = Duration::from_secs(120);

#[test]
#[expect(clippy::print_stdout, reason = "the figure is quoted in the documentation")]
fn the_blocks_by_hand_work_in_their_order() {
    let readme = file("README.md").text;
    let by_hand = readme.split("## By hand").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut blocks: String =
        by_hand.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    // Others may have these ports on this machine.
    for port in ["5680", "8080", "9000", "7001"] {
        blocks = blocks.replace(port, &ports::free().unwrap().port().to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(CHANCERY, bin.join("chancery")).unwrap();
    symlink(root().join("examples"), folder.path().join("examples")).unwrap();
    let path = std::env::var("PATH").unwrap();
    // How long that takes is the network's business.
    let envoy = Command::new(CHANCERY).args(["envoy", "install"]).output().unwrap();
    assert!(envoy.status.success(), "{envoy:?}");
    let began = Instant::now();
    let shell = Command::new("bash")
        .args(["-e", "-c", &blocks.replace("kill $(jobs -p)", "kill $(jobs -p); wait")])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .env("CHANCERY_LISTEN", ports::free().unwrap().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = shell.id();
    let output = shell.wait_with_output().unwrap();
    let took = began.elapsed();
    // Whoever is left of it, if the shell ended before its last line.
    Command::new("kill").args(["--", &format!("-{group}")]).stderr(Stdio::null()).status().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for shown in [
        "2/2 sidecars on revision 0; 0 policies",
        "Directory listing for /",
        "1 test passed",
        "2/2 sidecars on revision 1\n",
        "HTTP/1.1 403 Forbidden",
        "nothing in the policy of shop/orders allows this",
        "auth orders on service shop/orders {\n",
        "2/2 sidecars on revision 2\n",
    ] {
        assert!(said.contains(shown), "`{shown}` is not said:\n{said}");
    }
    println!("from the built command to a first policy of one's own, and its end: {took:.1?}");
    assert!(took < FIRST_POLICY_MAX, "it took {took:.1?}");
}
