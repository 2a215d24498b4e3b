//! Simulated spectra of similar matrices: the same density, with other positions of the eigenvalues.
//!
//! The positions of a Gaussian matrix's eigenvalues are mapped through the quantile function of ln x. This function is
//! interpolated between the observed eigenvalues after slight smoothing, because these already deviate from their mean
//! positions.
//!
//! An eigenvalue far from the others would roam the gap around it. What keeps it there is a property of the kind of
//! matrix: a learned direction, a heavy row. If its M rows were drawn anew, its logarithm would have a standard
//! deviation of at most sqrt(2/M) around its observed value (Paul, Statistica Sinica 17, 2007). The limit from its
//! neighbors and the limit from its rows are combined like two independent measurements: the inverse variances add up,
//! and the values are weighted by them.

use super::Positions;

/// Eigenvalues on each side over which ln x is averaged; fewer near an end of the spectrum, where at least four times
/// as many must remain.
const SMOOTHING: usize = 4;
/// The spectrum is extrapolated with the mean slope of this many spacings at the upper end, and one fewer at the lower.
const END: usize = 3;

/// Simulates ln x, ascending, once for each draw of `positions`, from the observed ln x and the larger dimension of W.
pub(super) fn spectra(ln: &[f64], long: usize, positions: &Positions) -> Vec<Vec<f64>> {
    let smooth = smoothed(ln);
    let mut draws: Vec<Vec<f64>> =
        positions.draws().map(|draw| draw.iter().map(|&position| quantile(&smooth, position)).collect()).collect();
    let limit = 2.0 / long as f64;
    for j in ln.len() / 2..ln.len() {
        let count = draws.len() as f64;
        let mean = draws.iter().map(|draw| draw[j]).sum::<f64>() / count;
        let variance = draws.iter().map(|draw| (draw[j] - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let shrinkage = limit / (limit + variance);
        let center = ln[j] + (mean - ln[j]) * shrinkage;
        draws.iter_mut().for_each(|draw| draw[j] = center + (draw[j] - mean) * shrinkage.sqrt());
    }
    draws.iter_mut().for_each(|draw| draw.sort_by(f64::total_cmp));
    draws
}

fn smoothed(ln: &[f64]) -> Vec<f64> {
    let last = ln.len() - 1;
    let average = |j: usize| {
        let reach = SMOOTHING.min(j / 4).min((last - j) / 4);
        let values = &ln[j - reach..=j + reach];
        values.iter().sum::<f64>() / values.len() as f64
    };
    (0..ln.len()).map(average).collect()
}

/// The quantile function of `ln` at a position between 0 and N. Eigenvalue j is at j + 1/2. Below the first, the line
/// continues; above the last, ln x is linear in the logarithm of the remaining share, as in a power law.
fn quantile(ln: &[f64], position: f64) -> f64 {
    let n = ln.len();
    let place = position - 0.5;
    if place < 0.0 {
        return ln[0] + place * (ln[END - 1] - ln[0]) / (END - 1) as f64;
    }
    let j = place as usize;
    if j + 1 < n {
        return ln[j] + (place - j as f64) * (ln[j + 1] - ln[j]);
    }
    let slope = (ln[n - 1] - ln[n - 1 - END]) / (2.0 * END as f64 + 1.0).ln();
    ln[n - 1] + slope * (0.5 / (n as f64 - position)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_pass_through_the_observed_values_and_never_fall() {
        let ln: Vec<f64> = (0..60).map(|k| f64::from(k).sqrt() + if k > 57 { 3.0 } else { 0.0 }).collect();
        for (j, x) in ln.iter().enumerate() {
            assert_eq!(quantile(&ln, j as f64 + 0.5), *x);
        }
        let values: Vec<f64> = (1..6000).map(|k| quantile(&ln, f64::from(k) * 0.01)).collect();
        assert!(values.is_sorted() && values.iter().all(|x| x.is_finite()));
        // Beyond the end: slope (10.68 - 7.48) / ln 7, at a quarter of the last half: ln 2.
        let expected = ln[59] + (ln[59] - ln[56]) / 7.0_f64.ln() * 2.0_f64.ln();
        assert!((quantile(&ln, 59.75) - expected).abs() < 1e-12);
    }

    #[test]
    fn outliers_hardly_move_and_the_rest_keeps_its_density() {
        let mut ln: Vec<f64> = (0..100).map(|k| f64::from(k) * 0.02).collect();
        ln[99] = 9.0;
        let draws = spectra(&ln, 400, &Positions::simulate(100, 400, 200, 1));
        assert!(draws.iter().all(|draw| draw.is_sorted() && draw.len() == 100));
        let mean = |j: usize| draws.iter().map(|draw| draw[j]).sum::<f64>() / 200.0;
        let deviation = |j: usize| (draws.iter().map(|draw| (draw[j] - mean(j)).powi(2)).sum::<f64>() / 199.0).sqrt();
        assert!((mean(99) - 9.0).abs() < 0.02 && (0.8..1.0).contains(&(deviation(99) / (2.0_f64 / 400.0).sqrt())));
        assert!((mean(50) - 1.0).abs() < 0.005 && deviation(50) < 0.02);
    }
}
