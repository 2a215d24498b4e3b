//! Stacked experts: one tensor of three dimensions that holds a matrix for every expert of a layer (Llama 4, Qwen3-VL, Granite).
//!
//! Every slice along the first dimension is a matrix of its own, named after the tensor and its place there: `NAME[5]`. Its
//! elements lie together, so that nothing but this file knows that they are a part of something larger.

use super::{families, float8, skip};
use crate::checkpoint::{Dtype, TensorInfo};

/// The matrices in `tensor`: its slices if it is a stack of experts, else the tensor as it is.
pub(super) fn parts(tensor: &TensorInfo) -> Vec<TensorInfo> {
    let known = matches!(tensor.dtype, Dtype::Float(_)) || float8(tensor).is_some();
    let &[count, _, _] = tensor.shape.as_slice() else { return vec![tensor.clone()] };
    if tensor.bytes == 0 || !known || !holds_experts(&tensor.name) {
        return vec![tensor.clone()];
    }
    (0..count).filter_map(|index| slice(tensor, index)).collect()
}

/// The part of a tensor that has this place along the first dimension.
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

/// The name of the tensor that holds the matrix of this name.
pub(crate) fn whole(name: &str) -> &str {
    split(name).map_or(name, |(tensor, _)| tensor)
}

/// The place in its stack of the matrix of this name.
pub(super) fn index(name: &str) -> Option<u64> {
    split(name).map(|(_, index)| index)
}

fn split(name: &str) -> Option<(&str, u64)> {
    let (tensor, digits) = name.strip_suffix(']')?.rsplit_once('[')?;
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((tensor, digits.parse().ok()?))
}

/// Whether a tensor of this name and three dimensions has one matrix for each expert. Other tensors of three dimensions are
/// kernels of convolutions.
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
    fn stacks_fall_into_their_slices() {
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
    fn other_tensors_stay_as_they_are() {
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
