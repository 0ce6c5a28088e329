//! What `chancery compile` and `chancery fmt` write, and how the command behaves in a pipe.

use super::transcript::{CHANCERY, folder};
use chancery_policy_lang::module::STEPS_MAX;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn chancery(arguments: &[&str]) -> Output {
    Command::new(CHANCERY).args(arguments).current_dir(folder()).stdin(Stdio::null()).output().unwrap()
}

fn compile(files: &[&str]) -> Vec<u8> {
    let output = chancery(&[&["compile", "--on", "service", "shop/orders"], files].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_module_is_valid_and_the_same_each_time_in_whatever_order_the_files_come() {
    let module = compile(&["policies/orders.writ", "policies/mesh.writ"]);
    wasmparser::validate(&module).unwrap();
    assert_eq!(module, compile(&["policies/mesh.writ", "policies/orders.writ"]));
    assert_eq!(module, compile(&["policies"]));
}

#[test]
fn the_text_form_is_of_the_same_module() {
    let text = chancery(&["compile", "--on", "service", "shop/orders", "--emit", "wat", "policies"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("(module"), "{text}");
    assert!(text.contains("proxy_on_request_headers"), "{text}");
}

#[test]
fn each_later_stage_has_a_text() {
    for stage in ["linked", "classes", "tables"] {
        let output = chancery(&["compile", "--on", "service", "shop/orders", "--emit", stage, "policies"]);
        assert!(output.status.success(), "{stage}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 3, "{stage}: {text}");
    }
}

#[test]
fn check_tells_the_size_and_cost_of_each_module() {
    let output = chancery(&["check", "--cost", "policies"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let header = text.lines().find(|line| line.starts_with("WORKLOAD")).unwrap();
    let row = text.lines().find(|line| line.starts_with("shop/orders ")).unwrap();
    let column = |name: &str| row.get(header.find(name).unwrap()..).unwrap();
    let first = |text: &str| text.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    assert_eq!(first(column("BYTES")), compile(&["policies"]).len() as u64);
    assert!(column("COST").contains("/byte"), "{row}");
    let (fixed, worst) = (first(column("COST")), first(column("WORST")));
    assert!(fixed > 0 && fixed < worst && worst < STEPS_MAX, "{row}");
}

#[test]
fn fmt_changes_files_that_differ_and_no_others() {
    let folder_of_copies = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let path = folder_of_copies.path().join(Path::new(name).file_name().unwrap());
        fs::copy(folder().join(name), &path).unwrap();
        path
    };
    let (unformatted, wrong) = (copy("unformatted.writ"), copy("wrong.writ"));
    let before = fs::read_to_string(&unformatted).unwrap();
    let output = chancery(&["fmt", folder_of_copies.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "one of the files has a syntax error");
    let after = fs::read_to_string(&unformatted).unwrap();
    assert_ne!(before, after);
    assert!(after.contains("# who may"), "comments stay: {after}");
    assert_eq!(fs::read(wrong).unwrap(), fs::read(folder().join("wrong.writ")).unwrap());
    let again = chancery(&["fmt", "--check", unformatted.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "the form is stable");
    assert_eq!(fs::read_dir(folder_of_copies.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(CHANCERY)
        .args(["compile", "--emit", "tree", "policies"])
        .current_dir(folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn output_that_is_no_terminal_has_no_colours() {
    let output = chancery(&["check", "wrong.writ"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
}
