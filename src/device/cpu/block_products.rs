//! Products of W with several vectors at once, straight from its bytes, which are read and decoded only once.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ops::Range;

use pulp::Simd;

use super::eigen::COLUMNS;
use super::eigen::kernel::{self, Rows, WithRows, add_to, product};
use super::products::WeightProducts;

/// Rows of W that a task multiplies: a multiple of all heights of the kernel.
const ROWS: usize = 96;
/// Elements of a row that are decoded at once.
const SEGMENT: usize = 512;
/// Columns of W that a task multiplies in transposed products: a multiple of all heights of the kernel.
const WIDTH: usize = 384;
/// Rows that are decoded at once in transposed products.
const DEPTH: usize = 64;

impl WeightProducts<'_, '_> {
    /// A V in f64, for `short` rows of [`COLUMNS`] numbers.
    pub fn forward_block(&self, v: &[f64]) -> Vec<f64> {
        let mut unsorted = vec![0.0; v.len()];
        for (&column, row) in self.column_order.iter().zip(v.chunks_exact(COLUMNS)) {
            unsorted[column * COLUMNS..][..COLUMNS].copy_from_slice(row);
        }
        if self.view.is_tall() { self.times(&unsorted) } else { self.transposed_times(&unsorted) }
    }

    /// A^T U in f64, for `long` rows of [`COLUMNS`] numbers.
    pub fn backward_block(&self, u: &[f64]) -> Vec<f64> {
        let unsorted = if self.view.is_tall() { self.transposed_times(u) } else { self.times(u) };
        self.column_order.iter().flat_map(|&column| &unsorted[column * COLUMNS..][..COLUMNS]).copied().collect()
    }

    /// W X.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let rows = self.view.rows();
        self.by_tasks(rows, ROWS, |range, out| self.level.run(Rows(Times { products: self, range, x, out })))
    }

    /// W^T X.
    fn transposed_times(&self, x: &[f64]) -> Vec<f64> {
        let cols = self.view.cols();
        self.by_tasks(cols, WIDTH, |range, out| self.level.run(Rows(TransposedTimes { products: self, range, x, out })))
    }

    /// `count` rows of [`COLUMNS`] numbers; each task makes `step` of them. The last task has room for a whole `step`, too.
    fn by_tasks(&self, count: usize, step: usize, work: impl Fn(Range<usize>, &mut [f64]) + Sync) -> Vec<f64> {
        let tasks = count.div_ceil(step);
        let mut out = vec![0.0; tasks * step * COLUMNS];
        let parts: Vec<_> = out.chunks_exact_mut(step * COLUMNS).map(std::sync::Mutex::new).collect();
        self.workers.run(tasks, &|task| {
            let mut part = parts[task].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            work(task * step..count.min((task + 1) * step), &mut part);
        });
        out.truncate(count * COLUMNS);
        out
    }
}

/// Rows of [`COLUMNS`] numbers, cut into strips of the kernel's width.
fn strips(x: &[f64], p: usize) -> Cow<'_, [f64]> {
    if p == COLUMNS {
        return Cow::Borrowed(x);
    }
    let strip = |first: usize| x.chunks_exact(COLUMNS).flat_map(move |row| &row[first..first + p]).copied();
    Cow::Owned((0..COLUMNS).step_by(p).flat_map(strip).collect())
}

/// Some rows of W X.
struct Times<'a, 'v> {
    products: &'a WeightProducts<'a, 'v>,
    range: Range<usize>,
    x: &'a [f64],
    /// Zeros, for [`ROWS`] rows.
    out: &'a mut [f64],
}

impl WithRows for Times<'_, '_> {
    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let Times { products: &WeightProducts { view, scale, .. }, range, x, out } = self;
        let p = kernel::width::<f64, S, NV>();
        let x = strips(x, p);
        let cols = view.cols();
        let mut lines = vec![0.0; MR * SEGMENT];
        assert!(out.len() == ROWS * COLUMNS && x.len() == cols * COLUMNS && range.len() <= ROWS);
        for row in range.clone().step_by(MR) {
            for col in (0..cols).step_by(SEGMENT) {
                let segment = col..cols.min(col + SEGMENT);
                for (row, line) in (row..range.end).zip(lines.chunks_exact_mut(SEGMENT)) {
                    view.read_segment(row, segment.clone(), scale, &mut line[..segment.len()]);
                }
                for strip in 0..COLUMNS / p {
                    // SAFETY: there are MR lines; strips have `cols` rows of p; `out` has ROWS rows, a multiple of MR.
                    unsafe {
                        let b = x.as_ptr().add((strip * cols + col) * p);
                        let zero = kernel::zero::<f64, S, MR, NV>(simd);
                        let a = (lines.as_ptr(), SEGMENT, 1);
                        let sums = product::<f64, S, MR, NV>(simd, zero, segment.len(), a, b);
                        let out = out.as_mut_ptr().add((row - range.start) * COLUMNS + strip * p);
                        add_to::<f64, S, MR, NV>(simd, &sums, 1.0, out, COLUMNS);
                    }
                }
            }
        }
    }
}

