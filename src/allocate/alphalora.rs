//! AlphaLoRA's experts (arXiv 2410.10054, section 3): in proportion to alpha^beta.
//!
//! Well-trained layers (small alpha) get few experts, poorly trained ones many. [`Rounding`] turns the shares into
//! whole numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::largest_remainder::unit_costs;
use super::powers::{check_beta, powers};
use super::stacks::depths;
use super::{Solution, Solve, Unit, reference};
use crate::error::{Error, Result};

/// How shares are rounded to whole numbers that add up to the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rounding {
    /// AlphaLoRA's script, bit for bit: rounds half to even, then repairs the sum by single steps against the
    /// *unscaled* powers. Layers may get 0.
    #[default]
    Reference,
    /// The largest-remainder method, within a minimum and a maximum per layer.
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

/// A budget of experts and how it is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Budget {
    /// Experts of all layers together, T. `None` until the layers are known: see
    /// [`AllocationPlan::for_layers`](super::AllocationPlan::for_layers).
    pub experts: Option<u32>,
    /// The exponent beta.
    pub beta: f64,
    /// How shares are rounded.
    pub rounding: Rounding,
    /// Fewest experts per layer; only with [`Rounding::LargestRemainder`], where the default is 1.
    pub min_experts: Option<u32>,
    /// Most experts per layer; only with [`Rounding::LargestRemainder`].
    pub max_experts: Option<u32>,
}

/// AlphaLoRA's settings: 5 experts for each layer of the main stack, beta = 2.5.
impl Default for Budget {
    fn default() -> Self {
        Budget { experts: None, beta: 2.5, rounding: Rounding::Reference, min_experts: None, max_experts: None }
    }
}

/// Experts for each layer of the main stack unless a number is given: AlphaLoRA's 160 for 32 layers.
const EXPERTS_PER_LAYER: u32 = 5;

/// [`EXPERTS_PER_LAYER`] for each layer of the main stack, the one with the most layers. `layers`
/// are stacks with numbers of layers, in order; a layer may be repeated.
pub(super) fn usual_experts<'a>(layers: impl Iterator<Item = (&'a str, u32)>) -> u32 {
    let main = depths(layers).into_iter().map(|(_, depth)| depth).max().unwrap_or(0);
    u32::try_from(main).unwrap_or(u32::MAX).saturating_mul(EXPERTS_PER_LAYER)
}

/// The number of experts, which must be known and positive.
pub(super) fn total(experts: Option<u32>) -> Result<u32> {
    match experts {
        Some(experts) if experts > 0 => Ok(experts),
        Some(_) => Err(Error::usage("0 experts cannot be allocated").hint("use a positive §experts")),
        None => Err(Error::usage("the number of experts is unknown").hint("use §experts")),
    }
}

impl Budget {
    /// Distributes this number of experts over all layers.
    pub fn with_experts(self, experts: u32) -> Budget {
        Budget { experts: Some(experts), ..self }
    }

    /// Sets the exponent of alpha.
    pub fn with_beta(self, beta: f64) -> Budget {
        Budget { beta, ..self }
    }

    /// Rounds shares by this method.
    pub fn with_rounding(self, rounding: Rounding) -> Budget {
        Budget { rounding, ..self }
    }

    /// Gives each layer at least this many experts; needs [`Rounding::LargestRemainder`].
    pub fn with_min_experts(self, experts: u32) -> Budget {
        Budget { min_experts: Some(experts), ..self }
    }

    /// Gives each layer at most this many experts; needs [`Rounding::LargestRemainder`].
    pub fn with_max_experts(self, experts: u32) -> Budget {
        Budget { max_experts: Some(experts), ..self }
    }

    /// Checks the budget against a number of layers, before the long computation.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage), with the nearest budget that can be met.
    pub(super) fn check(&self, layers: usize) -> Result<()> {
        let experts = total(self.experts)?;
        check_beta(self.beta)?;
        if self.rounding == Rounding::Reference {
            if self.min_experts.or(self.max_experts).is_some() {
                let cause = "the reference rounding does not support §min-experts and §max-experts";
                return Err(Error::usage(cause).hint("add §rounding=largest-remainder"));
            }
            return Ok(());
        }
        let (min, max) = self.bounds(experts);
        if self.max_experts.is_some() && min > max {
            let cause = format!("the minimum of {min} experts per layer is above the maximum of {max}");
            return Err(Error::usage(cause).hint("swap §min-experts and §max-experts"));
        }
        let (layers, experts) = (layers as u64, u64::from(experts));
        let are = if experts == 1 { "1 expert is".to_owned() } else { format!("{experts} experts are") };
        let of_layers = if layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
        if layers * u64::from(min) > experts {
            let cause = format!("{are} too few for {of_layers} with at least {min} each");
            let hint = format!("raise §experts to {} or lower §min-experts", layers * u64::from(min));
            return Err(Error::usage(cause).hint(hint));
        }
        if layers * u64::from(max) < experts {
            let cause = format!("{are} too many for {of_layers} with at most {max} each");
            let hint = format!("lower §experts to {} or raise §max-experts", layers * u64::from(max));
            return Err(Error::usage(cause).hint(hint));
        }
        Ok(())
    }

    fn bounds(&self, experts: u32) -> (u32, u32) {
        (self.min_experts.unwrap_or(1), self.max_experts.unwrap_or(experts))
    }

    /// Prepares the rule for units that passed `check`.
    ///
    /// # Errors
    ///
    /// If the number of experts is not known.
    pub(super) fn prepare(self, units: &[Unit]) -> Result<Solve<'static>> {
        let experts = total(self.experts)?;
        Ok(match self.rounding {
            Rounding::Reference => {
                let names: Vec<String> = units.iter().map(Unit::name).collect();
                Box::new(move |alphas| {
                    let experts = reference::round(alphas, self.beta, experts, |unit| names[unit].clone())?;
                    Ok(Solution::free(experts.into_iter().map(f64::from).collect()))
                })
            }
            Rounding::LargestRemainder => {
                let (min, max) = self.bounds(experts);
                let rounding = unit_costs(units.len(), experts, min, max);
                Box::new(move |alphas| Ok(rounding.round(&powers(alphas, self.beta))))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::usual_experts;

    #[test]
    fn the_main_stack_sets_the_usual_number_of_experts() {
        let stack = |name, layers: u32| (0..layers).map(move |layer| (name, layer));
        assert_eq!(usual_experts(stack("model", 32)), 160);
        assert_eq!(usual_experts(stack("vision", 12).chain(stack("model", 32)).chain(stack("vision", 12))), 160);
        // Layers count, not matrices; a selection may leave layers out.
        assert_eq!(usual_experts([("", 3), ("", 3), ("", 7)].into_iter()), 10);
        assert_eq!(usual_experts(stack("", 0)), 0);
    }
}
