//! One file of a checkpoint: its header, and its bytes.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::formats;
use super::mapping::MappedFile;
use super::tensor::TensorInfo;
use crate::error::{Error, Result};

/// One file of a checkpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Shard {
    /// The path at which it was opened.
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the header, in hexadecimal: names, shapes, types and offsets, not the weights.
    pub header_sha256: String,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) file: MappedFile,
}

impl Shard {
    pub(super) fn open(path: &Path) -> Result<Shard> {
        let failed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "check that you have permission to read it",
                std::io::ErrorKind::NotFound => "if it is a link, its target is missing",
                _ => "all files stay open: if there are too many, raise the limit with `ulimit -n`",
            };
            Error::input(path, format!("cannot be opened: {error}")).hint(hint).because(error)
        };
        // Checked before the file is opened, because opening a pipe waits for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::input(path, "is not a regular file").hint("only regular files can be memory-mapped"));
        }
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let bytes = metadata.len();
        let header = formats::read_header(path, &mut file, bytes).map_err(|refused| {
            let error = Error::input(path, refused.cause).hint(refused.hint);
            match refused.tensor {
                Some(tensor) => error.tensor(tensor),
                None => error,
            }
        })?;
        Ok(Shard {
            path: path.to_owned(),
            bytes,
            header_sha256: header.sha256,
            tensors: header.tensors,
            file: MappedFile::new(file, &metadata),
        })
    }
}
