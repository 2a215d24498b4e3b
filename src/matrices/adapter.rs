//! The updates of a PEFT adapter: which of its tensors form the two factors of an update, and why others do not.
//!
//! PEFT names the factors of a module's update `base_model.model.MODULE.lora_A.weight` and `...lora_B.weight`. The update has the
//! name of the weight that it changes, `MODULE.weight`, and thus the same name as in the model itself.

use std::collections::BTreeMap;

use super::elements::{ElementSource, Floats, LowRank};
use super::matrix::WeightMatrix;
use super::naming::{Context, Named, Naming};
use super::selection::Selection;
use super::skip::OUTSIDE;
use super::skipped::Skipped;
use crate::checkpoint::{Adapter, Checkpoint, Tensor};

/// What PEFT puts before the names of a model's modules.
const PREFIX: &str = "base_model.model.";

/// What a tensor of an adapter is.
enum Part<'a> {
    /// A: `lora_A`.
    Down(&'a str),
    /// B: `lora_B`.
    Up(&'a str),
    /// DoRA's magnitude.
    Magnitude(&'a str),
    /// Anything else, with the reason for skipping it.
    Other(&'static str),
}

/// The tensors of a module.
#[derive(Default)]
struct Module<'a> {
    down: Option<Tensor<'a>>,
    up: Option<Tensor<'a>>,
    magnitude: bool,
}

/// The updates of an adapter, and the tensors that form none.
pub(super) fn classify(
    checkpoint: &Checkpoint,
    adapter: &Adapter,
    selection: &Selection,
) -> Vec<Result<WeightMatrix, Skipped>> {
    let mut verdicts = Vec::new();
    let mut modules: BTreeMap<&str, Module> = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let name = tensor.info.name.as_str();
        let skipped = match part(name.strip_prefix(PREFIX).unwrap_or(name)) {
            Part::Down(module) => fill(&mut modules.entry(module).or_default().down, tensor),
            Part::Up(module) => fill(&mut modules.entry(module).or_default().up, tensor),
            Part::Magnitude(module) => {
                modules.entry(module).or_default().magnitude = true;
                Some(Skipped::new(name, "DoRA magnitude"))
            }
            Part::Other(reason) => Some(Skipped::new(name, reason)),
        };
        verdicts.extend(skipped.map(Err));
    }
    let naming = naming(&modules, checkpoint, selection);
    for (name, module) in modules {
        let names = [module.down, module.up].into_iter().flatten().map(|tensor| tensor.info.name.as_str());
        match update(name, &module, adapter, &naming, selection) {
            Ok(matrix) => verdicts.push(Ok(matrix)),
            Err((reason, unpaired)) => {
                verdicts.extend(names.map(|tensor| Err(Skipped { unpaired, ..Skipped::new(tensor, reason.as_str()) })));
            }
        }
    }
    verdicts
}

/// The places of the weights that the modules update.
fn naming(modules: &BTreeMap<&str, Module>, checkpoint: &Checkpoint, selection: &Selection) -> Naming {
    let weights = modules.iter().filter_map(|(name, module)| Some((format!("{name}.weight"), module.down?)));
    let weights: Vec<(String, Tensor)> = weights.collect();
    let tensors = weights.iter().map(|weight| {
        let (name, shape) = (weight.0.as_str(), weight.1.info.shape.as_slice());
        Named { name, shape, readable: true }
    });
    let tensors: Vec<Named> = tensors.collect();
    Naming::new(&tensors, Context { config: checkpoint.config(), selection, partial: true })
}

/// Fills a factor's slot, or skips `tensor` if another name has already filled it.
fn fill<'a>(slot: &mut Option<Tensor<'a>>, tensor: Tensor<'a>) -> Option<Skipped> {
    if let Some(other) = slot {
        return Some(Skipped::new(&tensor.info.name, format!("duplicate of `{}`", other.info.name)));
    }
    *slot = Some(tensor);
    None
}

fn part(name: &str) -> Part<'_> {
    if let Some(module) = name.strip_suffix(".lora_A.weight") {
        Part::Down(module)
    } else if let Some(module) = name.strip_suffix(".lora_B.weight") {
        Part::Up(module)
    } else if let Some((module, _)) = name.split_once(".lora_magnitude_vector") {
        Part::Magnitude(module)
    } else if name.contains("lora_embedding_") {
        Part::Other("embedding")
    } else if name.ends_with("bias") {
        Part::Other("bias")
    } else if name.contains("lora_") {
        Part::Other("unknown kind of adapter factor")
    } else {
        Part::Other("trained in full: not a low-rank update")
    }
}

/// The update of a module, or why it has none, and whether a partner is missing.
fn update(
    name: &str,
    module: &Module,
    adapter: &Adapter,
    naming: &Naming,
    selection: &Selection,
) -> Result<WeightMatrix, (String, bool)> {
    let skipped = |reason: String| (reason, false);
    let (down, up) = match (module.down, module.up) {
        (Some(down), Some(up)) => (down, up),
        (Some(_), None) => return Err(("lora_A without lora_B".into(), true)),
        _ => return Err(("lora_B without lora_A".into(), true)),
    };
    if adapter.dora || module.magnitude {
        return Err(skipped("DoRA: its magnitude also rescales the weights".into()));
    }
    let weight = format!("{name}.weight");
    let place = naming.place(&weight, down.info.shape.len()).and_then(|place| place.ok_or(OUTSIDE));
    let (place, _) = place.map_err(|reason| skipped(reason.into()))?;
    let factor = |tensor: Tensor| Floats::new(tensor.info.clone(), tensor.shard).map_err(skipped);
    let (down, up) = (factor(down)?, factor(up)?);
    let (rank, other) = (down.shape()[0], up.shape()[1]);
    if rank != other {
        return Err(skipped(format!("lora_A has rank {rank}, but lora_B has rank {other}")));
    }
    let configured = adapter.rank(name);
    if rank as u64 != configured {
        return Err(skipped(format!("rank {rank}, but {configured} in the config")));
    }
    let update = LowRank { down, up, scale: adapter.scale(name), transposed: adapter.fan_in_fan_out };
    selection.admit(WeightMatrix::new(&weight, place, update)).map_err(skipped)
}
