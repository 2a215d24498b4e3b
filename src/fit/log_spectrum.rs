//! The logarithms of a spectrum and their suffix sums, which give every candidate's alpha in O(1).

use super::{Fit, NoFit, Rule};
use crate::spectrum::Spectrum;

/// Every 64th start is tried first.
const PROBED: usize = 64;

/// A spectrum prepared for fitting.
pub(super) struct LogSpectrum<'a> {
    pub spectrum: &'a Spectrum,
    /// ln x, ascending; minus infinity for zeros.
    ln: Vec<f64>,
    /// suffix[i] = sum of ln x_j over j >= i.
    suffix: Vec<f64>,
    /// The first index from which no eigenvalue is zero within rounding.
    first: usize,
}

impl<'a> LogSpectrum<'a> {
    /// Relative error of an eigenvalue above which a missing alpha may be due to rounding.
    pub const HIDDEN: f64 = 1e-3;

    pub fn new(spectrum: &'a Spectrum) -> Self {
        let ln: Vec<f64> = spectrum.values().iter().map(|x| x.ln()).collect();
        let mut suffix = ln.clone();
        for i in (0..suffix.len() - 1).rev() {
            suffix[i] += suffix[i + 1];
        }
        LogSpectrum { spectrum, ln, suffix, first: spectrum.first_known() }
    }

    pub fn len(&self) -> usize {
        self.ln.len()
    }

    /// ln x, ascending; minus infinity for zeros.
    pub fn ln(&self) -> &[f64] {
        &self.ln
    }

    /// Sums of ln x_j over j >= i.
    pub fn suffix(&self) -> &[f64] {
        &self.suffix
    }

    /// The starts that can have an alpha: from the first eigenvalue above the noise to the second to last.
    pub fn starts(&self) -> std::ops::Range<usize> {
        self.first..self.len() - 1
    }

    /// The first of the eigenvalues that equal the one at `i`.
    pub fn first_equal(&self, i: usize) -> usize {
        let x = self.spectrum.values();
        (0..i).rev().take_while(|&before| x[before] == x[i]).last().unwrap_or(i)
    }

    /// alpha of the tail from `i`; `None` if it is not above 1 or rounding hides it.
    pub fn alpha(&self, i: usize) -> Option<f64> {
        let n = (self.len() - i) as f64;
        let mean_excess = (self.suffix[i] - n * self.ln[i]) / n;
        // The mean of ln(x_j / x_i) is no more accurate than x_i is. This also rejects zero and NaN.
        let known = mean_excess > self.spectrum.relative_error(i).max(8.0 * f64::EPSILON * self.ln[i].abs());
        known.then(|| 1.0 + 1.0 / mean_excess)
    }

    /// D of the tail from `i`, or any number above `limit` if D is above `limit`.
    pub fn ks_distance(&self, i: usize, alpha: f64, limit: f64) -> f64 {
        self.distance_within(i, alpha, limit).unwrap_or_else(|j| self.difference(i, alpha, j))
    }

    /// D of the tail from `i`, or the index of an eigenvalue that makes it larger than `limit`.
    fn distance_within(&self, i: usize, alpha: f64, limit: f64) -> Result<f64, usize> {
        let mut distance = 0.0_f64;
        for j in i..self.len() {
            distance = distance.max(self.difference(i, alpha, j));
            if distance > limit {
                return Err(j);
            }
        }
        Ok(distance)
    }

    /// The difference of fitted and empirical CDF of the tail from `i` at eigenvalue `j`.
    fn difference(&self, i: usize, alpha: f64, j: usize) -> f64 {
        let fitted = 1.0 - ((1.0 - alpha) * (self.ln[j] - self.ln[i])).exp();
        (fitted - (j - i) as f64 / (self.len() - i) as f64).abs()
    }

    /// The fit of the tail from `i`.
    pub fn fit_at(&self, i: usize) -> Option<Fit> {
        let alpha = self.alpha(i)?;
        Some(self.fit_with(i, alpha, self.ks_distance(i, alpha, f64::INFINITY)))
    }

