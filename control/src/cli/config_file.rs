//! One TOML file with the options of the servers, `control-plane` and `sidecar`: an option that is neither on the command line
//! nor in the environment is the file's.
//!
//! The file's values become defaults of the options before the command line is parsed, so whatever reads an option reads
//! it in one way, wherever it was written.

use crate::cli::exit::Failure;
use chancery_policy_lang::diagnostic::near::nearest;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, Table, TableLike, Value};

/// The commands whose options may stand in a file; each is a table of it.
pub const COMMANDS: [&str; 2] = ["control-plane", "sidecar"];
/// The option that names the file.
const CONFIG: &str = "config";
/// What stands above the tables: options of every command.
const OF_EVERY_COMMAND: [&str; 2] = ["log", "log-format"];
/// The most bytes of a file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The command line with the values of the file that these arguments, or the environment, name; as it was if they name none.
///
/// # Errors
/// When the file cannot be read, is no TOML, or says something that is no option, or not a value of it.
pub fn filled(command: Command, arguments: &[OsString]) -> Result<Command, Failure> {
    let Some(path) = named(&command, arguments) else { return Ok(command) };
    let text = read(&path)?;
    let shown = path.display().to_string();
    let document = Document::parse(text.as_str()).map_err(|error| {
        let at = error.span().map_or_else(String::new, |span| format!(":{}", line_of(&text, span.start)));
        Failure::bad_input(format!("{shown}{at}: {}", error.message().trim_end()))
            .help("the file is TOML: `key = value` under [control-plane] or [sidecar]")
    })?;
    let file = ConfigFile { path: shown, text: &text };
    file.fill(command, document.as_table())
}

/// The file that is named, if the command is one that reads it.
fn named(command: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let parsed = command.clone().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    let (name, options): (&str, &ArgMatches) = parsed.subcommand()?;
    COMMANDS.contains(&name).then(|| options.get_one::<PathBuf>(CONFIG).cloned())?
}

fn read(path: &Path) -> Result<String, Failure> {
    let refuse = |problem: String| {
        Failure::bad_input(format!("the configuration file `{}` cannot be used: {problem}", path.display()))
            .help("name a file that this user may read with --config or CHANCERY_CONFIG, or none")
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| refuse(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// A file that is being read.
struct ConfigFile<'t> {
    path: String,
    text: &'t str,
}

impl ConfigFile<'_> {
    fn fill(&self, mut command: Command, root: &Table) -> Result<Command, Failure> {
        for (key, item) in root {
            if let Some(table) = COMMANDS.contains(&key).then(|| item.as_table_like()).flatten() {
                command = self.fill_subcommand(command, key, table)?;
            } else if OF_EVERY_COMMAND.contains(&key) {
                let (id, values) = self.values(&command, key, item)?;
                command = command.mut_arg(id, |option| with_defaults(option, values));
            } else {
                let help = "options of a server stand in its table, [control-plane] or [sidecar]; above them only `log` \
                            and `log-format` do";
                return Err(self.refuse(item, format!("`{key}` is no table or option of this file"), help));
            }
        }
        Ok(command)
    }

    fn fill_subcommand(
        &self,
        command: Command,
        name: &str,
        table: &dyn TableLike,
    ) -> Result<Command, Failure> {
        let Some(subcommand) = command.find_subcommand(name) else { return Ok(command) };
        let mut filled = subcommand.clone();
        for (key, item) in table.iter() {
            let (id, values) = self.values(subcommand, key, item)?;
            filled = filled.mut_arg(id, |option| with_defaults(option, values));
        }
        Ok(command.mut_subcommand(name, |_| filled))
    }

    /// An option, and its values as they would stand on the command line.
    fn values(&self, command: &Command, key: &str, item: &Item) -> Result<(Id, Vec<String>), Failure> {
        let option = options(command).find(|option| option.get_long() == Some(key));
        let Some(option) = option else {
            let known: Vec<&str> = options(command).filter_map(Arg::get_long).collect();
            let help = match nearest(key, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`chancery {} --help` lists the options", command.get_name()),
            };
            return Err(self.refuse(item, format!("there is no option `{key}`"), &help));
        };
        let takes_value = option.get_action().takes_values();
        let is_list =
            matches!(option.get_action(), ArgAction::Append) || option.get_value_delimiter().is_some();
        let form = match (takes_value, is_list) {
            (false, _) => "write `true` or `false`",
            (true, true) => "write a list of texts, such as [\"a\", \"b\"]",
            (true, false) => "write a text such as \"1s\", or a number",
        };
        let values = match item.as_value() {
            Some(Value::Boolean(is_on)) if !takes_value => vec![is_on.value().to_string()],
            Some(Value::Array(list)) if is_list => {
                let texts: Option<Vec<String>> = list.iter().map(text_of).collect();
                texts.ok_or_else(|| self.refuse(item, format!("`{key}` has values of another kind"), form))?
            }
            Some(value) if takes_value => {
                let text = text_of(value);
                vec![
                    text.ok_or_else(|| {
                        self.refuse(item, format!("`{key}` has a value of another kind"), form)
                    })?,
                ]
            }
            _ => return Err(self.refuse(item, format!("`{key}` has a value of another kind"), form)),
        };
        if takes_value {
            for value in &values {
                self.check(option, key, value, item)?;
            }
        }
        Ok((option.get_id().clone(), values))
    }

    /// Says now what is wrong with a value, since later nobody would know where it is from.
    fn check(&self, option: &Arg, key: &str, value: &str, item: &Item) -> Result<(), Failure> {
        let alone = Command::new("").no_binary_name(true).arg(option.clone().required(false));
        let Err(error) = alone.try_get_matches_from([format!("--{key}={value}")]) else { return Ok(()) };
        let said = error.to_string();
        let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Err(self.refuse(
            item,
            said.to_owned(),
            "it is what the option of this name takes on the command line",
        ))
    }

    fn refuse(&self, item: &Item, problem: String, help: &str) -> Failure {
        let line = item.span().map_or(1, |span| line_of(self.text, span.start));
        Failure::bad_input(format!("{}:{line}: {problem}", self.path)).help(help)
    }
}

/// The options of a command that can stand in a file.
pub fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|option| option.get_long().is_some_and(|long| ![CONFIG, "help", "version"].contains(&long)))
}

