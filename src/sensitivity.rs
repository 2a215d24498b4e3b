//! How sensitive an allocation is: to errors of the alphas, to a parameter, and to the fit rule.

use std::path::PathBuf;

use crate::allocate::{Allocation, AllocationComparison, AllocationPlan, StabilitySimulation, Sweep, Unit, units};
use crate::error::{Error, Result};
use crate::fit::Rule;
use crate::metrics::{MetricValue, alpha_by};
use crate::report::Report;
use crate::score::{self, LayerScore, MatrixScore};

/// What to compute in addition to an allocation.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SensitivityAnalysis {
    /// Simulate errors of the alphas.
    pub simulation: Option<StabilitySimulation>,
    /// Allocate again for a range of a parameter.
    pub sweep: Option<Sweep>,
    /// Allocate again with the alphas of these fit rules.
    pub compare: Vec<Rule>,
}

/// Scores, whether they were just computed or read from a file.
#[derive(Debug, Clone, Copy)]
struct Scores<'a> {
    /// One row per matrix; empty if only layers are known.
    matrices: &'a [MatrixScore],
    /// One row per layer.
    layers: &'a [LayerScore],
    /// The fit rule, if known.
    rule: Option<Rule>,
}

impl Report {
    /// Allocates by `plan` to the layers, matrices or roles of this report, replacing an existing allocation, and adds the
    /// analyses that `sensitivity` requests. `others` are reports to compare with, and their files.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the plan cannot be met or `sensitivity` makes no sense with it,
    /// [`Kind::Input`](crate::error::Kind::Input) without a file if these scores lack what the plan needs. Then the report has
    /// no allocation, and its scores are unchanged.
    pub fn allocate(
        &mut self,
        plan: &AllocationPlan,
        sensitivity: &SensitivityAnalysis,
        others: &[(PathBuf, Report)],
    ) -> Result<()> {
        let layers: Vec<LayerScore> = self.layers.iter().map(|row| row.score.clone()).collect();
        let plan = plan.clone().for_layers(layers.iter().map(|score| (score.stack.as_str(), score.layer)));
        self.provenance.options.set_plan(&plan);
        self.set_allocation(None);
        let scores = Scores { matrices: &self.matrices, layers: &layers, rule: self.provenance.rule };
        let (allocation, comparison) = sensitivity.allocate(scores, &plan, others)?;
        self.set_allocation(Some(allocation));
        self.comparison = comparison;
        Ok(())
    }
}

impl SensitivityAnalysis {
    /// Simulates errors of the alphas.
    pub fn with_simulation(self, simulation: StabilitySimulation) -> SensitivityAnalysis {
        SensitivityAnalysis { simulation: Some(simulation), ..self }
    }

    /// Allocates again for a range of a parameter.
    pub fn with_sweep(self, sweep: Sweep) -> SensitivityAnalysis {
        SensitivityAnalysis { sweep: Some(sweep), ..self }
    }

    /// Allocates again with the alphas of these fit rules.
    pub fn with_fit_rules(self, rules: Vec<Rule>) -> SensitivityAnalysis {
        SensitivityAnalysis { compare: rules, ..self }
    }

    /// Checks what does not depend on the alphas; call before the long work.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if it makes no sense with this plan.
    pub fn check(&self, plan: &AllocationPlan) -> Result<()> {
        self.simulation.map_or(Ok(()), |simulation| simulation.check(plan))?;
        self.sweep.as_ref().map_or(Ok(()), |sweep| sweep.check(plan))
    }

    /// The allocation by `plan`, with ranges if requested, and the allocations to compare with.
    fn allocate(
        &self,
        scores: Scores<'_>,
        plan: &AllocationPlan,
        others: &[(PathBuf, Report)],
    ) -> Result<(Allocation, Option<AllocationComparison>)> {
        self.check(plan)?;
        let layers = scores.layers.iter().map(|score| (score.stack.as_str(), score.layer));
        let (units, left_out) = plan.participants(units_of(scores, plan)?, layers)?;
        let mut allocation = plan.allocate(units)?;
        allocation.left_out = left_out;
        let comparison = match &self.sweep {
            Some(sweep) => Some(allocation.sweep(sweep)?),
            None => {
                let sources = self.sources(scores, plan, others)?;
                (!sources.is_empty()).then(|| allocation.compare(sources))
            }
        };
        if let Some(simulation) = &self.simulation {
            allocation.simulate(scores.matrices, simulation)?;
        }
        Ok((allocation, comparison))
    }

    /// Labels and units to compare with: the named rules, or else all files.
    fn sources(
        &self,
        scores: Scores<'_>,
        plan: &AllocationPlan,
        others: &[(PathBuf, Report)],
    ) -> Result<Vec<(String, Result<Vec<Unit>>)>> {
        if !self.compare.is_empty() {
            let of_rule = |&rule: &Rule| Ok((rule.to_string(), by_rule(rule, scores, plan, others)?));
            return self.compare.iter().map(of_rule).collect();
        }
        let mut seen: Vec<Option<Rule>> = vec![scores.rule];
        let of_file = |(path, report): &(PathBuf, Report)| {
            let rule = report.provenance.rule;
            // Two files of the same rule are labeled by their names.
            let label = match rule {
                Some(rule) if !seen.contains(&Some(rule)) => rule.to_string(),
                _ => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            };
            seen.push(rule);
            (label, units_of_report(report, plan))
        };
        Ok(others.iter().map(of_file).collect())
    }
}

/// The units with their alphas by `rule`: from the scores, from their metrics, or from another file.
fn by_rule(
    rule: Rule,
    scores: Scores<'_>,
    plan: &AllocationPlan,
    others: &[(PathBuf, Report)],
) -> Result<Result<Vec<Unit>>> {
    if scores.rule == Some(rule) {
        return Ok(units_of(scores, plan));
    }
    let name = alpha_by(rule);
    if scores.matrices.iter().any(|matrix| matrix.measured.metrics.contains_key(&name)) {
        let alpha = |matrix: &MatrixScore| matrix.measured.get(&name).and_then(MetricValue::number);
        let refitted = scores.matrices.iter().map(|matrix| MatrixScore { alpha: alpha(matrix), ..matrix.clone() });
        let matrices: Vec<MatrixScore> = refitted.collect();
        let layers = score::layers(&matrices);
        return Ok(units_of(Scores { matrices: &matrices, layers: &layers, rule: Some(rule) }, plan));
    }
    if let Some((_, report)) = others.iter().find(|(_, report)| report.provenance.rule == Some(rule)) {
        return Ok(units_of_report(report, plan));
    }
    let cause = format!("there are no alphas by the {rule} rule to compare with");
    let hint = "§(score MODEL compare=peak,median,ks output=scores.json) computes them in one run; or give a second file of scores";
    Err(Error::usage(cause).hint(hint))
}

fn units_of(scores: Scores<'_>, plan: &AllocationPlan) -> Result<Vec<Unit>> {
    units(scores.matrices, scores.layers, plan.group, plan.aggregate)
}

fn units_of_report(report: &Report, plan: &AllocationPlan) -> Result<Vec<Unit>> {
    let layers: Vec<LayerScore> = report.layers.iter().map(|row| row.score.clone()).collect();
    units_of(Scores { matrices: &report.matrices, layers: &layers, rule: report.provenance.rule }, plan)
}
