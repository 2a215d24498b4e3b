//! Certainty of a fit: could rounding have changed alpha?
//!
//! A fit is certain under a rule if every spectrum within the error bounds of this one has an alpha within a tolerance
//! of this one's.
//!
//! The alpha of a given tail changes smoothly with the eigenvalues; [`Fit::alpha_error`] bounds that change. The choice
//! of the tail can jump: another start may have the smaller D, and under the peak rule another bin may be the fullest.
//! So this module examines all starts that could win. The choice is certain if each of them gives the same alpha within
//! the tolerance.

use super::window::Window;
use super::{Fit, LogSpectrum, NoFit, Rule, peak, peak_robust};
use crate::spectrum::Spectrum;

/// Largest relative error of an eigenvalue for which first-order effects suffice.
const SMALL: f64 = 0.1;
/// Factor on first-order bounds that covers the higher orders.
const MARGIN: f64 = 1.25;

/// True if every spectrum within the error bounds of `spectrum` has, under `rule`, an alpha within `tolerance` of that
/// of `found`, which must be the fit of `spectrum`.
///
/// A spectrum without an alpha is never certain: a more accurate one may have one.
pub fn is_certain(spectrum: &Spectrum, rule: Rule, found: &Result<Fit, NoFit>, tolerance: f64) -> bool {
    let Ok(found) = found else { return false };
    if found.alpha_error(spectrum) * MARGIN > tolerance {
        return false;
    }
    if rule == Rule::Median {
        return true;
    }
    let spectrum_logs = UncertainLogs::new(spectrum);
    let possible = match rule {
        Rule::Median | Rule::Ks => {
            let all = Window { begin: 0, end: spectrum.len() - 1 };
            Some((all, all))
        }
        Rule::Peak => peak::possible_windows(spectrum),
        Rule::PeakRobust => peak_robust::possible_windows(&spectrum_logs.logs, &spectrum_logs.shift),
    };
    match possible {
        // The start that was found must be a candidate for every possible peak.
        Some((union, common)) if common.contains(found.start) => {
            spectrum_logs.all_candidates_agree(union, found, tolerance)
        }
        _ => false,
    }
}

/// A spectrum and the error bounds of its logarithms: what all candidates share.
struct UncertainLogs<'a> {
    logs: LogSpectrum<'a>,
    /// Bound on the error of ln x.
    shift: Vec<f64>,
    /// Sums of `shift` over j >= i.
    shift_sum: Vec<f64>,
    /// First index from which all eigenvalues are accurate to [`SMALL`].
    known: usize,
}

impl<'a> UncertainLogs<'a> {
    fn new(spectrum: &'a Spectrum) -> Self {
        let n = spectrum.len();
        let shift: Vec<f64> = (0..n).map(|i| -(-spectrum.relative_error(i).min(1.0)).ln_1p()).collect();
        let mut shift_sum = shift.clone();
        for i in (0..n - 1).rev() {
            shift_sum[i] += shift_sum[i + 1];
        }
        let known = (1..n).rfind(|&i| shift[i] > SMALL).map_or(0, |i| i + 1);
        UncertainLogs { logs: LogSpectrum::new(spectrum), shift, shift_sum, known }
    }

    fn all_candidates_agree(&self, window: Window, found: &Fit, tolerance: f64) -> bool {
        let best = Tail::new(self, found.start);
        let extremes = best.extremes();
        let reach = extremes.iter().map(|extreme| extreme.most).fold(0.0, f64::max);
        let mut witness = found.start;
        (window.begin..window.end).filter(|&i| i != found.start).all(|i| {
            if i < self.known {
                return self.cannot_win(i, reach);
            }
            let tail = Tail::new(self, i);
            if tail.is_alpha_within(tolerance, found.alpha) {
                return true;
            }
            // An eigenvalue that rules out one start often rules out its neighbors, so try the last one first.
            let candidates = std::iter::once(witness.max(i)).chain(i..self.logs.len());
            let mut farthest = 0.0_f64;
            for j in candidates {
                let least = tail.differences(j).0;
                if least > reach {
                    witness = j;
                    return true;
                }
                farthest = farthest.max(least);
            }
            let is_worse = |extreme: &Extreme| farthest > extreme.most || tail.differs_more_than(&best, extreme.index);
            extremes.iter().all(is_worse)
        })
    }

