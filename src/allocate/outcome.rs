//! The result of an allocation: a number for each unit, whether the budget was met, and why not.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AllocationPlan, Stability, Unit, ValueRange};
use crate::score::MatrixScore;

/// The quantity that is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quantity {
    /// LoRA experts: whole numbers.
    Experts,
    /// The rank of a LoRA adapter: whole numbers.
    Rank,
    /// The share of weights to prune, in 0..=1.
    Sparsity,
    /// A multiplier of the learning rate.
    LearningRate,
    /// A multiplier of the weight decay.
    WeightDecay,
}

impl Quantity {
    /// Its name as a column and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Experts => "experts",
            Quantity::Rank => "rank",
            Quantity::Sparsity => "sparsity",
            Quantity::LearningRate => "learning_rate",
            Quantity::WeightDecay => "weight_decay",
        }
    }

    /// Its name in a sentence.
    pub fn plural(self) -> &'static str {
        match self {
            Quantity::Experts => "LoRA experts",
            Quantity::Rank => "LoRA ranks",
            Quantity::Sparsity => "sparsities",
            Quantity::LearningRate => "multipliers of the learning rate",
            Quantity::WeightDecay => "multipliers of the weight decay",
        }
    }

    /// True if its values are whole numbers.
    pub fn is_whole(self) -> bool {
        matches!(self, Quantity::Experts | Quantity::Rank)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number that a unit gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum AllocatedValue {
    /// A number of experts, or a rank.
    Whole(u32),
    /// A sparsity or a multiplier.
    Real(f64),
}

impl AllocatedValue {
    /// True for a number of experts or a rank.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// The number, whole or not.
    pub fn real(self) -> f64 {
        match self {
            Self::Whole(number) => number.into(),
            Self::Real(number) => number,
        }
    }
}

/// A bound that kept a value from its proportional share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Bound {
    /// The share was below the minimum.
    Minimum,
    /// The share was above the maximum.
    Maximum,
}

/// A budget and how far it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetOutcome {
    /// What is counted: `experts`, `trainable parameters`, `of all weights pruned`.
    pub of: String,
    /// The requested total.
    pub asked: f64,
    /// The total of the allocated values.
    pub met: f64,
    /// Why the two differ; null if they are equal.
    pub why: Option<String>,
}

/// A unit and its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
pub struct Allocation {
    /// The rule with its parameters, the grouping and the aggregation.
    pub plan: AllocationPlan,
    /// The allocated quantity.
    pub quantity: Quantity,
    /// One per unit, in the order of the units.
    pub rows: Vec<AllocatedUnit>,
    /// The budget; null for rules without one.
    pub budget: Option<BudgetOutcome>,
    /// Remarks to read before use: values held at a bound, assumptions made.
    pub notes: Vec<String>,
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
    pub fn rows_of(&self, matrices: &[MatrixScore]) -> Vec<Option<&AllocatedUnit>> {
        let rows: HashMap<_, _> = self.rows.iter().map(|row| (row.unit.key(), row)).collect();
        let row = |matrix| Unit::keys_around(matrix).iter().find_map(|key| rows.get(key).copied());
        matrices.iter().map(row).collect()
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
