//! Finds any two-dimensional tensor, whether it would be scored or not: embeddings, heads, routers.

use super::base::Base;
use super::catalog::Catalog;
use super::classify;
use super::find;
use super::matrix::WeightMatrix;
use super::scales::Scales;
use super::selection::Selection;
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::Result;
use crate::rename::Rename;

impl Catalog {
    /// The matrix with this name, or the only one whose name contains `name`, like [`Catalog::find`]; or else the tensor of
    /// `checkpoint` of which the same is true. Where `checkpoint` has a base, the difference to the tensor in the base.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if there is no such tensor, it is not a matrix of numbers, or there are several.
    pub fn find_any(&self, checkpoint: &Checkpoint, name: &str) -> Result<WeightMatrix> {
        let found = self.find(checkpoint.path(), name);
        if let Ok(matrix) = found {
            return Ok(matrix.clone());
        }
        let is_scored = |tensor: &Tensor| self.matrices.iter().any(|matrix| matrix.name() == tensor.info.name);
        let listed = || checkpoint.tensors().filter(|tensor| tensor.listed);
        if let Some(tensor) = listed().find(|tensor| tensor.info.name == name) {
            return any(checkpoint, &tensor, self.rename.as_ref());
        }
        if self.matrices.iter().any(|matrix| matrix.name().contains(name)) {
            return found.cloned();
        }
        let is_match = |tensor: &Tensor| tensor.info.name.contains(name) && tensor.info.shape.len() == 2;
        let matches: Vec<Tensor> = listed().filter(|tensor| is_match(tensor) && !is_scored(tensor)).collect();
        match &matches[..] {
            [] => found.cloned(),
            [tensor] => any(checkpoint, tensor, self.rename.as_ref()),
            several => {
                let names: Vec<&str> = several.iter().map(|tensor| tensor.info.name.as_str()).collect();
                Err(find::several(checkpoint.path(), name, &names))
            }
        }
    }
}

/// The elements of `tensor` as a matrix that is in no layer.
fn any(checkpoint: &Checkpoint, tensor: &Tensor, rename: Option<&Rename>) -> Result<WeightMatrix> {
    let matrix = classify::any(tensor.info, tensor.shard, &Scales::new(checkpoint));
    let selection = Selection::default();
    let matrix = match checkpoint.base() {
        Some(base) => matrix.and_then(|matrix| Base::new(base, &selection, rename).pair(&matrix)),
        None => matrix,
    };
    matrix.map_err(|skipped| find::not_a_matrix(checkpoint.path(), &skipped))
}
