//! An allocation: a number for each unit, by a plan.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::largest_remainder::count_held;
use super::{
    AllocatedValue, AllocationPlan, AllocationRule, Bound, BudgetOutcome, Group, LeftOut, Quantity, Solution,
    Stability, Unit, ValueRange,
};
use crate::error::{Error, Result};
use crate::message::verbatim;
use crate::score::MatrixScore;

/// A unit and its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllocatedUnit {
    /// The unit.
    #[serde(flatten)]
    pub unit: Unit,
    /// The number.
    pub value: AllocatedValue,
    /// Experts that a router selects per token: 2, or 1 if there is only one. For experts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// The lora_alpha for this rank. For ranks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f64>,
    /// The bound that kept the value from its proportional share; null if none did.
    pub held: Option<Bound>,
    /// Sensitivity of the number to errors of the alphas. With a simulation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
}

/// A number for every unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Allocation {
    /// The rule with its parameters, the grouping and the aggregation.
    pub plan: AllocationPlan,
    /// The allocated quantity.
    pub quantity: Quantity,
    /// One per unit that takes part, in the order of the units.
    pub rows: Vec<AllocatedUnit>,
    /// The budget; null for rules without one.
    pub budget: Option<BudgetOutcome>,
    /// Remarks to read before use: values held at a bound, assumptions made.
    pub notes: Vec<String>,
    /// The stacks whose units get no number. Missing if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Settings and totals of the simulation. With a simulation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
}

impl Allocation {
    /// The row of the unit that `matrix` belongs to.
    pub fn row_of(&self, matrix: &MatrixScore) -> Option<&AllocatedUnit> {
        self.rows.iter().find(|row| row.unit.holds(matrix))
    }

    /// For each of `matrices`, the row of the unit that it belongs to.
    pub fn rows_of(&self, matrices: &[&MatrixScore]) -> Vec<Option<&AllocatedUnit>> {
        let rows: HashMap<_, _> = self.rows.iter().map(|row| (row.unit.key(), row)).collect();
        let row = |matrix| Unit::keys_around(matrix).iter().find_map(|key| rows.get(key).copied());
        matrices.iter().copied().map(row).collect()
    }

    /// True if the stack of `matrix` is left out.
    pub fn leaves_out(&self, matrix: &MatrixScore) -> bool {
        self.left_out.iter().any(|left_out| left_out.stack == matrix.stack)
    }

    /// All values, if they are whole numbers.
    pub fn whole_values(&self) -> Option<Vec<u32>> {
        let whole = |row: &AllocatedUnit| match row.value {
            AllocatedValue::Whole(number) => Some(number),
            AllocatedValue::Real(_) => None,
        };
        self.rows.iter().map(whole).collect()
    }
}

impl AllocationPlan {
    /// Allocates a number to every unit of the named stacks or, if the plan names none, to every unit that is not part of a
    /// head for multi-token prediction. [`participants`](AllocationPlan::participants) drops small stacks without alphas.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the plan cannot be met; [`Kind::Input`](crate::error::Kind::Input)
    /// if the rule needs alphas and one is missing or not a positive number.
    pub fn allocate(&self, units: Vec<Unit>) -> Result<Allocation> {
        let (units, left_out) = self.choose(units)?;
        let alphas = self.alphas(&units)?;
        let Solution { values, held } = self.prepare(&units)?(&alphas)?;
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
        let plan = self.clone();
        Ok(Allocation { plan, quantity, rows: rows.collect(), budget, notes, left_out, stability: None })
    }

    /// The alphas of the units; empty if the rule does not depend on them.
    fn alphas(&self, units: &[Unit]) -> Result<Vec<f64>> {
        if !self.rule.needs_alphas() {
            return Ok(Vec::new());
        }
        let alpha = |unit: &Unit| {
            match unit.alpha {
            Some(alpha) if alpha.is_finite() && alpha > 0.0 => Ok(alpha),
            Some(alpha) => {
                let cause =
                    format!("no allocation: {} has the alpha {alpha}, not a positive number", verbatim(&unit.name()));
                Err(Error::unusable(cause).hint("score it again, or leave it out"))
            }
            None => {
                Err(Error::unusable(format!("no allocation: {} has no alpha", verbatim(&unit.name()))).hint(match self
                    .group
                {
                    Group::Layer if self.rule.quantity() == Quantity::Experts => {
                        "use §allocate=uniform, which needs no alphas; or score the model without that layer (§layers) or with another fit rule (§rule), or allocate to other stacks (§stack)"
                    }
                    Group::Layer => {
                        "score the model without that layer (§layers) or with another fit rule (§rule), or allocate to other stacks (§stack)"
                    }
                    _ => "exclude it (§exclude), use another fit rule (§rule), or use §group=layer",
                }))
            }
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
