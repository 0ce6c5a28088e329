//! `examples/deploy`, as far as a test can try it: what the units start is started with their files, and the containers' commands
//! are commands, with the files, stages and volumes that they name.

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on shall say so")]

use crate::command_line::transcript::CHANCERY;
use crate::tidy::{file, root};
use anyhow::{Context as _, Result, bail, ensure};
use chancery_control::cli::Cli;
use chancery_control::sidecar::envoy_binary::Search;
use chancery_tests::mesh::process::signal;
use chancery_tests::mesh::{PATIENCE, ports};
use clap::Parser as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::process::Child;
use tokio::time::timeout;

const CONTROL_PLANE: &str = "chancery-control-plane.service";
const SIDECAR: &str = "chancery-sidecar@.service";
/// Where the units look for the command.
const INSTALLED: &str = "/usr/local/bin/chancery";

/// The lines of a unit that set this.
fn settings<'u>(unit: &'u str, name: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn the_units_are_units() {
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, instance) in [(CONTROL_PLANE, CONTROL_PLANE), (SIDECAR, "chancery-sidecar@orders.service")] {
        let unit = file(&format!("examples/deploy/systemd/{name}")).text.replace(INSTALLED, CHANCERY);
        fs::write(folder.path().join(name), unit).unwrap();
        let verify = ["verify", "--man=no", "--generators=no", instance];
        let output =
            Command::new("systemd-analyze").args(verify).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("chancery"), "{name}: {said}");
    }
}

/// What a service manager makes of a unit for `orders`, with the folders of the system in a folder of the test.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Result<Self> {
        let machine = Self { folder: tempfile::tempdir()? };
        for folder in ["etc", "credentials", "state"] {
            fs::create_dir(machine.folder.path().join(folder))?;
        }
        Ok(machine)
    }

    fn at(&self, path: &str) -> String {
        self.folder.path().join(path).display().to_string()
    }

    /// A file of `/etc/chancery`, with these texts in the place of others.
    fn configure(&self, name: &str, changes: &[(&str, &str)]) -> Result<()> {
        let mut text = file(&format!("examples/deploy/systemd/{name}")).text;
        for (from, to) in changes {
            ensure!(text.contains(from), "{name} does not say `{from}`");
            text = text.replace(from, to);
        }
        Ok(fs::write(self.folder.path().join("etc").join(name), text)?)
    }

    fn start(&self, name: &str) -> Result<Child> {
        let unit = file(&format!("examples/deploy/systemd/{name}")).text;
        let places = [
            ("%i", "orders".to_owned()),
            ("%S", self.at("state")),
            ("%d", self.at("credentials")),
            ("/etc/chancery", self.at("etc")),
        ];
        let replaced =
            |text: &str| places.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let [line] = settings(&unit, "ExecStart")[..] else { bail!("{name} starts one command") };
        let line = replaced(line);
        let mut words = line.split(' ');
        ensure!(words.next() == Some(INSTALLED), "{line}");
        let mut command = tokio::process::Command::new(CHANCERY);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let log = fs::File::create(self.at(&format!("{name}.log")))?;
        command.stderr(log);
        for setting in settings(&unit, "Environment") {
            let (variable, value) = setting.split_once('=').context("a variable has a value")?;
            command.env(variable, replaced(value));
        }
        Ok(command.spawn()?)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.at(&format!("{name}.log"))).unwrap_or_default()
    }

    async fn chancery(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(CHANCERY);
        command.args(arguments).env("CHANCERY_CONTEXT", self.at("state/chancery/control-plane/admin.json"));
        let output = timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await??;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        let logs = || [CONTROL_PLANE, SIDECAR].map(|name| self.log(name)).join("\n");
        ensure!(output.status.success(), "{arguments:?}: {said}\n{}", logs());
        Ok(said)
    }
}

#[tokio::test]
async fn what_the_units_start_is_a_mesh() -> Result<()> {
    let search = || Search::from_environment(None).find_or_install(&mut |_| {});
    let envoy = tokio::task::spawn_blocking(search).await?.context("no Envoy")?;
    let machine = Machine::new()?;
    let listen = ports::free()?.to_string();
    machine
        .configure("control-plane.toml", &[("0.0.0.0:5680", &listen), ("control.example", "localhost")])?;
    let [inbound, application, readiness] = [ports::free()?, ports::free()?, ports::free()?];
    let _application = std::net::TcpListener::bind(application)?;
    let changes = [
        ("8080:127.0.0.1:9000", format!("{}:{application}", inbound.port())),
        ("127.0.0.1:9901", readiness.to_string()),
        ("/usr/local/bin/envoy", envoy.path.display().to_string()),
    ];
    machine.configure("sidecar-orders.toml", &changes.each_ref().map(|(from, to)| (*from, to.as_str())))?;

    let mut control_plane = machine.start(CONTROL_PLANE)?;
    machine.chancery(&["status", "--wait"]).await?;
    let token = machine.at("credentials/token");
    machine.chancery(&["token", "--service", "shop/orders", "-o", &token]).await?;
    let mut sidecar = machine.start(SIDECAR)?;
    let said = machine.chancery(&["status", "--wait", "--sidecars", "1"]).await?;
    assert!(said.contains("1/1 sidecar on revision 0"), "{said}");
    let said = machine.chancery(&["proxies"]).await?;
    assert!(said.contains("shop/orders") && said.contains(&inbound.to_string()), "{said}");

    for (child, name) in [(&mut sidecar, SIDECAR), (&mut control_plane, CONTROL_PLANE)] {
        signal("TERM", child.id().context("it runs")?).await?;
        let status = timeout(PATIENCE, child.wait()).await??;
        assert!(status.success(), "{name}: {status}\n{}", machine.log(name));
        assert!(!machine.log(name).contains("others can read"), "{}", machine.log(name));
    }
    Ok(())
}

