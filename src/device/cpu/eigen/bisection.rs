//! Third stage: the eigenvalues of a tridiagonal matrix, by bisection accelerated by false position.
//!
//! The slower [`sturm`](super::super::sturm) is its reference, and says why there are two.
//!
//! The number of eigenvalues below a shift x is the number of changes of sign in the sequence of leading principal minors of
//! T - x (Sturm; Givens 1954), p_i = (d_i - x) p_{i-1} - e_{i-1}^2 p_{i-2}. In floating-point arithmetic it is the sequence of
//! a matrix whose entries differ by a few epsilon times the norm (Wilkinson, The Algebraic Eigenvalue Problem, section 5.37).
//! That holds for a sequence of pivots, too, but minors need no division, which makes them several times as fast. Minors leave
//! the range of floating-point numbers, so they are scaled every few steps. Negligible subdiagonals are raised to a floor,
//! which bounds how fast minors can shrink.
//!
//! One grid with as many shifts as there are eigenvalues replaces the first halvings; the rest is done for many eigenvalues
//! side by side. An interval is halved until it holds one eigenvalue. Then the last minor, det(T - x), changes its sign in it
//! once, and false position with the weights of Anderson and Bjorck (BIT 13, 1973) finds the zero in a few steps. Counts still
//! decide which part of the interval is kept, so false position can be slow but never wrong. Where it is slow, the interval is
//! halved again.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::super::simd::{Level, fuses};
use super::super::thread_pool::Workers;

/// Shifts that are evaluated side by side: four vectors of eight hide the latency of the recurrence.
const LANES: usize = 32;
/// Steps between scalings of the minors.
const STRIDE: usize = 8;
/// Smaller squares of subdiagonals are raised to this; the norm is between 1/2 and 1. It moves eigenvalues by at most 2 * 2^-56,
/// and in [`STRIDE`] steps the larger of two minors shrinks by no more than its fourth power.
const FLOOR: f64 = 1.0 / (1_u128 << 112) as f64;
/// Eigenvalues that a task finds. As soon as one is found, the next takes its lane.
const CHUNK: usize = 8 * LANES;
/// Steps in a row that may leave more than half of an interval; then it is halved.
const PATIENCE: u8 = 2;

/// The eigenvalues, ascending, each within about `resolution` plus a few epsilon of f64, times the norm.
///
/// All entries must be finite.
pub fn eigenvalues(
    diagonal: &[f64],
    subdiagonal: &[f64],
    resolution: f64,
    level: Level,
    workers: &Workers,
) -> Vec<f64> {
    let n = diagonal.len();
    let norm = bound(diagonal, subdiagonal);
    if norm == 0.0 {
        return vec![0.0; n];
    }
    // An exact scaling of the norm to [1/2, 1), in two factors, since one may not be a normal number.
    let exponent = norm.log2().floor() as i32 + 1;
    let scale = |x: f64, exponent: i32| x * 2.0_f64.powi(exponent / 2) * 2.0_f64.powi(exponent - exponent / 2);
    let mut squares = vec![0.0; n.next_multiple_of(STRIDE)];
    let mut scaled = vec![0.0; n.next_multiple_of(STRIDE)];
    for (scaled, d) in scaled.iter_mut().zip(diagonal) {
        *scaled = scale(*d, -exponent);
    }
    for (square, e) in squares[1..].iter_mut().zip(subdiagonal) {
        let e = scale(*e, -exponent);
        *square = (e * e).max(FLOOR);
    }
    let matrix = Tridiagonal { n, diagonal: &scaled, squares: &squares };

    // All eigenvalues are in [-1, 1], so the ends of the grid need no count.
    let width = 2.0 / n as f64;
    let shift = |index: usize| index as f64 * width - 1.0;
    let mut points: Vec<Point> = (0..=n).map(|index| Point { shift: shift(index), ..Point::default() }).collect();
    {
        let interior = Slots::new(&mut points[1..n]);
        workers.run(n.saturating_sub(1).div_ceil(CHUNK), &|task| {
            for start in (task * CHUNK..n - 1).step_by(LANES).take(CHUNK / LANES) {
                let shifts = std::array::from_fn(|lane| shift(start + lane + 1));
                let found = level.run(Evaluate { matrix: &matrix, shifts: &shifts });
                interior.write(start, &found);
            }
        });
    }
    points[n].below = n;
    // Rounding may reverse the order of neighboring counts in a cluster.
    for i in 1..=n {
        points[i].below = points[i].below.max(points[i - 1].below);
    }

    let tolerance = resolution.max(f64::EPSILON);
    let mut values = vec![0.0; n];
    {
        let slots = Slots::new(&mut values);
        workers.run(n.div_ceil(CHUNK), &|task| {
            let range = task * CHUNK..n.min((task + 1) * CHUNK);
            let start = range.start;
            slots.write(start, &level.run(Search { matrix: &matrix, points: &points, range, tolerance }));
        });
    }
    values.iter_mut().for_each(|x| *x = scale(*x, exponent));
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Gershgorin's bound on the absolute values of the eigenvalues.
fn bound(diagonal: &[f64], subdiagonal: &[f64]) -> f64 {
    let radius = |i: usize| {
        let before = i.checked_sub(1).map_or(0.0, |i| subdiagonal[i].abs());
        before + subdiagonal.get(i).map_or(0.0, |e| e.abs())
    };
    (0..diagonal.len()).map(|i| diagonal[i].abs() + radius(i)).fold(0.0, f64::max)
}

/// A slice that different tasks write parts of.
#[derive(Debug)]
struct Slots<'a, T>(std::sync::Mutex<&'a mut [T]>);

