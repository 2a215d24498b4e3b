//! The updates of a PEFT adapter: which of its tensors are the two factors of one, and why the others are none.
//!
//! PEFT writes the factors of a module's update as `base_model.model.MODULE.lora_A.weight` and `...lora_B.weight`. An update is
//! named after the weight that it changes, `MODULE.weight`, so that it stands beside that of the model itself.

use std::collections::BTreeMap;

use super::elements::Elements;
use super::low_rank::LowRank;
use super::{Catalog, OUTSIDE, Place, Selection, Skipped, WeightMatrix, place, stored};
use crate::checkpoint::{Adapter, Checkpoint, FloatType, Tensor};

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
    /// None of these.
    Other(&'static str),
}

/// The tensors of a module.
#[derive(Default)]
struct Module<'a> {
    down: Option<Tensor<'a>>,
    up: Option<Tensor<'a>>,
    magnitude: bool,
}

/// Sorts out the tensors of an adapter.
pub(super) fn catalog(checkpoint: &Checkpoint, adapter: &Adapter, selection: &Selection) -> Catalog {
    let mut catalog = Catalog::default();
    let mut modules: BTreeMap<&str, Module> = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        let name = tensor.info.name.as_str();
        match part(name.strip_prefix(PREFIX).unwrap_or(name)) {
            Part::Down(module) => put(&mut modules.entry(module).or_default().down, tensor, &mut catalog),
            Part::Up(module) => put(&mut modules.entry(module).or_default().up, tensor, &mut catalog),
            Part::Magnitude(module) => {
                modules.entry(module).or_default().magnitude = true;
                catalog.skipped.push(Skipped::new(name, "DoRA magnitude"));
            }
            Part::Other(reason) => catalog.skipped.push(Skipped::new(name, reason)),
        }
    }
    for (name, module) in modules {
        let names = [module.down, module.up].into_iter().flatten().map(|tensor| tensor.info.name.as_str());
        match update(name, &module, adapter, selection) {
            Ok(matrix) => catalog.matrices.push(matrix),
            Err((reason, unpaired)) => {
                catalog
                    .skipped
                    .extend(names.map(|tensor| Skipped { unpaired, ..Skipped::new(tensor, reason.as_str()) }));
            }
        }
    }
    catalog
}

/// Puts a factor into its place, unless there is one under another name.
fn put<'a>(place: &mut Option<Tensor<'a>>, tensor: Tensor<'a>, catalog: &mut Catalog) {
    match place {
        Some(other) => {
            let reason = format!("the same factor as `{}`", other.info.name);
            catalog.skipped.push(Skipped::new(&tensor.info.name, reason));
        }
        None => *place = Some(tensor),
    }
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
        Part::Other("adapter factor of an unknown kind")
    } else {
        Part::Other("trained as a whole: no low-rank update")
    }
}

/// The update of a module, or why it has none, and whether a partner is missing.
fn update(
    name: &str,
    module: &Module,
    adapter: &Adapter,
    selection: &Selection,
) -> Result<WeightMatrix, (String, bool)> {
    let for_good = |reason: String| (reason, false);
    let (down, up) = match (module.down, module.up) {
        (Some(down), Some(up)) => (down, up),
        (Some(_), None) => return Err(("lora_A without lora_B".into(), true)),
        _ => return Err(("lora_B without lora_A".into(), true)),
    };
    if adapter.dora || module.magnitude {
        return Err(for_good("DoRA: its magnitude rescales the weights too".into()));
    }
    let weight = format!("{name}.weight");
    let place = place(&weight, down.info.shape.len()).and_then(|place| place.ok_or(OUTSIDE));
    let Place { stack, layer, role } = place.map_err(|reason| for_good(reason.into()))?;
    let factor = |tensor: Tensor| stored(tensor.info, tensor.shard).map_err(for_good);
    let (down, up) = (factor(down)?, factor(up)?);
    let (rank, other) = (down.shape()[0], up.shape()[1]);
    if rank != other {
        return Err(for_good(format!("lora_A has the rank {rank}, lora_B {other}")));
    }
    let stated = adapter.rank(name);
    if rank as u64 != stated {
        return Err(for_good(format!("rank {rank}, but {stated} in the config")));
    }
    let update = LowRank { down, up, scale: adapter.scale(name), transposed: adapter.fan_in_fan_out };
    let [rows, cols] = update.core_shape();
    let elements = Elements::LowRank(update);
    let matrix = WeightMatrix { name: weight, elements, stack, layer, role, dtype: FloatType::F64, rows, cols };
    selection.admit(matrix).map_err(for_good)
}