/// The words of `["a", "b"]`.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap()
}

fn must_be_a_command(place: &str, words: &[String]) {
    let arguments = std::iter::once("chancery").chain(words.iter().map(String::as_str));
    if let Err(error) = Cli::try_parse_from(arguments) {
        assert!(!error.use_stderr(), "{place}: {error}");
    }
}

/// The stages of the image's description, each after it was looked at.
fn stages() -> BTreeSet<String> {
    let text = file_at("examples/deploy/container/Dockerfile");
    let mut stages = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["FROM", _, "AS", name] => {
                stages.insert((*name).to_owned());
            }
            ["COPY", rest @ ..] => {
                let (options, paths): (Vec<&str>, Vec<&str>) =
                    rest.iter().partition(|word| word.starts_with("--"));
                let from = options.iter().find_map(|option| option.strip_prefix("--from="));
                let (_, sources) = paths.split_last().unwrap();
                for source in sources {
                    let is_there = match from {
                        Some(stage) => stages.contains(stage),
                        None => root().join(source).exists(),
                    };
                    assert!(is_there, "{line}");
                }
            }
            ["ENTRYPOINT", _] => assert_eq!(line, format!("ENTRYPOINT [\"{INSTALLED}\"]")),
            ["CMD", ..] => must_be_a_command(line, &list(line.trim_start_matches("CMD "))),
            _ => {}
        }
    }
    assert!(text.contains("./dist ") && root().join("dist").is_file(), "the command is built by `dist`");
    stages
}

fn file_at(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn words_of(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_containers_are_a_mesh_of_what_there_is() {
    const FOLDER: &str = "examples/deploy/container";
    let stages = stages();
    let compose: Value = serde_saphyr::from_str(&file_at(&format!("{FOLDER}/compose.yaml"))).unwrap();
    let folder = root().join(FOLDER);
    let services = compose["services"].as_object().unwrap();
    let mut built = BTreeSet::new();
    for (name, service) in services {
        // What the compose specification calls these things; another word would be passed over or refused.
        for key in service.as_object().unwrap().keys() {
            let known = [
                "image",
                "build",
                "command",
                "volumes",
                "healthcheck",
                "restart",
                "depends_on",
                "network_mode",
                "stop_grace_period",
            ];
            assert!(known.contains(&key.as_str()), "{name}: {key}");
        }
        let image = service["image"].as_str().unwrap();
        if image.starts_with("chancery") {
            must_be_a_command(name, &words_of(&service["command"]));
        }
        if let Some(build) = service.get("build") {
            let context = folder.join(build["context"].as_str().unwrap());
            assert!(context.join(build["dockerfile"].as_str().unwrap()).is_file(), "{name}: {build}");
            assert!(stages.contains(build["target"].as_str().unwrap()), "{name}: {build}");
            built.insert(image);
        }
        if let Some(check) = service.get("healthcheck") {
            let words = words_of(&check["test"]);
            assert_eq!(words[..2], ["CMD", INSTALLED], "{name}: there is no shell");
            must_be_a_command(name, &words[2..]);
        }
        for volume in service.get("volumes").map(words_of).unwrap_or_default() {
            let source = volume.split(':').next().unwrap();
            let is_there = match source.starts_with('.') {
                true => Path::exists(&folder.join(source)),
                false => compose["volumes"].get(source).is_some(),
            };
            assert!(is_there, "{name}: {volume}");
        }
        for (other, terms) in service.get("depends_on").and_then(Value::as_object).into_iter().flatten() {
            let condition = terms["condition"].as_str().unwrap();
            let is_met = match condition {
                "service_healthy" => services[other].get("healthcheck").is_some(),
                "service_completed_successfully" => services[other].get("restart").is_none(),
                _ => false,
            };
            assert!(is_met, "{name} waits for {other}: {condition}");
        }
        if let Some(network) = service.get("network_mode") {
            assert!(
                services.contains_key(network.as_str().unwrap().strip_prefix("service:").unwrap()),
                "{name}"
            );
        }
    }
    for service in services.values() {
        let image = service["image"].as_str().unwrap();
        assert!(built.contains(image) || !image.starts_with("chancery"), "nobody builds {image}");
    }
}
