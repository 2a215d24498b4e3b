//! Decides about one tensor: the weight matrix that it holds, or why it is not scored.

use super::elements::{Floats, Scaled, float_type, weight_format};
use super::matrix::WeightMatrix;
use super::place::Place;
use super::scales::Scales;
use super::selection::Selection;
use super::skipped::Skipped;
use super::{families, skip, stack};
use crate::checkpoint::TensorInfo;

/// The reason for a projection that belongs to no layer.
pub(super) const OUTSIDE: &str = "outside the numbered layers";

/// The matrix to score, or why `tensor` is not scored.
pub(super) fn classify(
    tensor: &TensorInfo,
    shard: usize,
    scales: &Scales,
    selection: &Selection,
) -> Result<WeightMatrix, Skipped> {
    let skipped = |reason: String| Skipped::new(&tensor.name, reason);
    let place = place(&tensor.name, tensor.shape.len()).map_err(|reason| skipped(reason.into()))?;
    if weight_format(&tensor.dtype).is_none() {
        float_type(&tensor.dtype).map_err(skipped)?;
    }
    let place = place.ok_or_else(|| skipped(OUTSIDE.into()))?;
    let matrix = matrix(tensor, shard, place, scales)?;
    selection.admit(matrix).map_err(skipped)
}

/// `tensor` as the matrix at `place`, or why it is not a matrix of numbers.
pub(super) fn matrix(
    tensor: &TensorInfo,
    shard: usize,
    place: Place,
    scales: &Scales,
) -> Result<WeightMatrix, Skipped> {
    let skipped = |reason| Skipped::new(&tensor.name, reason);
    let Some(format) = weight_format(&tensor.dtype) else {
        let floats = Floats::new(tensor.clone(), shard).map_err(skipped)?;
        return Ok(WeightMatrix::new(&tensor.name, place, floats));
    };
    let scaled = Scaled::new(tensor.clone(), shard, format, scales.of(tensor)?).map_err(skipped)?;
    Ok(WeightMatrix::new(&tensor.name, place, scaled))
}

/// The place of a tensor of this name, `None` if it is in no layer, or the reason why it is not a projection matrix.
pub(super) fn place(name: &str, dimensions: usize) -> Result<Option<Place>, &'static str> {
    let name = stack::whole(name);
    let known = families::place(name).or_else(|| families::stacked_place(name));
    if known.is_some() {
        return Ok(known);
    }
    let place = families::generic_place(name);
    match skip::by_name(name, place.is_some(), dimensions) {
        Some(reason) => Err(reason),
        None => Ok(place),
    }
}
