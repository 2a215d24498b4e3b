//! The modules of a model that hold scored matrices, each with its number.

use super::{Rename, Target, unusable};
use crate::allocate::{AllocatedUnit, Allocation};
use crate::error::{Error, Result};
use crate::report::Report;
use crate::score::MatrixScore;

/// A scored matrix, what holds it, and what it gets.
pub(super) struct Assigned<'a> {
    pub matrix: &'a MatrixScore,
    /// Full name of its parameter in the model.
    pub parameter: String,
    pub row: &'a AllocatedUnit,
}

impl Assigned<'_> {
    /// Full name of the module whose weight the matrix is.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if it is a parameter within a larger module, as `in_proj_weight` of
    /// torch's attention is: `target` knows only modules.
    pub fn module(&self, target: Target) -> Result<&str> {
        self.parameter.strip_suffix(".weight").ok_or_else(|| {
            let cause = format!("is not the weight of a module of its own, and {target} knows only modules");
            Error::usage(cause).tensor(&self.matrix.tensor).hint("leave it out when scoring, with --exclude")
        })
    }
}

/// Every scored matrix of `report` with its row of `allocation`, in order of stack, layer and name.
///
/// # Errors
///
/// [`Kind::Input`](crate::error::Kind::Input) if only layers are known, or a matrix has no row; as [`Rename::apply`].
pub(super) fn assigned<'a>(
    report: &'a Report,
    allocation: &'a Allocation,
    target: Target,
    rename: &Rename,
) -> Result<Vec<Assigned<'a>>> {
    if report.matrices.is_empty() {
        return Err(nameless(target));
    }
    let rows = allocation.rows_of(&report.matrices);
    let assign = |(matrix, row): (&'a MatrixScore, Option<&'a AllocatedUnit>)| {
        let row = row.ok_or_else(|| {
            let error = unusable("the allocation holds no number for this matrix").tensor(&matrix.tensor);
            error.hint("allocate anew with --rule")
        })?;
        Ok(Assigned { matrix, parameter: rename.apply(&unwrapped(&matrix.tensor))?, row })
    };
    report.matrices.iter().zip(rows).map(assign).collect()
}

/// Scores of layers alone name no tensors.
pub(super) fn nameless(target: Target) -> Error {
    let cause = format!("holds layers without the names of their tensors, which {target} needs");
    unusable(cause).hint("give the JSON that `htsr score PATH -o scores.json` wrote")
}

/// The name that a parameter had before an adapter of PEFT was wrapped around it.
pub(super) fn unwrapped(tensor: &str) -> String {
    tensor.replace(".base_layer.", ".")
}
