//! The spectrum of a weight matrix: its ESD (empirical spectral density) and error bounds.
//!
//! The ESD of W is the set of eigenvalues of W^T W on the smaller side, ascending, without normalization. A solver does
//! not return them exactly, and the peak rule depends on the smallest of them. So a spectrum carries a bound on the
//! error of each of its values, which lets a rule distinguish a small eigenvalue from rounding noise.

/// Error bounds of the eigenvalues of a spectrum. Most solvers leave either `eta` or `delta` at zero.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Accuracy {
    /// Absolute error of all eigenvalues (of a Gram matrix).
    pub eta: f64,
    /// Absolute error of all *singular values* (computed from W itself).
    pub delta: f64,
    /// Relative error of the smallest eigenvalue, if it was computed separately.
    pub smallest: Option<f64>,
}

impl Accuracy {
    fn relative(self, x: f64) -> f64 {
        self.eta / x + 2.0 * self.delta / x.sqrt()
    }
}

/// The eigenvalues of a Gram matrix W^T W: ascending, finite, not negative, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    values: Vec<f64>,
    trace: f64,
    accuracy: Accuracy,
    /// How far the rounding of the elements of the matrix moves a singular value: see [`Spectrum::with_roundoff`].
    resolution: f64,
}

/// The eigenvalues do not belong to the matrix: the solver failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Inconsistent {
    /// What was summed.
    pub of: &'static str,
    /// Their sum.
    pub sum: f64,
    /// The expected sum, from the elements of the matrix.
    pub expected: f64,
}

/// The error of an eigenvalue of a Gram matrix in units of epsilon x_max, after a reduction to tridiagonal form and
/// bisection.
///
/// The largest error seen was 5 on Gaussian, graded, spiked and heavy-tailed matrices of order 64 to 2048, without
/// growth in the order (`tests/it/accuracy.rs` checks small ones), and 14 on patterns with a little noise: ones, sines,
/// blocks, cosines of a Fourier transform, multiples of the identity. If all eigenvalues are exactly equal, or zero,
/// rounding errors add up to 31 in f32; such a spectrum has no power law that could be wrong. Products on
/// tensor cores, which truncate, add up to about 10.
const GRAM_GROWTH: f64 = 16.0;

/// The error of a singular value from a triangle in units of epsilon sigma_max, for N singular values: 4 sqrt(N).
///
/// Rounding errors add up like a random walk over the steps of a factorization and of an iteration.
fn growth(eigenvalues: usize) -> f64 {
    4.0 * (eigenvalues as f64).sqrt()
}

impl Spectrum {
    /// Eigenvalues that were computed with unit roundoff `epsilon` from a Gram matrix with the given trace, by
    /// tridiagonalization and bisection. (Describe a less accurate solver by a larger `epsilon`.)
    ///
    /// The order of `values` does not matter. Negative values, which rounding produces, become zero.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] if a value is not finite, or if their sum misses the trace by more than rounding explains.
    ///
    /// # Panics
    ///
    /// If `values` is empty.
    pub fn from_gram(mut values: Vec<f64>, trace: f64, epsilon: f64) -> Result<Self, Inconsistent> {
        assert!(!values.is_empty());
        let sum = values.iter().sum::<f64>();
        // The last term covers the sums over the long side, of any length; a lost eigenvalue misses by far more.
        let tolerance = (4.0 * growth(values.len()) * epsilon + 1e-12) * trace;
        if !sum.is_finite() || (sum - trace).abs() > tolerance {
            return Err(Inconsistent { of: "eigenvalues", sum, expected: trace });
        }
        values.iter_mut().for_each(|x| *x = x.max(0.0));
        values.sort_by(f64::total_cmp);
        let eta = Self::gram_error(epsilon) * values[values.len() - 1];
        Ok(Spectrum { values, trace, accuracy: Accuracy { eta, delta: 0.0, smallest: None }, resolution: 0.0 })
    }

    /// Bound on the absolute error of eigenvalues from [`Spectrum::from_gram`], in units of the largest eigenvalue.
    pub fn gram_error(epsilon: f64) -> f64 {
        GRAM_GROWTH * epsilon
    }

    /// Squares of singular values that a solver with unit roundoff `epsilon` computed from the matrix itself.
    ///
    /// # Errors
    ///
    /// As for [`Spectrum::from_gram`].
    ///
    /// # Panics
    ///
    /// If `singular_values` is empty.
    pub fn from_singular_values(singular_values: &[f64], trace: f64, epsilon: f64) -> Result<Self, Inconsistent> {
        let squares = singular_values.iter().map(|s| s * s).collect();
        let spectrum = Self::from_gram(squares, trace, epsilon)?;
        let delta = growth(spectrum.len()) * epsilon * spectrum.largest().sqrt();
        Ok(Spectrum { accuracy: Accuracy { eta: 0.0, delta, smallest: None }, ..spectrum })
    }

