//! Windows of a matrix, or a comparison with its shuffled elements.

use crate::matrices::Farms;
use crate::pipeline::Sampling;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct SamplingArgs {
    /// Fit the eigenvalues of windows of every matrix, all of one shape, instead of its own (FARMS): rows=2000,q=1,windows=15
    /// is what is published for LLaMA and the default of each; q is columns by rows, and up to windows x windows are laid
    /// over a matrix
    #[arg(long, value_name = "SETTINGS", conflicts_with = "randomize")]
    pub farms: Option<Farms>,
    /// Compare every matrix with its elements in the random order that this number determines, for the metrics rand_*: twice
    /// the work
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
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