    /// The fit with the smallest D among `starts`; ties go to the smallest index.
    pub fn best(&self, starts: impl Iterator<Item = usize> + Clone) -> Option<Fit> {
        let smallest = |best: Fit, fit: Fit| if fit.ks_distance < best.ks_distance { fit } else { best };
        self.within(starts, 0.0).into_iter().reduce(smallest)
    }

    /// The fits whose D is at most `margin` above the smallest among `starts`, in their order. Of equal eigenvalues only the
    /// first is a start.
    ///
    /// Two shortcuts save time and do not change the result. D often falls slowly along `starts`, so each start would
    /// beat the last and cost a pass over its whole tail; therefore some starts are tried first. And the eigenvalue
    /// that makes D too large for one start often does so for its neighbors, so the last such eigenvalue is checked
    /// first.
    pub fn within(&self, starts: impl Iterator<Item = usize> + Clone, margin: f64) -> Vec<Fit> {
        let mut close: Vec<Fit> = Vec::new();
        let (mut best, mut obstacle) = (f64::INFINITY, 0);
        let x = self.spectrum.values();
        let starts = starts.filter(|&i| i == 0 || x[i - 1] != x[i]);
        let probes = starts.clone().step_by(PROBED).map(|i| (i, true));
        for (i, is_probe) in probes.chain(starts.map(|i| (i, false))) {
            let Some(alpha) = self.alpha(i) else { continue };
            let limit = best + margin;
            if obstacle > i && self.difference(i, alpha, obstacle) > limit {
                continue;
            }
            match self.distance_within(i, alpha, limit) {
                Ok(ks_distance) => {
                    best = best.min(ks_distance);
                    if !is_probe {
                        close.push(self.fit_with(i, alpha, ks_distance));
                    }
                }
                Err(j) => obstacle = j,
            }
        }
        close.retain(|fit| fit.ks_distance <= best + margin);
        close
    }

    fn fit_with(&self, i: usize, alpha: f64, ks_distance: f64) -> Fit {
        Fit { alpha, ks_distance, start: i, xmin: self.spectrum.values()[i], tail: self.len() - i }
    }

    /// Why none of `starts` has an alpha.
    pub fn why_no_fit(&self, mut starts: impl Iterator<Item = usize>) -> NoFit {
        let hidden = starts.any(|i| self.spectrum.relative_error(i) > Self::HIDDEN);
        if hidden { NoFit::Unresolved } else { NoFit::NoTail }
    }

    pub fn rank_deficient(&self, rule: Rule) -> NoFit {
        NoFit::RankDeficient { rule, rank: self.spectrum.rank(), of: self.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fit with the smallest D, by trying one start after the other.
    fn one_by_one(logs: &LogSpectrum, starts: std::ops::Range<usize>) -> Option<Fit> {
        let mut best: Option<Fit> = None;
        let x = logs.spectrum.values();
        for fit in starts.filter(|&i| i == 0 || x[i - 1] != x[i]).filter_map(|i| logs.fit_at(i)) {
            if best.is_none_or(|best| fit.ks_distance < best.ks_distance) {
                best = Some(fit);
            }
        }
        best
    }

    #[test]
    fn probing_finds_the_same_fit_to_the_bit_and_the_same_of_ties() {
        let mut rng = fastrand::Rng::with_seed(1);
        for n in [8, 65, 130, 700] {
            let mut falling: Vec<f64> = (0..n).map(|k| (k as f64 + 1.0) / n as f64).collect();
            let lattice: Vec<f64> = (0..n).map(|k| 2.0_f64.powi((k / 3) as i32 % 400)).collect();
            let mut random: Vec<f64> = (0..n).map(|_| rng.f64() + 1e-3).collect();
            let pairs: Vec<f64> = (0..n).map(|k| 1.0 + (k / 2) as f64).collect();
            falling.sort_by(f64::total_cmp);
            random.sort_by(f64::total_cmp);
            for values in [falling, lattice, random, pairs] {
                let spectrum = Spectrum::from_gram(values.clone(), values.iter().sum(), f64::EPSILON).unwrap();
                let logs = LogSpectrum::new(&spectrum);
                for starts in [logs.starts(), n / 3..n / 2 + 1, n / 2..n / 2 + 1] {
                    assert_eq!(logs.best(starts.clone()), one_by_one(&logs, starts), "{n} {values:?}");
                }
            }
        }
    }
}