    /// Replaces the smallest eigenvalue by the square of `singular_value`, which was computed from the matrix itself
    /// with unit roundoff `epsilon`, by an iteration that leaves a relative error of `iteration` in the square.
    pub fn with_smallest(self, singular_value: f64, epsilon: f64, iteration: f64) -> Self {
        let delta = growth(self.len()) * epsilon * self.largest().sqrt();
        self.with_smallest_eigenvalue(singular_value * singular_value, 2.0 * delta / singular_value + iteration)
    }

    /// Like [`Spectrum::with_smallest`], for a singular value from a Gram matrix that was formed and factorized with
    /// unit roundoff `epsilon`.
    pub fn with_smallest_of_gram(self, singular_value: f64, epsilon: f64, iteration: f64) -> Self {
        let eta = Self::gram_error(epsilon) * self.largest();
        let smallest = singular_value * singular_value;
        self.with_smallest_eigenvalue(smallest, eta / smallest + iteration)
    }

    /// Replaces the smallest eigenvalue by one with this relative error.
    pub fn with_smallest_eigenvalue(mut self, smallest: f64, relative_error: f64) -> Self {
        // Values that noise put below the smallest eigenvalue are at least as large as it.
        self.values.iter_mut().for_each(|x| *x = x.max(smallest));
        self.values[0] = smallest;
        self.accuracy.smallest = Some(relative_error);
        self
    }

    /// The same spectrum with its smallest eigenvalue multiplied by `factor`, to test what depends on it.
    pub(crate) fn with_smallest_times(&self, factor: f64) -> Spectrum {
        let mut moved = self.clone();
        moved.values[0] *= factor;
        moved.trace += moved.values[0] - self.values[0];
        moved.values.sort_by(f64::total_cmp);
        moved
    }

    /// A made-up spectrum, ascending, without errors.
    ///
    /// # Panics
    ///
    /// If `values` is empty or not ascending.
    pub(crate) fn exact(values: Vec<f64>) -> Spectrum {
        assert!(!values.is_empty() && values.is_sorted());
        let trace = values.iter().sum();
        Spectrum { values, trace, accuracy: Accuracy { eta: 0.0, delta: 0.0, smallest: None }, resolution: 0.0 }
    }

    /// The same spectrum, of a matrix of this shape whose elements were rounded with unit roundoff `roundoff` before it was
    /// computed.
    ///
    /// Rounding an element w to the nearest leaves an error whose mean square is at most `roundoff`^2 w^2 / 3. Errors are
    /// independent, so together they form a random matrix whose norm is its element size times sqrt(rows) + sqrt(cols).
    #[must_use]
    pub fn with_roundoff(self, [rows, cols]: [usize; 2], roundoff: f64) -> Spectrum {
        let (rows, cols) = (rows as f64, cols as f64);
        let error = roundoff * (self.trace / rows / cols / 3.0).sqrt();
        Spectrum { resolution: error * (rows.sqrt() + cols.sqrt()), ..self }
    }

    /// Confirms that the squared eigenvalues add up to `squares`, the squared Frobenius norm of the Gram matrix, within
    /// the accuracy of a solver with unit roundoff `epsilon`. A wrong eigenvalue can be hidden in the trace, but hardly
    /// in both sums.
    ///
    /// # Errors
    ///
    /// [`Inconsistent`] if they do not.
    pub fn check_squares(&self, squares: f64, epsilon: f64) -> Result<(), Inconsistent> {
        let sum = self.values.iter().map(|x| x * x).sum::<f64>();
        let tolerance = (4.0 * growth(self.len()) * epsilon + 1e-12) * squares;
        if (sum - squares).abs() <= tolerance {
            Ok(())
        } else {
            Err(Inconsistent { sum, expected: squares, of: "squares of the eigenvalues" })
        }
    }

    /// Pools the eigenvalues of several matrices into one spectrum, whose trace is the sum of theirs. Every error bound
    /// is the largest of all, except that the smallest eigenvalue keeps its own.
    ///
    /// # Panics
    ///
    /// If `spectra` is empty.
    pub fn pooled(spectra: &[Spectrum]) -> Spectrum {
        let mut values: Vec<f64> = spectra.iter().flat_map(|spectrum| &spectrum.values).copied().collect();
        values.sort_by(f64::total_cmp);
        let widest =
            |bound: fn(&Accuracy) -> f64| spectra.iter().map(|spectrum| bound(&spectrum.accuracy)).fold(0.0, f64::max);
        let least = spectra.iter().min_by(|a, b| a.smallest().total_cmp(&b.smallest())).expect("at least one spectrum");
        let accuracy = Accuracy {
            eta: widest(|accuracy| accuracy.eta),
            delta: widest(|accuracy| accuracy.delta),
            smallest: Some(least.relative_error(0)),
        };
        let resolution = spectra.iter().map(|spectrum| spectrum.resolution).fold(0.0, f64::max);
        Spectrum { values, trace: spectra.iter().map(Spectrum::trace).sum(), accuracy, resolution }
    }

