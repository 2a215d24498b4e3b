//! The ways to all eigenvalues of a symmetric matrix, and which of them the library has.

use crate::device::cuda::sys::library::{self, Component};

/// A way to all eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolverPath {
    /// `Xsyevd`.
    Syevd,
    /// `Xsyevd` by way of a band matrix.
    SyevdTwoStage,
    /// `Ssytrd` or `Dsytrd`, then bisection by our own kernel.
    Sytrd,
    /// Our own tridiagonalization, then bisection.
    TwoStage,
    /// `XsyevBatched`.
    Batched,
}

impl SolverPath {
    /// How many times larger the errors of the eigenvalues are than after bisection of the tridiagonal form: iterations like
    /// those of QR accumulate rounding errors.
    pub fn error_factor(self, n: usize) -> f64 {
        match self {
            SolverPath::Sytrd | SolverPath::TwoStage => 1.0,
            SolverPath::Syevd | SolverPath::SyevdTwoStage | SolverPath::Batched => ((n as f64).sqrt() / 4.0).max(1.0),
        }
    }

    /// Whether cuSOLVER of that version, which must have been loaded, has what this path calls.
    pub fn is_available(self, version: i32) -> bool {
        match self {
            SolverPath::Syevd | SolverPath::Sytrd | SolverPath::TwoStage => true,
            SolverPath::SyevdTwoStage => {
                version >= 12304 && library::has(Component::Cusolver, "cusolverDnSetAdvOptions")
            }
            SolverPath::Batched => {
                let symbols = ["cusolverDnXsyevBatched", "cusolverDnXsyevBatched_bufferSize"];
                symbols.iter().all(|symbol| library::has(Component::Cusolver, symbol))
            }
        }
    }
}
