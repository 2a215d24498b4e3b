//! What an allocation consists of: quantities, values and their bounds, whether the budget was met, and how stable the
//! values are.

use std::fmt;

use serde::{Deserialize, Serialize};

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
#[non_exhaustive]
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

/// Settings and totals of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stability {
    /// Number of draws.
    pub draws: u32,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Number of alphas whose errors the scores state.
    pub stated: usize,
    /// Number of alphas for which `relative_error` was assumed.
    pub assumed: usize,
    /// The assumed relative standard error.
    pub relative_error: f64,
    /// Draws for which the rule gives no allocation.
    pub failed: u32,
    /// Units whose number is not determined.
    pub undetermined: usize,
}

/// The range of one unit's number over the draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValueRange {
    /// 2.5 % of the draws are below.
    pub low: f64,
    /// 2.5 % of the draws are above.
    pub high: f64,
    /// Share of the draws that give the printed number; for a real value, a number within 5 % of it.
    pub share: f64,
    /// Whether that share is at least 95 %.
    pub determined: bool,
}
