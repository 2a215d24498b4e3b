//! The peak-robust rule: the peak rule, with a peak that no distant eigenvalue can move.
//!
//! The histogram of the peak rule begins at the smallest eigenvalue, so that one eigenvalue moves every bin edge; and
//! with 100 bins a few eigenvalues decide which bin is the fullest. This rule differs in two points:
//!
//! - The bin width is 2 s N^(-1/3), the formula of Freedman and Diaconis (1981) for the interquartile range, but s is
//!   the difference of two means of ln x: one over the quarter of the spectrum around its upper quartile, one over the
//!   quarter around its lower quartile. One eigenvalue moves such a mean by at most 4/N of its own move; eigenvalues
//!   outside the two quarters do not move it at all.
//! - There are no bin edges. The count is averaged over all shifts of the histogram (Scott, Ann. Statist. 13, 1985),
//!   which weighs an eigenvalue at distance d by 1 - |d| / width. This density is piecewise linear and convex between
//!   eigenvalues, so its maximum is at an eigenvalue: the peak.
//!
//! Candidates satisfy 0.95 x_pk <= x_i <= 1.5 x_pk. The published codes compare with a logarithm instead, which makes
//! alpha depend on the unit of the weights; this rule does not copy that slip. As in the peak rule, the candidate with
//! the smallest D wins.

use super::window::Window;
use super::{Fit, LogSpectrum, NoFit, Rule};

pub(super) fn fit(logs: &LogSpectrum) -> Result<Fit, NoFit> {
    let known = logs.starts().start;
    if known > least_rank(logs.len()) {
        return Err(logs.rank_deficient(Rule::PeakRobust));
    }
    let bandwidth = bandwidth(logs.ln()).ok_or(NoFit::NoTail)?;
    let density = Density::new(&logs.ln()[known..], bandwidth);
    let peak = logs.ln()[known + density.peak()];
    let (low, high) = window_edges(peak);
    let window = logs.starts().filter(|&i| low <= logs.ln()[i] && logs.ln()[i] <= high);
    logs.best(window.clone()).ok_or_else(|| logs.why_no_fit(window))
}

/// How many of the smallest of n eigenvalues may be zero within rounding: those that do not affect the bin width.
fn least_rank(n: usize) -> usize {
    n / 8
}

