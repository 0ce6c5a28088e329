//! Modules from the packages of SDKs: their own examples, built as their authors say.
//!
//! | module | from | by |
//! |---|---|---|
//! | `hello_world`, `http_auth_random`, `http_body`, `http_config`, `http_headers` | crate `proxy-wasm` 0.2.0 | `proxy-wasm` 0.2.5 |
//! | the same with `first_` | crate `proxy-wasm` 0.1.4: contract 0.1.0 | itself |
//! | `add_header` | the description of `@solo-io/proxy-runtime`: contract 0.2.0 | AssemblyScript |

use super::Module;
use crate::toolchains::node::Project;
use crate::toolchains::rust;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The examples, and what those are configured with that want something.
const EXAMPLES: [(&str, &str); 5] = [
    ("hello_world", ""),
    ("http_auth_random", ""),
    ("http_body", ""),
    ("http_config", "of the test"),
    ("http_headers", ""),
];

/// Builds all modules under a folder that outlives the test.
///
/// # Errors
/// When a toolchain or a package cannot be had, or one does not build.
pub fn build(cache: &Path) -> Result<Vec<Module>> {
    let cache = cache.join("foreign");
    fs::create_dir_all(&cache)?;
    let mut modules = examples("rust", "second", "", &cache)?;
    modules.extend(examples("rust-0.1", "first", "first_", &cache)?);
    modules.push(assembly_script(&cache)?);
    Ok(modules)
}

fn projects() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign")
}

/// The examples of a published package of the Rust SDK, which the project `sources` depends on under this name.
fn examples(project: &str, package: &str, prefix: &str, cache: &Path) -> Result<Vec<Module>> {
    let folder = cache.join(project);
    fs::create_dir_all(folder.join("examples"))?;
    let sources = sources(package, cache)?;
    for (name, _) in EXAMPLES {
        let file = PathBuf::from("examples").join(name).with_extension("rs");
        write_if_changed(&folder.join(&file), &fs::read(sources.join(&file))?)?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        write_if_changed(&folder.join(file), &fs::read(projects().join(project).join(file))?)?;
    }
    write_if_changed(&folder.join("none.rs"), b"")?;
    let target = cache.join(format!("{project}-target"));
    let mut build = rust::cargo(&target)?;
    build.args(["--release", "--examples", "--locked"]).current_dir(&folder);
    crate::toolchains::output(&mut build)?;
    let built = rust::modules(&target, "release").join("examples");
    let module = |(name, configuration): (&str, &str)| {
        Ok(Module {
            name: format!("{prefix}{name}"),
            bytes: fs::read(built.join(name).with_extension("wasm"))?,
            root_id: String::new(),
            configuration: configuration.to_owned(),
        })
    };
    EXAMPLES.into_iter().map(module).collect()
}

/// Where cargo keeps the sources of a dependency of the project `sources`, which it gets first.
fn sources(package: &str, cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("sources");
    fs::create_dir_all(&folder)?;
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::write(folder.join(file), fs::read(projects().join("sources").join(file))?)?;
    }
    fs::write(folder.join("none.rs"), "")?;
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--format-version", "1", "--locked"]).current_dir(&folder);
    let metadata: serde_json::Value = serde_json::from_str(&crate::toolchains::output(&mut metadata)?)?;
    let root = metadata.pointer("/resolve/root").context("no root")?;
    let nodes = metadata.pointer("/resolve/nodes").and_then(|nodes| nodes.as_array()).context("no nodes")?;
    let node = nodes.iter().find(|node| node.get("id") == Some(root)).context("no node of the root")?;
    let dependencies = node.get("deps").and_then(|deps| deps.as_array()).context("no dependencies")?;
    let dependency = dependencies.iter().find(|of| of.get("name").is_some_and(|name| name == package));
    let id = dependency.and_then(|of| of.get("pkg")).context("no such dependency")?;
    let packages =
        metadata.get("packages").and_then(|packages| packages.as_array()).context("no packages")?;
    let manifest = packages.iter().find(|of| of.get("id") == Some(id)).and_then(|of| of.get("manifest_path"));
    let manifest = manifest.and_then(|path| path.as_str()).context("no manifest")?;
    Ok(Path::new(manifest).parent().context("no folder")?.to_owned())
}

/// The example in the description of the AssemblyScript SDK. What runs at the start is exported, which the compiler's option
/// does: as a start section it would run before anything can be called.
fn assembly_script(cache: &Path) -> Result<Module> {
    let project = Project::installed(&projects().join("assemblyscript"), cache)?;
    let description = project.folder.join("node_modules/@solo-io/proxy-runtime/README.md");
    let description = fs::read_to_string(description)?;
    let code = description.split("```ts\n").nth(1).and_then(|rest| rest.split("```").next());
    fs::write(project.folder.join("add_header.ts"), code.context("no example in the description")?)?;
    let module = cache.join("add_header.wasm");
    project.compile("add_header.ts", &module, &["--use", "abort=abort_proc_exit", "--explicitStart"])?;
    Ok(Module {
        name: "add_header".to_owned(),
        bytes: fs::read(module)?,
        root_id: "add_header".to_owned(),
        configuration: "of the test".to_owned(),
    })
}

/// A file that is the same stays as old as it is, so that nothing is built again.
fn write_if_changed(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}
