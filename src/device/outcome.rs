//! The result for one matrix: its spectrum and fit, or why it has none.

use std::convert::Infallible;
use std::fmt;

use super::Arithmetic;
use crate::checkpoint::Cast;
use crate::error::Result;
use crate::fit::{Fit, NoFit};
use crate::matrices::{Unavailable, Window};
use crate::spectrum::{Inconsistent, Spectrum};

/// The spectrum and fit of a matrix, or why it has none.
pub type Outcome = Result<Analysis, Failure>;

/// The spectrum of a matrix and its fit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Analysis {
    /// The eigenvalues of W^T W.
    pub spectrum: Spectrum,
    /// The power law, or why none fits.
    pub fit: Result<Fit, NoFit>,
    /// The arithmetic that produced the spectrum.
    pub precision: Arithmetic,
}

/// Why a matrix has no spectrum. Other matrices are unaffected.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// The file cannot be memory-mapped.
    NotMapped(String),
    /// The file could not be read, or changed while it was being read.
    Unreadable(String),
    /// Fewer than [`MIN_EIGENVALUES`](crate::fit::MIN_EIGENVALUES) eigenvalues (known from the shape).
    TooFewEigenvalues(usize),
    /// An element is NaN or infinite.
    NonFinite {
        /// Row of the first such element.
        row: usize,
        /// Its column.
        col: usize,
        /// The requested cast, which may have caused it.
        cast: Cast,
    },
    /// A tensor that the matrix is computed from is not finite.
    Damaged(String),
    /// The tensors that the matrix is computed from contradict each other.
    Contradictory(String),
    /// All elements are zero.
    AllZero,
    /// The eigenvalues are outside the range of f64.
    OutOfRange,
    /// Memory for this matrix could not be allocated.
    OutOfMemory {
        /// Size of the refused buffer.
        bytes: u64,
    },
    /// A window of the matrix has no spectrum, so the matrix, whose spectrum pools those of its windows, has none either.
    InWindow {
        /// The window.
        window: Window,
        /// Why the window has no spectrum.
        cause: Box<Failure>,
    },
    /// The solver did not converge, or returned values that cannot be eigenvalues of this matrix.
    Solver(String),
}

impl From<Infallible> for Failure {
    fn from(never: Infallible) -> Failure {
        match never {}
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotMapped(cause)
            | Failure::Unreadable(cause)
            | Failure::Damaged(cause)
            | Failure::Contradictory(cause) => f.write_str(cause),
            Failure::TooFewEigenvalues(count) => NoFit::TooFew(*count).fmt(f),
            Failure::NonFinite { row, col, cast: Cast::None } => {
                write!(f, "contains NaN or infinity (first at row {row}, column {col})")
            }
            Failure::NonFinite { row, col, cast } => {
                write!(f, "contains NaN or infinity after the cast to {cast} (first at row {row}, column {col})")
            }
            Failure::AllZero => f.write_str("all elements are zero"),
            Failure::OutOfRange => f.write_str("its eigenvalues are outside the range of f64"),
            Failure::OutOfMemory { bytes } => write!(f, "cannot allocate {bytes} bytes"),
            Failure::InWindow { window, cause } => write!(f, "{window}: {cause}"),
            Failure::Solver(cause) => write!(f, "the eigensolver failed: {cause}"),
        }
    }
}

impl From<Inconsistent> for Failure {
    fn from(Inconsistent { of, sum, expected }: Inconsistent) -> Failure {
        Failure::Solver(format!("the {of} add up to {sum:e} instead of {expected:e}"))
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Failure {
        match unavailable {
            Unavailable::NotMapped(cause) => Failure::NotMapped(cause),
            Unavailable::Unreadable(cause) => Failure::Unreadable(cause),
            Unavailable::OutOfMemory { bytes } => Failure::OutOfMemory { bytes },
            Unavailable::NonFinite(cause) => Failure::Damaged(cause),
            Unavailable::Contradictory(cause) => Failure::Contradictory(cause),
            Unavailable::OutOfRange => Failure::OutOfRange,
        }
    }
}