/// The quarters of the spectrum around its lower and its upper quartile.
fn quarters<T>(values: &[T]) -> [&[T]; 2] {
    let (n, margin, length) = (values.len(), values.len() / 8, values.len() / 4);
    [&values[margin..][..length], &values[n - margin - length..][..length]]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The bin width in ln x; `None` if the middle eigenvalues are equal within the rounding of their logarithms.
fn bandwidth(ln: &[f64]) -> Option<f64> {
    let quarters = quarters(ln);
    let largest = quarters.iter().copied().flatten().fold(0.0_f64, |largest, ln| largest.max(ln.abs()));
    let [low, high] = quarters.map(mean);
    let bandwidth = 2.0 * (high - low) / (ln.len() as f64).cbrt();
    (bandwidth > ROUNDING * f64::EPSILON * largest.max(1.0)).then_some(bandwidth)
}

/// Smallest bin width, in units of the rounding of logarithms.
const ROUNDING: f64 = 16.0;

/// Logarithms of the smallest and the largest candidate for a peak at this logarithm.
fn window_edges(peak: f64) -> (f64, f64) {
    (peak + 0.95_f64.ln(), peak + 1.5_f64.ln())
}

/// Relative difference below which two densities count as equal. Between neighbors with equal numbers of eigenvalues in
/// reach below and above, the density is flat, and rounding must not choose between them.
const TIE: f64 = 1e-9;

/// The density of ln x at each eigenvalue, times the bin width.
struct Density {
    values: Vec<f64>,
    /// Indices of the eigenvalues in reach of each: begin .. end.
    reach: Vec<(usize, usize)>,
}

impl Density {
    fn new(ln: &[f64], bandwidth: f64) -> Density {
        // Use differences only: then the sums below have moderate terms for any unit of the weights.
        let middle = ln[ln.len() / 2];
        let mut sums = Vec::with_capacity(ln.len() + 1);
        sums.push(0.0);
        let mut sum = 0.0;
        for x in ln {
            sum += x - middle;
            sums.push(sum);
        }
        let (mut begin, mut end) = (0, 0);
        let mut reach = Vec::with_capacity(ln.len());
        let at = |(i, &x): (usize, &f64)| {
            while ln[begin] <= x - bandwidth {
                begin += 1;
            }
            while end < ln.len() && ln[end] < x + bandwidth {
                end += 1;
            }
            reach.push((begin, end));
            let x = x - middle;
            let below = (i - begin) as f64 * x - (sums[i] - sums[begin]);
            let above = sums[end] - sums[i] - (end - i) as f64 * x;
            (end - begin) as f64 - (below + above) / bandwidth
        };
        let values = ln.iter().enumerate().map(at).collect();
        Density { values, reach }
    }

    /// True if the density is flat between eigenvalue `i` and the one before, for any values within the error bounds:
    /// equally many eigenvalues are in reach on either side, and none is closer to the end of the reach than the
    /// `margin` of its index. Then `i` is never the first index with the largest density.
    fn is_flat_before(&self, i: usize, ln: &[f64], bandwidth: f64, margin: impl Fn(usize) -> f64) -> bool {
        let Some(before) = i.checked_sub(1) else { return false };
        let (begin, end) = self.reach[i];
        let clear = |j: usize, from: usize, inside: bool| {
            let gap = bandwidth - (ln[j] - ln[from]).abs();
            (if inside { gap } else { -gap }) > margin(j) + margin(from)
        };
        self.reach[before] == (begin, end)
            && i - begin == end - i
            && clear(begin, i, true)
            && clear(end - 1, before, true)
            && (begin == 0 || clear(begin - 1, before, false))
            && (end == ln.len() || clear(end, i, false))
    }

    /// The first index with the largest density.
    fn peak(&self) -> usize {
        let largest = self.values.iter().copied().fold(0.0, f64::max);
        self.values.iter().position(|&density| density >= largest * (1.0 - TIE)).unwrap_or(0)
    }
}

/// Union and intersection of the candidate windows over all peaks that the error bounds allow; `None` if the bounds are
/// too wide to tell.
pub(super) fn possible_windows(logs: &LogSpectrum, shift: &[f64]) -> Option<(Window, Window)> {
    let (ln, n) = (logs.ln(), logs.len());
    let bandwidth = bandwidth(ln)?;
    let [low, high] = quarters(shift).map(mean);
    // Relative error of the bandwidth.
    let stretch = 2.0 * (low + high) / (n as f64).cbrt() / bandwidth;
    // Below this index, errors are not small compared with a bin.
    let sharp = (0..n).rfind(|&i| shift[i].is_nan() || shift[i] > bandwidth / 8.0).map_or(0, |i| i + 1);
    if !bandwidth.is_finite() || stretch.is_nan() || stretch > 0.125 || sharp > least_rank(n) {
        return None;
    }
    let density = Density::new(&ln[sharp..], bandwidth);
    let (errors, crowd) = density_errors(&ln[sharp..], &shift[sharp..], bandwidth, stretch);
    // Eigenvalues below `sharp` may be anywhere below it: all may be in reach of any other, and one of them may be the
    // peak.
    let hidden = sharp as f64;
    let reach = |i: usize| if ln[sharp + i] - ln[sharp] < 2.0 * bandwidth { hidden } else { 0.0 };
    let bound = |i: usize, sign: f64| density.values[i] + sign * errors[i] + if sign > 0.0 { reach(i) } else { 0.0 };
    let certain = (0..n - sharp).map(|i| bound(i, -1.0)).fold(0.0, f64::max);
    if hidden > 0.0 && hidden + crowd >= certain {
        return None;
    }
    let (mut union, mut common) = (Window { begin: n - 1, end: 0 }, Window { begin: 0, end: n - 1 });
    let margin = |i: usize| shift[sharp + i] + stretch * bandwidth;
    let flat = |i: usize| reach(i) == 0.0 && density.is_flat_before(i, &ln[sharp..], bandwidth, margin);
    let possible = |i: &usize| bound(*i, 1.0) >= certain * (1.0 - 2.0 * TIE) && !flat(*i);
    for peak in (0..n - sharp).filter(possible).map(|i| sharp + i) {
        let edges = window_edges(ln[peak]);
        let count = |inside: &dyn Fn(usize) -> bool| (0..n - 1).filter(|&i| inside(i)).count();
        let slack = |i: usize| shift[i] + shift[peak] + 8.0 * f64::EPSILON * ln[peak].abs();
        let begin = [count(&|i| ln[i] + slack(i) < edges.0), count(&|i| ln[i] - slack(i) < edges.0)];
        let end = [count(&|i| ln[i] + slack(i) <= edges.1), count(&|i| ln[i] - slack(i) <= edges.1)];
        union = Window { begin: union.begin.min(begin[0]), end: union.end.max(end[1]) };
        common = Window { begin: common.begin.max(begin[1]), end: common.end.min(end[0]) };
    }
    Some((union, common))
}

/// Bounds on the errors of the densities, from the errors of ln x and the relative error of the bandwidth; and how many
/// eigenvalues crowd into one and a half bins at the lower end.
///
/// The weight 1 - |d| / width of a neighbor is off by at most (error of d + |d| stretch) / width. This also holds for a
/// neighbor that an error brings into reach.
fn density_errors(ln: &[f64], shift: &[f64], bandwidth: f64, stretch: f64) -> (Vec<f64>, f64) {
    let reach = 1.5 * bandwidth;
    let mut sums = vec![0.0];
    for (i, error) in shift.iter().enumerate() {
        sums.push(sums[i] + error);
    }
    let bound = |(i, &x): (usize, &f64)| {
        let begin = ln.partition_point(|&other| other <= x - reach);
        let end = ln.partition_point(|&other| other < x + reach);
        let count = (end - begin) as f64;
        let rounding = 64.0 * f64::EPSILON * ln.len() as f64 * (1.0 + ln[ln.len() - 1] - ln[0]) / bandwidth;
        // 1.25 covers the reciprocal of a width that is off by up to an eighth.
        1.25 * ((sums[end] - sums[begin] + count * shift[i]) / bandwidth + 1.5 * count * stretch) + rounding
    };
    (ln.iter().enumerate().map(bound).collect(), ln.partition_point(|&x| x < ln[0] + reach) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::Spectrum;

    fn lognormal(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut values: Vec<f64> = (0..n).map(|_| ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0).exp()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn robust(values: &[f64]) -> Result<Fit, NoFit> {
        let spectrum = Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap();
        fit(&LogSpectrum::new(&spectrum))
    }

    #[test]
    fn the_density_is_the_sum_of_triangles() {
        for (n, width) in [(8, 0.5), (100, 0.2), (300, 3.0)] {
            let ln: Vec<f64> = lognormal(n, 3).iter().map(|x| x.ln()).collect();
            let density = Density::new(&ln, width);
            for (i, x) in ln.iter().enumerate() {
                let expected: f64 = ln.iter().map(|other| (1.0 - (x - other).abs() / width).max(0.0)).sum();
                assert!((density.values[i] - expected).abs() < 1e-9, "{n}, {i}: {} {expected}", density.values[i]);
            }
            // The density between eigenvalues never exceeds the peak.
            let peak = density.values[density.peak()];
            let between = |at: f64| ln.iter().map(|other| (1.0 - (at - other).abs() / width).max(0.0)).sum::<f64>();
            assert!((0..=1000).all(|step| between(-4.0 + 0.008 * f64::from(step)) <= peak + 1e-9));
        }
    }

    #[test]
    fn flat_densities_are_known_to_be_flat() {
        let ln: Vec<f64> = lognormal(400, 9).iter().map(|x| x.ln()).collect();
        let density = Density::new(&ln, 0.4);
        let flat = |i: usize, margin: f64| density.is_flat_before(i, &ln, 0.4, |_| margin);
        let equal = |i: usize| (density.values[i] - density.values[i - 1]).abs() < 1e-9;
        let found: Vec<usize> = (1..400).filter(|&i| flat(i, 1e-7)).collect();
        assert!(found.len() > 1 && found.iter().all(|&i| equal(i)), "{found:?}");
        assert!(!flat(0, 0.0) && (1..400).all(|i| !flat(i, 0.4)));
        // It stays flat when every eigenvalue moves by up to the margin.
        let mut rng = fastrand::Rng::with_seed(1);
        let mut moved: Vec<f64> = ln.iter().map(|x| x + 1e-7 * (2.0 * rng.f64() - 1.0)).collect();
        moved.sort_by(f64::total_cmp);
        let moved = Density::new(&moved, 0.4);
        assert!(found.iter().all(|&i| (moved.values[i] - moved.values[i - 1]).abs() < 1e-9));
    }

    #[test]
    fn neither_the_smallest_nor_the_largest_eigenvalue_moves_the_tail() {
        for seed in 0..20 {
            let values = lognormal(200, seed);
            let start = robust(&values).unwrap().start;
            for factor in [1e-12, 0.5, 0.99, 1.01] {
                let mut moved = values.clone();
                moved[0] *= factor;
                moved.sort_by(f64::total_cmp);
                assert_eq!(robust(&moved).unwrap().start, start);
                moved = values.clone();
                moved[199] /= factor.min(1.0);
                assert_eq!(robust(&moved).unwrap().xmin.to_bits(), values[robust(&moved).unwrap().start].to_bits());
            }
        }
    }

    #[test]
    fn the_unit_of_the_weights_does_not_matter() {
        let values = lognormal(100, 5);
        let reference = robust(&values).unwrap();
        for exponent in [-900, -30, 30, 900] {
            let scaled: Vec<f64> = values.iter().map(|x| x * 2.0_f64.powi(exponent)).collect();
            let fit = robust(&scaled).unwrap();
            assert_eq!(fit.start, reference.start);
            assert!((fit.alpha / reference.alpha - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_few_zeros_do_not_matter_and_many_are_refused() {
        let mut values = lognormal(80, 7);
        let reference = robust(&values).unwrap();
        values[..10].fill(0.0);
        let fit = robust(&values).unwrap();
        assert_eq!((fit.start, fit.alpha.to_bits()), (reference.start, reference.alpha.to_bits()));
        values[10] = 0.0;
        assert_eq!(robust(&values), Err(NoFit::RankDeficient { rule: Rule::PeakRobust, rank: 69, of: 80 }));
    }

    #[test]
    fn equal_eigenvalues_have_no_peak() {
        assert_eq!(robust(&[3.0; 40]), Err(NoFit::NoTail));
        let mut values = vec![3.0; 40];
        values[39] = 1e9;
        assert_eq!(robust(&values), Err(NoFit::NoTail));
        // Equal except for their last bits, with logarithms from 1e-16 to 700.
        let mut rng = fastrand::Rng::with_seed(3);
        for scale in [1.0, 0.7, 2.5e-5, 1e300] {
            for ulps in [1, 2, 4, 8, 64] {
                let last_bits = |_| scale * (1.0 + f64::EPSILON * rng.u32(0..=ulps) as f64);
                let mut values: Vec<f64> = (0..128).map(last_bits).collect();
                values.sort_by(f64::total_cmp);
                assert_eq!(robust(&values), Err(NoFit::NoTail), "{scale:e} {ulps}");
            }
        }
    }
}
