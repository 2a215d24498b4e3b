//! Parts of messages that several commands share.

use std::path::Path;

use crate::error::{Error, Kind};

/// `1 layer`, `2 layers`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Adds the file of scores to an error about the scores themselves.
pub fn in_file(error: Error, scores: &Path) -> Error {
    if error.kind == Kind::Input { error.file(scores) } else { error }
}
