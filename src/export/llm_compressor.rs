//! llm-compressor: a recipe that prunes with SparseGPT, with a sparsity for each layer or module.
//!
//! `sparsity` is a list with one entry per module that `targets` names, in the order in which the model lists its
//! modules (llm-compressor 0.14, `SparsityModifierBase`). Within each of these modules, every linear module is pruned
//! except those to ignore.

use super::blocks::{self, check_places};
use super::modules::{Assigned, assigned, renamed, unassigned, unwrapped};
use super::text::origin;
use super::{Target, yaml};
use crate::allocate::{Allocation, Group, Quantity};
use crate::error::{Error, Result};
use crate::rename::Rename;
use crate::report::Report;
use crate::score::MatrixScore;

const TARGET: Target = Target::LlmCompressor;

/// A module that is pruned with everything inside it.
struct Pruned {
    module: String,
    sparsity: f64,
}

pub(super) fn render(report: &Report, rename: &Rename) -> Result<Vec<u8>> {
    let allocation =
        TARGET.allocation(report, &[Quantity::Sparsity], "§allocate=alphapruning §sparsity=0.7", Group::Layer)?;
    let assigned = assigned(report, allocation, TARGET, rename)?;
    let (pruned, ignored) = match allocation.plan.group {
        Group::Layer => {
            let pruned = layers(&assigned, rename)?;
            let ignored = ignored(report, allocation, &pruned, rename)?;
            (pruned, ignored)
        }
        Group::Matrix | Group::Role => (matrices(assigned)?, Vec::new()),
    };
    let text = format!(
        "# {}\npruning_stage:\n  pruning_modifiers:\n    SparseGPTModifier:\n      mask_structure: '0:0'\n      targets:\n{}      sparsity:\n{}      ignore:{}",
        origin(&report.provenance, allocation),
        yaml::list(8, pruned.iter().map(|pruned| yaml::string(&pruned.module))),
        yaml::list(8, pruned.iter().map(|pruned| yaml::real(pruned.sparsity))),
        match ignored.is_empty() {
            true => " []\n".to_owned(),
            false => format!("\n{}", yaml::list(8, ignored.iter().map(|module| yaml::string(module)))),
        },
    );
    Ok(text.into_bytes())
}

/// One module per layer.
fn layers(assigned: &[Assigned<'_>], rename: &Rename) -> Result<Vec<Pruned>> {
    // The order of stacks in a model is not the order of their names, so only one stack is supported.
    check_places(TARGET, assigned.iter().zip(0..).map(|(item, place)| (item.matrix.stack.as_str(), place)))?;
    let pruned = |block: &[Assigned]| {
        Ok(Pruned { module: renamed(&layer_module(block)?, rename)?, sparsity: block[0].row.value.real() })
    };
    assigned.chunk_by(|a, b| a.matrix.layer == b.matrix.layer).map(pruned).collect()
}

/// The module that contains the matrices of a layer, as the checkpoint names it: the longest common prefix of their
/// names that ends with the layer's number.
fn layer_module(block: &[Assigned<'_>]) -> Result<String> {
    let MatrixScore { tensor, stack, layer, .. } = block[0].matrix;
    let first = unwrapped(tensor);
    let mut common: Vec<&str> = first.split('.').collect();
    common.pop();
    for item in block {
        let words = unwrapped(&item.matrix.tensor);
        let shared = common.iter().zip(words.split('.')).take_while(|(a, b)| **a == *b).count();
        common.truncate(shared);
    }
    let number = layer.to_string();
    // A number within the name of the stack is not the layer's number.
    let above = if stack.is_empty() { 0 } else { stack.split('.').count() };
    let end = common.iter().rposition(|word| *word == number).filter(|end| *end >= above);
    let end = end.ok_or_else(|| {
        let cause = format!("the names of the tensors of layer {number} do not show which module contains them");
        Error::usage(cause).tensor(tensor).hint("allocate with §group=matrix")
    })?;
    Ok(common[..=end].join("."))
}

/// Modules within pruned layers that were not scored and have no sparsity: routers and excluded modules.
fn ignored(report: &Report, allocation: &Allocation, pruned: &[Pruned], rename: &Rename) -> Result<Vec<String>> {
    let harmless = ["bias", "normalization", "one-dimensional"];
    let others = unassigned(report, allocation).filter(|(_, reason)| !reason.is_some_and(|it| harmless.contains(&it)));
    let modules = others.filter_map(|(tensor, _)| {
        let module = rename.apply(unwrapped(tensor).strip_suffix(".weight")?)?;
        let within = |pruned: &Pruned| module.strip_prefix(&pruned.module).is_some_and(|rest| rest.starts_with('.'));
        pruned.iter().any(within).then_some(module)
    });
    Ok(modules.collect())
}

/// One module per matrix, in the model's order.
fn matrices(assigned: Vec<Assigned<'_>>) -> Result<Vec<Pruned>> {
    let pruned =
        |item: &Assigned| Ok(Pruned { module: item.module(TARGET)?.to_owned(), sparsity: item.row.value.real() });
    blocks::llama(TARGET, assigned, |item| item.matrix)?.iter().map(pruned).collect()
}
