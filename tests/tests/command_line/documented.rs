//! The policy tools as the documents show them, run.

use super::transcript::CHANCERY;
use crate::tidy::documents::blocks;
use crate::tidy::shell::chancery_calls;
use crate::tidy::{file, files, root};
use std::io::Write;
use std::process::{Command, Stdio};

/// Commands that need no control plane.
const POLICY_TOOLS: &[&str] = &["check", "fmt", "test", "explain", "compile"];

#[test]
fn the_policy_tools_do_what_the_documents_show() {
    let folder = tempfile::tempdir().unwrap();
    // A copy, for some of the commands write.
    let copied =
        Command::new("cp").arg("-r").arg(root().join("examples")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let mut run = 0;
    for block in files(&["md"]).iter().flat_map(blocks).filter(|block| block.language == "sh") {
        for call in chancery_calls(&block.text) {
            let (_, arguments) = call.split_first().unwrap();
            // What a block makes itself is there when all of it is run, which the README's own test does.
            let is_made = arguments.iter().any(|argument| argument.starts_with("mesh/"));
            if is_made || !arguments.first().is_some_and(|name| POLICY_TOOLS.contains(&name.as_str())) {
                continue;
            }
            let output = Command::new(CHANCERY)
                .args(arguments)
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: `{}`: {said}", block.place, call.join(" "));
            run += 1;
        }
    }
    assert!(run > 10, "only {run} calls of policy tools were found in the documents");
}

#[test]
fn the_policy_of_the_readme_passes_its_own_tests() {
    let readme = file("README.md");
    let policy = blocks(&readme).into_iter().find(|block| block.language == "writ").unwrap();
    let lines = policy.text.lines().filter(|line| !line.is_empty()).count();
    assert_eq!(lines, 10, "the README shows a policy of ten lines");
    let mut child = Command::new(CHANCERY)
        .args(["test", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(policy.text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.starts_with("1 passed, 0 failed"), "{said}");
}
