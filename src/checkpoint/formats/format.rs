//! What a file format provides.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::checkpoint::tensor::TensorInfo;

/// A file format of checkpoints.
pub(super) trait Format: Sync {
    /// The extension of its files, without the dot.
    fn extension(&self) -> &'static str;

    /// True if a file at `path` that begins with the bytes `head` is in this format. `head` has the whole file if that is short.
    fn claims(&self, path: &Path, head: &[u8]) -> bool;

    /// True if a file that begins with the bytes `head` may be in this format, whatever its name.
    fn is_plausible(&self, head: &[u8]) -> bool;

    /// Reads and validates the header of a file of `bytes` bytes, which is open at its start.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or its header is damaged. The file is untrusted: every tensor of the returned header must be
    /// inside the file.
    fn read_header(&self, file: &mut File, bytes: u64) -> Result<Header, HeaderError>;
}

/// A validated header.
#[derive(Debug)]
pub(crate) struct Header {
    /// In file order.
    pub tensors: Vec<TensorInfo>,
    /// SHA-256 in hexadecimal of what describes the tensors: names, shapes, types and offsets, not the weights.
    pub sha256: String,
}

/// Why a header is refused.
#[derive(Debug)]
pub(crate) struct HeaderError {
    /// The tensor concerned, if it is one.
    pub tensor: Option<String>,
    pub cause: String,
    pub hint: &'static str,
}

/// The hint for a file whose parts contradict each other.
const HINT_DAMAGED: &str = "the file is damaged or incomplete: download or save it again";

impl HeaderError {
    /// The file as a whole is refused.
    pub fn file(cause: impl Into<String>, hint: &'static str) -> Self {
        HeaderError { tensor: None, cause: cause.into(), hint }
    }

    /// The file as a whole is damaged.
    pub fn damaged(cause: impl Into<String>) -> Self {
        Self::file(cause, HINT_DAMAGED)
    }

    /// The file cannot be read.
    pub fn unreadable(error: io::Error) -> Self {
        Self::damaged(format!("cannot be read: {error}"))
    }

    /// The entry of this tensor is damaged.
    pub fn tensor(name: &str, cause: impl Into<String>) -> Self {
        HeaderError { tensor: Some(name.into()), ..Self::damaged(cause) }
    }
}
