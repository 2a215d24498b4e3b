//! What the constructors of pictures answer where the feature `plot` was left out of the build.

use super::Drawing;

const CAUSE: &str = "this htsr was built without the feature `plot`, which draws pictures";

/// Fails: see the feature `plot`.
///
/// # Errors
///
/// Always.
pub fn svg(_: &dyn Drawing) -> Result<String, String> {
    Err(CAUSE.into())
}

/// Fails: see the feature `plot`.
///
/// # Errors
///
/// Always.
pub fn png(_: &dyn Drawing) -> Result<Vec<u8>, String> {
    Err(CAUSE.into())
}
