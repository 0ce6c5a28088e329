//! The command line as people use it: what each command prints, where, and how it exits.

mod documented;
mod filters;
mod module;
pub(crate) mod transcript;

#[test]
fn check_says_everything_that_is_wrong() {
    transcript::check("check");
}

#[test]
fn a_file_of_another_language_is_answered_with_one_error() {
    transcript::check("foreign");
}

#[test]
fn fmt_has_one_form() {
    transcript::check("fmt");
}

#[test]
fn test_runs_the_tests_of_policies() {
    transcript::check("test");
}

#[test]
fn explain_names_the_rule_and_what_failed_of_the_others() {
    transcript::check("explain");
}

#[test]
fn compile_writes_stages() {
    transcript::check("compile");
}

#[test]
fn import_writes_what_others_say() {
    transcript::check("import");
}

#[test]
fn filter_checks_and_runs_modules() {
    transcript::check("filter");
}
