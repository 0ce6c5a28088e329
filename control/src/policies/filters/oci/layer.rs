//! The module in a layer.

use super::manifest::Packing;
use chancery_sdk_admission::limits::MODULE_BYTES_MAX;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Component, Path};
use tar::Archive;

/// Bytes of a layer as a registry sends it: what can be no larger unpacked is no larger packed.
pub const LAYER_BYTES_MAX: u64 = MODULE_BYTES_MAX as u64 + (1 << 20);
/// Bytes of an archive that are read until the module is found.
const ARCHIVE_BYTES_MAX: u64 = 4 * MODULE_BYTES_MAX as u64;
/// Files of an archive that are looked at.
const FILES_MAX: usize = 10_000;
/// The file that has the module.
const PLUGIN: &str = "plugin.wasm";

/// Why there is no module in a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It cannot be read.
    #[error("its archive cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// There is no such file.
    #[error("there is no file `{PLUGIN}` in its archive")]
    NoPlugin,
    /// The file is too large.
    #[error("`{PLUGIN}` has more than {MODULE_BYTES_MAX} bytes")]
    TooLarge,
}

/// The module in the bytes of a layer.
///
/// # Errors
/// If there is none, or it is too large.
pub fn module_of(layer: &[u8], packing: Packing) -> Result<Cow<'_, [u8]>, LayerError> {
    match packing {
        Packing::Plain => Ok(Cow::Borrowed(layer)),
        Packing::Archive { is_compressed: false } => plugin_in(layer).map(Cow::Owned),
        Packing::Archive { is_compressed: true } => plugin_in(MultiGzDecoder::new(layer)).map(Cow::Owned),
    }
}

fn plugin_in(archive: impl Read) -> Result<Vec<u8>, LayerError> {
    let mut archive = Archive::new(archive.take(ARCHIVE_BYTES_MAX));
    for entry in archive.entries()?.take(FILES_MAX) {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() || !is_plugin(&entry.path()?) {
            continue;
        }
        let mut module = Vec::new();
        entry.by_ref().take(MODULE_BYTES_MAX as u64 + 1).read_to_end(&mut module)?;
        return if module.len() > MODULE_BYTES_MAX { Err(LayerError::TooLarge) } else { Ok(module) };
    }
    Err(LayerError::NoPlugin)
}

/// Whether a path is `plugin.wasm` at the root of the archive.
fn is_plugin(path: &Path) -> bool {
    let mut parts = path.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir));
    parts.next() == Some(Component::Normal(PLUGIN.as_ref())) && parts.next().is_none()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    const PACKED: Packing = Packing::Archive { is_compressed: true };
    const LOOSE: Packing = Packing::Archive { is_compressed: false };

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_module_is_unpacked() {
        let bytes =
            archive(&[("runtime-config.json", b"{}"), ("a/plugin.wasm", b"no"), ("./plugin.wasm", b"yes")]);
        assert_eq!(&*module_of(&bytes, LOOSE).unwrap(), b"yes");
        assert_eq!(&*module_of(&packed(&bytes), PACKED).unwrap(), b"yes");
        assert_eq!(&*module_of(b"as it is", Packing::Plain).unwrap(), b"as it is");
    }

    #[test]
    fn what_has_no_module_or_is_no_archive_is_an_error() {
        let none = archive(&[("a/plugin.wasm", b"no")]);
        assert!(matches!(module_of(&none, LOOSE), Err(LayerError::NoPlugin)));
        assert!(matches!(module_of(&none, PACKED), Err(LayerError::Unreadable(_))));
        assert!(module_of(&packed(b"hello"), PACKED).is_err());
        assert!(module_of(b"", PACKED).is_err());
        let whole = archive(&[("plugin.wasm", &[1; 4096])]);
        assert!(!matches!(module_of(whole.get(..1000).unwrap(), LOOSE), Ok(module) if module.len() == 4096));
    }

    #[test]
    fn a_small_layer_that_becomes_a_large_one_ends() {
        let large = vec![0; MODULE_BYTES_MAX + 1];
        let bomb = packed(&archive(&[("plugin.wasm", &large)]));
        assert!(bomb.len() < large.len() / 50);
        assert!(matches!(module_of(&bomb, PACKED), Err(LayerError::TooLarge)));
        let before = vec![0; ARCHIVE_BYTES_MAX as usize];
        let bomb = packed(&archive(&[("large", &before), ("plugin.wasm", b"yes")]));
        assert!(module_of(&bomb, PACKED).is_err());
    }
}