/// Some rows of W^T X.
struct TransposedTimes<'a, 'v> {
    products: &'a WeightProducts<'a, 'v>,
    range: Range<usize>,
    x: &'a [f64],
    /// Zeros, for [`WIDTH`] rows.
    out: &'a mut [f64],
}

impl WithRows for TransposedTimes<'_, '_> {
    #[inline(always)]
    fn perform<S: Simd, const MR: usize, const NV: usize>(self, simd: S) {
        let TransposedTimes { products: &WeightProducts { view, scale, .. }, range, x, out } = self;
        let p = kernel::width::<f64, S, NV>();
        let x = strips(x, p);
        let rows = view.rows();
        let mut lines = vec![0.0; DEPTH * WIDTH];
        assert!(out.len() == WIDTH * COLUMNS && x.len() == rows * COLUMNS && range.len() <= WIDTH);
        for row in (0..rows).step_by(DEPTH) {
            let depth = DEPTH.min(rows - row);
            for (row, line) in (row..row + depth).zip(lines.chunks_exact_mut(WIDTH)) {
                view.read_segment(row, range.clone(), scale, &mut line[..range.len()]);
            }
            for col in (0..range.len()).step_by(MR) {
                for strip in 0..COLUMNS / p {
                    // SAFETY: there are DEPTH lines of WIDTH, a multiple of MR; strips have `rows` rows of p; `out` has WIDTH
                    // rows.
                    unsafe {
                        let b = x.as_ptr().add((strip * rows + row) * p);
                        let zero = kernel::zero::<f64, S, MR, NV>(simd);
                        let a = (lines.as_ptr().add(col), 1, WIDTH);
                        let sums = product::<f64, S, MR, NV>(simd, zero, depth, a, b);
                        let out = out.as_mut_ptr().add(col * COLUMNS + strip * p);
                        add_to::<f64, S, MR, NV>(simd, &sums, 1.0, out, COLUMNS);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::Level;
    use super::super::thread_pool::ThreadPool;
    use super::*;
    use crate::checkpoint::{Cast, FloatType, MatrixView};
    use crate::device::operators::MatrixProducts;

    #[test]
    fn columns_are_those_of_the_products_with_one_vector() {
        for (rows, cols) in [(37, 21), (21, 37), (1, 1), (100, 1), (1, 100), (97, 513), (600, 390), (390, 600)] {
            agree(rows, cols, &Level::all());
        }
    }

    /// Small enough for Miri (`scripts/miri`).
    #[test]
    fn miri_follows_products_of_blocks() {
        agree(5, 3, &[Level::Scalar]);
        agree(3, 5, &[Level::Scalar]);
    }

    fn agree(rows: usize, cols: usize, levels: &[Level]) {
        let mut rng = fastrand::Rng::with_seed(3);
        let bytes: Vec<u8> = (0..rows * cols).flat_map(|_| (rng.f64() - 0.5).to_le_bytes()).collect();
        let view = MatrixView::new(&bytes, FloatType::F64, Cast::None, rows, cols);
        let (long, short) = (view.long(), view.short());
        let mut column_order: Vec<usize> = (0..short).collect();
        rng.shuffle(&mut column_order);
        let block = |rows: usize, rng: &mut fastrand::Rng| (0..rows * COLUMNS).map(|_| rng.f64()).collect::<Vec<_>>();
        let (v, u) = (block(short, &mut rng), block(long, &mut rng));
        let column = |block: &[f64], c: usize| block.iter().skip(c).step_by(COLUMNS).copied().collect::<Vec<_>>();
        let pool = ThreadPool::new(2);
        for &level in levels {
            let workers = &pool.start_solve();
            let products = WeightProducts { view: &view, scale: 2.0, column_order: &column_order, level, workers };
            let (forward, backward) = (products.forward_block(&v), products.backward_block(&u));
            for c in [0, 7, 8, COLUMNS - 1] {
                let expected = [products.forward(&column(&v, c)), products.backward(&column(&u, c))];
                for (found, Ok(expected)) in [column(&forward, c), column(&backward, c)].iter().zip(expected) {
                    assert_eq!(found.len(), expected.len());
                    let agree = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
                    assert!(agree, "{rows} x {cols}, {level}, column {c}");
                }
            }
        }
    }
}
