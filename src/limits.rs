//! Limits that several stages share.

/// Fewest eigenvalues that a power law is fitted to.
pub const MIN_EIGENVALUES: usize = 8;
