//! The file formats of checkpoints: finds the format of a file, and reads its header.
//!
//! A new format is one file here that implements [`Format`], and one line in [`FORMATS`].

mod foreign;
mod format;
mod safetensors;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use format::Format;
pub(super) use format::{Header, HeaderError};
use safetensors::Safetensors;

/// Formats in the order in which they are asked. A format with a magic number must be before safetensors, which has none.
const FORMATS: &[&dyn Format] = &[&Safetensors];

/// Reads and validates the header of a file of `bytes` bytes.
///
/// # Errors
///
/// If the file cannot be read, is in no known format, or has a damaged header.
pub(super) fn read_header(path: &Path, file: &mut File, bytes: u64) -> Result<Header, HeaderError> {
    let mut head = Vec::new();
    let read = file.take(foreign::HEAD_BYTES).read_to_end(&mut head).and_then(|_| file.rewind());
    read.map_err(HeaderError::unreadable)?;
    if let Some(foreign) =
        foreign::recognize(&head).filter(|_| !FORMATS.iter().any(|format| format.is_plausible(&head)))
    {
        return Err(HeaderError::file(format!("is {}", foreign.what), foreign.hint));
    }
    choose(FORMATS, path, &head).read_header(file, bytes)
}

/// The first format that claims a file. If none does, safetensors: its errors explain what is wrong with the file.
fn choose<'a>(formats: &[&'a dyn Format], path: &Path, head: &[u8]) -> &'a dyn Format {
    let claims = |format: &&&dyn Format| format.claims(path, head);
    formats.iter().find(claims).copied().unwrap_or(&Safetensors)
}

/// True if the extension of a path is that of a known format.
pub(super) fn has_known_extension(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    FORMATS.iter().any(|format| extension == format.extension())
}

/// What a file of JSON is instead, such as a Git LFS pointer; `None` if it may be JSON.
pub(super) fn instead_of_json(content: &[u8]) -> Option<&'static str> {
    foreign::instead_of_json(content)
}

/// True if a file has the extension of weights in a format that is not supported.
pub(super) fn is_foreign_weights(path: &Path) -> bool {
    foreign::has_extension(path)
}

/// What a file in a format that is not supported is, and what to do: `is a GGUF file: ...`.
pub(super) fn describe_foreign(path: &Path) -> String {
    foreign::recognize_file(path).map_or_else(
        || "is in another format: convert the model to safetensors first".into(),
        |foreign| format!("is {}: {}", foreign.what, foreign.hint),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format with a magic number.
    struct Magic;

    impl Format for Magic {
        fn extension(&self) -> &'static str {
            "magic"
        }

        fn claims(&self, _path: &Path, head: &[u8]) -> bool {
            head.starts_with(b"MAGIC")
        }

        fn is_plausible(&self, head: &[u8]) -> bool {
            head.starts_with(b"MAGIC")
        }

        fn read_header(&self, _file: &mut File, _bytes: u64) -> Result<Header, HeaderError> {
            Ok(Header { tensors: Vec::new(), sha256: "magic".into() })
        }
    }

    #[test]
    fn a_magic_number_decides_before_an_extension() {
        let formats: [&dyn Format; 2] = [&Magic, &Safetensors];
        let header = [&9_u64.to_le_bytes()[..], b"{\"a\": 1}"].concat();
        for (path, head, extension) in [
            ("model.magic", &b"MAGIC..."[..], "magic"),
            ("model.safetensors", b"MAGIC...", "magic"),
            ("model.magic", &header, "safetensors"),
            ("model.safetensors", b"short", "safetensors"),
            ("unknown", b"neither", "safetensors"),
            ("unknown", b"", "safetensors"),
        ] {
            assert_eq!(choose(&formats, Path::new(path), head).extension(), extension, "{path}");
        }
    }

    #[test]
    fn a_header_is_read_from_the_start_after_its_format_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let json = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let bytes = [&(json.len() as u64).to_le_bytes()[..], json, &[0; 4]].concat();
        std::fs::write(&path, &bytes).unwrap();
        let header = read_header(&path, &mut File::open(&path).unwrap(), bytes.len() as u64).unwrap();
        assert_eq!(header.tensors[0].offset, bytes.len() as u64 - 4);
        assert!(has_known_extension(Path::new("a.safetensors")) && !has_known_extension(&path));
    }
}
