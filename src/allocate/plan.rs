//! The allocation plan: a rule with its parameters, the units that get a number, and how their alphas are combined.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::alphalora::{Budget, usual_experts};
use super::largest_remainder::count_held;
use super::{
    Aggregate, AllocatedUnit, AllocatedValue, Allocation, AlphaDecay, AlphaPruning, Bound, BudgetOutcome, Group,
    MolaShape, MultiplierMap, Quantity, Ranks, Solution, Solve, TempBalance, Uniform, Unit,
};
use crate::error::{Error, Result};

/// An allocation rule and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase")]
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

    fn check(&self, group: Group, units: &[Unit]) -> Result<()> {
        match self {
            Self::AlphaLora(budget) => budget.check(units.len()),
            Self::Uniform(uniform) => uniform.check(units.len()),
            Self::Mola { .. } if group != Group::Layer => {
                let cause = format!("MoLA's shapes apply to layers, not to $group={group}");
                Err(Error::usage(cause).hint("use $group=layer, or the rule uniform"))
            }
            Self::Mola { .. } => Ok(()),
            Self::Rank(ranks) => ranks.check(units),
            Self::AlphaPruning(pruning) => pruning.check(),
            Self::TempBalance(balance) => balance.check(),
            Self::AlphaDecay(decay) => decay.check(),
        }
    }

    /// Prepares the rule for `units`, which must have passed `check`.
    fn prepare(&self, units: &[Unit]) -> Result<Solve<'static>> {
        Ok(match *self {
            Self::AlphaLora(budget) => budget.prepare(units.len())?,
            Self::Uniform(uniform) => uniform.prepare(units.len())?,
            Self::Mola { shape } => shape.prepare(units),
            Self::Rank(ranks) => ranks.prepare(units)?,
            Self::AlphaPruning(pruning) => pruning.prepare(units),
            Self::TempBalance(balance) => Box::new(move |alphas| balance.multipliers(alphas)),
            Self::AlphaDecay(decay) => Box::new(move |alphas| decay.multipliers(alphas)),
        })
    }

    fn budget_outcome(&self, units: &[Unit], values: &[f64]) -> Option<BudgetOutcome> {
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

/// Everything that determines an allocation, except the alphas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AllocationPlan {
    /// The rule.
    #[serde(flatten)]
    pub rule: AllocationRule,
    /// What gets a number: layers, matrices or roles.
    pub group: Group,
    /// How the alphas of several matrices are combined.
    pub aggregate: Aggregate,
}

/// AlphaLoRA's experts per layer.
impl Default for AllocationPlan {
    fn default() -> Self {
        AllocationPlan::experts(Budget::default())
    }
}

impl AllocationPlan {
    /// AlphaLoRA's experts per layer with this budget.
    pub fn experts(budget: Budget) -> AllocationPlan {
        AllocationPlan { rule: AllocationRule::AlphaLora(budget), group: Group::Layer, aggregate: Aggregate::Mean }
    }

    /// The plan for a model with these layers, each with its stack, in order; layers may be repeated. Without a number of
    /// experts, it is 5 for each layer of the main stack (160 for 32 layers, as in AlphaLoRA's paper). The main stack is
    /// the one with the most layers.
    pub fn for_layers<'a>(mut self, layers: impl IntoIterator<Item = (&'a str, u32)>) -> AllocationPlan {
        if let AllocationRule::AlphaLora(Budget { experts, .. }) | AllocationRule::Uniform(Uniform { experts, .. }) =
            &mut self.rule
        {
            *experts = Some(experts.unwrap_or_else(|| usual_experts(layers.into_iter())));
        }
        self
    }

    /// Checks the plan against units whose alphas are not known yet, before the long computation.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if no alphas can meet the plan, with the nearest plan that can be
    /// met; [`Kind::Input`](crate::error::Kind::Input) if the plan needs something that is unknown about the units.
    pub fn check(&self, units: &[Unit]) -> Result<()> {
        if units.is_empty() {
            return Err(Error::unusable(format!("there is no {} to allocate to", self.group)));
        }
        self.rule.check(self.group, units)
    }

    /// Allocates a number to every unit.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the plan cannot be met; [`Kind::Input`](crate::error::Kind::Input)
    /// if the rule needs alphas and one is missing or not a positive number.
    pub fn allocate(&self, units: Vec<Unit>) -> Result<Allocation> {
        self.check(&units)?;
        let alphas = self.alphas(&units)?;
        let Solution { values, held } = self.rule.prepare(&units)?(&alphas)?;
        let budget = self.rule.budget_outcome(&units, &values);
        let quantity = self.rule.quantity();
        let notes = self.notes(&units, &held);
        let rows = units.into_iter().zip(values).zip(held).map(|((unit, value), held)| AllocatedUnit {
            unit,
            value: if quantity.is_whole() { AllocatedValue::Whole(value as u32) } else { AllocatedValue::Real(value) },
            top_k: (quantity == Quantity::Experts).then_some(if value > 1.0 { 2 } else { 1 }),
            lora_alpha: match &self.rule {
                AllocationRule::Rank(ranks) => Some(ranks.lora_alpha(value)),
                _ => None,
            },
            held,
            range: None,
        });
        Ok(Allocation { plan: *self, quantity, rows: rows.collect(), budget, notes, stability: None })
    }

    /// Prepares the rule for `units`, which must have passed `check`.
    pub(super) fn prepare(&self, units: &[Unit]) -> Result<Solve<'static>> {
        self.rule.prepare(units)
    }

    /// The alphas of the units; empty if the rule does not depend on them.
    fn alphas(&self, units: &[Unit]) -> Result<Vec<f64>> {
        if !self.rule.needs_alphas() {
            return Ok(Vec::new());
        }
        let alpha = |unit: &Unit| match unit.alpha {
            Some(alpha) if alpha.is_finite() && alpha > 0.0 => Ok(alpha),
            Some(alpha) => {
                let cause = format!("no allocation: {} has the alpha {alpha}, not a positive number", unit.name());
                Err(Error::unusable(cause).hint("score it again, or leave it out"))
            }
            None => {
                Err(Error::unusable(format!("no allocation: {} has no alpha", unit.name())).hint(match self.group {
                    Group::Layer => "score the model without that layer ($layers), or with another fit rule ($rule)",
                    _ => "exclude it ($exclude), use another fit rule ($rule), or use $group=layer",
                }))
            }
        };
        units.iter().map(alpha).collect()
    }

    fn notes(&self, units: &[Unit], held: &[Option<Bound>]) -> Vec<String> {
        let note = |bound: Bound, word: &str| match count_held(held, bound) {
            0 => None,
            count => {
                Some(format!("{count} of {} held at the {word}; the difference is spread over the others", held.len()))
            }
        };
        let mut notes: Vec<String> =
            [note(Bound::Minimum, "minimum"), note(Bound::Maximum, "maximum")].into_iter().flatten().collect();
        if matches!(self.rule, AllocationRule::AlphaPruning(_)) && units.iter().any(|unit| unit.parameters.is_none()) {
            notes.push("parameter counts are unknown, so every layer has the same weight".into());
        }
        notes
    }
}
