//! `chancery compile`: the module of a workload, or any stage on the way to it.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::policy_files::PolicyFiles;
use crate::cli::report::count;
use crate::cli::target::TargetArguments;
use crate::cli::terminal;
use crate::policies::workloads;
use chancery_policy_lang::emit::ModuleOptions;
use chancery_policy_lang::module::Module;
use chancery_policy_lang::syntax::SyntaxTree;
use chancery_policy_lang::{check, classify, lex, link, lower, tabulate};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::PathBuf;

/// Arguments of `chancery compile`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  chancery compile policies/ --on service shop/orders -o orders.wasm\n  \
    chancery compile policies/ --on service shop/orders --emit tables\n  \
    chancery compile orders.writ --emit tree")]
pub struct Arguments {
    /// Policy files, folders of them, or `-` for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArguments,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave out that the module writes the rule to filter state, for an Envoy whose access log does not
    /// read it there: a request costs less
    #[arg(long)]
    no_filter_state: bool,
    /// The stage to write
    #[arg(long, value_enum, default_value_t, value_name = "STAGE")]
    emit: Stage,
}

/// The values that stages make, in the order of the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Stage {
    /// The tokens of each file
    Tokens,
    /// The syntax tree of each file
    Tree,
    /// The policies with names and types resolved
    Checked,
    /// All policies that concern the workload, combined
    Linked,
    /// What the module decides: strands of guards, and what each picks
    Plan,
    /// Guards as literals over classes of attribute values
    Classes,
    /// The tables that decide
    Tables,
    /// The module as text
    Wat,
    /// The module
    #[default]
    Wasm,
}

/// Compiles and writes the stage.
///
/// # Errors
/// Bad input if a file cannot be read, a policy is wrong or none concerns the workload; failed if the
/// output cannot be written.
pub fn run(arguments: &Arguments) -> CommandResult {
    let files = PolicyFiles::read(&arguments.files)?;
    let made = match arguments.emit {
        // These stages exist whatever the text, and are asked for when something is wrong with it.
        Stage::Tokens => {
            each_file(&files, |tree, text| lex::dump(text, &lex::lex(tree.file_id(), text).tokens))
        }
        Stage::Tree => each_file(&files, |tree, _| tree.dump()),
        _ => Vec::new(),
    };
    if !made.is_empty() {
        write(arguments, &made)?;
    }
    files.say_diagnostics()?;
    if arguments.emit > Stage::Tree {
        write(arguments, &later_stage(arguments, &files)?)?;
    }
    Ok(Exit::Well)
}

/// A stage of each file, with the file's name above it if there are several.
fn each_file(files: &PolicyFiles, stage: impl Fn(&SyntaxTree, &str) -> String) -> Vec<u8> {
    let mut text = String::new();
    for (tree, (_, file)) in files.analysis.trees.iter().zip(files.sources.iter()) {
        if files.analysis.trees.len() > 1 {
            text.push_str(&format!("# {}\n", file.name));
        }
        text.push_str(&stage(tree, &file.text));
    }
    text.into_bytes()
}

fn later_stage(arguments: &Arguments, files: &PolicyFiles) -> Result<Vec<u8>, Failure> {
    if arguments.emit == Stage::Checked {
        return Ok(check::dump(&files.analysis.policies, &files.analysis.tests).into_bytes());
    }
    let workload = arguments.target.workload()?;
    let filters = match arguments.emit {
        Stage::Linked | Stage::Plan => files.filters(&workload)?,
        _ => String::new(),
    };
    let Some(program) = files.link(&workload)? else {
        if !filters.is_empty() {
            return Ok(filters.into_bytes());
        }
        return Err(Failure::bad_input(format!("no policy concerns {}", workloads::shown(&workload)))
            .help("without a policy everything is allowed, and no module is needed"));
    };
    let plan = lower::lower(&program)?;
    let classes = || classify::classify(&plan);
    Ok(match arguments.emit {
        Stage::Linked => (link::dump(&program) + &filters).into_bytes(),
        Stage::Plan => (lower::dump(&plan) + &filters).into_bytes(),
        Stage::Classes => classify::dump(&plan, &classes()?).into_bytes(),
        Stage::Tables => tabulate::dump(&plan, &tabulate::tabulate(&plan, &classes()?)?).into_bytes(),
        _ => {
            let options = ModuleOptions {
                rule_in_filter_state: !arguments.no_filter_state,
                ..ModuleOptions::default()
            };
            let module = files.compile(&program, options)?;
            terminal::print_error(&summary(&module));
            if arguments.emit == Stage::Wat { as_text(&module)?.into_bytes() } else { module.bytes.to_vec() }
        }
    })
}

/// What the module is, for the person who made it.
fn summary(module: &Module) -> String {
    let manifest = &module.manifest;
    format!(
        "{} and {}: {} bytes, at most {} steps a decision, sha256 {}",
        count(manifest.policies.len(), "policy", "policies"),
        count(manifest.rules.len(), "rule", "rules"),
        module.bytes.len(),
        manifest.cost,
        module.digest
    )
}

fn as_text(module: &Module) -> Result<String, Failure> {
    wasmprinter::print_bytes(&module.bytes)
        .map_err(|error| Failure::failed(format!("the module cannot be printed: {error}")))
}

fn write(arguments: &Arguments, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(path) = &arguments.output {
        return fs::write(path, bytes)
            .map_err(|error| Failure::failed(format!("`{}` cannot be written: {error}", path.display())));
    }
    if arguments.emit == Stage::Wasm && terminal::stdout_is_terminal() {
        return Err(Failure::bad_input("a module is not for a terminal")
            .help("write it to a file with `-o FILE`, or look at it with `--emit wat`"));
    }
    terminal::print_bytes(bytes)?;
    Ok(())
}
