//! How much memory a call of cuSOLVER needs.

/// Bytes of workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SolverWorkspace {
    pub device: usize,
    pub host: usize,
}

impl SolverWorkspace {
    /// Enough for either.
    pub fn max(self, other: SolverWorkspace) -> SolverWorkspace {
        SolverWorkspace { device: self.device.max(other.device), host: self.host.max(other.host) }
    }

    /// Device memory for numbers of type T.
    pub fn of_elements<T>(count: i32) -> SolverWorkspace {
        SolverWorkspace { device: usize::try_from(count).unwrap_or(0) * size_of::<T>(), host: 0 }
    }
}
