//! A first pass over the elements of a matrix: whether they are finite, the largest, and the norms of its columns.

use std::sync::Mutex;

use pulp::{Simd, WithSimd};

use super::simd::Level;
use super::thread_pool::Workers;
use crate::checkpoint::MatrixView;

/// Parts of the rows, read independently. A constant, since norms are added up in the order of the parts.
const PARTS: usize = 8;
/// Elements that are decoded at once.
const SEGMENT: usize = 4096;
/// Elements that are processed side by side.
const LANES: usize = 8;

/// The largest element of a matrix, and the order of its columns by norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitudes {
    /// The largest absolute value; NaN or infinite if an element is.
    pub largest: f64,
    /// The columns of the tall form of W, the largest norm first.
    ///
    /// A Householder reduction of a Gram matrix in this order keeps the small eigenvalues of graded matrices, which it loses in
    /// other orders (Barlow and Demmel, SIAM J. Numer. Anal. 27, 1990).
    pub column_order: Vec<usize>,
}

/// Reads all of W once.
pub fn magnitudes(view: &MatrixView, level: Level, workers: &Workers) -> Magnitudes {
    let parts: [Mutex<(f64, Vec<f64>)>; PARTS] = std::array::from_fn(|_| Mutex::default());
    workers.run(PARTS, &|part| {
        let found = level.run(Part { view, part });
        *parts[part].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = found;
    });
    let mut largest = 0.0_f64;
    let mut squares = vec![0.0; view.short()];
    for part in parts {
        let (part_largest, part_squares) = part.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Unlike `max`, keeps NaN.
        largest = if largest.is_nan() || part_largest <= largest { largest } else { part_largest };
        squares.iter_mut().zip(&part_squares).for_each(|(sum, square)| *sum += square);
    }
    let mut column_order: Vec<usize> = (0..squares.len()).collect();
    column_order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]));
    Magnitudes { largest, column_order }
}

struct Part<'a, 'v> {
    view: &'a MatrixView<'v>,
    part: usize,
}

impl WithSimd for Part<'_, '_> {
    type Output = (f64, Vec<f64>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (f64, Vec<f64>) {
        let view = self.view;
        let rows = if view.is_tall() { view.long() } else { view.short() };
        let (start, end) = (self.part * rows / PARTS, (self.part + 1) * rows / PARTS);
        let mut squares = vec![0.0; view.short()];
        // A shorter last segment is padded with zeros to a whole chunk.
        let mut segment = vec![0.0_f64; view.cols().min(SEGMENT).next_multiple_of(LANES)];
        // Without the sign, the bits of numbers are ordered as their values, then infinity, then NaN.
        let mut largest = [0_u64; LANES];
        for row in start..end {
            for first in (0..view.cols()).step_by(SEGMENT) {
                let length = SEGMENT.min(view.cols() - first);
                view.read_segment(row, first..first + length, 1.0, &mut segment[..length]);
                segment[length..].fill(0.0);
                let (chunks, _) = segment.as_chunks::<LANES>();
                for chunk in chunks {
                    for lane in 0..LANES {
                        largest[lane] = largest[lane].max(chunk[lane].abs().to_bits());
                    }
                }
                if view.is_tall() {
                    for (square, x) in squares[first..].iter_mut().zip(&segment) {
                        *square += x * x;
                    }
                } else {
                    let mut sums = [0.0; LANES];
                    for chunk in chunks {
                        for lane in 0..LANES {
                            sums[lane] += chunk[lane] * chunk[lane];
                        }
                    }
                    squares[row] += sums.iter().sum::<f64>();
                }
            }
        }
        let largest = f64::from_bits(largest.into_iter().fold(0, u64::max));
        (largest, squares)
    }
}
