//! MoLA (arXiv 2402.08562): options for its command line, with one number per layer by position.

use super::Target;
use super::alphas::without_alpha;
use super::blocks::check_places;
use crate::allocate::{AllocationPlan, Group, Quantity};
use crate::error::{Error, Result};
use crate::message::verbatim;
use crate::report::Report;

/// Refuses a layer without an alpha: the lists have a number for every layer.
pub(super) fn check(report: &Report, plan: &AllocationPlan) -> Result<()> {
    let Some(layer) = without_alpha(report, plan).filter(|_| plan.rule.needs_alphas()) else { return Ok(()) };
    let cause = format!("no allocation: {} has no alpha, and mola needs a number for every layer", verbatim(&layer));
    let hint = match plan.rule.quantity() {
        Quantity::Experts => "use §allocate=uniform, which needs no alphas",
        _ => {
            "score the model with another fit rule (§rule), or use §allocate=uniform for experts, which needs no alphas"
        }
    };
    Err(Error::unusable(cause).hint(hint))
}

pub(super) fn render(report: &Report) -> Result<Vec<u8>> {
    let taken = [Quantity::Experts, Quantity::Rank];
    let allocation = Target::Mola.allocation(report, &taken, "§allocate=alphalora or §allocate=rank", Group::Layer)?;
    if allocation.plan.group != Group::Layer {
        let cause =
            format!("mola needs one number per layer, and this allocation has one per {}", allocation.plan.group);
        return Err(Error::usage(cause).hint("allocate with §group=layer"));
    }
    let layers = allocation.rows.iter().map(|row| (row.unit.stack.as_str(), row.unit.layer.unwrap_or_default()));
    check_places(Target::Mola, layers)?;
    let values = allocation.whole_values().ok_or_else(|| {
        let error = Error::unusable("the allocation has numbers that are not whole");
        error.hint("allocate again with §allocate")
    })?;
    let text = if allocation.quantity == Quantity::Rank {
        format!("--lora_r {}\n", list(values))
    } else {
        let top_k = allocation.rows.iter().map(|row| row.top_k.unwrap_or(1)).collect();
        format!("--number_experts {} --top_k {}\n", list(values), list(top_k))
    };
    Ok(text.into_bytes())
}

fn list(numbers: Vec<u32>) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
