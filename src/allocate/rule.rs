//! The allocation rules: their names, quantities and parameters, and how each is prepared for its units.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::alphalora::Budget;
use super::{
    AlphaDecay, AlphaPruning, BudgetOutcome, Group, MolaShape, MultiplierMap, Quantity, Ranks, Solve, TempBalance,
    Uniform, Unit,
};
use crate::error::{Error, Result};

/// An allocation rule and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase")]
#[non_exhaustive]
pub enum AllocationRule {
    /// AlphaLoRA's experts, in proportion to alpha^beta.
    AlphaLora(Budget),
    /// The same number of experts everywhere.
    Uniform(Uniform),
    /// MoLA's fixed numbers of experts for each quarter of the layers.
    Mola {
        /// Experts of a layer in each quarter.
        shape: MolaShape,
    },
    /// LoRA ranks in proportion to alpha^beta.
    Rank(Ranks),
    /// AlphaPruning's sparsities.
    AlphaPruning(AlphaPruning),
    /// TempBalance's multipliers of the learning rate.
    TempBalance(TempBalance),
    /// AlphaDecay's multipliers of the weight decay.
    AlphaDecay(AlphaDecay),
}

impl AllocationRule {
    /// Its name on the command line and in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AlphaLora(_) => "alphalora",
            Self::Uniform(_) => "uniform",
            Self::Mola { .. } => "mola",
            Self::Rank(_) => "rank",
            Self::AlphaPruning(_) => "alphapruning",
            Self::TempBalance(_) => "tempbalance",
            Self::AlphaDecay(_) => "alphadecay",
        }
    }

    /// The quantity that it allocates.
    pub fn quantity(&self) -> Quantity {
        match self {
            Self::AlphaLora(_) | Self::Uniform(_) | Self::Mola { .. } => Quantity::Experts,
            Self::Rank(_) => Quantity::Rank,
            Self::AlphaPruning(_) => Quantity::Sparsity,
            Self::TempBalance(_) => Quantity::LearningRate,
            Self::AlphaDecay(_) => Quantity::WeightDecay,
        }
    }

    /// The group that the published code allocates to.
    pub fn usual_group(&self) -> Group {
        match self {
            Self::TempBalance(_) | Self::AlphaDecay(_) => Group::Matrix,
            _ => Group::Layer,
        }
    }

    /// True if the rule depends on alphas.
    pub fn needs_alphas(&self) -> bool {
        !matches!(self, Self::Uniform(_) | Self::Mola { .. })
    }

    pub(super) fn check(&self, group: Group, units: &[Unit]) -> Result<()> {
        match self {
            Self::AlphaLora(budget) => budget.check(units.len()),
            Self::Uniform(uniform) => uniform.check(units.len()),
            Self::Mola { .. } if group != Group::Layer => {
                let cause = format!("MoLA's shapes apply to layers, not to §group={group}");
                Err(Error::usage(cause).hint("use §group=layer, or the rule uniform"))
            }
            Self::Mola { .. } => Ok(()),
            Self::Rank(ranks) => ranks.check(units),
            Self::AlphaPruning(pruning) => pruning.check(),
            Self::TempBalance(balance) => balance.check(),
            Self::AlphaDecay(decay) => decay.check(),
        }
    }

    /// Prepares the rule for `units`, which must have passed `check`.
    pub(super) fn prepare(&self, units: &[Unit]) -> Result<Solve<'static>> {
        Ok(match *self {
            Self::AlphaLora(budget) => budget.prepare(units)?,
            Self::Uniform(uniform) => uniform.prepare(units.len())?,
            Self::Mola { shape } => shape.prepare(units),
            Self::Rank(ranks) => ranks.prepare(units)?,
            Self::AlphaPruning(pruning) => pruning.prepare(units),
            Self::TempBalance(balance) => Box::new(move |alphas| balance.multipliers(alphas)),
            Self::AlphaDecay(decay) => Box::new(move |alphas| decay.multipliers(alphas)),
        })
    }

    pub(super) fn budget_outcome(&self, units: &[Unit], values: &[f64]) -> Option<BudgetOutcome> {
        let experts = |asked: Option<u32>| {
            let (asked, met) = (asked?.into(), values.iter().sum());
            Some(BudgetOutcome { of: "experts".into(), asked, met, why: None })
        };
        match self {
            Self::AlphaLora(budget) => experts(budget.experts),
            Self::Uniform(uniform) => experts(uniform.experts),
            Self::Rank(ranks) => ranks.budget_outcome(units, values),
            Self::AlphaPruning(pruning) => Some(pruning.budget_outcome(units, values)),
            Self::Mola { .. } | Self::TempBalance(_) | Self::AlphaDecay(_) => None,
        }
    }
}

/// For people: `by alpha^2.5, reference rounding`.
impl fmt::Display for AllocationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlphaLora(Budget { beta, rounding, .. }) => {
                write!(f, "by alpha^{beta}, {rounding} rounding")
            }
            Self::Uniform(_) => f.write_str("evenly distributed"),
            Self::Mola { shape } => write!(f, "in MoLA's shape {shape}"),
            Self::Rank(Ranks { beta, multiple_of: 1, .. }) => write!(f, "by alpha^{beta}"),
            Self::Rank(Ranks { beta, multiple_of, .. }) => {
                write!(f, "by alpha^{beta}, multiples of {multiple_of}")
            }
            Self::AlphaPruning(AlphaPruning { epsilon, .. }) => {
                write!(f, "by AlphaPruning, epsilon {epsilon}")
            }
            Self::TempBalance(TempBalance { map: map @ (MultiplierMap::Sqrt | MultiplierMap::Log2), .. }) => {
                write!(f, "by TempBalance, {map} over its mean")
            }
            Self::TempBalance(TempBalance { map, low, high }) => {
                write!(f, "by TempBalance, {map} {low} to {high}")
            }
            Self::AlphaDecay(AlphaDecay { low, high }) => write!(f, "by AlphaDecay, linear {low} to {high}"),
        }
    }
}
