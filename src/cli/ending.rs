//! How a command that ran to its end has ended.

/// How a command that ran to its end has ended.
pub enum Ending {
    /// All that was asked for is there.
    Complete,
    /// Something is missing, and was reported; the rest is there.
    Partial,
}