    /// True if the tail from `i` cannot win. All that is known of x_i is that it is between the smallest eigenvalue
    /// and the first accurate one.
    fn cannot_win(&self, i: usize, reach: f64) -> bool {
        let (ln, n) = (self.logs.ln(), self.logs.len());
        let Some(&first) = ln.get(self.known) else { return false };
        let low = ln[0] - self.shift[0];
        let high = first + self.shift[self.known];
        if !low.is_finite() || self.shift[0] > SMALL {
            return false;
        }
        let (tail, hidden) = ((n - i) as f64, (self.known - i) as f64);
        let sum = self.logs.suffix()[self.known];
        let error = self.shift_sum[self.known];
        // Bounds on the mean of ln(x_j / x_i), which is 1 / (alpha - 1).
        let least = (sum - error + hidden * low) / tail - high;
        let most = (sum + error + hidden * high) / tail - low;
        if least <= 0.0 {
            return false;
        }
        let distance = |(offset, ln): (usize, &f64)| {
            let j = self.known + offset;
            let fitted_low = 1.0 - (-(ln - self.shift[j] - high).max(0.0) / most).exp();
            let fitted_high = 1.0 - (-(ln + self.shift[j] - low) / least).exp();
            let empirical = (j - i) as f64 / tail;
            (fitted_low - empirical).max(empirical - fitted_high)
        };
        ln[self.known..].iter().enumerate().map(distance).any(|distance| distance > reach)
    }
}

/// The tail from a start, in all spectra within the bounds.
///
/// Let H be the mean of ln(x_j / x_i). Then alpha - 1 = 1 / H, and the fitted CDF at x_j is 1 - exp(-t) with t = ln(x_j
/// / x_i) / H. Errors e_j of the logarithms change t to
///
/// ```text
/// (ln(x_j / x_i) + e_j - e_i) / (H + mean(e) - e_i)
/// ```
///
/// which is monotone in each of e_j, e_i and mean(e).
struct Tail<'r, 's> {
    spectrum_logs: &'r UncertainLogs<'s>,
    start: usize,
    /// H.
    excess: f64,
    /// Bound on |mean(e)|.
    mean_shift: f64,
}

impl<'r, 's> Tail<'r, 's> {
    fn new(spectrum_logs: &'r UncertainLogs<'s>, start: usize) -> Self {
        let n = (spectrum_logs.logs.len() - start) as f64;
        let excess = spectrum_logs.logs.suffix()[start] / n - spectrum_logs.logs.ln()[start];
        Tail { spectrum_logs, start, excess, mean_shift: spectrum_logs.shift_sum[start] / n }
    }

    /// True if alpha stays within `tolerance` of this one in every spectrum within the bounds.
    fn is_alpha_within(&self, tolerance: f64, alpha: f64) -> bool {
        let error = self.mean_shift + self.spectrum_logs.shift[self.start];
        let slope = alpha - 1.0;
        let (least, most) = (1.0 / (self.excess + error), 1.0 / (self.excess - error));
        self.excess > error && slope - least <= tolerance && most - slope <= tolerance
    }

    /// The smallest and the largest possible difference of fitted and empirical CDF at eigenvalue `j`.
    fn differences(&self, j: usize) -> (f64, f64) {
        if j == self.start {
            return (0.0, 0.0);
        }
        let (ln, shift) = (self.spectrum_logs.logs.ln(), &self.spectrum_logs.shift);
        let (distance, own) = (ln[j] - ln[self.start], shift[self.start]);
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for e in [-own, own] {
            let (smallest, largest) = (self.excess - self.mean_shift - e, self.excess + self.mean_shift - e);
            // A start that may be zero gives NaN here; it has no useful bounds either.
            if smallest.is_nan() || smallest <= 0.0 {
                return (0.0, 1.0);
            }
            least = least.min((distance - shift[j] - e).max(0.0) / largest);
            most = most.max((distance + shift[j] - e).max(0.0) / smallest);
        }
        let (fitted_least, fitted_most) = (1.0 - (-least).exp(), 1.0 - (-most).exp());
        let empirical = (j - self.start) as f64 / (ln.len() - self.start) as f64;
        let (below, above) = (empirical - fitted_most, fitted_least - empirical);
        (below.max(above).max(0.0), (fitted_most - empirical).max(empirical - fitted_least))
    }