impl<'a, T: Copy> Slots<'a, T> {
    fn new(slice: &'a mut [T]) -> Self {
        Slots(std::sync::Mutex::new(slice))
    }

    /// Writes `found` from `start` on, up to the end of the slice.
    fn write(&self, start: usize, found: &[T]) {
        let mut slice = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = found.len().min(slice.len() - start);
        slice[start..start + count].copy_from_slice(&found[..count]);
    }
}

/// A tridiagonal matrix: its diagonal, and a zero followed by the squares of its subdiagonal, both padded with zeros to a
/// multiple of [`STRIDE`].
struct Tridiagonal<'a> {
    n: usize,
    diagonal: &'a [f64],
    squares: &'a [f64],
}

/// A shift x, with the count and the determinant of T - x.
#[derive(Debug, Clone, Copy)]
struct Point {
    shift: f64,
    /// Eigenvalues below the shift.
    below: usize,
    /// The determinant is this times 2^exponent; NaN if unknown. Its sign is that of (-1)^below.
    determinant: f64,
    exponent: i64,
}

impl Default for Point {
    fn default() -> Self {
        Point { shift: 0.0, below: 0, determinant: f64::NAN, exponent: 0 }
    }
}

struct Evaluate<'a> {
    matrix: &'a Tridiagonal<'a>,
    shifts: &'a [f64; LANES],
}

impl WithSimd for Evaluate<'_> {
    type Output = [Point; LANES];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> [Point; LANES] {
        if fuses::<S>() {
            self.matrix.evaluate::<true>(self.shifts)
        } else {
            self.matrix.evaluate::<false>(self.shifts)
        }
    }
}

/// An interval that holds the eigenvalue number `index`.
#[derive(Debug, Clone, Copy)]
struct Interval {
    index: usize,
    low: Point,
    high: Point,
    /// The end that moved in the last step.
    moved: End,
    /// Steps in a row that left more than half of the interval.
    slow: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Neither,
    Low,
    High,
}

impl Interval {
    /// The interval between two neighboring points of the grid.
    fn new(points: &[Point], index: usize) -> Interval {
        let high = points.partition_point(|point| point.below <= index).max(1);
        Interval { index, low: points[high - 1], high: points[high], moved: End::Neither, slow: 0 }
    }

    fn width(&self) -> f64 {
        self.high.shift - self.low.shift
    }

    fn middle(&self) -> f64 {
        self.low.shift + 0.5 * self.width()
    }

    fn is_isolated(&self) -> bool {
        self.high.below - self.low.below == 1
    }

