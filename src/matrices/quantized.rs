//! Weights in quantized types that are not read, and the scheme by which they are quantized, told by the names of their tensors.
//!
//! A scheme stores the weights of a module in packed integers, next to scale factors and other numbers, none of which is a weight
//! matrix. FP8 weights are no case for this file: they are read.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::{Checkpoint, Dtype, TensorInfo};

/// Suffixes of the packed weights of a module, and the schemes to which they belong alone.
const PACKED: [(&str, &str); 5] =
    [(".W_q", "HQQ"), (".Qidxs", "QuIP#"), ("_qdata", "torchao"), (".int_data", "torchao"), ("._data", "quanto")];

/// The quantized weights of a checkpoint.
pub(super) struct Quantized<'a> {
    /// By name of the tensor that holds them.
    weights: HashMap<&'a str, QuantizedWeight>,
    /// The modules that they belong to.
    modules: HashMap<String, &'static str>,
}

/// The quantized weights in one tensor.
pub(super) struct QuantizedWeight {
    /// The name that they would have if they were not quantized.
    pub name: String,
    /// How they are quantized.
    pub scheme: &'static str,
    /// Number of weights; where the tensor packs several in one integer, an estimate for 4 bits.
    pub elements: u64,
}

impl<'a> Quantized<'a> {
    /// Finds the quantized weights of `checkpoint`.
    pub fn new(checkpoint: &'a Checkpoint) -> Quantized<'a> {
        let listed = || checkpoint.tensors().filter(|tensor| tensor.listed).map(|tensor| tensor.info);
        let mut found = Quantized { weights: HashMap::new(), modules: HashMap::new() };
        let Some(_) = listed().find(|tensor| is_packed_type(&tensor.dtype)) else { return found };
        let names = Names(listed().map(|tensor| tensor.name.as_str()).collect());
        for tensor in listed().filter(|tensor| is_packed_type(&tensor.dtype)) {
            let Some((stem, scheme)) = names.scheme(tensor) else { continue };
            let is_stack = tensor.name.ends_with("_blocks");
            let name = if is_stack { stem.to_owned() } else { format!("{stem}.weight") };
            found.weights.insert(&tensor.name, QuantizedWeight { name, scheme, elements: elements(tensor) });
            if !is_stack {
                found.modules.insert(stem.to_owned(), scheme);
            }
        }
        found
    }

    /// The quantized weights in the tensor of this name, if it holds any.
    pub fn weight(&self, tensor: &str) -> Option<&QuantizedWeight> {
        self.weights.get(tensor)
    }

    /// The scheme of the module that the tensor of this name belongs to, if its weights are quantized.
    pub fn scheme_of_module(&self, tensor: &str) -> Option<&'static str> {
        let (module, _) = tensor.rsplit_once('.')?;
        self.modules.get(module).copied()
    }
}

/// The names of all tensors.
struct Names<'a>(HashSet<&'a str>);

impl Names<'_> {
    fn has(&self, stem: &str, suffix: &str) -> bool {
        self.0.contains(format!("{stem}{suffix}").as_str())
    }

    /// The module of packed weights, or what `_blocks` is appended to, and the scheme. `None` if the tensor holds no weights.
    fn scheme<'t>(&self, tensor: &'t TensorInfo) -> Option<(&'t str, &'static str)> {
        let name = tensor.name.as_str();
        if let Some(stem) = name.strip_suffix("_blocks") {
            return self.has(stem, "_scales").then_some((stem, "MXFP4"));
        }
        if let Some(module) = name.strip_suffix(".qweight") {
            return Some((module, self.gptq_or_awq(module)));
        }
        if let Some(module) = name.strip_suffix(".weight_packed") {
            let is_nvfp4 = self.has(module, ".weight_global_scale");
            let words = matches!(&tensor.dtype, Dtype::Integer(name) if name == "I32");
            return Some((
                module,
                if is_nvfp4 {
                    "NVFP4"
                } else if words {
                    "pack-quantized"
                } else {
                    "MXFP4"
                },
            ));
        }
        if let Some(module) = name.strip_suffix(".weight") {
            return Some((module, self.scheme_of_weight(module, &tensor.dtype)));
        }
        for (packed, partner, scheme) in [(".codes", ".codebooks", "AQLM"), (".indices", ".centroids.weight", "VPTQ")] {
            if let Some(module) = name.strip_suffix(packed).filter(|module| self.has(module, partner)) {
                return Some((module, scheme));
            }
        }
        let (module, scheme) =
            PACKED.iter().find_map(|(suffix, scheme)| Some((name.strip_suffix(suffix)?, *scheme)))?;
        let end = [".weight", "._weight"].iter().find_map(|parameter| module.find(parameter));
        Some((end.map_or(module, |end| &module[..end]), scheme))
    }

    fn gptq_or_awq(&self, module: &str) -> &'static str {
        match (self.has(module, ".g_idx"), self.has(module, ".qzeros")) {
            (true, _) => "GPTQ",
            (false, true) => "AWQ",
            (false, false) => "integers",
        }
    }

    fn scheme_of_weight(&self, module: &str, dtype: &Dtype) -> &'static str {
        let has = |suffix: &str| self.has(module, suffix);
        let words = matches!(dtype, Dtype::Integer(name) if name == "U32");
        if has(".SCB") || has(".weight.SCB") {
            "bitsandbytes, 8 bits"
        } else if has(".weight.absmax") || has(".weight.quant_map") {
            "bitsandbytes, 4 bits"
        } else if has(".weight_scale_2") {
            "NVFP4"
        } else if words && has(".scales") {
            "MLX"
        } else if matches!(dtype, Dtype::Blocks(_)) {
            "GGUF blocks"
        } else if has(".weight_scale") || has(".weight_scale_inv") || has(".scales") || has(".scale") {
            "integers with scale factors"
        } else {
            "integers"
        }
    }
}