    /// The same spectrum for W times 2^exponent.
    pub fn scaled(mut self, exponent: i32) -> Self {
        let factor = 4.0_f64.powi(exponent);
        self.values.iter_mut().for_each(|x| *x *= factor);
        self.trace *= factor;
        self.accuracy.eta *= factor;
        self.accuracy.delta *= factor.sqrt();
        self.resolution *= factor.sqrt();
        // Below the normal numbers, the last bits are lost.
        if self.smallest() < f64::MIN_POSITIVE {
            let lost = f64::from_bits(1);
            self.accuracy.eta += lost;
            self.accuracy.smallest = self.accuracy.smallest.map(|error| error + lost / self.values[0]);
        }
        self
    }

    /// The spectrum without its `count` smallest eigenvalues.
    ///
    /// # Panics
    ///
    /// If none is left.
    pub(crate) fn without_smallest(&self, count: usize) -> Spectrum {
        assert!(count < self.len());
        let (left_out, values) = self.values.split_at(count);
        let smallest = self.accuracy.smallest.filter(|_| count == 0);
        Spectrum {
            values: values.to_vec(),
            trace: self.trace - left_out.iter().sum::<f64>(),
            accuracy: Accuracy { smallest, ..self.accuracy },
            resolution: self.resolution,
        }
    }

    /// The eigenvalues, ascending.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Number of eigenvalues.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The smallest eigenvalue.
    pub fn smallest(&self) -> f64 {
        self.values[0]
    }

