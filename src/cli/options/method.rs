//! How spectra are computed and fitted.

use crate::checkpoint::Cast;
use crate::device::{Method, Precision};
use crate::fit::Rule;

use super::choices::explain;
use super::rules::FitRuleParser;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct MethodArgs {
    /// Fit rule: peak, peak-robust, median or ks
    #[arg(long, default_value_t, value_parser = FitRuleParser, hide_possible_values = true)]
    #[arg(long_help = explain::<Rule>("Fit rule: how the start of the power-law tail is chosen"))]
    pub rule: Rule,
    /// Arithmetic of the spectra
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    pub precision: Precision,
    /// Round the weights first, like a script that loads a model in half precision
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    pub cast: Cast,
}

impl MethodArgs {
    pub fn method(&self) -> Method {
        Method { rule: self.rule, precision: self.precision, cast: self.cast }
    }
}
