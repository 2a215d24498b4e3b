//! What can be asked of an allocation besides its numbers: how far they hang on errors, on parameters, on the rule of fit.

use std::path::PathBuf;

use crate::allocate::{Allocation, AllocationComparison, AllocationPlan, StabilitySimulation, Sweep, Unit, units};
use crate::error::{Error, Result};
use crate::fit::Rule;
use crate::metrics::{MetricValue, alpha_by};
use crate::report::Report;
use crate::score::{self, LayerScore, MatrixScore};

/// What is asked of an allocation.
#[derive(Debug, Clone, Default)]
pub struct SensitivityAnalysis {
    /// Simulates errors of the alphas.
    pub simulation: Option<StabilitySimulation>,
    /// Goes through values of a parameter.
    pub sweep: Option<Sweep>,
    /// Compares with the alphas by these rules of fit.
    pub compare: Vec<Rule>,
}

/// Scores, wherever they are from.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// One row per matrix; none where only layers are known.
    pub matrices: &'a [MatrixScore],
    /// One row per layer.
    pub layers: &'a [LayerScore],
    /// The rule of fit, if it is known.
    pub rule: Option<Rule>,
}

/// An allocation with what was asked of it.
#[derive(Debug, Clone)]
pub struct Allocated {
    /// The allocation, with ranges if they were asked for.
    pub allocation: Allocation,
    /// Others beside it.
    pub comparison: Option<AllocationComparison>,
}

impl SensitivityAnalysis {
    /// Checks what does not depend on the alphas, before the long work.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if it makes no sense with this plan.
    pub fn check(&self, plan: &AllocationPlan) -> Result<()> {
        self.simulation.map_or(Ok(()), |simulation| simulation.check(plan))?;
        self.sweep.as_ref().map_or(Ok(()), |sweep| sweep.check(plan))
    }

    /// Allocates by `plan` to scored matrices (or to layers, where only these are known), and answers what is asked; `others`
    /// are files of scores to compare with.
    ///
    /// # Errors
    ///
    /// As [`units`], [`AllocationPlan::allocate`] and [`SensitivityAnalysis::check`], and if there are no scores to compare with.
    pub fn allocate(
        &self,
        scores: Scores<'_>,
        plan: &AllocationPlan,
        others: &[(PathBuf, Report)],
    ) -> Result<Allocated> {
        self.check(plan)?;
        let mut allocation = plan.allocate(units_of(scores, plan)?)?;
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
        Ok(Allocated { allocation, comparison })
    }

    /// Labels and units of what is compared: the rules that were named, or else all files.
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
            // Two files of the same rule are told apart by their names.
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

/// The units with their alphas by `rule`: the scores' own, from their metrics, or from another file.
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
    let hint = "`htsr score PATH --compare peak,median,ks -o scores.json` computes them in one run; or name a second file of scores";
    Err(Error::usage(cause).hint(hint))
}

fn units_of(scores: Scores<'_>, plan: &AllocationPlan) -> Result<Vec<Unit>> {
    units(scores.matrices, scores.layers, plan.group, plan.aggregate)
}

fn units_of_report(report: &Report, plan: &AllocationPlan) -> Result<Vec<Unit>> {
    let layers: Vec<LayerScore> = report.layers.iter().map(|row| row.score.clone()).collect();
    units_of(Scores { matrices: &report.matrices, layers: &layers, rule: report.provenance.rule }, plan)
}