    /// The eigenvalues at which the difference may be D.
    fn extremes(&self) -> Vec<Extreme> {
        let differences: Vec<_> = (self.start..self.spectrum_logs.logs.len()).map(|j| self.differences(j)).collect();
        let least = differences.iter().map(|difference| difference.0).fold(0.0, f64::max);
        let extreme = |(offset, &(_, most)): (usize, &(f64, f64))| {
            (most >= least).then_some(Extreme { index: self.start + offset, most })
        };
        differences.iter().enumerate().filter_map(extreme).collect()
    }

    /// True if, in every spectrum within the bounds, this tail's fitted and empirical CDF differ more at eigenvalue `j`
    /// than those of `other`. Both tails share the same errors, most of which cancel.
    fn differs_more_than(&self, other: &Tail, j: usize) -> bool {
        if j <= self.start || j <= other.start {
            return false;
        }
        let (mine, others) = (self.at(j), other.at(j));
        let (sign, shift) = (others.difference.signum(), &self.spectrum_logs.shift);
        // The other difference may change its sign, so it is small next to D.
        if others.difference.abs() <= others.error {
            return false;
        }
        let first = self.start.max(other.start);
        let (many, few) = if self.start > other.start { (&others, &mine) } else { (&mine, &others) };
        let only_in_one =
            self.spectrum_logs.shift_sum[self.start.min(other.start)] - self.spectrum_logs.shift_sum[first];
        let error = (mine.of_own - others.of_own).abs() * shift[j]
            + (mine.of_start).abs() * shift[self.start]
            + (others.of_start).abs() * shift[other.start]
            + (many.of_each - few.of_each).abs() * self.spectrum_logs.shift_sum[first]
            + many.of_each.abs() * only_in_one
            + mine.remainder
            + others.remainder;
        sign * (mine.difference - others.difference) > error
    }

    /// The difference at `j`, and its sensitivity to each error.
    fn at(&self, j: usize) -> Sensitivity {
        let (ln, shift) = (self.spectrum_logs.logs.ln(), &self.spectrum_logs.shift);
        let n = (ln.len() - self.start) as f64;
        let t = (ln[j] - ln[self.start]) / self.excess;
        let slope = (-t).exp() / self.excess;
        let move_of_t = (shift[j] + (1.0 - t).abs() * shift[self.start] + t * self.mean_shift) / self.excess;
        let move_of_excess = (self.mean_shift + shift[self.start]) / self.excess;
        let remainder = MARGIN * (-t).exp() * move_of_t * (move_of_t / 2.0 + move_of_excess);
        Sensitivity {
            difference: 1.0 - (-t).exp() - (j - self.start) as f64 / n,
            error: (-t).exp() * move_of_t + remainder,
            of_own: slope,
            of_start: slope * (1.0 - t),
            of_each: slope * t / n,
            remainder: if move_of_t + move_of_excess > SMALL { f64::INFINITY } else { remainder },
        }
    }
}

/// An eigenvalue at which fitted and empirical CDF may differ most, and the bound on that difference.
struct Extreme {
    index: usize,
    most: f64,
}

/// The difference of fitted and empirical CDF at x_j, and its derivatives with respect to the errors of the logarithms:
/// dt = (e_j - (1 - t) e_i - t mean(e)) / H.
struct Sensitivity {
    difference: f64,
    /// Bound on its error.
    error: f64,
    /// With respect to e_j.
    of_own: f64,
    /// With respect to e_i, the error of the start, with the opposite sign.
    of_start: f64,
    /// With respect to each error of the tail through the mean, with the opposite sign.
    of_each: f64,
    /// Bound on the terms of second and higher order.
    remainder: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::fit;

