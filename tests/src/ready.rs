//! The ready filters as their descriptions tell of them, built and admitted as sidecars would run them.

use crate::envoy::wasm_filter;
use crate::filters;
use anyhow::{Context, Result, bail};
use chancery_sdk_admission::{AdmittedModule, Capability, Terms, admit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A ready filter.
#[derive(Clone, Debug)]
pub struct ReadyFilter {
    /// What it is called.
    pub name: String,
    /// What it needs to be allowed.
    pub may: BTreeSet<Capability>,
    /// The configuration that its description has as an example.
    pub config: String,
    /// Where the module is as it was built.
    pub path: PathBuf,
    /// The module with its bounds, and with nothing but what is stated in `may`.
    pub module: AdmittedModule,
}

/// Builds and admits all ready filters, under `target`.
///
/// # Errors
/// When one does not build, is not admitted, or its description does not say what is needed.
pub fn all(target: &Path) -> Result<BTreeMap<String, ReadyFilter>> {
    let filters = descriptions()?.into_iter().map(|description| {
        let filter = ready(&description, target)?;
        Ok((filter.name.clone(), filter))
    });
    filters.collect()
}

/// What stands in each `filters/NAME/filter.json`.
fn descriptions() -> Result<Vec<Value>> {
    let mut descriptions = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../filters"))? {
        let path = entry?.path().join("filter.json");
        if path.is_file() {
            descriptions.push(serde_json::from_slice(&std::fs::read(path)?)?);
        }
    }
    Ok(descriptions)
}

fn ready(description: &Value, target: &Path) -> Result<ReadyFilter> {
    let name =
        description.get("name").and_then(Value::as_str).context("a description has no name")?.to_owned();
    let config = description.get("config").context("a description has no example")?.to_string();
    let words = description.get("may").and_then(Value::as_array).context("a description has no `may`")?;
    let may = words.iter().map(|words| {
        let known = Capability::ALL.iter().copied().find(|known| Some(known.as_str()) == words.as_str());
        known.with_context(|| format!("{name}: there is no capability {words}"))
    });
    let may = may.collect::<Result<BTreeSet<_>>>()?;
    let path = filters::ready(&name, target)?;
    let terms = Terms { may: Some(may.clone()), ..Terms::default() };
    let admission = admit(&std::fs::read(&path)?, &terms);
    let Some(module) = admission.module else { bail!("{name} is refused: {:?}", admission.findings) };
    Ok(ReadyFilter { name, may, config, path, module })
}

impl ReadyFilter {
    /// Writes the module with its bounds into a folder, and gives an Envoy filter of it with a configuration: what it may
    /// not do Envoy keeps from it, too.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn bounded(&self, folder: &Path, name: &str, configuration: &str) -> Result<Value> {
        let path = folder.join(format!("{}-bounded.wasm", self.name));
        std::fs::write(&path, &self.module.bytes)?;
        let mut filter = self.filter_of(&path, name, configuration);
        let allowed: serde_json::Map<String, Value> =
            self.module.allowed.iter().map(|name| (name.clone(), json!({}))).collect();
        let config = filter.pointer_mut("/typed_config/config").and_then(Value::as_object_mut);
        config
            .context("it is a Wasm filter")?
            .insert("capability_restriction_config".to_owned(), json!({"allowed_capabilities": allowed}));
        Ok(filter)
    }

    /// An Envoy filter of the module as it was built.
    #[must_use]
    pub fn unbounded(&self, name: &str, configuration: &str) -> Value {
        self.filter_of(&self.path, name, configuration)
    }

    fn filter_of(&self, path: &Path, name: &str, configuration: &str) -> Value {
        let mut filter = wasm_filter(name, path, configuration);
        if let Some(config) = filter.pointer_mut("/typed_config/config").and_then(Value::as_object_mut) {
            config.insert("allow_on_headers_stop_iteration".to_owned(), json!(true));
        }
        filter
    }
}
