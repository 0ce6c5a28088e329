//! The module in a layer.

use crate::Packing;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Component, Path};
use tar::Archive;

/// How many times the bytes of a module are read of an archive until the module is found.
const ARCHIVE_TIMES_MAX: u64 = 4;
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
    #[error("`{PLUGIN}` has more than {0} bytes")]
    TooLarge(u64),
}

/// The module in the bytes of a layer, of so many bytes at the most.
///
/// # Errors
/// If there is none, or it is too large.
pub fn module_of(layer: &[u8], packing: Packing, bytes_max: u64) -> Result<Cow<'_, [u8]>, LayerError> {
    match packing {
        Packing::Plain if layer.len() as u64 > bytes_max => Err(LayerError::TooLarge(bytes_max)),
        Packing::Plain => Ok(Cow::Borrowed(layer)),
        Packing::Archive { is_compressed: false } => plugin_in(layer, bytes_max).map(Cow::Owned),
        Packing::Archive { is_compressed: true } => {
            plugin_in(MultiGzDecoder::new(layer), bytes_max).map(Cow::Owned)
        }
    }
}

fn plugin_in(archive: impl Read, bytes_max: u64) -> Result<Vec<u8>, LayerError> {
    let mut archive = Archive::new(archive.take(bytes_max.saturating_mul(ARCHIVE_TIMES_MAX)));
    for entry in archive.entries()?.take(FILES_MAX) {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() || !is_plugin(&entry.path()?) {
            continue;
        }
        let mut module = Vec::new();
        entry.by_ref().take(bytes_max.saturating_add(1)).read_to_end(&mut module)?;
        let is_too_large = module.len() as u64 > bytes_max;
        return if is_too_large { Err(LayerError::TooLarge(bytes_max)) } else { Ok(module) };
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
    const MAX: u64 = 1 << 20;
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
        assert_eq!(&*module_of(&bytes, LOOSE, MAX).unwrap(), b"yes");
        assert_eq!(&*module_of(&packed(&bytes), PACKED, MAX).unwrap(), b"yes");
        assert_eq!(&*module_of(b"as it is", Packing::Plain, MAX).unwrap(), b"as it is");
    }

    #[test]
    fn what_has_no_module_or_is_no_archive_is_an_error() {
        let none = archive(&[("a/plugin.wasm", b"no")]);
        assert!(matches!(module_of(&none, LOOSE, MAX), Err(LayerError::NoPlugin)));
        assert!(matches!(module_of(&none, PACKED, MAX), Err(LayerError::Unreadable(_))));
        assert!(module_of(&packed(b"hello"), PACKED, MAX).is_err());
        assert!(module_of(b"", PACKED, MAX).is_err());
        let whole = archive(&[("plugin.wasm", &[1; 4096])]);
        assert!(
            !matches!(module_of(whole.get(..1000).unwrap(), LOOSE, MAX), Ok(module) if module.len() == 4096)
        );
    }

    #[test]
    fn a_small_layer_that_becomes_a_large_one_ends() {
        let large = vec![0; MAX as usize + 1];
        let bomb = packed(&archive(&[("plugin.wasm", &large)]));
        assert!(bomb.len() < large.len() / 50);
        assert!(matches!(module_of(&bomb, PACKED, MAX), Err(LayerError::TooLarge(_))));
        let before = vec![0; (MAX * ARCHIVE_TIMES_MAX) as usize];
        let bomb = packed(&archive(&[("large", &before), ("plugin.wasm", b"yes")]));
        assert!(module_of(&bomb, PACKED, MAX).is_err());
    }
}