    /// A spectrum whose eigenvalues are off by up to the bound of an f32 solver; the smallest keeps its value.
    fn perturbed(values: &[f64], coarse: &Spectrum, rng: &mut fastrand::Rng) -> Spectrum {
        // Errors anywhere within the bound, all at its ends, or at its ends in runs of one sign.
        let (kind, mut sign) = (rng.u8(0..3), 1.0);
        let move_by = |(i, x): (usize, &f64)| {
            let bound = coarse.relative_error(i) * coarse.values()[i];
            if kind == 1 || rng.u8(0..20) == 0 {
                sign = if rng.bool() { 1.0 } else { -1.0 };
            }
            let part = if kind == 0 { 2.0 * rng.f64() - 1.0 } else { sign };
            (x + bound * part).max(coarse.smallest())
        };
        let mut moved: Vec<f64> = values.iter().enumerate().map(move_by).collect();
        moved[0] = values[0];
        Spectrum::from_gram(moved.clone(), moved.iter().sum(), f64::EPSILON).unwrap()
    }

    #[test]
    fn what_is_certain_stays_within_the_tolerance() {
        let mut rng = fastrand::Rng::with_seed(8);
        let mut certain = [0; 4];
        let rules = [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks];
        for case in 0..400 {
            let n = rng.usize(8..300);
            let sigma = [0.3, 1.0, 2.0, 4.0][case % 4];
            let mut normal = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            let mut values: Vec<f64> = (0..n).map(|_| (sigma * normal()).exp()).collect();
            values.sort_by(f64::total_cmp);
            let trace = values.iter().sum();
            // From tiny errors to many times those of f32.
            let epsilon = f64::from(f32::EPSILON) * 10.0_f64.powi(-(case as i32 % 5));
            let coarse = Spectrum::from_gram(values.clone(), trace, epsilon).unwrap();
            let coarse = coarse.with_smallest(values[0].sqrt(), f64::EPSILON, 1e-8);
            for (rule, certain) in rules.iter().zip(&mut certain) {
                let found = fit(&coarse, *rule);
                for tolerance in [1e-3, 1e-5] {
                    if !is_certain(&coarse, *rule, &found, tolerance) {
                        continue;
                    }
                    *certain += 1;
                    let alpha = found.as_ref().unwrap().alpha;
                    for _ in 0..60 {
                        let other = fit(&perturbed(&values, &coarse, &mut rng), *rule).unwrap().alpha;
                        assert!((other - alpha).abs() <= tolerance, "{rule}, case {case}: {alpha} {other}");
                    }
                }
            }
        }
        assert!(certain.iter().all(|&count| count > 100), "{certain:?}: a check that is never passed proves nothing");
    }

    #[test]
    fn a_start_that_may_be_zero_is_uncertain() {
        // A power law, and below it one eigenvalue that is zero or lost in the rounding of the largest.
        for lost in [0.0, 1e-20, 1e-16] {
            let quantile = |k: usize| 1.0 - (k as f64 + 0.5) / 200.0;
            let law = (0..200).map(|k| quantile(k).powf(-0.5));
            let values: Vec<f64> = std::iter::once(lost).chain(law).collect();
            let spectrum = Spectrum::from_gram(values.clone(), values.iter().sum(), f64::EPSILON).unwrap();
            assert_eq!(spectrum.first_known(), 1);
            assert!(!is_certain(&spectrum, Rule::Ks, &fit(&spectrum, Rule::Ks), 1e-3), "{lost:e}");
        }
    }

    #[test]
    fn a_tie_between_starts_is_uncertain() {
        // Two power laws, one above the other: either start gives a good fit, with its own alpha.
        let quantile = |k: usize, n: usize| 1.0 - (k as f64 + 0.5) / n as f64;
        let values: Vec<f64> = (0..200)
            .map(|k| if k < 100 { quantile(k, 100).powf(-0.2) } else { 3.0 * quantile(k - 100, 100).powf(-1.0) })
            .collect();
        let trace = values.iter().sum();
        let exact = Spectrum::from_gram(values.clone(), trace, f64::EPSILON).unwrap();
        let found = fit(&exact, Rule::Ks);
        assert!(is_certain(&exact, Rule::Ks, &found, 1e-6));
        let coarse = Spectrum::from_gram(values, trace, 1e-3).unwrap();
        assert!(!is_certain(&coarse, Rule::Ks, &fit(&coarse, Rule::Ks), 1e-3));
    }
}