fn with_defaults(option: Arg, values: Vec<String>) -> Arg {
    option.required(false).default_values(values)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        _ => None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;
    use std::fs;

    fn parsed(file: &str, arguments: &[&str]) -> Result<ArgMatches, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chancery.toml");
        fs::write(&path, file).unwrap();
        let (path, dir) = (path.display().to_string(), format!("{}/", folder.path().display()));
        let arguments = ["chancery"].iter().chain(arguments).map(|word| word.replace("FILE", &path));
        let arguments: Vec<OsString> = arguments.map(OsString::from).collect();
        let command =
            filled(Cli::command(), &arguments).map_err(|failure| failure.to_string().replace(&dir, ""))?;
        command.try_get_matches_from(arguments).map_err(|error| error.to_string())
    }

    fn text(matches: &ArgMatches, id: &str) -> Vec<String> {
        let (_, options) = matches.subcommand().unwrap();
        let raw = options.get_raw(id).into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned()).collect()
    }

    const FILE: &str = r#"
log = "debug"

[control-plane]
listen = "0.0.0.0:5680"
restored = true
rollout-stages = ["5%", "100%"]

[sidecar]
service = "shop/orders"
token-file = "/run/secrets/token"
concurrency = 4
label = ["version=v2", "track=canary"]
"#;

    #[test]
    fn an_option_that_is_not_given_is_the_files() {
        let control_plane = parsed(FILE, &["control-plane", "--config", "FILE"]).unwrap();
        assert_eq!(text(&control_plane, "listen"), ["0.0.0.0:5680"]);
        assert_eq!(text(&control_plane, "restored"), ["true"]);
        assert_eq!(text(&control_plane, "rollout_stages"), ["5%", "100%"]);
        assert_eq!(text(&control_plane, "leave_after"), ["60s"], "what is in neither stays as it was");
        assert_eq!(text(&control_plane, "log"), ["debug"]);

        let given =
            ["sidecar", "--config", "FILE", "--label", "version=v3", "--concurrency=1", "--log", "warn"];
        let sidecar = parsed(FILE, &given).unwrap();
        assert_eq!(text(&sidecar, "service"), ["shop/orders"], "also one without which nothing runs");
        assert_eq!(text(&sidecar, "labels"), ["version=v3"]);
        assert_eq!(text(&sidecar, "concurrency"), ["1"]);
        assert_eq!(text(&sidecar, "log"), ["warn"]);

        // Others do not read it.
        let status = parsed("nonsense", &["status"]).unwrap();
        assert_eq!(status.subcommand_name(), Some("status"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let refused = |file: &str| match parsed(file, &["control-plane", "--config", "FILE"]) {
            Err(said) => said,
            Ok(_) => panic!("{file} is taken"),
        };
        for (file, said) in [
            ("[control-plane]\nlisten = ", "chancery.toml:2: "),
            (
                "[control-plane]\n\nlistn = \"a\"",
                "chancery.toml:3: there is no option `listn`\n  help: did you mean `listen`?",
            ),
            (
                "[sidecar]\nlabels = []",
                "chancery.toml:2: there is no option `labels`\n  help: did you mean `label`?",
            ),
            (
                "[sidecars]\n",
                "`sidecars` is no table or option of this file\n  help: options of a server stand in its table",
            ),
            (
                "[control-plane]\nlisten = \"here\"",
                "chancery.toml:2: invalid value 'here' for '--listen <ADDRESS:PORT>': ",
            ),
            (
                "[control-plane]\nrestored = \"yes\"",
                "`restored` has a value of another kind\n  help: write `true` or `false`",
            ),
            ("[sidecar]\nlabel = [1.5]", "`label` has values of another kind\n  help: write a list of texts"),
            ("[sidecar]\nservice = [\"a/b\"]", "`service` has a value of another kind\n  help: write a text"),
            ("[control-plane]\nconfig = \"other\"", "there is no option `config`"),
        ] {
            let refused = refused(file);
            assert!(refused.contains(said), "{file}\n{refused}");
        }
        let missing = parsed("", &["sidecar", "--config", "nowhere.toml"]).unwrap_err();
        assert!(missing.contains("the configuration file `nowhere.toml` cannot be used: "), "{missing}");
    }

    #[test]
    fn each_option_of_a_server_has_a_variable_and_is_documented() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (name, page) in [("control-plane", "operating.md"), ("sidecar", "sidecar.md")] {
            let page = fs::read_to_string(docs.join(page)).unwrap();
            let command = Cli::command();
            for option in options(command.find_subcommand(name).unwrap()) {
                let flag = option.get_long().unwrap();
                let variable =
                    option.get_env().unwrap_or_else(|| panic!("--{flag} of {name} has no variable"));
                let row = format!("| `--{flag}` | `{}` |", variable.to_str().unwrap());
                assert!(page.contains(&row), "no row of the page of {name} begins with {row}");
            }
        }
    }
}
