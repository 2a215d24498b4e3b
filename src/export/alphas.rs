//! Layers, matrices and roles without an alpha, for which most allocation rules have no number.

use crate::allocate::{AllocationPlan, Unit, units};
use crate::report::Report;
use crate::score::LayerScore;

/// The name of the first layer, matrix or role that takes part in `plan` and has no alpha.
pub(super) fn without_alpha(report: &Report, plan: &AllocationPlan) -> Option<String> {
    let layers: Vec<LayerScore> = report.layers.iter().map(|row| row.score.clone()).collect();
    let units = units(&report.matrices, &layers, plan.group, plan.aggregate).ok()?;
    let (units, _) = plan.participants(units, layers.iter().map(|layer| (layer.stack.as_str(), layer.layer))).ok()?;
    units.iter().find(|unit| unit.alpha.is_none()).map(Unit::name)
}
