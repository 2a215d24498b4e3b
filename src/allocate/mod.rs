//! From layer scores to LoRA experts.
//!
//! Layer l gets experts in proportion to m_l^beta, where m_l is its mean alpha: well-trained layers (small alpha) need
//! few, poorly trained ones many (AlphaLoRA, arXiv 2410.10054, section 3). The shares are not whole numbers; how they
//! are rounded is a [`Rounding`].

mod largest_remainder;
mod reference;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How shares become whole numbers that add up to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// As AlphaLoRA's script does it, bit for bit: round half to even, then repair by single steps against the *unscaled*
    /// powers. Layers may get 0.
    #[default]
    Reference,
    /// The method of largest remainders, within a minimum and a maximum per layer.
    LargestRemainder,
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rounding::Reference => "reference",
            Rounding::LargestRemainder => "largest-remainder",
        })
    }
}

/// A budget of experts and how it is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Experts of all layers together, T.
    pub experts: u32,
    /// The exponent beta.
    pub beta: f64,
    /// How shares are rounded.
    pub rounding: Rounding,
    /// Fewest experts of a layer; only with [`Rounding::LargestRemainder`], where the default is 1.
    pub min_experts: Option<u32>,
    /// Most experts of a layer; only with [`Rounding::LargestRemainder`].
    pub max_experts: Option<u32>,
}

/// AlphaLoRA's settings for a 32-layer model: 160 experts, beta = 2.5.
impl Default for Budget {
    fn default() -> Self {
        Budget { experts: 160, beta: 2.5, rounding: Rounding::Reference, min_experts: None, max_experts: None }
    }
}

/// Experts of each layer, in the order of the scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// LoRA experts per layer.
    pub experts: Vec<u32>,
    /// Experts that the router of each layer chooses per token: 2, or 1 where there is only one.
    pub top_k: Vec<u32>,
}

impl Budget {
    /// Checks the budget against a number of layers, before anything is computed.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage), with the nearest budget that can be met.
    pub fn check(&self, layers: usize) -> Result<()> {
        if self.experts == 0 {
            return Err(Error::usage("0 experts cannot be allocated").hint("give a positive --experts"));
        }
        if !self.beta.is_finite() || self.beta < 0.0 {
            let cause = format!("beta = {} is not a finite number >= 0", self.beta);
            return Err(Error::usage(cause).hint("AlphaLoRA uses --beta 2.5"));
        }
        if self.rounding == Rounding::Reference {
            if self.min_experts.or(self.max_experts).is_some() {
                let cause = "--min-experts and --max-experts have no meaning under the reference rounding";
                return Err(Error::usage(cause).hint("add --rounding largest-remainder"));
            }
            return Ok(());
        }
        let (min, max) = self.bounds();
        if self.max_experts.is_some() && min > max {
            let cause = format!("the minimum of {min} experts per layer is above the maximum of {max}");
            return Err(Error::usage(cause).hint("swap --min-experts and --max-experts"));
        }
        let (layers, experts) = (layers as u64, u64::from(self.experts));
        if layers * u64::from(min) > experts {
            let cause = format!("{experts} experts are too few for {layers} layers with at least {min} each");
            let hint = format!("raise --experts to {} or lower --min-experts", layers * u64::from(min));
            return Err(Error::usage(cause).hint(hint));
        }
        if layers * u64::from(max) < experts {
            let cause = format!("{experts} experts are too many for {layers} layers with at most {max} each");
            let hint = format!("lower --experts to {} or raise --max-experts", layers * u64::from(max));
            return Err(Error::usage(cause).hint(hint));
        }
        Ok(())
    }

    /// Shares the budget out among layers with these mean alphas.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the budget or the alphas make that impossible.
    ///
    /// # Examples
    ///
    /// ```
    /// use htsr::allocate::{Budget, Rounding};
    ///
    /// let budget = Budget { experts: 10, rounding: Rounding::LargestRemainder, ..Budget::default() };
    /// let allocation = budget.allocate(&[2.0, 3.0, 4.0]).unwrap();
    /// assert_eq!(allocation.experts, [1, 3, 6]);
    /// assert_eq!(allocation.top_k, [1, 2, 2]);
    /// ```
    pub fn allocate(&self, alphas: &[f64]) -> Result<Allocation> {
        self.check(alphas.len())?;
        if alphas.is_empty() {
            return Err(Error::usage("there are no layers to allocate experts to"));
        }
        if let Some(bad) = alphas.iter().find(|alpha| !(alpha.is_finite() && **alpha > 0.0)) {
            let cause = format!("a layer's alpha is {bad}, not a positive number");
            return Err(Error::usage(cause).hint("score the layer again, or leave it out"));
        }
        let experts = match self.rounding {
            Rounding::Reference => reference::round(alphas, self.beta, self.experts)?,
            Rounding::LargestRemainder => {
                let (min, max) = self.bounds();
                largest_remainder::round(&weights(alphas, self.beta), self.experts, min, max)
            }
        };
        let top_k = experts.iter().map(|&experts| if experts > 1 { 2 } else { 1 }).collect();
        Ok(Allocation { experts, top_k })
    }

    fn bounds(&self) -> (u32, u32) {
        (self.min_experts.unwrap_or(1), self.max_experts.unwrap_or(self.experts))
    }
}

/// m^beta in units of the largest, which cannot overflow.
fn weights(alphas: &[f64], beta: f64) -> Vec<f64> {
    let largest = alphas.iter().copied().fold(0.0, f64::max);
    alphas.iter().map(|alpha| (alpha / largest).powf(beta)).collect()
}
