//! Error bars by simulation.

use crate::uncertainty::Simulations;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Error bars")]
pub struct SimulationArgs {
    /// Add a standard error (alpha_se) to every alpha, from N simulated spectra
    ///
    /// 100 are enough. Costs N fits and two more passes over the elements of each matrix, and the eigenvalues of N
    /// tridiagonal matrices for each shape.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000), hide_short_help = true)]
    pub se: Option<u32>,
    /// Add a p-value (gof_p) to every fit, from N simulated spectra
    ///
    /// Clauset et al., section 4.1. 100 distinguish 0.1 from 0.2; 2500 give two digits. Costs N fits per matrix.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000), hide_short_help = true)]
    pub gof: Option<u32>,
    /// Seed of the simulations
    #[arg(long, value_name = "S", default_value_t = 0, hide_short_help = true)]
    pub seed: u64,
}

impl SimulationArgs {
    pub fn simulations(&self) -> Simulations {
        Simulations { standard_error: self.se, goodness: self.gof, seed: self.seed }
    }
}
