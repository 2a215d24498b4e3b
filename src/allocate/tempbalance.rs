//! TempBalance's learning rates (arXiv 2312.00359, section 3): poorly trained matrices (large alpha) learn faster.
//!
//! The published code uses the median fit rule, allocates to every matrix except the first and the last of the model,
//! and recomputes after each epoch; here the multipliers are computed once.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Solution;
use super::multiplier::{all_equal, check_range, linear};
use crate::error::{Error, Result};

/// How alphas become multipliers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MultiplierMap {
    /// Linear, from the range of the alphas to that of the multipliers.
    #[default]
    Linear,
    /// sqrt(m), divided by the mean of all.
    Sqrt,
    /// log2(m), divided by the mean of all; alphas must be above 1.
    Log2,
    /// By rank: the i-th smallest of n, from 0, gets low + (high - low) i / n, so the largest stays below high.
    Step,
}

impl fmt::Display for MultiplierMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear",
            Self::Sqrt => "sqrt",
            Self::Log2 => "log2",
            Self::Step => "step",
        })
    }
}

/// A map from alphas to multipliers of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TempBalance {
    /// The form of the map.
    pub map: MultiplierMap,
    /// Smallest multiplier of the forms linear and step.
    pub low: f64,
    /// Largest multiplier of the forms linear and step.
    pub high: f64,
}

/// The published settings.
impl Default for TempBalance {
    fn default() -> Self {
        TempBalance { map: MultiplierMap::Linear, low: 0.5, high: 1.5 }
    }
}

impl TempBalance {
    /// Maps alphas to multipliers in this form.
    pub fn with_map(self, map: MultiplierMap) -> TempBalance {
        TempBalance { map, ..self }
    }

    /// Sets the smallest and the largest multiplier of the forms linear and step.
    pub fn with_range(self, low: f64, high: f64) -> TempBalance {
        TempBalance { low, high, ..self }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the multipliers are not a valid range.
    pub(super) fn check(&self) -> Result<()> {
        check_range(self.low, self.high)
    }

    /// A multiplier for each alpha.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if the form does not apply to the alphas.
    pub(super) fn multipliers(&self, alphas: &[f64]) -> Result<Solution> {
        let values = match self.map {
            MultiplierMap::Linear => linear(alphas, self.low, self.high)?,
            MultiplierMap::Sqrt => over_their_mean(alphas.iter().map(|alpha| alpha.sqrt()).collect()),
            MultiplierMap::Log2 => {
                if let Some(alpha) = alphas.iter().find(|alpha| **alpha <= 1.0) {
                    let cause = format!("the logarithm of alpha = {alpha} is not positive");
                    return Err(Error::unusable(cause).hint("use §map=linear or sqrt"));
                }
                over_their_mean(alphas.iter().map(|alpha| alpha.log2()).collect())
            }
            MultiplierMap::Step => self.steps(alphas)?,
        };
        Ok(Solution::free(values))
    }

    fn steps(&self, alphas: &[f64]) -> Result<Vec<f64>> {
        if alphas.iter().all(|alpha| *alpha == alphas[0]) {
            return Err(all_equal(alphas[0]));
        }
        let mut order: Vec<usize> = (0..alphas.len()).collect();
        order.sort_by(|&a, &b| alphas[a].total_cmp(&alphas[b]).then(a.cmp(&b)));
        let mut values = vec![0.0; alphas.len()];
        for (rank, unit) in order.into_iter().enumerate() {
            values[unit] = self.low + (self.high - self.low) * rank as f64 / alphas.len() as f64;
        }
        Ok(values)
    }
}

/// Divides each number by the mean of all.
fn over_their_mean(numbers: Vec<f64>) -> Vec<f64> {
    // In units of the largest, so that the sum stays in range.
    let largest = numbers.iter().copied().fold(0.0, f64::max);
    let mean = numbers.iter().map(|number| number / largest).sum::<f64>() / numbers.len() as f64;
    numbers.into_iter().map(|number| number / largest / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multipliers(map: MultiplierMap, alphas: &[f64]) -> Vec<f64> {
        TempBalance { map, ..TempBalance::default() }.multipliers(alphas).unwrap().values
    }

    #[test]
    fn every_form_by_its_formula() {
        // numpy: interp([2,4,3], [2,4], [.5,1.5]); sqrt([1,4,9]) / sum * 3; log2([2,4,8]) / sum * 3; ranks / 3 + .5.
        assert_eq!(multipliers(MultiplierMap::Linear, &[2.0, 4.0, 3.0]), [0.5, 1.5, 1.0]);
        assert_eq!(multipliers(MultiplierMap::Sqrt, &[1.0, 4.0, 9.0]), [0.5, 1.0, 1.5]);
        assert_eq!(multipliers(MultiplierMap::Log2, &[2.0, 4.0, 8.0]), [0.5, 1.0, 1.5]);
        assert_eq!(multipliers(MultiplierMap::Step, &[3.0, 9.0, 1.0, 5.0]), [0.75, 1.25, 0.5, 1.0]);
    }

    #[test]
    fn extreme_alphas_stay_in_range() {
        for map in [MultiplierMap::Linear, MultiplierMap::Sqrt, MultiplierMap::Log2, MultiplierMap::Step] {
            for value in multipliers(map, &[1.0 + 1e-12, 1e300, 1e-3 + 1e300, 2.0]) {
                assert!(value.is_finite() && value >= 0.0, "{map} {value}");
            }
        }
        assert_eq!(multipliers(MultiplierMap::Sqrt, &[2.5]), [1.0]);
    }

    #[test]
    fn what_has_no_map_is_refused() {
        for (map, alphas) in
            [(MultiplierMap::Linear, [2.0, 2.0]), (MultiplierMap::Step, [2.0, 2.0]), (MultiplierMap::Log2, [1.0, 2.0])]
        {
            assert!(TempBalance { map, ..TempBalance::default() }.multipliers(&alphas).unwrap_err().hint.is_some());
        }
    }
}
