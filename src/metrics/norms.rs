//! Norms of W, by its eigenvalues (Martin and Mahoney, arXiv 1901.08278 and 2002.06716).
//!
//! log10 of the squared Frobenius norm is `log_norm`, of the squared spectral norm `log_spectral_norm`; their quotient, not
//! its logarithm, is the stable rank.

use super::{AnalyzedMatrix, Measurement};

pub(super) fn lambda_max(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.spectrum()?.largest().into())
}

pub(super) fn log_spectral_norm(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.spectrum()?.largest().log10().into())
}

/// The trace was added up from the elements of W, which is more exact than a sum of eigenvalues.
pub(super) fn log_norm(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.spectrum()?.trace().log10().into())
}

pub(super) fn stable_rank(matrix: &AnalyzedMatrix) -> Measurement {
    let spectrum = matrix.spectrum()?;
    // The two were computed apart, and of a matrix of rank 1 they are the same.
    Ok((spectrum.trace() / spectrum.largest()).max(1.0).into())
}
