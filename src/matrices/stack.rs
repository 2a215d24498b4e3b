//! Stacked experts: one three-dimensional tensor with one matrix for each expert of a layer (Llama 4, Qwen3-VL, Granite).
//!
//! Every slice along the first dimension is a matrix with the name of the tensor and its index: `NAME[5]`. A slice is contiguous in
//! the file, so it is described like a tensor, and only this file treats it as a slice.

use super::elements::weight_format;
use super::{families, skip};
use crate::checkpoint::{Dtype, TensorInfo};

/// The slices of `tensor` if it is a stack of experts, otherwise the tensor itself.
pub(super) fn parts(tensor: &TensorInfo) -> Vec<TensorInfo> {
    let supported = matches!(tensor.dtype, Dtype::Float(_)) || weight_format(&tensor.dtype).is_some();
    let &[count, _, _] = tensor.shape.as_slice() else { return vec![tensor.clone()] };
    if tensor.bytes == 0 || !supported || !holds_experts(&tensor.name) {
        return vec![tensor.clone()];
    }
    (0..count).filter_map(|index| slice(tensor, index)).collect()
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

/// The index of the matrix of this name in its stack of experts.
pub(super) fn index(name: &str) -> Option<u64> {
    split(name).map(|(_, index)| index)
}

fn split(name: &str) -> Option<(&str, u64)> {
    let (tensor, digits) = name.strip_suffix(']')?.rsplit_once('[')?;
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((tensor, digits.parse().ok()?))
}

/// True if a three-dimensional tensor of this name has one matrix for each expert. Other three-dimensional tensors are kernels of
/// convolutions.
fn holds_experts(name: &str) -> bool {
    if families::stacked_place(name).is_some() {
        return true;
    }
    let in_layer = families::generic_place(name).is_some();
    in_layer && name.split('.').any(|word| word == "experts") && skip::by_name(name, in_layer, 3).is_none()
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
        for name in [
            "language_model.model.layers.0.feed_forward.experts.gate_up_proj",
            "model.language_model.layers.0.mlp.experts.down_proj",
            "model.layers.3.block_sparse_moe.input_linear.weight",
            "model.layers.3.mlp.output_linear.weight",
            "language_model.model.layers.0.mlp.experts.fc1.weight",
        ] {
            let parts = parts(&tensor(name, Dtype::Float(FloatType::BF16), &[3, 4, 5]));
            let places: Vec<(u64, u64)> = parts.iter().map(|part| (part.offset, part.bytes)).collect();
            assert_eq!(places, [(100, 40), (140, 40), (180, 40)], "{name}");
            assert_eq!(parts[2].name, format!("{name}[2]"));
            assert_eq!((parts[2].shape.as_slice(), whole(&parts[2].name)), (&[4, 5][..], name));
        }
    }

    #[test]
    fn other_tensors_are_not_split() {
        let bf16 = Dtype::Float(FloatType::BF16);
        let experts = "model.layers.0.mlp.experts.gate_up_proj";
        for tensor in [
            tensor("model.layers.0.mlp.up_proj.weight", bf16.clone(), &[4, 5]),
            tensor("backbone.layers.0.mixer.conv1d.weight", bf16.clone(), &[8, 1, 4]),
            tensor("model.layers.0.mlp.experts.gate_up_proj_bias", bf16.clone(), &[3, 4]),
            tensor("model.layers.0.mlp.experts.gate_up_proj_bias", bf16.clone(), &[3, 1, 4]),
            tensor("model.layers.0.mlp.experts.norm.weight", bf16.clone(), &[3, 1, 4]),
            tensor("model.experts.gate_up_proj", bf16.clone(), &[3, 4, 5]),
            tensor(experts, bf16.clone(), &[2, 3, 4, 5]),
            tensor(experts, bf16.clone(), &[0, 4, 5]),
            tensor(experts, bf16, &[3, 0, 5]),
            tensor(experts, Dtype::from_name("U8"), &[3, 4, 5]),
        ] {
            assert_eq!(parts(&tensor), std::slice::from_ref(&tensor));
        }
        for name in ["a.weight", "a[].weight", "a[]", "a[x]", "a[1", "[]", ""] {
            assert_eq!(whole(name), name);
        }
    }
}
