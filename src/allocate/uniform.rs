//! The uniform rule: the same number of experts for every layer, independent of alpha. The baseline for every other rule.

use serde::{Deserialize, Serialize};

use super::Solve;
use super::alphalora::{Budget, Rounding, total};
use super::largest_remainder::unit_costs;
use crate::error::Result;

/// A budget of experts, distributed evenly; the first layers get one more if it does not divide evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Uniform {
    /// Experts of all layers together. `None` until the layers are known: see
    /// [`AllocationPlan::for_layers`](super::AllocationPlan::for_layers).
    pub experts: Option<u32>,
    /// Fewest experts per layer.
    pub min_experts: u32,
}

/// 5 experts for each layer of the main stack, at least 1 each.
impl Default for Uniform {
    fn default() -> Self {
        Uniform { experts: None, min_experts: 1 }
    }
}

impl Uniform {
    /// Distributes this number of experts over all layers.
    pub fn with_experts(self, experts: u32) -> Uniform {
        Uniform { experts: Some(experts), ..self }
    }

    /// Gives each layer at least this many experts.
    pub fn with_min_experts(self, min_experts: u32) -> Uniform {
        Uniform { min_experts, ..self }
    }

    /// Checks the budget against a number of layers.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage), with the nearest budget that can be met.
    pub(super) fn check(&self, layers: usize) -> Result<()> {
        let (experts, min_experts) = (self.experts, Some(self.min_experts));
        let rounding = Rounding::LargestRemainder;
        Budget { experts, min_experts, rounding, ..Budget::default() }.check(layers)
    }

    /// Prepares the rule for a number of layers that passed `check`.
    ///
    /// # Errors
    ///
    /// If the number of experts is not known.
    pub(super) fn prepare(self, layers: usize) -> Result<Solve<'static>> {
        let experts = total(self.experts)?;
        let rounding = unit_costs(layers, experts, self.min_experts, experts);
        Ok(Box::new(move |_| Ok(rounding.round(&vec![1.0; layers]))))
    }
}
