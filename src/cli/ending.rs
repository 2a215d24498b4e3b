//! How a command ended, if it did not fail.

/// How a command ended, if it did not fail.
pub enum Ending {
    /// The results are complete.
    Complete,
    /// Some results are missing; a warning names each of them.
    Partial,
}
