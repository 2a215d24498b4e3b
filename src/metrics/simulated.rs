//! Simulated metrics: they need options (numbers of draws, a seed) and time. See [`crate::uncertainty`].

use super::{AnalyzedMatrix, Measured, Measurement};
use crate::uncertainty::{PositionsCache, Simulations, goodness_of_fit, standard_error};

/// Adds the simulated metrics that `positions` was made for to `measured`. `name` is the name of the matrix.
/// `elements`, called only if needed, confirms that no element of the matrix stands out (see
/// [`crate::uncertainty::check_elements`]), or returns why that is not known.
pub fn simulate(
    positions: &PositionsCache,
    name: &str,
    matrix: &AnalyzedMatrix,
    elements: impl FnOnce() -> Result<(), String>,
    measured: &mut Measured,
) {
    let Simulations { standard_error, goodness, seed } = positions.simulations();
    if let Some(draws) = standard_error {
        measured.insert("alpha_se", alpha_se(positions, matrix, elements, draws));
    }
    if let Some(draws) = goodness {
        measured.insert("gof_p", gof_p(matrix, draws, seed, name));
    }
}

fn alpha_se(
    positions: &PositionsCache,
    matrix: &AnalyzedMatrix,
    elements: impl FnOnce() -> Result<(), String>,
    draws: u32,
) -> Measurement {
    matrix.fit()?;
    if matrix.windows > 1 {
        return Err("the eigenvalues of several windows (FARMS) do not repel each other".into());
    }
    if matrix.left_out() > 0 {
        return Err("spectra are simulated whole, and the fit left out the eigenvalues below the floor".into());
    }
    elements()?;
    let positions = positions.positions(matrix.short, matrix.long, draws);
    Ok(standard_error(matrix.spectrum()?, matrix.rule, matrix.long, &positions)?.into())
}

fn gof_p(matrix: &AnalyzedMatrix, draws: u32, seed: u64, name: &str) -> Measurement {
    let fit = matrix.fit()?;
    Ok(goodness_of_fit(matrix.fitted()?, matrix.rule, fit, draws, seed, name)?.into())
}