    /// The next shift to evaluate.
    fn next(&self, tolerance: f64) -> f64 {
        if !self.is_isolated() || self.slow >= PATIENCE {
            return self.middle();
        }
        let common = self.low.exponent.max(self.high.exponent);
        let value = |point: &Point| point.determinant * power_of_two(point.exponent - common);
        let (low, high) = (value(&self.low), value(&self.high));
        let zero = self.low.shift + self.width() * (low / (low - high));
        // A little beyond the zero, as seen from the nearer end, so that both ends come close to it.
        let beyond = if zero < self.middle() { 0.45 * tolerance } else { -0.45 * tolerance };
        let x = zero + beyond;
        // NaN means the middle, too.
        if x > self.low.shift && x < self.high.shift { x } else { self.middle() }
    }

    /// Keeps the part that holds the eigenvalue.
    fn divide(&mut self, at: Point) {
        let width = self.width();
        let was_isolated = self.is_isolated();
        let (end, replaced) =
            if at.below <= self.index { (End::Low, &mut self.low) } else { (End::High, &mut self.high) };
        let old = std::mem::replace(replaced, at);
        if was_isolated && end == self.moved {
            // The same end twice: reduce the weight of the other end.
            let share = 1.0 - at.determinant / old.determinant * power_of_two(at.exponent - old.exponent);
            let share = if share > 0.0 { share } else { 0.5 };
            let other = if end == End::Low { &mut self.high } else { &mut self.low };
            other.determinant *= share;
        }
        self.moved = end;
        self.slow = if was_isolated && self.width() > 0.5 * width { self.slow + 1 } else { 0 };
    }
}

/// 2^exponent, or the nearest power of two that is a normal number.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

struct Search<'a> {
    matrix: &'a Tridiagonal<'a>,
    points: &'a [Point],
    range: Range<usize>,
    tolerance: f64,
}

impl WithSimd for Search<'_> {
    type Output = Vec<f64>;

    /// The eigenvalues with these numbers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f64> {
        let Search { matrix, points, range, tolerance } = self;
        let first = range.start;
        let mut values = vec![0.0; range.len()];
        let mut waiting = range;
        let mut lanes: [Option<Interval>; LANES] = [None; LANES];
        loop {
            let mut shifts = [0.0; LANES];
            let mut idle = 0;
            for (lane, shift) in lanes.iter_mut().zip(&mut shifts) {
                if lane.is_none() {
                    *lane = waiting.next().map(|index| Interval::new(points, index));
                }
                match lane {
                    Some(interval) => *shift = interval.next(tolerance),
                    None => idle += 1,
                }
            }
            if idle == LANES {
                return values;
            }
            let found = if fuses::<S>() { matrix.evaluate::<true>(&shifts) } else { matrix.evaluate::<false>(&shifts) };
            for (lane, at) in lanes.iter_mut().zip(found) {
                let Some(interval) = lane else { continue };
                interval.divide(at);
                if interval.width() <= tolerance {
                    values[interval.index - first] = interval.middle();
                    *lane = None;
                }
            }
        }
    }
}

