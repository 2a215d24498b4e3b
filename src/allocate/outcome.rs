//! The result of an allocation: a number for each unit, whether the budget was met, and what stood in the way.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AllocationPlan, Stability, Unit, ValueRange};
use crate::score::MatrixScore;

/// What is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// LoRA experts: whole numbers.
    Experts,
    /// The rank of a LoRA adapter: whole numbers.
    Rank,
    /// The share of weights to prune, in 0..=1.
    Sparsity,
    /// What the learning rate is multiplied with.
    LearningRate,
    /// What the weight decay is multiplied with.
    WeightDecay,
}

impl Quantity {
    /// As a column and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Experts => "experts",
            Quantity::Rank => "rank",
            Quantity::Sparsity => "sparsity",
            Quantity::LearningRate => "learning_rate",
            Quantity::WeightDecay => "weight_decay",
        }
    }

    /// In a sentence.
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

/// What a unit gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AllocatedValue {
    /// A number of experts, or a rank.
    Whole(u32),
    /// A sparsity or a multiplier.
    Real(f64),
}

impl AllocatedValue {
    /// True of a number of experts, or a rank.
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

/// A limit that kept a value from its proportional share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The share was smaller.
    Minimum,
    /// The share was larger.
    Maximum,
}

/// A budget and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetOutcome {
    /// What is counted: `experts`, `trainable parameters`, `pruned share of the weights`.
    pub of: String,
    /// What was asked for.
    pub asked: f64,
    /// What the values add up to.
    pub met: f64,
    /// Why that is not the same; null if it is.
    pub why: Option<String>,
}

/// A unit and its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllocatedUnit {
    /// What the number is for.
    #[serde(flatten)]
    pub unit: Unit,
    /// The number.
    pub value: AllocatedValue,
    /// Experts that a router chooses per token: 2, or 1 where there is only one. With experts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// The lora_alpha that belongs to the rank. With ranks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f64>,
    /// Which bound kept the value from its proportional share; null if none did.
    pub held: Option<Bound>,
    /// How far the number hangs on the errors of the alphas. With a simulation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
}

/// A number for every unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// The rule with its parameters, the grouping and the aggregation.
    pub plan: AllocationPlan,
    /// What is given out.
    pub quantity: Quantity,
    /// One per unit, in their order.
    pub rows: Vec<AllocatedUnit>,
    /// The budget; null for rules without one.
    pub budget: Option<BudgetOutcome>,
    /// What to know before use, as sentences: what was held at a bound, what had to be assumed.
    pub notes: Vec<String>,
    /// What was simulated for the ranges of the rows. With a simulation only.
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
