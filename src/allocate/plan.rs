//! The allocation plan: a rule with its parameters, the units that get a number, and how their alphas are combined.

use serde::{Deserialize, Serialize};

use super::alphalora::{Budget, usual_experts};
use super::stacks::{check_known, check_named, choose, depths, drop_unscored};
use super::{Aggregate, AllocationRule, Group, LeftOut, Solve, Uniform, Unit};
use crate::error::{Error, Result};

/// Everything that determines an allocation, except the alphas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllocationPlan {
    /// The rule.
    #[serde(flatten)]
    pub rule: AllocationRule,
    /// What gets a number: layers, matrices or roles.
    pub group: Group,
    /// How the alphas of several matrices are combined.
    pub aggregate: Aggregate,
    /// The stacks that take part. If empty, [`participants`](AllocationPlan::participants) decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<String>,
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
        AllocationPlan { rule, group: rule.usual_group(), aggregate: Aggregate::Mean, stacks: Vec::new() }
    }

    /// Allocates to the units of this group.
    pub fn with_group(self, group: Group) -> AllocationPlan {
        AllocationPlan { group, ..self }
    }

    /// Combines the alphas of several matrices like this.
    pub fn with_aggregate(self, aggregate: Aggregate) -> AllocationPlan {
        AllocationPlan { aggregate, ..self }
    }

    /// Allocates to the units of these stacks only.
    pub fn with_stacks(self, stacks: Vec<String>) -> AllocationPlan {
        AllocationPlan { stacks, ..self }
    }

    /// AlphaLoRA's experts per layer with this budget.
    pub fn experts(budget: Budget) -> AllocationPlan {
        AllocationPlan::new(AllocationRule::AlphaLora(budget))
    }

    /// The plan for a model with these layers, each with its stack, in order; layers may be repeated. Without a number of
    /// experts, it is 5 for each layer of the main stack (160 for 32 layers, as in AlphaLoRA's paper). The main stack is
    /// the one with the most layers among those that take part.
    pub fn for_layers<'a>(mut self, layers: impl IntoIterator<Item = (&'a str, u32)>) -> AllocationPlan {
        if let AllocationRule::AlphaLora(Budget { experts, .. }) | AllocationRule::Uniform(Uniform { experts, .. }) =
            &mut self.rule
        {
            let layers: Vec<(&str, u32)> = layers.into_iter().collect();
            let all: Vec<&str> = depths(layers.iter().copied()).into_iter().map(|(stack, _)| stack).collect();
            let taken = layers.into_iter().filter(|(stack, _)| check_named(&self.stacks, &all, stack).is_ok());
            *experts = Some(experts.unwrap_or_else(|| usual_experts(taken)));
        }
        self
    }

    /// The units that get a number, and the stacks that are left out: if stacks are named, all others; otherwise heads for
    /// multi-token prediction (stacks named `mtp`) and, if the rule needs alphas, minor stacks in which a unit has none. A
    /// stack is minor if another one has more layers. `layers` are those of the model, each with its stack.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if no unit is in a named stack; the hint lists the stacks.
    pub fn participants<'a>(
        &self,
        units: Vec<Unit>,
        layers: impl IntoIterator<Item = (&'a str, u32)>,
    ) -> Result<(Vec<Unit>, Vec<LeftOut>)> {
        let (units, mut left_out) = choose(&self.stacks, units)?;
        if !self.stacks.is_empty() || !self.rule.needs_alphas() {
            return Ok((units, left_out));
        }
        let (units, unscored) = drop_unscored(units, layers);
        left_out.extend(unscored);
        Ok((units, left_out))
    }

    /// Checks that a model with these layers has the named stacks.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage), with a list of the stacks.
    pub fn check_stacks<'a>(&self, layers: impl IntoIterator<Item = (&'a str, u32)>) -> Result<()> {
        let all: Vec<&str> = depths(layers).into_iter().map(|(stack, _)| stack).collect();
        check_known(&self.stacks, &all)
    }

    /// Checks the plan against units whose alphas are not known yet, before the long computation.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if no alphas can meet the plan, with the nearest plan that can be
    /// met; [`Kind::Input`](crate::error::Kind::Input) if the plan needs something that is unknown about the units.
    pub fn check(&self, units: &[Unit]) -> Result<()> {
        self.choose(units.to_vec()).map(drop)
    }

    /// The units of the stacks that take part whatever their alphas, which pass the check of the rule; and the other stacks.
    pub(super) fn choose(&self, units: Vec<Unit>) -> Result<(Vec<Unit>, Vec<LeftOut>)> {
        if units.is_empty() {
            return Err(Error::unusable(format!("there is no {} to allocate to", self.group)));
        }
        let (units, left_out) = choose(&self.stacks, units)?;
        self.rule.check(self.group, &units)?;
        Ok((units, left_out))
    }

    /// Prepares the rule for `units`, which must have passed the check of the rule.
    pub(super) fn prepare(&self, units: &[Unit]) -> Result<Solve<'static>> {
        self.rule.prepare(units)
    }
}
