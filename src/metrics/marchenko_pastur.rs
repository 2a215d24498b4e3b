//! The Marchenko-Pastur law: the distribution of the eigenvalues of W^T W for W of independent random elements
//! (Marchenko and Pastur, 1967).
//!
//! For an n x m matrix W, n >= m, whose elements have mean 0 and variance s^2, let b = m / n. The eigenvalues in units
//! of n s^2 fill the interval from (1 - sqrt b)^2 to (1 + sqrt b)^2, with the density
//!
//! ```text
//! p(x) = sqrt((x_max - x) (x - x_min)) / (2 pi b x)
//! ```

use std::f64::consts::PI;

/// The 99.9 % quantile of the Tracy-Widom law for real matrices (beta = 1), from Painleve II in f64.
const TRACY_WIDOM_999: f64 = 3.2722;

/// The law for matrices of one shape, in units of n s^2: its mean is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MarchenkoPastur {
    long: f64,
    short: f64,
}

impl MarchenkoPastur {
    /// The law for `long` x `short` elements.
    ///
    /// # Panics
    ///
    /// If `short` is zero or larger than `long`.
    pub fn new(long: usize, short: usize) -> MarchenkoPastur {
        assert!(0 < short && short <= long);
        MarchenkoPastur { long: long as f64, short: short as f64 }
    }

    fn ratio(self) -> f64 {
        self.short / self.long
    }

    /// The smallest and the largest eigenvalue.
    pub fn edges(self) -> (f64, f64) {
        let root = self.ratio().sqrt();
        ((1.0 - root).powi(2), (1.0 + root).powi(2))
    }

    /// The limit that the largest of finitely many eigenvalues exceeds once in a thousand matrices: the upper edge plus
    /// the fluctuation of the largest eigenvalue there (Johnstone, Ann. Statist. 29, 2001, theorem 1.1).
    pub fn largest_by_chance(self) -> f64 {
        let (long, short) = ((self.long - 1.0).max(1.0).sqrt(), self.short.sqrt());
        let center = (long + short).powi(2);
        let scale = (long + short) * (1.0 / long + 1.0 / short).cbrt();
        (center + TRACY_WIDOM_999 * scale) / self.long
    }

    /// The share of eigenvalues up to `x`.
    pub fn cumulative(self, x: f64) -> f64 {
        let b = self.ratio();
        let (min, max) = self.edges();
        if x <= min {
            return 0.0;
        }
        if x >= max {
            return 1.0;
        }
        let r = ((max - x) / (x - min)).sqrt();
        let outer = (1.0 + b) * ((r * r - 1.0) / (2.0 * r)).atan();
        let inner = if b < 1.0 { (1.0 - b) * ((min * r * r - max) / (2.0 * (1.0 - b) * r)).atan() } else { 0.0 };
        ((PI * b + ((max - x) * (x - min)).sqrt() - outer + inner) / (2.0 * PI * b)).clamp(0.0, 1.0)
    }

    /// The x with [`MarchenkoPastur::cumulative`] = `share`, for a share between 0 and 1, by bisection.
    pub fn quantile(self, share: f64) -> f64 {
        let (mut low, mut high) = self.edges();
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            *if self.cumulative(middle) < share { &mut low } else { &mut high } = middle;
        }
        0.5 * (low + high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [(usize, usize); 6] = [(10, 10), (1000, 999), (1536, 384), (100, 7), (4096, 1), (28_672, 8192)];

    #[test]
    fn the_cumulative_law_is_the_integral_of_the_density() {
        for (long, short) in SHAPES {
            let law = MarchenkoPastur::new(long, short);
            let (min, max) = law.edges();
            let b = short as f64 / long as f64;
            // x = min + (max - min) sin^2 t removes the square roots from the density.
            let steps = 20_000;
            let step = 0.5 * PI / f64::from(steps);
            let mut sum = 0.0;
            for k in 0..steps {
                let (sin, cos) = ((f64::from(k) + 0.5) * step).sin_cos();
                let x = min + (max - min) * sin * sin;
                sum += 2.0 * ((max - min) * sin * cos).powi(2) / (2.0 * PI * b * x) * step;
                if k % 1999 == 1998 {
                    let edge = (f64::from(k + 1) * step).sin();
                    let cumulative = law.cumulative(min + (max - min) * edge * edge);
                    assert!((cumulative - sum).abs() < 1e-6, "{long} x {short}: {cumulative} {sum}");
                }
            }
        }
    }

    #[test]
    fn quantiles_invert_it() {
        for (long, short) in SHAPES {
            let law = MarchenkoPastur::new(long, short);
            for share in [0.001, 0.25, 0.5, 0.9, 0.999] {
                let error = law.cumulative(law.quantile(share)) - share;
                assert!(error.abs() < 1e-9, "{long} x {short}, {share}: {error}");
            }
            assert_eq!((law.cumulative(-1.0), law.cumulative(9.0)), (0.0, 1.0));
        }
    }

    #[test]
    fn the_median_of_square_matrices_is_the_published_one() {
        // Gavish and Donoho, arXiv 1305.5870: 0.6528 for b = 1.
        assert!((MarchenkoPastur::new(500, 500).quantile(0.5) - 0.6528).abs() < 1e-4);
    }
}
