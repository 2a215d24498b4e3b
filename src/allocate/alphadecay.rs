//! AlphaDecay's weight decays (arXiv 2506.14562): matrices with light tails (large alpha) get more weight decay.
//!
//! The multiplier of a matrix is linear in its alpha, from 2/3 for the smallest alpha to 3 for the largest. The
//! published code uses the median fit rule and recomputes the multipliers every few hundred steps; here they are
//! computed once.

use serde::{Deserialize, Serialize};

use super::Solution;
use super::multiplier::{check_range, linear};
use crate::error::Result;

/// The range of the multipliers of the weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlphaDecay {
    /// For the smallest alpha.
    pub low: f64,
    /// For the largest alpha.
    pub high: f64,
}

/// The published settings for LLaMA.
impl Default for AlphaDecay {
    fn default() -> Self {
        AlphaDecay { low: 0.666, high: 3.0 }
    }
}

impl AlphaDecay {
    /// Maps the smallest alpha to `low` and the largest to `high`.
    pub fn with_range(self, low: f64, high: f64) -> AlphaDecay {
        AlphaDecay { low, high }
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
    /// [`Kind::Input`](crate::error::Kind::Input) if all alphas are equal.
    pub(super) fn multipliers(&self, alphas: &[f64]) -> Result<Solution> {
        Ok(Solution::free(linear(alphas, self.low, self.high)?))
    }
}
