//! Manifests and indexes: which layer of them is a module.

use crate::Digest;
use serde::Deserialize;

/// Bytes of a manifest or index.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Layers of a manifest, and manifests of an index.
const ENTRIES_MAX: usize = 1_000;

/// The media types of manifests and indexes that are understood.
pub const ACCEPTED: &[&str] = &[OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers that are a module: of Wasm OCI artifacts by the tools of old and of today, and of Istio's own format.
const MODULES: &[&str] = &[
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
/// Layers that are an archive in which a module may be, compressed by gzip or not.
const ARCHIVES: &[(&str, bool)] = &[
    ("application/vnd.oci.image.layer.v1.tar+gzip", true),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", true),
    ("application/vnd.oci.image.layer.v1.tar", false),
];
/// The architecture that manifests for Wasm have in an index.
const WASM: &str = "wasm";
/// The architecture that build tools give to what is no image, such as statements about how one was built.
const UNKNOWN: &str = "unknown";

/// What a registry has under a tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// An index: the manifest that is meant.
    Index(Descriptor),
    /// The layer that has the module, and how.
    Module(Descriptor, Packing),
}

/// How a module is in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// It is the layer.
    Plain,
    /// It is a file of an archive.
    Archive {
        /// Whether the archive is compressed by gzip.
        is_compressed: bool,
    },
}

/// Which bytes are meant, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Their digest.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

/// Why a manifest does not lead to a module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no manifest.
    #[error("{0}")]
    Odd(String),
    /// There is no module in it.
    #[error("{0}")]
    NoModule(String),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "mediaType", default)]
    media_type: Option<String>,
    #[serde(default)]
    layers: Option<Vec<Entry>>,
    #[serde(default)]
    manifests: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

impl Manifest {
    /// Reads a manifest or index.
    ///
    /// # Errors
    /// If it is neither, or there is not one module in it.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::Odd(format!("it has more than {MANIFEST_BYTES_MAX} bytes")));
        }
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Odd(format!("it is no manifest: {error}")))?;
        let of_type = document.media_type.as_deref();
        match (document.layers, document.manifests) {
            (Some(layers), None) if !matches!(of_type, Some(OCI_INDEX | DOCKER_LIST)) => module_in(&layers),
            (None, Some(manifests)) if !matches!(of_type, Some(OCI_MANIFEST | DOCKER_MANIFEST)) => {
                meant_in(&manifests).map(Self::Index)
            }
            _ => Err(ManifestError::Odd("it is neither a manifest with layers nor an index".to_owned())),
        }
    }
}

/// The one layer with a module.
fn module_in(layers: &[Entry]) -> Result<Manifest, ManifestError> {
    check_count(layers)?;
    let plain: Vec<&Entry> =
        layers.iter().filter(|layer| MODULES.contains(&layer.media_type.as_str())).collect();
    let archives: Vec<(&Entry, bool)> = layers
        .iter()
        .filter_map(|layer| {
            let known = ARCHIVES.iter().find(|(media_type, _)| *media_type == layer.media_type);
            known.map(|(_, is_compressed)| (layer, *is_compressed))
        })
        .collect();
    match (plain.as_slice(), archives.as_slice()) {
        ([layer], _) => Ok(Manifest::Module(layer.descriptor()?, Packing::Plain)),
        ([], [(layer, is_compressed)]) => {
            let packing = Packing::Archive { is_compressed: *is_compressed };
            Ok(Manifest::Module(layer.descriptor()?, packing))
        }
        ([], []) => {
            let first =
                layers.first().map(|layer| layer.media_type.escape_debug().take(100).collect::<String>());
            let detail = first.map_or_else(
                || "it has no layers".to_owned(),
                |first| format!("none of its layers is a module or an archive; the first is `{first}`"),
            );
            Err(ManifestError::NoModule(detail))
        }
        (plain, archives) => {
            let count = plain.len().max(archives.len());
            Err(ManifestError::NoModule(format!("it has {count} layers in which a module could be, not one")))
        }
    }
}

/// The one manifest of an index that is meant: that for Wasm, or the only image, or that for Linux on x86-64: a module
/// is the same for every machine.
fn meant_in(manifests: &[Entry]) -> Result<Descriptor, ManifestError> {
    check_count(manifests)?;
    let architecture = |entry: &Entry| entry.platform.as_ref().map(|of| of.architecture.clone());
    let images: Vec<&Entry> = manifests
        .iter()
        .filter(|entry| [OCI_MANIFEST, DOCKER_MANIFEST].contains(&entry.media_type.as_str()))
        .filter(|entry| architecture(entry).as_deref() != Some(UNKNOWN))
        .collect();
    let wasm = images.iter().find(|entry| architecture(entry).as_deref() == Some(WASM));
    let usual = images.iter().find(|entry| {
        entry.platform.as_ref().is_some_and(|of| of.os == "linux" && of.architecture == "amd64")
    });
    match (wasm, images.as_slice(), usual) {
        (Some(meant), _, _) | (None, [meant], _) | (None, _, Some(meant)) => meant.descriptor(),
        (None, [], None) => Err(ManifestError::NoModule("it is an index without an image".to_owned())),
        (None, images, None) => Err(ManifestError::NoModule(format!(
            "it is an index of {} images, none of them for Wasm",
            images.len()
        ))),
    }
}

