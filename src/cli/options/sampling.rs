//! Windows of a matrix, or a comparison with its shuffled elements.

use crate::matrices::Farms;
use crate::pipeline::Sampling;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct SamplingArgs {
    /// Fit the eigenvalues of windows of every matrix, all of one shape (FARMS)
    ///
    /// `rows=2000,q=1,windows=15` is published for LLaMA; these are the defaults. q is columns per row; up to
    /// windows x windows windows cover a matrix.
    #[arg(long, value_name = "SETTINGS", conflicts_with = "randomize", hide_short_help = true)]
    pub farms: Option<Farms>,
    /// Compare every matrix with its shuffled elements, for the metrics rand_*
    ///
    /// SEED determines the shuffle. Doubles the work.
    #[arg(long, value_name = "SEED", hide_short_help = true)]
    pub randomize: Option<u64>,
}

impl SamplingArgs {
    pub fn sampling(&self) -> Sampling {
        match (self.farms, self.randomize) {
            (Some(farms), _) => Sampling::Windows(farms),
            (None, Some(seed)) => Sampling::Randomized(seed),
            (None, None) => Sampling::Whole,
        }
    }
}
