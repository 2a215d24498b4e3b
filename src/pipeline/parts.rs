//! Parts: what goes through a device for a matrix, one or several at different times, until all are back.
//!
//! Usually that is the matrix itself. FARMS takes windows of it, whose spectra become one; a test for correlation takes a
//! second matrix with the same elements in random order.

use std::sync::Mutex;

use super::lock::lock;
use super::sampling::Sampling;
use crate::device::Outcome;
use crate::matrices::WeightMatrix;

/// The parts of several matrices, and what has become of them.
pub(super) struct Parts {
    matrices: Vec<WeightMatrix>,
    /// For each part, to which matrix it belongs.
    owners: Vec<usize>,
    /// For each matrix, the number of its first part.
    first: Vec<usize>,
    /// For each matrix, the outcomes of its parts until all are there.
    outcomes: Mutex<Vec<Vec<Option<Outcome>>>>,
}

impl Parts {
    pub fn new(matrices: &[WeightMatrix], sampling: Sampling) -> Parts {
        let mut parts =
            Parts { matrices: Vec::new(), owners: Vec::new(), first: Vec::new(), outcomes: Mutex::default() };
        let mut outcomes = Vec::new();
        for (owner, matrix) in matrices.iter().enumerate() {
            let of_matrix = sampling.parts(matrix);
            parts.first.push(parts.matrices.len());
            parts.owners.extend(std::iter::repeat_n(owner, of_matrix.len()));
            outcomes.push(vec![None; of_matrix.len()]);
            parts.matrices.extend(of_matrix);
        }
        Parts { outcomes: Mutex::new(outcomes), ..parts }
    }

    /// All parts, those of a matrix one after the other.
    pub fn matrices(&self) -> &[WeightMatrix] {
        &self.matrices
    }

    /// Takes the outcome of a part. With the last one of its matrix, returns the number of that matrix and all of them, in
    /// order.
    pub fn collect(&self, part: usize, outcome: Outcome) -> Option<(usize, Vec<Outcome>)> {
        let owner = self.owners[part];
        let mut outcomes = lock(&self.outcomes);
        let of_matrix = &mut outcomes[owner];
        of_matrix[part - self.first[owner]] = Some(outcome);
        if of_matrix.iter().any(Option::is_none) {
            return None;
        }
        Some((owner, std::mem::take(of_matrix).into_iter().flatten().collect()))
    }
}
