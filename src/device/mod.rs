//! What computes spectra: the interface that hides the hardware.
//!
//! A [`Device`] hands out [`Lane`]s. A lane owns all it needs (workspaces, handles, buffers), lives on one thread and
//! turns batches of matrices of one shape into spectra and fits. Lanes never talk to each other. Concurrency comes from
//! having several; that is all the [pipeline](crate::pipeline) knows of hardware.

mod arithmetic;
mod ceilings;
mod choice;
mod corrected;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod lanczos;
mod refine;

use std::convert::Infallible;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use arithmetic::Arithmetic;
pub use ceilings::Ceilings;
pub use choice::{Choice, Gpus, Opened, SolverChoice, open};

use crate::checkpoint::{Cast, Checkpoint};
use crate::error::Result;
use crate::fit::{Fit, NoFit, Rule};
use crate::matrices::{Unavailable, WeightMatrix, Window};
use crate::spectrum::{Inconsistent, Spectrum};

/// The arithmetic in which the Gram matrix is formed and its eigenvalues are computed. Fits are always in f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Whatever is fastest and still gives alpha to 1e-3, by its error bound, of what f64 gives.
    #[default]
    Auto,
    /// Double precision.
    F64,
    /// Single precision. For the peak rule the smallest eigenvalue is still computed in f64.
    F32,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Auto => "auto",
            Precision::F64 => "f64",
            Precision::F32 => "f32",
        })
    }
}

/// How far alpha may be off under [`Precision::Auto`].
const AUTO_TOLERANCE: f64 = 1e-3;

/// What is to be computed for each matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Method {
    /// How the tail is chosen.
    pub rule: Rule,
    /// The arithmetic.
    pub precision: Precision,
    /// Rounding of the weights beforehand.
    pub cast: Cast,
}

/// The spectrum of a matrix and its fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The eigenvalues.
    pub spectrum: Spectrum,
    /// The power law, or why there is none.
    pub fit: Result<Fit, NoFit>,
    /// The arithmetic that produced the spectrum.
    pub precision: Arithmetic,
}

/// Why a matrix has no spectrum. The other matrices are not concerned.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The file cannot be mapped into memory.
    NotMapped(String),
    /// The file could not be read, or changed while it was read.
    Unreadable(String),
    /// There are fewer than [`MIN_EIGENVALUES`](crate::fit::MIN_EIGENVALUES), which the shape alone shows.
    TooFewEigenvalues(usize),
    /// An element is NaN or infinite.
    NonFinite {
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
        /// The rounding that was asked for, which may have caused it.
        cast: Cast,
    },
    /// What the matrix is computed from is not finite.
    Damaged(String),
    /// All elements are zero.
    AllZero,
    /// The eigenvalues lie outside the range of f64.
    OutOfRange,
    /// The buffers for this matrix cannot be had.
    OutOfMemory {
        /// Size of the buffer that was refused.
        bytes: u64,
    },
    /// A window of the matrix has no spectrum, and so the matrix has none that is made of windows.
    InWindow {
        /// The window.
        window: Window,
        /// Why it has none.
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotMapped(cause) | Failure::Unreadable(cause) | Failure::Damaged(cause) => f.write_str(cause),
            Failure::TooFewEigenvalues(count) => NoFit::TooFew(*count).fmt(f),
            Failure::NonFinite { row, col, cast: Cast::None } => {
                write!(f, "contains NaN or infinity (first at row {row}, column {col})")
            }
            Failure::NonFinite { row, col, cast } => {
                write!(f, "contains NaN or infinity after the cast to {cast} (first at row {row}, column {col})")
            }
            Failure::AllZero => f.write_str("all elements are zero"),
            Failure::OutOfRange => f.write_str("its eigenvalues lie outside the range of f64"),
            Failure::OutOfMemory { bytes } => write!(f, "a buffer of {bytes} bytes cannot be allocated"),
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
            Unavailable::OutOfRange => Failure::OutOfRange,
        }
    }
}

/// The spectrum and fit of a matrix, or why there are none.
pub type Outcome = Result<Analysis, Failure>;

/// Hardware that computes spectra.
pub trait Device: Sync {
    /// What it is, for the provenance: two runs on the same device give the same bytes.
    fn name(&self) -> String;

    /// The eigensolver, for the provenance.
    fn solver(&self) -> String;

    /// How many lanes can analyze these matrices by `method` at once, given the free memory; at least 1. Call before creating
    /// lanes.
    fn lanes(&self, method: Method, matrices: &[WeightMatrix]) -> usize;

    /// How many matrices of the shape of this one a lane takes at once; at least 1.
    fn batch_size(&self, matrix: &WeightMatrix) -> usize;

    /// Creates a lane that analyzes any of these matrices by `method`, on the thread that will use it. `None` if there is no
    /// memory for one more lane.
    ///
    /// The method is given here and nowhere else, so that a row's label cannot differ from what was computed.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if the device fails, or there is not even room for one lane.
    fn lane<'a>(
        &'a self,
        method: Method,
        checkpoint: &'a Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<Option<Box<dyn Lane + 'a>>>;

    /// Measures what this hardware can do at best. Takes a second or so.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if the device fails.
    fn ceilings(&self) -> Result<Ceilings>;
}

/// One worker of a device.
pub trait Lane {
    /// Analyses matrices of one shape, and answers in the same order.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if the device itself fails, and with it the run.
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>>;
}

/// The e for which 2^-e `largest` lies in [1, 2), within the range in which 2^e and 2^-e are normal numbers.
///
/// Scaling by a power of two is exact, and keeps squares of tiny and huge weights in range.
fn binary_exponent(largest: f64) -> i32 {
    (largest.log2().floor() as i32).clamp(-1000, 1000)
}

fn power_of_two(exponent: i32) -> f64 {
    2.0_f64.powi(exponent)
}
