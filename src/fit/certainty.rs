//! Whether rounding could have changed alpha: for each rule, whether every spectrum within the error bounds of this one has an
//! alpha within a tolerance of this one's.
//!
//! The alpha of a given tail moves smoothly with the eigenvalues, and [`Fit::alpha_error`] bounds that. But the choice of the
//! tail can jump: another start may have the smaller D, and under the peak rule another bin may be the fullest. So all
//! starts that could win are looked at: the choice is certain if each of them gives the same alpha within the tolerance.

use super::{Fit, LogSpectrum, NoFit, Rule, peak, peak_robust};
use crate::spectrum::Spectrum;

/// Relative error up to which an eigenvalue is treated by its first-order effects.
const SMALL: f64 = 0.1;
/// What first-order bounds are multiplied with, for what they leave out.
const MARGIN: f64 = 1.25;

/// True if no spectrum within the error bounds of `spectrum` has, under `rule`, an alpha that differs by more than
/// `tolerance` from that of `found`, which must be the fit of `spectrum`.
///
/// A spectrum without an alpha is never certain: a better one may have one.
pub fn is_certain(spectrum: &Spectrum, rule: Rule, found: &Result<Fit, NoFit>, tolerance: f64) -> bool {
    let Ok(found) = found else { return false };
    if found.alpha_error(spectrum) * MARGIN > tolerance {
        return false;
    }
    if rule == Rule::Median {
        return true;
    }
    let rivals = Rivals::new(spectrum);
    let possible = match rule {
        Rule::Median | Rule::Ks => {
            let all = Window { begin: 0, end: spectrum.len() - 1 };
            Some((all, all))
        }
        Rule::Peak => peak::possible_windows(spectrum),
        Rule::PeakRobust => peak_robust::possible_windows(&rivals.logs, &rivals.shift),
    };
    match possible {
        // The start that was found must be a candidate wherever the peak is.
        Some((union, common)) if common.contains(found.start) => rivals.all_agree(union, found, tolerance),
        _ => false,
    }
}

/// Indices of candidates: begin .. end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub begin: usize,
    pub end: usize,
}

impl Window {
    fn contains(self, index: usize) -> bool {
        (self.begin..self.end).contains(&index)
    }
}

/// A spectrum, and how far the logarithm of each eigenvalue may be off.
struct Rivals<'a> {
    logs: LogSpectrum<'a>,
    /// Bound on the error of ln x.
    shift: Vec<f64>,
    /// Sums of `shift` over j >= i.
    shift_sum: Vec<f64>,
    /// Largest of `shift` over j >= i.
    shift_max: Vec<f64>,
    /// The first index from which on all eigenvalues are known well.
    known: usize,
}

impl<'a> Rivals<'a> {
    fn new(spectrum: &'a Spectrum) -> Self {
        let n = spectrum.len();
        let shift: Vec<f64> = (0..n).map(|i| -(-spectrum.relative_error(i).min(1.0)).ln_1p()).collect();
        let (mut shift_sum, mut shift_max) = (shift.clone(), shift.clone());
        for i in (0..n - 1).rev() {
            shift_sum[i] += shift_sum[i + 1];
            shift_max[i] = shift_max[i].max(shift_max[i + 1]);
        }
        let known = (1..n).rfind(|&i| shift[i] > SMALL).map_or(0, |i| i + 1);
        Rivals { logs: LogSpectrum::new(spectrum), shift, shift_sum, shift_max, known }
    }

    fn all_agree(&self, window: Window, found: &Fit, tolerance: f64) -> bool {
        let reach = found.ks_distance + self.distance_error(found.start, found.alpha);
        (window.begin..window.end)
            .filter(|&i| i != found.start)
            .all(|i| if i < self.known { self.is_beaten(i, reach) } else { self.agrees(i, found, reach, tolerance) })
    }

    /// Bound on the error of alpha of the tail from `i`.
    fn alpha_error(&self, i: usize, alpha: f64) -> f64 {
        let mean = self.shift_sum[i] / (self.logs.len() - i) as f64;
        let scaled = (alpha - 1.0) * (mean + self.shift[i]) * MARGIN;
        if scaled < 1.0 { (alpha - 1.0) * scaled / (1.0 - scaled) } else { f64::INFINITY }
    }

    /// Bound on the error of D of the tail from `i`: of F = 1 - r^(1 - alpha), ln r is off by two shifts at most, and
    /// ln r r^(1 - alpha) is at most 1 / (e (alpha - 1)).
    fn distance_error(&self, i: usize, alpha: f64) -> f64 {
        let slope = alpha - 1.0;
        MARGIN
            * (slope * (self.shift[i] + self.shift_max[i]) + self.alpha_error(i, alpha) / (std::f64::consts::E * slope))
    }

    /// True if the tail from `i` cannot win, or has the same alpha.
    fn agrees(&self, i: usize, found: &Fit, reach: f64, tolerance: f64) -> bool {
        let Some(alpha) = self.logs.alpha(i) else { return false };
        let limit = reach + self.distance_error(i, alpha);
        let difference = (alpha - found.alpha).abs() + self.alpha_error(i, alpha);
        difference <= tolerance || self.logs.ks_distance(i, alpha, limit) > limit
    }

    /// True if the tail from `i` cannot win, though x_i is known only to lie between the smallest eigenvalue and the first
    /// that is known well.
    fn is_beaten(&self, i: usize, reach: f64) -> bool {
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
        // Of the mean of ln(x_j / x_i), which is 1 / (alpha - 1).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::fit;

    /// A spectrum whose eigenvalues are off by up to the bound of a solver in f32, and the smallest hardly at all.
    fn perturbed(values: &[f64], coarse: &Spectrum, rng: &mut fastrand::Rng) -> Spectrum {
        let move_by = |(i, x): (usize, &f64)| {
            let bound = coarse.relative_error(i) * coarse.values()[i];
            (x + bound * (2.0 * rng.f64() - 1.0)).max(coarse.smallest())
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
            // From hardly any error to that of f32 many times over.
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
                    for _ in 0..20 {
                        let other = fit(&perturbed(&values, &coarse, &mut rng), *rule).unwrap().alpha;
                        assert!((other - alpha).abs() <= tolerance, "{rule}, case {case}: {alpha} {other}");
                    }
                }
            }
        }
        assert!(certain.iter().all(|&count| count > 100), "{certain:?}: a check that is never passed proves nothing");
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
