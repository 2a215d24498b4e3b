//! A first look at all elements of a matrix: whether they are finite, how large, and how long its columns are.

use std::sync::Mutex;

use pulp::{Simd, WithSimd};

use super::simd::Level;
use super::team::Team;
use crate::checkpoint::MatrixView;

/// Parts of the rows, looked at independently. A constant: norms are added up in the order of the parts.
const PARTS: usize = 8;
/// Elements that are decoded at once.
const SEGMENT: usize = 4096;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// The largest absolute value; NaN or infinite if an element is.
    pub largest: f64,
    /// The columns of the tall form of W, those with the largest norm first.
    ///
    /// A Householder reduction of a Gram matrix in this order keeps small eigenvalues of graded matrices, which it loses in
    /// others (Barlow and Demmel, SIAM J. Numer. Anal. 27, 1990).
    pub order: Vec<usize>,
}

/// Looks at W.
pub fn survey(view: &MatrixView, level: Level, team: &Team) -> Survey {
    let parts: [Mutex<(f64, Vec<f64>)>; PARTS] = std::array::from_fn(|_| Mutex::default());
    team.run(PARTS, &|part| {
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
    let mut order: Vec<usize> = (0..squares.len()).collect();
    order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]));
    Survey { largest, order }
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
        let mut segment = vec![0.0_f64; view.cols().min(SEGMENT)];
        // The largest of each lane; sums of 0 x find what is not finite: they are zero, or NaN.
        let (mut largest, mut traces) = ([0.0_f64; 8], [0.0_f64; 8]);
        for row in start..end {
            for first in (0..view.cols()).step_by(SEGMENT) {
                let segment = &mut segment[..SEGMENT.min(view.cols() - first)];
                view.read_segment(row, first..first + segment.len(), 1.0, segment);
                let mut sums = [0.0; 8];
                let (chunks, rest) = segment.as_chunks::<8>();
                let mut last = [0.0; 8];
                last[..rest.len()].copy_from_slice(rest);
                for chunk in chunks.iter().chain([&last]) {
                    for lane in 0..8 {
                        let x = chunk[lane];
                        largest[lane] = if x.abs() > largest[lane] { x.abs() } else { largest[lane] };
                        traces[lane] += x * 0.0;
                        sums[lane] += x * x;
                    }
                }
                if view.is_tall() {
                    for (square, x) in squares[first..].iter_mut().zip(&*segment) {
                        *square += x * x;
                    }
                } else {
                    squares[row] += sums.iter().sum::<f64>();
                }
            }
        }
        let largest = largest.iter().fold(0.0_f64, |a, &b| a.max(b)) + traces.iter().sum::<f64>();
        (largest, squares)
    }
}
