//! What several formats share: indented JSON, and the comment that names where an export comes from.

use crate::allocate::Allocation;
use crate::error::{Error, Result};
use crate::report::Provenance;

/// An export that the library behind its format cannot write.
pub(super) fn unwritable(error: std::io::Error) -> Error {
    Error::usage(format!("cannot write the export: {error}"))
}

/// `value` as indented JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| unwritable(error.into()))?;
    Ok([text, b"\n".to_vec()].concat())
}

/// One line that says where an export comes from, for formats with comments.
pub(super) fn origin(provenance: &Provenance, allocation: &Allocation) -> String {
    let Provenance { version, commit, input, .. } = provenance;
    format!("{} {} from {:?} by htsr {version} ({commit})", allocation.quantity, allocation.plan.rule, input.path)
}
