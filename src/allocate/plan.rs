//! The allocation plan: a rule with its parameters, the units that get a number, and how their alphas are combined.

use serde::{Deserialize, Serialize};

use super::alphalora::{Budget, usual_experts};
use super::{Aggregate, AllocationRule, Group, Solve, Uniform, Unit};
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

    /// Prepares the rule for `units`, which must have passed `check`.
    pub(super) fn prepare(&self, units: &[Unit]) -> Result<Solve<'static>> {
        self.rule.prepare(units)
    }
}