fn check_count(entries: &[Entry]) -> Result<(), ManifestError> {
    if entries.len() > ENTRIES_MAX {
        return Err(ManifestError::Odd(format!("it has more than {ENTRIES_MAX} entries")));
    }
    Ok(())
}

impl Entry {
    fn descriptor(&self) -> Result<Descriptor, ManifestError> {
        let odd = |_| ManifestError::Odd("a digest in it is no SHA-256".to_owned());
        let digest = self.digest.parse().map_err(odd)?;
        Ok(Descriptor { digest, size: self.size })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(media_type: &str, of: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(of.as_bytes()).to_string(), "size": of.len()})
    }

    fn descriptor(of: &str) -> Descriptor {
        Descriptor { digest: Digest::of(of.as_bytes()), size: of.len() as u64 }
    }

    fn read(document: &Value) -> Result<Manifest, ManifestError> {
        Manifest::read(document.to_string().as_bytes())
    }

    #[test]
    fn a_module_is_found_in_every_layout() {
        for media_type in MODULES {
            let layers = [entry("application/vnd.module.wasm.config.v1+json", "c"), entry(media_type, "m")];
            let found = read(&json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}));
            assert_eq!(found.unwrap(), Manifest::Module(descriptor("m"), Packing::Plain));
        }
        for (media_type, is_compressed) in ARCHIVES {
            let found = read(&json!({"schemaVersion": 2, "layers": [entry(media_type, "a")]})).unwrap();
            let packing = Packing::Archive { is_compressed: *is_compressed };
            assert_eq!(found, Manifest::Module(descriptor("a"), packing));
        }
    }

    #[test]
    fn of_an_index_the_image_that_is_meant_is_taken() {
        let image = |of: &str, os: &str, architecture: &str| {
            let Value::Object(mut image) = entry(OCI_MANIFEST, of) else { unreachable!() };
            image.insert("platform".to_owned(), json!({"os": os, "architecture": architecture}));
            Value::Object(image)
        };
        let meant = |manifests: Vec<Value>| read(&json!({"mediaType": OCI_INDEX, "manifests": manifests}));
        let statement = || image("s", "unknown", "unknown");
        let arm = || image("arm", "linux", "arm64");
        let x86 = || image("x86", "linux", "amd64");
        assert_eq!(meant(vec![statement(), arm()]), Ok(Manifest::Index(descriptor("arm"))));
        assert_eq!(meant(vec![arm(), x86(), statement()]), Ok(Manifest::Index(descriptor("x86"))));
        let wasm = image("wasm", "wasip1", "wasm");
        assert_eq!(meant(vec![arm(), x86(), wasm]), Ok(Manifest::Index(descriptor("wasm"))));
        assert!(meant(vec![statement()]).is_err());
        assert!(meant(vec![arm(), image("s390x", "linux", "s390x")]).is_err());
    }

    #[test]
    fn what_is_no_manifest_or_has_no_module_is_said() {
        let said = |document: Value| read(&document).unwrap_err().to_string();
        assert!(Manifest::read(b"<html>").unwrap_err().to_string().contains("no manifest"));
        assert!(said(json!({})).contains("neither"));
        assert!(said(json!({"layers": [], "manifests": []})).contains("neither"));
        assert!(said(json!({"mediaType": OCI_INDEX, "layers": []})).contains("neither"));
        assert!(said(json!({"layers": []})).contains("no layers"));
        assert!(said(json!({"layers": [entry("a/b", "x")]})).contains("the first is `a/b`"));
        let archive = || entry("application/vnd.oci.image.layer.v1.tar", "x");
        assert!(said(json!({"layers": [archive(), archive()]})).contains("2 layers"));
        let md5 = json!({"mediaType": "application/wasm", "digest": "md5:aa", "size": 1});
        assert!(said(json!({"layers": [md5]})).contains("no SHA-256"));
        let many = vec![entry("a/b", "x"); ENTRIES_MAX + 1];
        assert!(said(json!({"layers": many})).contains("more than"));
    }
}
