//! Tensors that hold several matrices: one three-dimensional tensor with one matrix for each expert of a layer (Llama 4, Qwen3-VL,
//! Granite), or one matrix with the experts in its rows (DBRX).
//!
//! Each of them is a matrix with the name of the tensor and its index: `NAME[5]`. It is contiguous in the file, so it is described
//! like a tensor, and only this file treats it as a slice.

use std::borrow::Cow;

use super::elements::weight_format;
use super::naming::Reading;
use crate::checkpoint::{Dtype, TensorInfo};
use crate::rename::Rename;

/// The matrices in `tensor`; the tensor itself if it is one matrix, or cannot be read.
pub(super) fn parts(tensor: &TensorInfo, reading: Reading) -> Vec<TensorInfo> {
    let whole = || vec![tensor.clone()];
    if tensor.bytes == 0 || !is_readable(&tensor.dtype) {
        return whole();
    }
    match (reading, tensor.shape.as_slice()) {
        (Reading::Slices, &[count, _, _]) => (0..count).filter_map(|index| slice(tensor, index)).collect(),
        (Reading::Rows(count), &[rows, cols]) if rows % count == 0 => {
            let stacked = TensorInfo { shape: vec![count, rows / count, cols], ..tensor.clone() };
            (0..count).filter_map(|index| slice(&stacked, index)).collect()
        }
        (Reading::Flat, &[rows, heads, size]) => match heads.checked_mul(size) {
            Some(cols) => vec![TensorInfo { shape: vec![rows, cols], ..tensor.clone() }],
            None => whole(),
        },
        _ => whole(),
    }
}

/// True for types that can be scored.
pub(super) fn is_readable(dtype: &Dtype) -> bool {
    matches!(dtype, Dtype::Float(_)) || weight_format(dtype).is_some()
}

/// The slice of a tensor at this index of the first dimension; `None` beyond its end.
pub(super) fn slice(tensor: &TensorInfo, index: u64) -> Option<TensorInfo> {
    let (&count, shape) = tensor.shape.split_first().filter(|&(&count, _)| index < count)?;
    let bytes = tensor.bytes / count;
    Some(TensorInfo {
        name: format!("{}[{index}]", tensor.name),
        dtype: tensor.dtype.clone(),
        shape: shape.to_vec(),
        offset: tensor.offset + index * bytes,
        bytes,
    })
}

/// The name of the tensor in a file that holds the matrix of this name.
pub(crate) fn whole(name: &str) -> &str {
    split(name).map_or(name, |(tensor, _)| tensor)
}

/// The new name of the matrix of this name; what is renamed is the tensor that holds it.
pub(crate) fn renamed<'a>(name: &'a str, rename: Option<&Rename>) -> Cow<'a, str> {
    let tensor = whole(name);
    match rename.and_then(|rename| rename.apply(tensor)) {
        Some(new) => format!("{new}{}", &name[tensor.len()..]).into(),
        None => name.into(),
    }
}

/// The index of the matrix of this name in its stack of experts.
pub(super) fn index(name: &str) -> Option<u64> {
    split(name).map(|(_, index)| index)
}

fn split(name: &str) -> Option<(&str, u64)> {
    let (tensor, digits) = name.strip_suffix(']')?.rsplit_once('[')?;
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((tensor, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::FloatType;

    fn tensor(name: &str, dtype: Dtype, shape: &[u64]) -> TensorInfo {
        let bytes = shape.iter().product::<u64>() * 2;
        TensorInfo { name: name.into(), dtype, shape: shape.into(), offset: 100, bytes }
    }

    #[test]
    fn stacks_are_split_into_slices() {
        let name = "model.layers.0.mlp.experts.down_proj";
        let stacked = tensor(name, Dtype::Float(FloatType::BF16), &[3, 4, 5]);
        let rows = tensor(name, Dtype::Float(FloatType::BF16), &[12, 5]);
        for (tensor, reading) in [(stacked, Reading::Slices), (rows, Reading::Rows(3))] {
            let parts = parts(&tensor, reading);
            let places: Vec<(u64, u64)> = parts.iter().map(|part| (part.offset, part.bytes)).collect();
            assert_eq!(places, [(100, 40), (140, 40), (180, 40)]);
            assert_eq!(parts[2].name, format!("{name}[2]"));
            assert_eq!((parts[2].shape.as_slice(), whole(&parts[2].name)), (&[4, 5][..], name));
        }
    }

    #[test]
    fn a_flat_tensor_is_one_matrix_with_its_name() {
        let tensor = tensor("q", Dtype::Float(FloatType::BF16), &[6, 2, 3]);
        let parts = parts(&tensor, Reading::Flat);
        assert_eq!(parts, [TensorInfo { shape: vec![6, 6], ..tensor }]);
    }

    #[test]
    fn other_tensors_are_not_split() {
        let bf16 = Dtype::Float(FloatType::BF16);
        for (tensor, reading) in [
            (tensor("a", bf16.clone(), &[4, 5]), Reading::Whole),
            (tensor("a", bf16.clone(), &[2, 3, 4, 5]), Reading::Slices),
            (tensor("a", bf16.clone(), &[0, 4, 5]), Reading::Slices),
            (tensor("a", bf16.clone(), &[3, 0, 5]), Reading::Slices),
            (tensor("a", bf16, &[10, 5]), Reading::Rows(3)),
            (tensor("a", Dtype::from_name("U8"), &[3, 4, 5]), Reading::Slices),
        ] {
            assert_eq!(parts(&tensor, reading), std::slice::from_ref(&tensor));
        }
        for name in ["a.weight", "a[].weight", "a[]", "a[x]", "a[1", "[]", ""] {
            assert_eq!(whole(name), name);
        }
    }
}
