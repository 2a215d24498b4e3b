//! Replacements for the picture functions in builds without the feature `plot`.

use super::Drawing;

const CAUSE: &str = "this build of htsr has no pictures; build it with the feature `plot`";

/// Fails: see the feature `plot`.
///
/// # Errors
///
/// Always.
pub fn check_support() -> Result<(), String> {
    Err(CAUSE.into())
}

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
