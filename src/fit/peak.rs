//! The peak rule ("fix-finger"): the best start near the peak of the histogram of log10 x (AlphaLoRA, AlphaPruning,
//! FARMS).
//!
//! The histogram has 100 equal bins between the minimum and the maximum of log10 x; x_pk is the left edge of the first
//! fullest bin. Candidates satisfy lo <= x_i <= 1.5 x_pk. The published codes use lo = log10(0.95 x_pk), which compares
//! a logarithm with plain values: a slip that only widens the window. It is reproduced here so that alphas agree with
//! theirs.
//!
//! The histogram starts at the smallest eigenvalue. An error there moves every bin edge and can make alpha jump.

use super::window::Window;
use super::{Fit, LogSpectrum, NoFit, Rule};
use crate::spectrum::Spectrum;

const BINS: usize = 100;

pub(super) fn fit(logs: &LogSpectrum) -> Result<Fit, NoFit> {
    let x = logs.spectrum.values();
    if logs.spectrum.relative_error(0) >= 1.0 {
        return Err(logs.rank_deficient(Rule::Peak));
    }
    let peak = histogram_peak(x).ok_or(NoFit::NoTail)?;
    let (low, high) = window_edges(peak);
    let window = (0..x.len() - 1).filter(|&i| low <= x[i] && x[i] <= high);
    let known = logs.starts().start;
    logs.best(window.clone().filter(|&i| i >= known)).ok_or_else(|| logs.why_no_fit(window))
}

/// The left edge of the first fullest bin; `None` if all values are equal.
fn histogram_peak(x: &[f64]) -> Option<f64> {
    let log10: Vec<f64> = x.iter().map(|x| x.log10()).collect();
    let (min, max) = (log10[0], log10[log10.len() - 1]);
    let width = max - min;
    if width <= 0.0 {
        return None;
    }
    let mut counts = [0_usize; BINS];
    for value in log10 {
        let bin = ((value - min) / width * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    let fullest = counts.iter().max()?;
    let bin = counts.iter().position(|count| count == fullest)?;
    Some(10.0_f64.powf(min + width * bin as f64 / BINS as f64))
}

/// The smallest and the largest candidate for a peak.
fn window_edges(peak: f64) -> (f64, f64) {
    ((0.95 * peak).log10(), 1.5 * peak)
}

/// Union and intersection of the candidate windows over all histograms that the error bounds allow; `None` if the
/// bounds are too wide to tell.
pub(super) fn possible_windows(spectrum: &Spectrum) -> Option<(Window, Window)> {
    let (x, last) = (spectrum.values(), spectrum.len() - 1);
    // Error bound of log10 x.
    let error = |i: usize| spectrum.relative_error(i).min(1e9) / std::f64::consts::LN_10 * 1.1;
    let log10: Vec<f64> = x.iter().map(|x| x.log10()).collect();
    let width = log10[last] - log10[0];
    let edge_error = error(0).max(error(last));
    if edge_error > 1e-2 * width || !width.is_finite() {
        return None;
    }
    let (mut certain, mut possible) = ([0_usize; BINS], [0_usize; BINS]);
    // The bin edges move with both ends of the spectrum, each edge more with the closer end.
    let bin = |x: f64, sign: f64| {
        let place = (x.log10() - log10[0]) / width;
        let reach = 1.01 * (error(0) * (1.0 - place) + error(last) * place) / width + 1e-11;
        (((place + sign * reach) * BINS as f64).max(0.0) as usize).min(BINS - 1)
    };
    let absolute = |i: usize| spectrum.relative_error(i) * x[i];
    for i in 0..x.len() {
        // No value is below the smallest, which is the edge of the first bin by definition.
        let (low, high) =
            if i == 0 { (0, 0) } else { (bin((x[i] - absolute(i)).max(x[0]), -1.0), bin(x[i] + absolute(i), 1.0)) };
        if low == high {
            certain[low] += 1;
        }
        (low..=high).for_each(|bin| possible[bin] += 1);
    }
    // Of equally full bins the first is the peak.
    let may_win = |bin: usize| {
        let (before, others) = certain.split_at(bin);
        before.iter().all(|&count| possible[bin] > count) && others.iter().all(|&count| possible[bin] >= count)
    };
    let (mut union, mut common) = (Window { begin: last, end: 0 }, Window { begin: 0, end: last });
    for bin in (0..BINS).filter(|&bin| may_win(bin)) {
        let peak = 10.0_f64.powf(log10[0] + width * bin as f64 / BINS as f64);
        let (low, high) = window_edges(peak);
        let (low_error, high_error) = (edge_error, 3.0 * edge_error * high);
        let count = |inside: &dyn Fn(usize) -> bool| (0..last).filter(|&i| inside(i)).count();
        let begin =
            [count(&|i| x[i] + absolute(i) < low - low_error), count(&|i| x[i] - absolute(i) < low + low_error)];
        let end =
            [count(&|i| x[i] + absolute(i) <= high - high_error), count(&|i| x[i] - absolute(i) <= high + high_error)];
        union = Window { begin: union.begin.min(begin[0]), end: union.end.max(end[1]) };
        common = Window { begin: common.begin.max(begin[1]), end: common.end.min(end[0]) };
    }
    Some((union, common))
}

#[cfg(test)]
mod tests {
    use super::{histogram_peak, possible_windows};
    use crate::spectrum::Spectrum;

    #[test]
    fn the_first_fullest_bin_wins_and_the_last_is_closed() {
        // Decades 0 to 2: bins are 0.02 wide. Two values in the bin of 10, two in the last: the first counts.
        let peak = histogram_peak(&[1.0, 10.1, 10.2, 99.0, 100.0]).unwrap();
        assert!((peak - 10.0).abs() < 1e-12);
        let peak = histogram_peak(&[1.0, 10.1, 99.0, 99.5, 100.0]).unwrap();
        assert!((peak - 10.0_f64.powf(1.98)).abs() < 1e-10);
        assert_eq!(histogram_peak(&[2.0, 2.0]), None);
    }

    #[test]
    fn of_equally_full_bins_only_the_first_can_win() {
        // Decades 0 to 2, with ten values in the bin of 10 and ten in that of 31.6, far from its edges.
        let crowd = |decade: f64| (0..10).map(move |k| 10.0_f64.powf(decade + 0.008 + 4e-4 * f64::from(k)));
        let values = |more: &[f64]| {
            let mut values: Vec<f64> = [1.0, 100.0].into_iter().chain(crowd(1.0)).chain(crowd(1.5)).collect();
            values.extend(more);
            values.sort_by(f64::total_cmp);
            values
        };
        let windows = |values: Vec<f64>| {
            let trace = values.iter().sum();
            possible_windows(&Spectrum::from_gram(values, trace, f64::EPSILON).unwrap()).unwrap()
        };
        let (union, common) = windows(values(&[]));
        assert_eq!(union, common);
        // From log10(9.5), the published slip, to 15.
        assert_eq!((union.begin, union.end), (0, 11));
        // A value on the upper edge of the first bin: it may or may not belong there, and the bin needs it to win.
        let edge = 10.0_f64.powf(1.02);
        let (union, common) = windows(values(&[edge, 33.0]));
        assert_ne!(union, common);
        assert!(union.end > 20 && common.end < 20);
    }
}
