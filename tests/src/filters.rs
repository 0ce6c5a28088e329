//! The filters that the benchmarks compare, and the tools to make them.

use crate::programs::{linked, workload};
use anyhow::{Context, Error, Result, bail};
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's packages of a compiler and the sources of its standard library, of one version.
const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rust-web-src", "libllvm22"];

/// The module of policies for a workload of the benchmark.
///
/// # Errors
/// What is wrong with the policies.
pub fn compiled(text: &str, options: ModuleOptions) -> Result<Vec<u8>> {
    let program = linked(text, &workload("bench", "bench")).map_err(Error::msg)?;
    Ok(compile_with(&program, options)?.bytes.to_vec())
}

/// A module that is called for each request and does nothing.
///
/// # Errors
/// Never: the text is valid.
pub fn empty() -> Result<Vec<u8>> {
    Ok(wat::parse_str(
        r#"(module
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )?)
}

/// Native RBAC that allows what one of these permissions allows.
#[must_use]
pub fn rbac(policies: serde_json::Map<String, Value>) -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": policies},
        },
    })
}

/// A policy of RBAC for everybody: a path prefix, and headers with exact values.
#[must_use]
pub fn rbac_policy(prefix: &str, headers: &[(&str, &str)]) -> Value {
    let path = json!({"url_path": {"path": {"prefix": prefix}}});
    let headers = headers
        .iter()
        .map(|(name, value)| json!({"header": {"name": name, "string_match": {"exact": value}}}));
    let rules: Vec<Value> = std::iter::once(path).chain(headers).collect();
    json!({"permissions": [{"and_rules": {"rules": rules}}], "principals": [{"any": true}]})
}

/// A Lua filter of this source.
#[must_use]
pub fn lua(source: &str) -> Value {
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": source},
        },
    })
}

/// Builds the filter of `benches/filters/hand-written` for wasm32, under `target`: on the bare `proxy-wasm` crate.
///
/// # Errors
/// When no compiler for wasm32 can be had, or the filter does not build.
pub fn hand_written(target: &Path) -> Result<PathBuf> {
    built("tests/benches/filters/hand-written", "release", "hand_written", target)
}

/// Builds the filter of `benches/filters/with-sdk` for wasm32, under `target`: its twin on the SDK.
///
/// # Errors
/// When no compiler for wasm32 can be had, or the filter does not build.
pub fn with_sdk(target: &Path) -> Result<PathBuf> {
    built("tests/benches/filters/with-sdk", "release", "with_sdk", target)
}

/// Builds the ready filter `filters/<name>` for wasm32, under `target`, as it ships.
///
/// # Errors
/// When no compiler for wasm32 can be had, or the filter does not build.
pub fn ready(name: &str, target: &Path) -> Result<PathBuf> {
    built(&format!("filters/{name}"), "filter", &name.replace('-', "_"), target)
}

/// Builds the crate in a folder of the repository for wasm32, under `target`, and gives where its module is.
///
/// With the target of rustup where that can be had, else with Debian's compiler, unpacked there.
///
/// # Errors
/// When neither compiler can be had, or the filter does not build.
fn built(folder: &str, profile: &str, module: &str, target: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--profile", profile, "--quiet", "--target", TARGET]);
    build.current_dir(source).env("CARGO_TARGET_DIR", target);
    if !has_target() {
        use_debian_compiler(&mut build, target)?;
    }
    run(&mut build)?;
    Ok(target.join(TARGET).join(profile).join(module).with_extension("wasm"))
}

/// Whether the ordinary compiler has the target, or rustup can add it.
fn has_target() -> bool {
    let installed = sysroot().is_ok_and(|sysroot| sysroot.join("lib/rustlib").join(TARGET).is_dir());
    installed
        || Command::new("rustup")
            .args(["target", "add", TARGET])
            .status()
            .is_ok_and(|status| status.success())
}

/// Unpacks Debian's compiler into a folder and lets a build use it, with the ordinary linker.
fn use_debian_compiler(build: &mut Command, target: &Path) -> Result<()> {
    let folder = target.join("debian");
    if !folder.join("usr/bin/rustc").is_file() {
        std::fs::create_dir_all(&folder)?;
        let download =
            || run(Command::new("apt-get").arg("download").args(DEBIAN_PACKAGES).current_dir(&folder));
        // A new machine has no lists of packages yet.
        if download().is_err() {
            run(Command::new("apt-get").arg("update"))?;
            download()?;
        }
        for package in std::fs::read_dir(&folder)? {
            let path = package?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg").arg("-x").arg(&path).arg(&folder))?;
            }
        }
    }
    let linker = sysroot()?.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    build.args(["-Z", "build-std=std,panic_abort"]);
    build.env("LD_LIBRARY_PATH", folder.join("usr/lib/x86_64-linux-gnu"));
    build.env("RUSTC", folder.join("usr/bin/rustc")).env("RUSTC_BOOTSTRAP", "1");
    build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    Ok(())
}

fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output()?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} ended with {status}") }
}
