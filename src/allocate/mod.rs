//! Allocation: turns alphas into one number per layer, matrix or role: experts, ranks, sparsities, or multipliers of
//! learning rate or weight decay.
//!
//! An [`AllocationPlan`] holds an [`AllocationRule`] with its parameters, the [`Group`] that gets a number (layers,
//! matrices or roles), and the [`Aggregate`] that combines the alphas of several matrices. [`units`] groups scored
//! matrices into [`Unit`]s; [`AllocationPlan::allocate`] gives each unit its number. Every rule takes the alpha m of a
//! unit as a measure of how well it is trained: a small alpha means well trained, and such a unit needs little. Each
//! rule is one file, with its formula and source. [`Rounding`] makes whole numbers.
//!
//! # Examples
//!
//! ```
//! use htsr::allocate::{AllocationPlan, Budget, Rounding, Unit};
//!
//! let units: Vec<Unit> = [2.0, 3.0, 4.0].iter().zip(0..).map(|(&alpha, layer)| Unit::of_layer(layer, alpha)).collect();
//! let budget = Budget::default().with_experts(10).with_rounding(Rounding::LargestRemainder);
//! let allocation = AllocationPlan::experts(budget).allocate(units).unwrap();
//! assert_eq!(allocation.whole_values(), Some(vec![1, 3, 6]));
//! assert_eq!(allocation.rows[0].top_k, Some(1));
//! ```

mod allocation;
mod alphadecay;
mod alphalora;
mod alphapruning;
mod comparison;
mod exchange;
mod largest_remainder;
mod mola;
mod multiplier;
mod outcome;
mod plan;
mod powers;
mod rank;
mod reference;
mod rule;
mod shares;
mod stability;
mod stacks;
mod tempbalance;
mod uniform;
mod unit;

pub use allocation::{AllocatedUnit, Allocation};
pub use alphadecay::AlphaDecay;
pub use alphalora::{Budget, Rounding};
pub use alphapruning::AlphaPruning;
pub use comparison::{AllocationComparison, Column, Sweep};
pub use mola::MolaShape;
pub use outcome::{AllocatedValue, Bound, BudgetOutcome, Quantity, Stability, ValueRange};
pub use plan::AllocationPlan;
pub use rank::Ranks;
pub use rule::AllocationRule;
pub use stability::StabilitySimulation;
pub use stacks::{LeftOut, LeftOutKind};
pub use tempbalance::{MultiplierMap, TempBalance};
pub use uniform::Uniform;
pub use unit::{Aggregate, Group, Unit, planned_units, units};

use crate::error::Result;

/// A number for each unit.
#[derive(Debug, Clone, PartialEq)]
struct Solution {
    /// In the order of the units.
    values: Vec<f64>,
    /// The bound that kept a value from its proportional share, if any.
    held: Vec<Option<Bound>>,
}

impl Solution {
    /// Values that no bound has changed.
    fn free(values: Vec<f64>) -> Solution {
        Solution { held: vec![None; values.len()], values }
    }
}

/// A rule prepared for the units: maps their alphas to their numbers. Called once for each draw of a simulation.
type Solve<'a> = Box<dyn Fn(&[f64]) -> Result<Solution> + Sync + 'a>;
