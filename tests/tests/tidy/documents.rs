//! What documents say is so: links lead somewhere, commands parse, policies check.

use super::shell::chancery_calls;
use super::{Problems, TextFile, files, root};
use chancery_control::cli::Cli;
use chancery_policy_lang::SourceSet;
use chancery_policy_lang::analyse::analyse;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::print::print;
use clap::{CommandFactory, Parser};
use std::path::Path;

/// Documents whose `writ` blocks are wrong on purpose.
const ABOUT_MISTAKES: &[&str] = &["docs/errors.md"];

/// A fenced block of a document.
pub(crate) struct Block {
    /// `path:line` of its first line.
    pub(crate) place: String,
    pub(crate) language: String,
    pub(crate) text: String,
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Problems::default();
    for file in files(&["md"]) {
        let folder = root().join(Path::new(&file.path).parent().unwrap());
        for link in links(&file.text) {
            let path = link.split('#').next().unwrap();
            let elsewhere = link.contains("://") || link.starts_with("mailto:") || path.is_empty();
            problems.add_if(
                !elsewhere && !folder.join(path).exists(),
                &file.path,
                format!("no file at `{link}`"),
            );
        }
    }
    problems.must_be_none();
}

/// The destinations of `[text](destination)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains(' '))
}

#[test]
fn commands_in_documents_are_commands() {
    let mut problems = Problems::default();
    let documents = files(&["md"]);
    let mut calls_seen = 0;
    for block in documents.iter().flat_map(blocks).filter(|block| block.language == "sh") {
        for call in chancery_calls(&block.text) {
            calls_seen += 1;
            let shown = call.join(" ");
            match Cli::try_parse_from(call) {
                Ok(_) => {}
                Err(error) if !error.use_stderr() => {}
                Err(error) => problems.add(&block.place, format!("`{shown}`: {error}")),
            }
        }
    }
    assert!(calls_seen > 10, "only {calls_seen} calls of `chancery` were found in the documents");
    problems.must_be_none();
}

#[test]
fn examples_in_help_texts_are_commands_and_fit_a_terminal() {
    const COLUMNS: usize = 98;
    let mut problems = Problems::default();
    let mut commands = vec![Cli::command()];
    let mut calls_seen = 0;
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let Some(help) = command.get_after_help().map(ToString::to_string) else { continue };
        for line in help.lines().filter(|line| line.chars().count() > COLUMNS) {
            problems.add(command.get_name(), format!("more than {COLUMNS} columns: `{line}`"));
        }
        let (_, examples) = help.split_once("Example").unwrap_or_default();
        for call in chancery_calls(examples) {
            calls_seen += 1;
            let shown = call.join(" ");
            if let Err(error) = Cli::try_parse_from(call) {
                problems.add_if(error.use_stderr(), command.get_name(), format!("`{shown}`: {error}"));
            }
        }
    }
    assert!(calls_seen > 20, "only {calls_seen} calls were found in the help texts");
    problems.must_be_none();
}

#[test]
fn json_in_documents_is_json() {
    let mut problems = Problems::default();
    for block in files(&["md"]).iter().flat_map(blocks).filter(|block| block.language == "json") {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&block.text) {
            problems.add(&block.place, error);
        }
    }
    problems.must_be_none();
}

#[test]
fn policies_in_documents_are_right() {
    let mut problems = Problems::default();
    let documents = files(&["md"]);
    for document in documents.iter().filter(|document| !ABOUT_MISTAKES.contains(&document.path.as_str())) {
        for block in blocks(document).into_iter().filter(|block| block.language == "writ") {
            let mut sources = SourceSet::new();
            sources.add(&block.place, block.text.as_str());
            let analysis = analyse(&sources, CheckOptions::default());
            for found in analysis.diagnostics.iter().filter(|found| found.is_error()) {
                problems.add(&block.place, &found.message);
            }
            let printed = analysis.trees.iter().map(print).collect::<String>();
            problems.add_if(printed != block.text, &block.place, "`chancery fmt` writes it otherwise");
        }
    }
    problems.must_be_none();
}

/// The fenced blocks of a document.
pub(crate) fn blocks(file: &TextFile) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in file.text.lines().enumerate() {
        let fence = line.strip_prefix("```");
        open = match (open.take(), fence) {
            (Some(block), Some(_)) => {
                blocks.push(block);
                None
            }
            (Some(mut block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
                Some(block)
            }
            (None, Some(language)) => Some(Block {
                place: format!("{}:{}", file.path, number + 2),
                language: language.trim().to_owned(),
                text: String::new(),
            }),
            (None, None) => None,
        };
    }
    assert!(open.is_none(), "{}: a fenced block is not closed", file.path);
    blocks
}
