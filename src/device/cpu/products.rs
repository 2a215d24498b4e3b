//! Products of W with vectors, straight from its bytes.

use std::convert::Infallible;
use std::sync::Mutex;

use pulp::{Simd, WithSimd};

use super::simd::{Level, dot, fuses};
use super::thread_pool::Workers;
use crate::checkpoint::MatrixView;
use crate::device::operators::MatrixProducts;

/// Parts of the matrix, multiplied independently. A constant, so that results do not depend on the number of threads.
const PARTS: usize = 8;
/// Sums that are added up side by side.
const LANES: usize = 16;

/// Products with A, the tall form of W times `scale` with its columns in `column_order`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightProducts<'a, 'v> {
    pub view: &'a MatrixView<'v>,
    pub scale: f64,
    pub column_order: &'a [usize],
    pub level: Level,
    pub workers: &'a Workers<'a>,
}

impl MatrixProducts for WeightProducts<'_, '_> {
    type Error = Infallible;

    fn forward(&self, v: &[f64]) -> Result<Vec<f64>, Infallible> {
        let mut unsorted = vec![0.0; v.len()];
        self.column_order.iter().zip(v).for_each(|(&column, &v)| unsorted[column] = v);
        // Elements of the product come from rows of W if it is tall, else from its columns.
        let parts =
            self.in_parts(self.view.long(), |range| self.level.run(Forward { products: self, range, v: &unsorted }));
        Ok(parts.concat())
    }

    fn backward(&self, u: &[f64]) -> Result<Vec<f64>, Infallible> {
        let view = self.view;
        let rows = if view.is_tall() { view.long() } else { view.short() };
        let parts = self.in_parts(rows, |range| self.level.run(Backward { products: self, range, u }));
        let unsorted = if view.is_tall() {
            let mut sum = vec![0.0; view.short()];
            parts.iter().for_each(|part| sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x));
            sum
        } else {
            parts.concat()
        };
        Ok(self.column_order.iter().map(|&column| unsorted[column]).collect())
    }
}

impl WeightProducts<'_, '_> {
    /// The results of `work` on consecutive parts of 0..count.
    fn in_parts(&self, count: usize, work: impl Fn(std::ops::Range<usize>) -> Vec<f64> + Sync) -> Vec<Vec<f64>> {
        let results: [Mutex<Vec<f64>>; PARTS] = std::array::from_fn(|_| Mutex::default());
        self.workers.run(PARTS, &|part| {
            let result = work(part * count / PARTS..(part + 1) * count / PARTS);
            *results[part].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = result;
        });
        results.map(|result| result.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())).into()
    }
}

/// Some elements of A v.
struct Forward<'a, 'v> {
    products: &'a WeightProducts<'a, 'v>,
    range: std::ops::Range<usize>,
    v: &'a [f64],
}

impl WithSimd for Forward<'_, '_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f64> {
        if fuses::<S>() { self.run::<true>() } else { self.run::<false>() }
    }
}

impl Forward<'_, '_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Vec<f64> {
        let Forward { products: WeightProducts { view, scale, .. }, range, v } = self;
        if view.is_tall() {
            let mut line = vec![0.0; view.short()];
            let mut out = Vec::with_capacity(range.len());
            for row in range {
                view.read_segment(row, 0..line.len(), *scale, &mut line);
                out.push(long_dot::<FUSED>(&line, v));
            }
            return out;
        }
        let (mut line, mut sums, mut rests) = (vec![0.0; range.len()], vec![0.0; range.len()], vec![0.0; range.len()]);
        for (row, &factor) in v.iter().enumerate() {
            view.read_segment(row, range.clone(), *scale, &mut line);
            for ((&x, sum), rest) in line.iter().zip(&mut sums).zip(&mut rests) {
                (*sum, *rest) = accumulate::<FUSED>((*sum, *rest), x, factor);
            }
        }
        for (sum, rest) in sums.iter_mut().zip(&rests) {
            *sum += rest;
        }
        sums
    }
}

/// Some elements of A^T u, or the contribution of some rows to all elements.
struct Backward<'a, 'v> {
    products: &'a WeightProducts<'a, 'v>,
    range: std::ops::Range<usize>,
    u: &'a [f64],
}

impl WithSimd for Backward<'_, '_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f64> {
        let Backward { products: WeightProducts { view, scale, .. }, range, u } = self;
        let mut line = vec![0.0; view.cols()];
        if view.is_tall() {
            let mut sums = vec![0.0; view.short()];
            for row in range {
                view.read_segment(row, 0..line.len(), *scale, &mut line);
                for (sum, x) in sums.iter_mut().zip(&line) {
                    *sum += u[row] * x;
                }
            }
            return sums;
        }
        let mut out = Vec::with_capacity(range.len());
        for row in range {
            view.read_segment(row, 0..line.len(), *scale, &mut line);
            out.push(dot(&line, u));
        }
        out
    }
}

