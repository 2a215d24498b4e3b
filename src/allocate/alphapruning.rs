//! AlphaPruning's sparsities (arXiv 2410.10912, equation 4): well-trained layers (small alpha) are pruned less.
//!
//! The ratios r = (m - min)/(max - min) 2 epsilon + (1 - epsilon) go from 1 - epsilon for the smallest alpha to 1 +
//! epsilon for the largest. One factor scales them so that the mean sparsity, weighted by parameters, is that of the
//! whole model. The published code lets a sparsity exceed 1; here it is capped at 1 and the rest is scaled again.

use serde::{Deserialize, Serialize};

use super::multiplier::linear;
use super::shares::bounded;
use super::{BudgetOutcome, Solve, Unit};
use crate::error::{Error, Result};

/// A sparsity of the whole model, and how far layers may differ from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlphaPruning {
    /// The share of all weights to prune, S.
    pub sparsity: f64,
    /// Half the width of the unscaled ratios, epsilon; 0.3 in the published code.
    pub epsilon: f64,
}

impl AlphaPruning {
    /// The published epsilon, 0.3, and this share of all weights to prune.
    pub fn new(sparsity: f64) -> AlphaPruning {
        AlphaPruning { sparsity, epsilon: 0.3 }
    }

    /// Lets the unscaled ratios differ from 1 by at most `epsilon`.
    pub fn with_epsilon(self, epsilon: f64) -> AlphaPruning {
        AlphaPruning { epsilon, ..self }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if they are out of range.
    pub(super) fn check(&self) -> Result<()> {
        if !(self.sparsity > 0.0 && self.sparsity < 1.0) {
            let cause = format!("a sparsity of {} is not between 0 and 1", self.sparsity);
            return Err(Error::usage(cause).hint("§sparsity=0.7 prunes 70 % of the weights"));
        }
        if !(0.0..=1.0).contains(&self.epsilon) {
            let cause = format!("epsilon = {} is not in 0..=1: some sparsities would be negative", self.epsilon);
            return Err(Error::usage(cause).hint("AlphaPruning uses §epsilon=0.3"));
        }
        Ok(())
    }

    /// Prepares the rule for `units`.
    pub(super) fn prepare(self, units: &[Unit]) -> Solve<'static> {
        let sizes = sizes(units);
        let total = self.sparsity * sizes.iter().sum::<f64>();
        Box::new(move |alphas| {
            let ratios = match self.epsilon {
                0.0 => vec![1.0; alphas.len()],
                epsilon => linear(alphas, 1.0 - epsilon, 1.0 + epsilon)?,
            };
            Ok(bounded(&ratios, &sizes, total, 0.0, 1.0))
        })
    }

    /// How far the sparsity of the whole model was met.
    pub(super) fn budget_outcome(&self, units: &[Unit], sparsities: &[f64]) -> BudgetOutcome {
        let sizes = sizes(units);
        let pruned: f64 = sizes.iter().zip(sparsities).map(|(size, sparsity)| size * sparsity).sum();
        let (asked, met) = (self.sparsity, pruned / sizes.iter().sum::<f64>());
        let exact = (met - asked).abs() <= 1e-12;
        let why = (!exact).then(|| "rounding: the numbers of weights differ too much in size".to_owned());
        BudgetOutcome { of: "of all weights pruned".into(), asked, met: if exact { asked } else { met }, why }
    }
}

/// Weights in each unit; all equal if some are unknown.
fn sizes(units: &[Unit]) -> Vec<f64> {
    let known = units.iter().all(|unit| unit.parameters.is_some_and(|parameters| parameters > 0));
    units.iter().map(|unit| unit.parameters.filter(|_| known).map_or(1.0, |parameters| parameters as f64)).collect()
}
