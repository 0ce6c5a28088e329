//! The READMEs of examples: their commands, and what they show of what these print.

use crate::command_line::transcript::{CHANCERY, words};
use crate::tidy::{file, root};
use std::process::Command;

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
