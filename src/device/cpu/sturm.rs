//! All eigenvalues of a symmetric tridiagonal matrix, by plain bisection with Sturm counts from pivots.
//!
//! This is the reference for [`eigen::bisection`](super::eigen), which is several times as fast. There are two on purpose: this
//! one is short enough to check by eye, makes the reference solver independent of htsr's own, and defines, bit for bit, what
//! `kernels/sturm.cu` computes on a GPU. The fast one counts by minors instead of pivots and refines by false position, so that its
//! last digits differ and neither can replace the other.
//!
//! The number of eigenvalues below a shift is the number of negative pivots of the shifted matrix (Sylvester's law of
//! inertia). In floating-point arithmetic the count is exact for a matrix whose entries differ by a few epsilon relative
//! (Demmel, Dhillon and Ren, ETNA 3, 1995), so every eigenvalue comes out within a few epsilon times the norm, even in clusters.
//! QR iterations lose about sqrt(n) times as much. Eigenvalues do not depend on each other, so this O(n^2) stage is fully
//! vectorized.

use pulp::{Arch, Simd, WithSimd};

/// Eigenvalues that are bisected side by side, to fill vector registers and hide the latency of divisions.
const LANES: usize = 32;
/// Halvings that take an interval from the norm's width to half an epsilon of it.
const STEPS: usize = 54;

/// The eigenvalues, ascending, of the symmetric tridiagonal matrix with this diagonal and subdiagonal, which is one element
/// shorter. Each is within a few epsilon times the norm. `kernels/sturm.cu` gives the same bits.
///
/// All entries and their squares must be finite.
///
/// # Panics
///
/// If `diagonal` is empty, or `subdiagonal` is not one element shorter.
pub fn eigenvalues(diagonal: &[f64], subdiagonal: &[f64]) -> Vec<f64> {
    let n = diagonal.len();
    assert_eq!(subdiagonal.len() + 1, n);
    let mut squares = vec![0.0; n];
    for (square, e) in squares[1..].iter_mut().zip(subdiagonal) {
        *square = e * e;
    }
    let (low, high) = gershgorin(diagonal, subdiagonal);
    // Smaller pivots are replaced by this one, as in LAPACK's dlaebz, so that e^2 / pivot stays finite.
    let smallest_pivot = f64::MIN_POSITIVE * squares.iter().copied().fold(1.0, f64::max);
    let matrix = Tridiagonal { diagonal, squares: &squares, smallest_pivot };
    let arch = Arch::new();
    let mut values = vec![0.0; n];
    for (group, values) in values.chunks_mut(LANES).enumerate() {
        let found = arch.dispatch(Group { matrix: &matrix, first: group * LANES, low, high });
        values.copy_from_slice(&found[..values.len()]);
    }
    values
}

/// An interval that contains all eigenvalues, a little wider than Gershgorin's discs.
fn gershgorin(diagonal: &[f64], subdiagonal: &[f64]) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (i, d) in diagonal.iter().enumerate() {
        let before = i.checked_sub(1).map_or(0.0, |i| subdiagonal[i].abs());
        let radius = before + subdiagonal.get(i).map_or(0.0, |e| e.abs());
        (low, high) = (low.min(d - radius), high.max(d + radius));
    }
    let margin = 4.0 * f64::EPSILON * diagonal.len() as f64 * low.abs().max(high.abs()) + f64::MIN_POSITIVE;
    (low - margin, high + margin)
}

struct Tridiagonal<'a> {
    diagonal: &'a [f64],
    /// A zero, then the squares of the subdiagonal.
    squares: &'a [f64],
    smallest_pivot: f64,
}

/// The bisection of the eigenvalues number `first`, `first` + 1 ..., all in the same interval, compiled once for each
/// instruction set.
struct Group<'a> {
    matrix: &'a Tridiagonal<'a>,
    first: usize,
    low: f64,
    high: f64,
}

impl WithSimd for Group<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> [f64; LANES] {
        self.matrix.bisect(self.first, self.low, self.high)
    }
}

