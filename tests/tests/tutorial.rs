//! The tutorial in `docs/language.md`: each step is the file that lies in `examples/tutorial`, is right,
//! formatted and passes its tests, and each slip is answered as the tutorial shows.
//!
//! A `diff` block is a slip in the file of its step; the `console` block behind it shows commands and all that
//! they print, standard output first. With `UPDATE_CASES=1` steps and answers are written anew.

use crate::command_line::transcript::{CHANCERY, words};
use crate::tidy::root;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const DOCUMENT: &str = "docs/language.md";
const STEPS: &str = "examples/tutorial";

/// The lines of the tutorial, as they are and as they should be.
struct Tutorial {
    shown: String,
    right: String,
    steps: Vec<String>,
    slips: usize,
}

/// All that a command prints, and whether it ended well.
fn run(arguments: &[String], folder: &Path) -> (String, bool) {
    let output = Command::new(CHANCERY)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (printed, output.status.success())
}

/// The files of the steps, by name.
fn steps() -> Vec<String> {
    let entries = fs::read_dir(root().join(STEPS)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".writ"));
    names.sort();
    names
}

/// A step's text with the slip of a `diff` block in it.
fn slipped(text: &str, diff: &str) -> String {
    let side = |sign: char| -> String {
        let lines = diff.lines().filter_map(|line| line.strip_prefix(sign));
        lines.map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(text.matches(&side('-')).count(), 1, "the slip is in one place of the step:\n{diff}");
    text.replace(&side('-'), &side('+'))
}

/// A `console` block as it should be: its commands, and what they print in a folder with the steps.
fn replayed(block: &str, folder: &Path) -> String {
    let mut text = String::new();
    for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let words = words(command);
        let (program, arguments) = words.split_first().unwrap();
        assert_eq!(program, "chancery");
        let (printed, _) = run(arguments, folder);
        text.push_str(&format!("$ {command}\n"));
        text.extend(printed.lines().map(|line| format!("{}\n", line.trim_end())));
    }
    text
}

/// Reads the tutorial and does what it says.
fn follow() -> Tutorial {
    let document = fs::read_to_string(root().join(DOCUMENT)).unwrap();
    let (before, rest) = document.split_once("\n## Tutorial\n").unwrap();
    let (shown, _) = rest.split_once("\n## ").unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let mut names = steps().into_iter();
    let mut tutorial = Tutorial { shown: shown.to_owned(), right: String::new(), steps: vec![], slips: 0 };
    let mut parts = shown.split("```");
    tutorial.right.push_str(parts.next().unwrap());
    while let (Some(block), Some(behind)) = (parts.next(), parts.next()) {
        let (language, text) = block.split_once('\n').unwrap();
        let right = match language {
            "writ" => {
                let name = names.next().unwrap();
                let step = fs::read_to_string(root().join(STEPS).join(&name)).unwrap();
                fs::write(temporary.path().join(&name), &step).unwrap();
                tutorial.steps.push(name);
                step
            }
            "diff" => {
                let path = temporary.path().join(tutorial.steps.last().unwrap());
                let step = fs::read_to_string(&path).unwrap();
                fs::write(&path, slipped(&step, text)).unwrap();
                tutorial.slips += 1;
                text.to_owned()
            }
            "console" => replayed(text, temporary.path()),
            other => unreachable!("{}: a block of `{other}`", before.lines().count()),
        };
        tutorial.right.push_str(&format!("```{language}\n{right}```{behind}"));
    }
    tutorial
}

#[test]
fn the_tutorial_shows_the_files_of_its_steps_and_what_is_said_of_slips() {
    let tutorial = follow();
    assert_eq!(tutorial.steps, steps(), "each file is a step");
    assert_eq!(tutorial.slips, tutorial.steps.len(), "each step has a slip");
    if std::env::var_os("UPDATE_CASES").is_some() {
        let document = fs::read_to_string(root().join(DOCUMENT)).unwrap();
        fs::write(root().join(DOCUMENT), document.replace(&tutorial.shown, &tutorial.right)).unwrap();
        return;
    }
    let differs = tutorial.shown.lines().zip(tutorial.right.lines()).find(|(shown, right)| shown != right);
    assert!(tutorial.shown == tutorial.right, "the tutorial says otherwise: {differs:?}\n{}", tutorial.right);
}

#[test]
fn each_step_of_the_tutorial_is_right_formatted_and_passes_its_tests() {
    let folder = root().join(STEPS);
    for step in steps() {
        for (command, said) in
            [("check", "0 errors, 0 warnings"), ("test", ", 0 failed"), ("fmt --check", "")]
        {
            let arguments: Vec<String> =
                command.split(' ').chain([step.as_str()]).map(str::to_owned).collect();
            let (printed, is_well) = run(&arguments, &folder);
            assert!(is_well && printed.contains(said), "{command} {step}:\n{printed}");
        }
        let text = fs::read_to_string(folder.join(&step)).unwrap();
        assert!(text.contains("\ntest \""), "{step} has a test");
    }
}
