//! LoRA ranks under a budget of trainable parameters, in proportion to alpha^beta like AlphaLoRA's experts.
//!
//! An adapter of rank r on a rows x cols matrix trains r (rows + cols) parameters. For units that cost c per rank, r =
//! clamp(lambda m^beta, min, max), where lambda makes the sum of c r the budget. The largest-remainder method by cost
//! rounds to whole multiples of `multiple_of`. The factor lora_alpha / r, which scales an adapter's update, is the same
//! for all units by default, so that a larger rank does not imply a smaller update.

use serde::{Deserialize, Serialize};

use super::exchange::common_divisor;
use super::largest_remainder::LargestRemainders;
use super::powers::{check_beta, powers};
use super::{BudgetOutcome, Solution, Solve, Unit};
use crate::error::{Error, Result};

/// A budget of trainable parameters, and how ranks share it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ranks {
    /// The budget is the cost of this rank everywhere, unless `parameters` is given.
    pub rank: u32,
    /// The budget of trainable parameters.
    pub parameters: Option<u64>,
    /// The exponent beta.
    pub beta: f64,
    /// Smallest rank; `multiple_of` if not given.
    pub min_rank: Option<u32>,
    /// Largest rank; the smallest dimension of all matrices if not given.
    pub max_rank: Option<u32>,
    /// Ranks are multiples of this.
    pub multiple_of: u32,
    /// lora_alpha / r of every matrix.
    pub lora_scaling: f64,
    /// One lora_alpha for every matrix, instead of `lora_scaling`.
    pub lora_alpha: Option<f64>,
}

/// PEFT's defaults (rank 8 on average, lora_alpha = r) and AlphaLoRA's beta.
impl Default for Ranks {
    fn default() -> Self {
        Ranks {
            rank: 8,
            parameters: None,
            beta: 2.5,
            min_rank: None,
            max_rank: None,
            multiple_of: 1,
            lora_scaling: 1.0,
            lora_alpha: None,
        }
    }
}

/// Parameters of rank 1 on all matrices above which the shapes must be wrong; keeps products from overflowing.
const MOST_PARAMETERS: u64 = 1 << 40;
/// Largest rank and largest multiple.
const LARGEST: u32 = 1 << 20;

/// The budget and its bounds in steps of `multiple_of`.
struct Steps {
    /// Parameters per step of each unit.
    costs: Vec<u64>,
    total: u64,
    min: u32,
    max: u32,
}

impl Ranks {
    /// Sets the budget to the cost of this rank everywhere.
    pub fn with_rank(self, rank: u32) -> Ranks {
        Ranks { rank, parameters: None, ..self }
    }

    /// Sets the budget of trainable parameters.
    pub fn with_parameters(self, parameters: u64) -> Ranks {
        Ranks { parameters: Some(parameters), ..self }
    }

    /// Sets the exponent of alpha.
    pub fn with_beta(self, beta: f64) -> Ranks {
        Ranks { beta, ..self }
    }

    /// Sets the smallest rank.
    pub fn with_min_rank(self, rank: u32) -> Ranks {
        Ranks { min_rank: Some(rank), ..self }
    }

    /// Sets the largest rank.
    pub fn with_max_rank(self, rank: u32) -> Ranks {
        Ranks { max_rank: Some(rank), ..self }
    }

    /// Rounds ranks to multiples of this number.
    pub fn with_multiple_of(self, multiple_of: u32) -> Ranks {
        Ranks { multiple_of, ..self }
    }

    /// Sets lora_alpha / r of every matrix.
    pub fn with_lora_scaling(self, lora_scaling: f64) -> Ranks {
        Ranks { lora_scaling, lora_alpha: None, ..self }
    }

    /// Sets one lora_alpha for every matrix.
    pub fn with_lora_alpha(self, lora_alpha: f64) -> Ranks {
        Ranks { lora_alpha: Some(lora_alpha), ..self }
    }