/// x^T y as if in twice the precision (Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26, 2005, algorithm 5.3, in lanes).
#[inline(always)]
fn long_dot<const FUSED: bool>(x: &[f64], y: &[f64]) -> f64 {
    let (mut sums, mut rests) = ([0.0; LANES], [0.0; LANES]);
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            (sums[lane], rests[lane]) = accumulate::<FUSED>((sums[lane], rests[lane]), x[lane], y[lane]);
        }
    }
    let mut total = (0.0, 0.0);
    for (x, y) in x_rest.iter().zip(y_rest) {
        total = accumulate::<FUSED>(total, *x, *y);
    }
    for lane in 0..LANES {
        total = accumulate::<FUSED>(total, sums[lane], 1.0);
        total.1 += rests[lane];
    }
    total.0 + total.1
}

/// Adds x y to a compensated sum: its value and the accumulated rounding error.
#[inline(always)]
fn accumulate<const FUSED: bool>((sum, rest): (f64, f64), x: f64, y: f64) -> (f64, f64) {
    let product = x * y;
    let lost = if FUSED { x.mul_add(y, -product) } else { rounding_of_product(x, y, product) };
    let next = sum + product;
    let added = next - sum;
    (next, rest + (lost + ((sum - (next - added)) + (product - added))))
}

/// The rounding error of `product` = x y without fused multiply-add (Dekker, Numer. Math. 18, 1971).
#[inline(always)]
fn rounding_of_product(x: f64, y: f64, product: f64) -> f64 {
    /// The upper half of the digits, and the lower.
    #[inline(always)]
    fn split(x: f64) -> (f64, f64) {
        let shifted = x * 134_217_729.0; // 2^27 + 1
        let high = shifted - (shifted - x);
        (high, x - high)
    }
    let ((x_high, x_low), (y_high, y_low)) = (split(x), split(y));
    ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Cast, FloatType};
    use crate::device::cpu::thread_pool::ThreadPool;

    #[test]
    fn sums_that_cancel_keep_their_digits() {
        let x = [1e16, 3.0, -1e16, 0.1, 1e8, -1e8];
        let y = [1.0, 1e-16, 1.0, 1e-16, 1e8, 1e8];
        let (long_x, long_y) = (x.repeat(11), y.repeat(11));
        let expected = 11.0 * 3.1e-16;
        for found in [long_dot::<true>(&long_x, &long_y), long_dot::<false>(&long_x, &long_y)] {
            assert!((found / expected - 1.0).abs() < 1e-14, "{found:e}");
        }
    }

    #[test]
    fn products_of_tall_and_wide_matrices_on_every_level() {
        let mut rng = fastrand::Rng::with_seed(3);
        for (rows, cols) in [(37, 21), (21, 37), (8, 8), (100, 1), (1, 100), (70, 64)] {
            let weights: Vec<f64> = (0..rows * cols).map(|_| rng.f64() - 0.5).collect();
            let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
            let view = MatrixView::new(&bytes, FloatType::F64, Cast::None, rows, cols);
            let (long, short) = (view.long(), view.short());
            let mut column_order: Vec<usize> = (0..short).collect();
            rng.shuffle(&mut column_order);
            let a = |k: usize, j: usize| {
                let (k, j) = if view.is_tall() { (k, column_order[j]) } else { (column_order[j], k) };
                2.0 * weights[k * cols + j]
            };
            let v: Vec<f64> = (0..short).map(|_| rng.f64()).collect();
            let u: Vec<f64> = (0..long).map(|_| rng.f64()).collect();
            let pool = ThreadPool::new(2);
            for level in Level::all() {
                let workers = &pool.start_solve();
                let products = WeightProducts { view: &view, scale: 2.0, column_order: &column_order, level, workers };
                let (Ok(forward), Ok(backward)) = (products.forward(&v), products.backward(&u));
                for (k, found) in forward.iter().enumerate() {
                    let expected: f64 = (0..short).map(|j| a(k, j) * v[j]).sum();
                    assert!((found - expected).abs() < 1e-13, "{rows} x {cols}, {level}");
                }
                for (j, found) in backward.iter().enumerate() {
                    let expected: f64 = (0..long).map(|k| a(k, j) * u[k]).sum();
                    assert!((found - expected).abs() < 1e-13, "{rows} x {cols}, {level}");
                }
                assert_eq!((forward.len(), backward.len()), (long, short));
            }
        }
    }
}