impl Tridiagonal<'_> {
    /// The count and the determinant at each shift.
    #[inline(always)]
    fn evaluate<const FUSED: bool>(&self, shifts: &[f64; LANES]) -> [Point; LANES] {
        let mut changes = [0_u64; LANES];
        let mut last = [1.0_f64; LANES];
        let mut before = [0.0_f64; LANES];
        let mut scaled = [0_u64; LANES];
        let chunks = self.diagonal.chunks_exact(STRIDE).zip(self.squares.chunks_exact(STRIDE));
        let scalings = self.n.div_ceil(STRIDE) as i64;
        for (index, (diagonal, squares)) in chunks.enumerate() {
            let steps = STRIDE.min(self.n - index * STRIDE);
            for (d, square) in diagonal.iter().zip(squares).take(steps) {
                for lane in 0..LANES {
                    let difference = d - shifts[lane];
                    let next = if FUSED {
                        difference.mul_add(last[lane], -(square * before[lane]))
                    } else {
                        difference * last[lane] - square * before[lane]
                    };
                    changes[lane] += (next.to_bits() ^ last[lane].to_bits()) >> 63;
                    before[lane] = last[lane];
                    last[lane] = next;
                }
            }
            for lane in 0..LANES {
                // The power of two that scales the larger of both to about 1.
                let largest = before[lane].abs().max(last[lane].abs());
                let exponent = (largest.to_bits() >> 52).clamp(1, 2045);
                let factor = f64::from_bits((2046 - exponent) << 52);
                before[lane] *= factor;
                last[lane] *= factor;
                scaled[lane] += exponent;
            }
        }
        let mut points = [Point::default(); LANES];
        for lane in 0..LANES {
            points[lane] = Point {
                shift: shifts[lane],
                below: changes[lane] as usize,
                determinant: last[lane],
                exponent: scaled[lane] as i64 - 1023 * scalings,
            };
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::sturm;
    use crate::device::cpu::thread_pool::ThreadPool;

    /// Both bisections are exact for a matrix that differs by a few epsilon.
    #[track_caller]
    fn agrees_with_pivots(diagonal: &[f64], subdiagonal: &[f64]) {
        let expected = sturm::eigenvalues(diagonal, subdiagonal);
        let norm = expected.iter().fold(f64::MIN_POSITIVE, |norm, x| norm.max(x.abs()));
        for level in Level::all() {
            for threads in [1, 3] {
                let pool = ThreadPool::new(threads);
                let values = eigenvalues(diagonal, subdiagonal, 0.0, level, &pool.start_solve());
                for (x, y) in values.iter().zip(&expected) {
                    let error = (x - y).abs() / norm / f64::EPSILON;
                    assert!(error < 8.0, "n = {}, {level}: {x:e}, {y:e}: {error} epsilon", diagonal.len());
                }
            }
        }
    }

    #[test]
    fn random_matrices() {
        for n in (1..40).chain([63, 64, 65, 127, 128, 129, 500, 1000]) {
            let mut rng = fastrand::Rng::with_seed(n as u64);
            let diagonal: Vec<f64> = (0..n).map(|_| rng.f64() - 0.5).collect();
            let subdiagonal: Vec<f64> = (1..n).map(|_| rng.f64() - 0.5).collect();
            agrees_with_pivots(&diagonal, &subdiagonal);
        }
    }

    #[test]
    fn clusters_zeros_and_extreme_entries() {
        let n = 150;
        let ones = vec![1.0; n];
        agrees_with_pivots(&ones, &vec![0.0; n - 1]);
        let zeros =
            eigenvalues(&vec![0.0; n], &vec![0.0; n - 1], 0.0, Level::widest(), &ThreadPool::new(1).start_solve());
        assert_eq!(zeros, vec![0.0; n]);
        agrees_with_pivots(&vec![2.0; n], &vec![-1.0; n - 1]);
        // Glued Wilkinson matrices: pairs, many times over.
        let wilkinson: Vec<f64> = (0..n).map(|i| ((i % 21) as f64 - 10.0).abs()).collect();
        let glue: Vec<f64> = (1..n).map(|i| if i % 21 == 0 { 1e-9 } else { 1.0 }).collect();
        agrees_with_pivots(&wilkinson, &glue);
        // Graded over 300 orders of magnitude, up and down, and squares that vanish.
        let graded: Vec<f64> = (0..n).map(|i| 10.0_f64.powi(-2 * i as i32)).collect();
        let subdiagonal: Vec<f64> = graded[1..].iter().map(|x| x * 0.3).collect();
        agrees_with_pivots(&graded, &subdiagonal);
        let reversed = |x: &[f64]| x.iter().rev().copied().collect::<Vec<f64>>();
        agrees_with_pivots(&reversed(&graded), &reversed(&subdiagonal));
        agrees_with_pivots(&ones, &vec![1e-170; n - 1]);
        for scale in [1e-150, 1e150] {
            let scaled = |x: &[f64]| x.iter().map(|x| x * scale).collect::<Vec<f64>>();
            agrees_with_pivots(&scaled(&wilkinson), &scaled(&glue));
        }
    }
}
