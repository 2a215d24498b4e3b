//! The modules of a model that contain scored matrices, each with its allocated number.

use super::Target;
use crate::allocate::{AllocatedUnit, Allocation};
use crate::error::{Error, Result};
use crate::rename::Rename;
use crate::report::Report;
use crate::score::MatrixScore;

/// A scored matrix, the parameter that contains it, and its allocated number.
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
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the matrix is a parameter of a larger module, such as
    /// `in_proj_weight` of torch's attention: `target` supports only modules.
    pub fn module(&self, target: Target) -> Result<&str> {
        self.parameter.strip_suffix(".weight").ok_or_else(|| {
            let cause = format!("is not the weight of its own module, and {target} supports only modules");
            Error::usage(cause).tensor(&self.matrix.tensor).hint("exclude it when scoring (§exclude)")
        })
    }
}

/// Every scored matrix of `report` with its row of `allocation`, in order of stack, layer and name, without the stacks that
/// the allocation leaves out.
///
/// # Errors
///
/// [`Kind::Input`](crate::error::Kind::Input) if only layers are known or a matrix has no row; those of
/// [`renamed`].
pub(super) fn assigned<'a>(
    report: &'a Report,
    allocation: &'a Allocation,
    target: Target,
    rename: &Rename,
) -> Result<Vec<Assigned<'a>>> {
    if report.matrices.is_empty() {
        return Err(nameless(target));
    }
    let matrices: Vec<&MatrixScore> = report.matrices.iter().filter(|matrix| !allocation.leaves_out(matrix)).collect();
    let rows = allocation.rows_of(&matrices);
    let assign = |(matrix, row): (&'a MatrixScore, Option<&'a AllocatedUnit>)| {
        let row = row.ok_or_else(|| {
            let error = Error::unusable("the allocation has no number for this matrix").tensor(&matrix.tensor);
            error.hint("allocate again with §allocate")
        })?;
        Ok(Assigned { matrix, parameter: renamed(&unwrapped(&matrix.tensor), rename)?, row })
    };
    matrices.into_iter().zip(rows).map(assign).collect()
}

/// The name of a module or parameter in the model.
///
/// # Errors
///
/// [`Kind::Usage`](crate::error::Kind::Usage) if `rename` does not concern the name: the model has no such module.
pub(super) fn renamed(name: &str, rename: &Rename) -> Result<String> {
    rename.apply(name).ok_or_else(|| {
        let cause = format!("the name does not {}, which should be renamed", rename.condition());
        Error::usage(cause).tensor(name).hint("exclude such matrices when scoring (§exclude)")
    })
}

/// The tensors that get no number: skipped ones, with the reason, and those of stacks that `allocation` leaves out.
pub(super) fn unassigned<'a>(
    report: &'a Report,
    allocation: &'a Allocation,
) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
    let skipped = report.skipped.iter().map(|skipped| (skipped.tensor.as_str(), Some(skipped.reason.as_str())));
    let left_out = report.matrices.iter().filter(|matrix| allocation.leaves_out(matrix));
    skipped.chain(left_out.map(|matrix| (matrix.tensor.as_str(), None)))
}

/// The error for scores of layers, which have no tensor names.
pub(super) fn nameless(target: Target) -> Error {
    let cause = format!("has layers but no tensor names, which {target} needs");
    Error::unusable(cause).hint("use the JSON file that §(score PATH output=scores.json) writes")
}

/// The name that a parameter had before PEFT wrapped an adapter around it.
pub(super) fn unwrapped(tensor: &str) -> String {
    tensor.replace(".base_layer.", ".")
}
