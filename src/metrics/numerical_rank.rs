//! The numerical rank: how many eigenvalues are not zero.
//!
//! An eigenvalue counts as zero if f64 rounding cannot distinguish it from zero. Computed from a Gram matrix, that is
//! below about 1e-15 of the largest eigenvalue (a singular value below 6e-8 of the largest, the resolution of 32-bit
//! weights). Computed from W itself, it is a singular value below about 1e-14 of the largest. Single precision cannot
//! decide this; the rank is then missing rather than wrong.

use crate::spectrum::Spectrum;

/// Absolute error of the eigenvalues, in units of the largest, from which they count as single precision.
const SINGLE: f64 = 1e-12;

/// The numerical rank, or why it is not known.
pub(super) fn numerical_rank(spectrum: &Spectrum) -> Result<usize, String> {
    // The smallest eigenvalue may be more accurate than the others; if it is nonzero, so are all.
    if spectrum.relative_error(0) < 1.0 {
        return Ok(spectrum.len());
    }
    let rank = spectrum.rank();
    if spectrum.accuracy().eta > SINGLE * spectrum.largest() {
        return Err(format!(
            "between {rank} and {}: single precision hides which eigenvalues are zero (f64 resolves them)",
            spectrum.len()
        ));
    }
    Ok(rank)
}