    /// The largest eigenvalue.
    pub fn largest(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    /// Sum of the squared elements of W: the trace of the Gram matrix.
    pub fn trace(&self) -> f64 {
        self.trace
    }

    /// Error bounds of the eigenvalues.
    pub fn accuracy(&self) -> Accuracy {
        self.accuracy
    }

    /// Bound on the relative error of the eigenvalue with the given index; infinite for a zero.
    pub fn relative_error(&self, index: usize) -> f64 {
        match self.accuracy.smallest {
            Some(error) if index == 0 => error,
            _ if self.values[index] == 0.0 => f64::INFINITY,
            _ => self.accuracy.relative(self.values[index]),
        }
    }

    /// Bound on the absolute error of the eigenvalue with the given index, zeros included.
    pub(crate) fn absolute_error(&self, index: usize) -> f64 {
        let (x, accuracy) = (self.values[index], self.accuracy);
        match accuracy.smallest {
            Some(error) if index == 0 && error < 1.0 => error * x,
            _ => accuracy.eta + accuracy.delta * (2.0 * x.sqrt() + accuracy.delta),
        }
    }

    /// The least and the most eigenvalues that may be below `limit`, given their errors.
    pub(crate) fn count_below(&self, limit: f64) -> (usize, usize) {
        let low = |index: usize| self.values[index] - self.absolute_error(index);
        let high = |index: usize| self.values[index] + self.absolute_error(index);
        let least = (0..self.len()).find(|&index| high(index) >= limit).unwrap_or(self.len());
        let most = (0..self.len()).rfind(|&index| low(index) < limit).map_or(0, |index| index + 1);
        (least, most.max(least))
    }

    /// True if the eigenvalues from index `start` on are one value, as far as the elements of the matrix can tell: those of an
    /// orthogonal matrix, for example.
    ///
    /// They were rounded when the matrix was stored, and computed before that, in f32 or better, with the error that
    /// factorizations in f32 have.
    pub fn is_one_value(&self, start: usize) -> bool {
        let largest = self.largest().sqrt();
        let computed = growth(self.len()) * f64::from(f32::EPSILON) / 2.0 * largest;
        largest - self.values[start].sqrt() <= 2.0 * self.resolution.max(computed)
    }

    /// Number of eigenvalues above rounding noise: the numerical rank.
    pub fn rank(&self) -> usize {
        (0..self.len()).filter(|&index| self.relative_error(index) < 1.0).count()
    }

    /// The first index from which all eigenvalues are above rounding noise.
    pub fn first_known(&self) -> usize {
        (0..self.len()).rfind(|&index| self.relative_error(index) >= 1.0).map_or(0, |index| index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_noise_becomes_zero_and_does_not_count_as_rank() {
        let spectrum = Spectrum::from_gram(vec![2.0, -1e-17, 1.0], 3.0, f64::EPSILON).unwrap();
        assert_eq!(spectrum.values(), [0.0, 1.0, 2.0]);
        assert_eq!(spectrum.rank(), 2);
        assert_eq!(spectrum.relative_error(0), f64::INFINITY);
    }

    #[test]
    fn a_solver_that_lost_an_eigenvalue_is_caught() {
        assert!(Spectrum::from_gram(vec![1.0, 2.0], 3.5, f64::EPSILON).is_err());
        assert!(Spectrum::from_gram(vec![1.0, f64::NAN], 3.0, f64::EPSILON).is_err());
    }

    #[test]
    fn a_refined_smallest_value_lifts_the_noise_above_it() {
        let spectrum = Spectrum::from_gram(vec![0.0, 1e-18, 1.0], 1.0, f64::EPSILON).unwrap();
        let spectrum = spectrum.with_smallest(1e-7, f64::EPSILON, 1e-8);
        assert_eq!(spectrum.values()[..2], [1e-7 * 1e-7, 1e-7 * 1e-7]);
        assert!(spectrum.relative_error(0) < 1e-6);
    }

    #[test]
    fn a_pooled_spectrum_holds_all_values_and_the_widest_bounds() {
        let one = Spectrum::from_gram(vec![0.3, 4.0], 4.3, f64::EPSILON).unwrap();
        let two = Spectrum::from_gram(vec![0.2, 16.0], 16.2, f64::EPSILON).unwrap();
        let pooled = Spectrum::pooled(&[one.clone(), two.clone()]);
        assert_eq!(pooled.values(), [0.2, 0.3, 4.0, 16.0]);
        assert_eq!((pooled.trace(), pooled.accuracy().eta), (4.3 + 16.2, two.accuracy().eta));
        assert_eq!(pooled.relative_error(0), two.relative_error(0));
        assert!(pooled.relative_error(1) > one.relative_error(0));
        assert_eq!(Spectrum::pooled(std::slice::from_ref(&one)).values(), one.values());
        // An eigenvalue that is zero within rounding in one spectrum is zero within rounding in the pool.
        let singular = Spectrum::from_gram(vec![0.0, 1.0], 1.0, f64::EPSILON).unwrap();
        assert_eq!(Spectrum::pooled(&[one, singular]).first_known(), 1);
    }

    #[test]
    fn what_is_left_keeps_its_bounds() {
        let spectrum = Spectrum::exact(vec![1e-9, 0.5, 1.0]).with_smallest_eigenvalue(1e-9, 1e-8);
        let rest = spectrum.without_smallest(1);
        assert_eq!((rest.values(), rest.trace()), (&[0.5, 1.0][..], 1.5));
        assert_eq!(rest.relative_error(0), spectrum.relative_error(1));
        assert_eq!(spectrum.without_smallest(0), spectrum);
    }

    #[test]
    fn errors_leave_open_how_many_are_below_a_limit() {
        let exact = Spectrum::exact(vec![0.0, 1e-8, 0.5, 1.0]);
        assert_eq!([1e-9, 0.5, 2.0].map(|limit| exact.count_below(limit)), [(1, 1), (2, 2), (4, 4)]);
        let coarse = Spectrum::from_gram(vec![0.0, 1e-8, 0.5, 1.0], 1.50000001, f32::EPSILON.into()).unwrap();
        assert_eq!([1e-9, 0.4, 0.5, 2.0].map(|limit| coarse.count_below(limit)), [(0, 2), (2, 2), (2, 3), (4, 4)]);
        // The smallest is known better than the next.
        let refined = coarse.with_smallest_eigenvalue(1e-9, 1e-6);
        assert_eq!([1e-10, 1e-7].map(|limit| refined.count_below(limit)), [(0, 2), (1, 2)]);
    }

    #[test]
    fn scaling_is_exact() {
        let spectrum = Spectrum::from_gram(vec![0.3, 0.7], 1.0, f64::EPSILON).unwrap();
        assert_eq!(spectrum.clone().scaled(-8).scaled(8), spectrum);
        assert_eq!(spectrum.scaled(1).values(), [1.2, 2.8]);
    }

    #[test]
    fn values_below_the_normal_numbers_are_less_accurate() {
        let spectrum = Spectrum::exact(vec![1e-20, 1e-3, 1.0]).scaled(-512);
        assert_eq!(spectrum.relative_error(0), f64::INFINITY);
        assert!(spectrum.relative_error(1) < 1e-10);
        let spectrum = Spectrum::exact(vec![1e-13, 1.0]).with_smallest_eigenvalue(1e-13, 1e-8).scaled(-512);
        let stated = spectrum.relative_error(0);
        let error = spectrum.smallest() / 4.0_f64.powi(-512) / 1e-13 - 1.0;
        assert!(error.abs() <= stated && (1e-8..1.0).contains(&stated), "{error} {stated}");
        let zero = Spectrum::exact(vec![0.0, 1.0]).scaled(3);
        assert_eq!((zero.relative_error(0), zero.relative_error(1)), (f64::INFINITY, 5e-324 / 64.0));
    }
}
