//! Error bars by simulation.

use crate::uncertainty::Simulations;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Error bars")]
pub struct SimulationArgs {
    /// Give every alpha a standard error (alpha_se) by N simulated spectra; 100 are enough. For each matrix it costs
    /// N fits and two more passes over its elements, once for each shape N times the eigenvalues of a tridiagonal matrix
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub se: Option<u32>,
    /// Give every fit a p-value (gof_p) by N simulated spectra (Clauset et al., section 4.1); 100 tell 0.1 from 0.2, 2500
    /// give two digits. Costs N fits a matrix
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub gof: Option<u32>,
    /// Seed of the simulations
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

impl SimulationArgs {
    pub fn simulations(&self) -> Simulations {
        Simulations { standard_error: self.se, goodness: self.gof, seed: self.seed }
    }
}