    /// Checks the budget against the units, before the long computation.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage), with the nearest budget that can be met;
    /// [`Kind::Input`](crate::error::Kind::Input) if the shapes of the matrices are unknown.
    pub(super) fn check(&self, units: &[Unit]) -> Result<()> {
        check_beta(self.beta)?;
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !positive(self.lora_scaling * f64::from(LARGEST)) || self.lora_alpha.is_some_and(|alpha| !positive(alpha)) {
            let cause = "lora_alpha must be a positive number for every rank";
            return Err(Error::usage(cause).hint("PEFT's default is lora_alpha = r: §lora-scaling=1"));
        }
        let Steps { costs, total, min, max } = self.steps(units)?;
        let multiple = u64::from(self.multiple_of);
        let bounds = [min, max].map(|bound| u64::from(bound) * multiple);
        if min > max {
            let least = self.min_rank.unwrap_or(1);
            let cause = format!("no multiple of {multiple}, at least {least}, fits all matrices and §max-rank");
            return Err(Error::usage(cause).hint("lower §min-rank or §multiple-of, or raise §max-rank"));
        }
        let everywhere = |bound: u32| costs.iter().map(|cost| cost * u64::from(bound)).sum::<u64>();
        let asked = match self.parameters {
            Some(_) => format!("a budget of {total} trainable parameters"),
            None => format!("rank {} on average, {total} trainable parameters,", self.rank),
        };
        let option = if self.parameters.is_some() { "§parameters" } else { "§rank" };
        let nearest = |bound: u32| match self.parameters {
            Some(_) => everywhere(bound),
            None => u64::from(bound) * multiple,
        };
        if total < everywhere(min) {
            let cause = format!("{asked} is below the {} that rank {} everywhere needs", everywhere(min), bounds[0]);
            return Err(Error::usage(cause).hint(format!("raise {option} to {}, or lower §min-rank", nearest(min))));
        }
        if total > everywhere(max) {
            let cause = format!("{asked} is above the {} that rank {} everywhere needs", everywhere(max), bounds[1]);
            let hint = match self.max_rank {
                Some(_) => format!("lower {option} to {}, or raise §max-rank", nearest(max)),
                None => format!("lower {option} to {}, the smallest dimension of a matrix", nearest(max)),
            };
            return Err(Error::usage(cause).hint(hint));
        }
        Ok(())
    }

    fn steps(&self, units: &[Unit]) -> Result<Steps> {
        let multiple = self.multiple_of.clamp(1, LARGEST);
        let costs = units.iter().map(|unit| {
            unit.parameters_per_rank.filter(|cost| *cost > 0).ok_or_else(|| {
                let cause = "has no matrix shapes, which are needed to count the parameters of a rank";
                Error::unusable(cause).hint("use the JSON file that §(score PATH output=scores.json) writes")
            })
        });
        let costs: Vec<u64> = costs.collect::<Result<_>>()?;
        let all = costs.iter().fold(0, |sum: u64, &cost| sum.saturating_add(cost));
        if all > MOST_PARAMETERS {
            let cause = format!("rank 1 on all matrices would train {all} parameters: their shapes cannot be right");
            return Err(Error::unusable(cause).hint("write the file again with §(score PATH output=scores.json)"));
        }
        let uniform = all.saturating_mul(self.rank.into());
        let full = units.iter().filter_map(|unit| unit.full_rank).min().unwrap_or(u64::MAX);
        let max = self.max_rank.map_or(full, |max| full.min(max.into())).min(LARGEST.into()) as u32;
        Ok(Steps {
            costs: costs.iter().map(|cost| cost * u64::from(multiple)).collect(),
            total: self.parameters.unwrap_or(uniform),
            min: self.min_rank.unwrap_or(multiple).div_ceil(multiple),
            max: max / multiple,
        })
    }

    /// Prepares the rule for units that passed `check`.
    pub(super) fn prepare(self, units: &[Unit]) -> Result<Solve<'static>> {
        let Steps { costs, total, min, max } = self.steps(units)?;
        let rounding = LargestRemainders::new(costs, total, min, max);
        let multiple = f64::from(self.multiple_of.max(1));
        Ok(Box::new(move |alphas| {
            let Solution { mut values, held } = rounding.round(&powers(alphas, self.beta));
            values.iter_mut().for_each(|value| *value *= multiple);
            Ok(Solution { values, held })
        }))
    }

    /// The lora_alpha of a rank.
    pub(super) fn lora_alpha(&self, rank: f64) -> f64 {
        self.lora_alpha.unwrap_or(rank * self.lora_scaling)
    }

    /// How much of the budget was used, and why not all of it.
    pub(super) fn budget_outcome(&self, units: &[Unit], ranks: &[f64]) -> Option<BudgetOutcome> {
        let Steps { costs, total, .. } = self.steps(units).ok()?;
        let multiple = u64::from(self.multiple_of.max(1));
        let met: u64 = costs.iter().zip(ranks).map(|(cost, &rank)| cost / multiple * rank as u64).sum();
        let unit = common_divisor(&costs);
        let why = match total - met {
            0 => None,
            rest if rest == total % unit => Some(format!(
                "{rest} parameters are left over: every rank step of {multiple} costs a multiple of {unit} parameters"
            )),
            rest => Some(format!(
                "{rest} parameters are left over: too few for any rank step of {multiple} that keeps bounds and order (the cheapest costs {})",
                costs.iter().min()?
            )),
        };
        Some(BudgetOutcome { of: "trainable parameters".into(), asked: total as f64, met: met as f64, why })
    }
}
