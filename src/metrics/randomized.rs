//! Comparison with the randomized twin: the same elements in random order (Martin and Mahoney, arXiv 1810.01075;
//! WeightWatcher's `randomize=True`). The difference is what the arrangement of the elements contributes.

use super::randomness::num_spikes;
use super::{AnalyzedMatrix, Measurement};

/// The Jensen-Shannon distance of two ascending spectra, each normalized to the sum 1, eigenvalue by eigenvalue: the
/// root of H(m) - (H(p) + H(q)) / 2, with m = (p + q) / 2 and the entropy H in natural logarithms. Between 0 and the
/// root of ln 2.
///
/// WeightWatcher draws a second permutation for this; here all metrics use the same one.
fn distance(spectrum: &[f64], randomized: &[f64]) -> f64 {
    let (sum, randomized_sum) = (spectrum.iter().sum::<f64>(), randomized.iter().sum::<f64>());
    let divergence: f64 = spectrum
        .iter()
        .zip(randomized)
        .map(|(x, y)| {
            let (p, q) = (x / sum, y / randomized_sum);
            let m = 0.5 * (p + q);
            let term = |p: f64| if p > 0.0 { p * (p / m).ln() } else { 0.0 };
            0.5 * (term(p) + term(q))
        })
        .sum();
    divergence.max(0.0).sqrt()
}

/// The metrics that compare `matrix` with its randomized twin.
pub fn compare(matrix: &AnalyzedMatrix, randomized: &AnalyzedMatrix) -> Vec<(&'static str, Measurement)> {
    let twin = || randomized.spectrum().map_err(|reason| format!("for the randomized matrix, {reason}"));
    let rand_distance = || {
        let (spectrum, twin) = (matrix.spectrum()?, twin()?);
        Ok(distance(spectrum.values(), twin.values()).into())
    };
    let max_rand_eval = || Ok(twin()?.largest().into());
    let num_traps = num_spikes(randomized).map_err(|reason| format!("for the randomized matrix, {reason}"));
    vec![("rand_distance", rand_distance()), ("num_traps", num_traps), ("max_rand_eval", max_rand_eval())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        // scipy.spatial.distance.jensenshannon([0.25, 0.75], [0.5, 0.5])
        assert!((distance(&[1.0, 3.0], &[5.0, 5.0]) - 0.183_907_790_940_474_32).abs() < 1e-12);
        assert_eq!(distance(&[0.0, 1.0, 2.0], &[0.0, 10.0, 20.0]), 0.0);
        assert!((distance(&[0.0, 1.0], &[1.0, 0.0]) - 2.0_f64.ln().sqrt()).abs() < 1e-15);
    }
}
