//! Norms of W, from its eigenvalues (Martin and Mahoney, arXiv 1901.08278 and 2002.06716).
//!
//! `log_norm` is log10 of the squared Frobenius norm, `log_spectral_norm` log10 of the squared spectral norm. The
//! stable rank is the quotient of the two squared norms, without a logarithm.

use super::{AnalyzedMatrix, Measurement};

pub(super) fn lambda_max(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.spectrum()?.largest().into())
}

pub(super) fn log_spectral_norm(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.spectrum()?.largest().log10().into())
}

/// The trace was summed from the elements of W, which is more accurate than a sum of eigenvalues.
pub(super) fn log_norm(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.spectrum()?.trace().log10().into())
}

pub(super) fn stable_rank(matrix: &AnalyzedMatrix) -> Measurement {
    let spectrum = matrix.spectrum()?;
    // The two were computed separately; for a matrix of rank 1 they are equal except for rounding.
    Ok((spectrum.trace() / spectrum.largest()).max(1.0).into())
}