/// True for types that pack quantized weights. Booleans and 64-bit integers are masks and indices.
fn is_packed_type(dtype: &Dtype) -> bool {
    match dtype {
        Dtype::Float(_) | Dtype::Float8(_) => false,
        Dtype::Blocks(_) => true,
        Dtype::Integer(name) => !matches!(name.as_str(), "BOOL" | "I64" | "U64"),
        Dtype::Other(name) => !name.starts_with('C'),
    }
}

fn elements(tensor: &TensorInfo) -> u64 {
    match &tensor.dtype {
        Dtype::Integer(name) if name != "I8" => tensor.bytes.saturating_mul(2),
        _ => tensor.shape.iter().fold(1, |product: u64, &side| product.saturating_mul(side)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_scheme() {
        for (tensor, dtype, others, stem, scheme) in [
            ("m.qweight", "I32", &["m.g_idx", "m.qzeros", "m.scales"][..], "m", "GPTQ"),
            ("m.qweight", "I32", &["m.qzeros", "m.scales"], "m", "AWQ"),
            (
                "m.weight",
                "U8",
                &["m.weight.absmax", "m.weight.quant_state.bitsandbytes__nf4"],
                "m",
                "bitsandbytes, 4 bits",
            ),
            ("m.weight", "I8", &["m.SCB"], "m", "bitsandbytes, 8 bits"),
            ("m.weight_packed", "I32", &["m.weight_scale"], "m", "pack-quantized"),
            ("m.weight_packed", "U8", &["m.weight_global_scale"], "m", "NVFP4"),
            ("m.weight", "U8", &["m.weight_scale", "m.weight_scale_2"], "m", "NVFP4"),
            ("m.up_blocks", "U8", &["m.up_scales"], "m.up", "MXFP4"),
            ("m.weight", "I8", &["m.weight_scale"], "m", "integers with scale factors"),
            ("m.weight", "U32", &["m.scales", "m.biases"], "m", "MLX"),
            ("m.weight", "Q4_K", &[], "m", "GGUF blocks"),
            ("m.weight", "I8", &[], "m", "integers"),
            ("m.W_q", "U8", &["m.scale", "m.zero"], "m", "HQQ"),
            ("m.weight:_qdata", "I8", &["m.weight:_scale"], "m", "torchao"),
            ("m._weight_qdata", "I8", &["m._weight_scale"], "m", "torchao"),
            ("m.weight.tensor_impl.int_data", "I8", &[], "m", "torchao"),
            ("m.weight._data", "I8", &["m.weight._scale"], "m", "quanto"),
            ("m.codes", "I16", &["m.codebooks"], "m", "AQLM"),
        ] {
            let info = TensorInfo {
                name: tensor.into(),
                dtype: Dtype::from_name(dtype),
                shape: vec![8, 256],
                offset: 0,
                bytes: 2048,
            };
            let names = Names(others.iter().copied().chain([tensor]).collect());
            assert_eq!(names.scheme(&info), Some((stem, scheme)), "{tensor}");
        }
        let other = |name: &str| TensorInfo {
            name: name.into(),
            dtype: Dtype::from_name("I32"),
            shape: vec![8],
            offset: 0,
            bytes: 32,
        };
        for name in ["m.g_idx", "m.qzeros", "m.position_ids", "m.indices", "m.up_blocks", "mask"] {
            assert_eq!(Names(HashSet::from([name])).scheme(&other(name)), None, "{name}");
        }
    }
}