impl Tridiagonal<'_> {
    /// The eigenvalues number `first`, `first` + 1 ..., counted from zero.
    #[inline(always)]
    fn bisect(&self, first: usize, low: f64, high: f64) -> [f64; LANES] {
        let (mut low, mut high) = ([low; LANES], [high; LANES]);
        let mut middle = [0.0; LANES];
        for _ in 0..STEPS {
            for lane in 0..LANES {
                middle[lane] = 0.5 * (low[lane] + high[lane]);
            }
            let below = self.count_below(&middle);
            for lane in 0..LANES {
                let index = (first + lane) as f64;
                let is_below = below[lane] <= index;
                low[lane] = if is_below { middle[lane] } else { low[lane] };
                high[lane] = if is_below { high[lane] } else { middle[lane] };
            }
        }
        for lane in 0..LANES {
            middle[lane] = 0.5 * (low[lane] + high[lane]);
        }
        middle
    }

    /// How many eigenvalues are below each shift, as floating-point numbers, which vectorize better than integers.
    #[inline(always)]
    fn count_below(&self, shifts: &[f64; LANES]) -> [f64; LANES] {
        let mut count = [0.0; LANES];
        let mut pivot = [1.0; LANES];
        for (d, square) in self.diagonal.iter().zip(self.squares) {
            for lane in 0..LANES {
                let next = (d - shifts[lane]) - square / pivot[lane];
                let next = if next.abs() < self.smallest_pivot { -self.smallest_pivot } else { next };
                pivot[lane] = next;
                count[lane] += if next < 0.0 { 1.0 } else { 0.0 };
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::eigenvalues;

    #[track_caller]
    fn close(diagonal: &[f64], subdiagonal: &[f64], expected: &[f64], epsilons: f64) {
        let norm = expected.iter().fold(f64::MIN_POSITIVE, |norm, x| norm.max(x.abs()));
        for (got, expected) in eigenvalues(diagonal, subdiagonal).iter().zip(expected) {
            let error = (got - expected).abs() / norm / f64::EPSILON;
            assert!(error <= epsilons, "n = {}: {got:e}, expected {expected:e}: {error} epsilon", diagonal.len());
        }
    }

    #[test]
    fn second_differences() {
        // 2 on the diagonal, -1 next to it. The eigenvalues are 4 sin^2(k pi / (2n + 2)).
        for n in (1..=130).chain([1000]) {
            let angle = |k: usize| k as f64 * std::f64::consts::PI / (2 * n + 2) as f64;
            let expected: Vec<f64> = (1..=n).map(|k| 4.0 * angle(k).sin().powi(2)).collect();
            close(&vec![2.0; n], &vec![-1.0; n - 1], &expected, 4.0);
        }
    }

    #[test]
    fn diagonal_zero_and_constant_matrices() {
        for n in [1, 2, 31, 32, 33, 100] {
            let mut diagonal: Vec<f64> = (0..n).map(|i| ((i * 7) % n) as f64 - 3.0).collect();
            let mut expected = diagonal.clone();
            expected.sort_by(f64::total_cmp);
            close(&diagonal, &vec![0.0; n - 1], &expected, 4.0);
            diagonal.fill(0.0);
            assert!(eigenvalues(&diagonal, &vec![0.0; n - 1]).iter().all(|x| x.abs() < 1e-300));
            close(&vec![5.0; n], &vec![0.0; n - 1], &vec![5.0; n], 4.0);
        }
    }

    #[test]
    fn wilkinson_pairs_agree_to_the_last_digits() {
        // W21+: its largest eigenvalues come in pairs that differ by less than 1e-13.
        let diagonal: Vec<f64> = (0..21).map(|i| (f64::from(i) - 10.0).abs()).collect();
        let values = eigenvalues(&diagonal, &[1.0; 20]);
        assert!((values[20] - 10.746_194_182_903_393).abs() < 1e-14);
        assert!((values[20] - values[19]).abs() < 1e-13);
        assert!((values.iter().sum::<f64>() - 110.0).abs() < 1e-12);
    }

    #[test]
    fn extreme_scales() {
        for scale in [1e-150, 1e-30, 1e30, 1e150] {
            let expected: Vec<f64> = [1.0, 3.0].iter().map(|x| x * scale).collect();
            close(&[2.0 * scale; 2], &[scale], &expected, 4.0);
        }
    }
}
