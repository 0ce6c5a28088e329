//! Resources out of files.

use super::fields::{Fields, Item, Notes, Place};
use super::{ImportError, Resources};
use serde_json::Value;

/// A resource.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// The file that it stands in.
    pub(super) file: String,
    /// Such as `VirtualService`.
    pub(super) kind: String,
    /// The name in `metadata`, or beside `type`.
    pub(super) name: String,
    /// Its namespace, if it says one.
    pub(super) namespace: Option<String>,
    /// Its kind and name, as notes call it.
    shown: String,
    spec: Value,
}

/// All resources of these files, those too that stand in a `List`.
pub(super) fn read(files: &[Resources], notes: &Notes) -> Result<Vec<Manifest>, ImportError> {
    let mut manifests = Vec::new();
    for file in files {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&file.text)
            .map_err(|error| ImportError { file: file.name.clone(), message: error.to_string() })?;
        documents.into_iter().for_each(|document| add(document, &file.name, notes, &mut manifests));
    }
    Ok(manifests)
}

fn add(document: Value, file: &str, notes: &Notes, manifests: &mut Vec<Manifest>) {
    if document.is_null() {
        return;
    }
    let text = |path: &str| document.pointer(path).and_then(Value::as_str).map(str::to_owned);
    // Kuma's own form has `type` and `name` in place of `kind` and `metadata`.
    let kind = text("/kind").or_else(|| text("/type"));
    let name = text("/metadata/name").or_else(|| text("/name"));
    match (kind, name, document.get("items")) {
        (Some(kind), _, Some(Value::Array(items))) if kind.ends_with("List") => {
            items.iter().for_each(|item| add(item.clone(), file, notes, manifests));
        }
        (Some(kind), Some(name), _) => {
            let namespace = text("/metadata/namespace");
            let shown = match &namespace {
                Some(namespace) => format!("{kind} {namespace}/{name}"),
                None => format!("{kind} {name}"),
            };
            let spec = document.get("spec").cloned().unwrap_or_default();
            manifests.push(Manifest { file: file.to_owned(), kind, name, namespace, shown, spec });
        }
        _ => {
            let place = Place { file, resource: "a document", field: String::new(), notes };
            place.note("it is not carried over: it has no kind and name");
        }
    }
}

impl Manifest {
    /// What it says; an empty `spec` is one without fields.
    pub(super) fn spec<'a>(&'a self, notes: &'a Notes) -> Option<Fields<'a>> {
        let empty = &EMPTY;
        let value = if self.spec.is_null() { empty } else { &self.spec };
        Item { value, place: self.at("spec", notes) }.fields()
    }

    /// The place of a field of it, or of all of it.
    pub(super) fn at<'a>(&'a self, field: &str, notes: &'a Notes) -> Place<'a> {
        Place { file: &self.file, resource: &self.shown, field: field.to_owned(), notes }
    }

    /// Where a policy that is made of it comes from.
    pub(super) fn origin(&self) -> String {
        format!("{} ({})", self.shown, self.file)
    }
}

/// What a resource says that says nothing.
static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(serde_json::Map::new()));
