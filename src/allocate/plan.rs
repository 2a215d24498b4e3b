//! The allocation plan: a rule with its parameters, the units that get a number, and how their alphas are combined.

use serde::{Deserialize, Serialize};

use super::alphalora::{Budget, usual_experts};
use super::largest_remainder::count_held;
use super::{
    Aggregate, AllocatedUnit, AllocatedValue, Allocation, AllocationRule, Bound, Group, Quantity, Solution, Solve,
    Uniform, Unit,
};
use crate::error::{Error, Result};

/// Everything that determines an allocation, except the alphas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// This rule, for the group that its published code allocates to, with the mean of alphas.
    pub fn new(rule: AllocationRule) -> AllocationPlan {
        AllocationPlan { rule, group: rule.usual_group(), aggregate: Aggregate::Mean }
    }

    /// Allocates to the units of this group.
    pub fn with_group(self, group: Group) -> AllocationPlan {
        AllocationPlan { group, ..self }
    }

    /// Combines the alphas of several matrices like this.
    pub fn with_aggregate(self, aggregate: Aggregate) -> AllocationPlan {
        AllocationPlan { aggregate, ..self }
    }

    /// AlphaLoRA's experts per layer with this budget.
    pub fn experts(budget: Budget) -> AllocationPlan {
        AllocationPlan::new(AllocationRule::AlphaLora(budget))
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
