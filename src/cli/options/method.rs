//! How spectra are computed and fitted.

use crate::checkpoint::Cast;
use crate::device::{Method, Precision};
use crate::fit::Rule;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct MethodArgs {
    /// How the start of the power-law tail is chosen
    #[arg(long, value_enum, default_value_t)]
    pub rule: Rule,
    /// Arithmetic of the spectra
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// Round the weights first, as scripts do that load a model in half precision
    #[arg(long, value_enum, default_value_t)]
    pub cast: Cast,
}

impl MethodArgs {
    pub fn method(&self) -> Method {
        Method { rule: self.rule, precision: self.precision, cast: self.cast }
    }
}
