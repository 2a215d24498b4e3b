//! What can be typed to ask more of an allocation.

use crate::allocate::{StabilitySimulation, Sweep};
use crate::fit::Rule;
use crate::sensitivity::SensitivityAnalysis;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Stability and comparison")]
pub struct StudyArgs {
    /// Simulate the errors of the alphas: the range of every number, and the share of draws that give the printed one.
    /// Errors are alpha_se and alpha_low..alpha_high where the scores have these metrics
    #[arg(long)]
    pub stability: bool,
    /// Number of draws [default: 10000]
    #[arg(long, value_name = "N", requires = "stability", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub stability_draws: Option<u32>,
    /// Seed of the random numbers [default: 0]
    #[arg(long, value_name = "N", requires = "stability")]
    pub stability_seed: Option<u64>,
    /// Relative standard error of alphas of which the scores state none [default: 0.05]
    #[arg(long, value_name = "E", requires = "stability", allow_negative_numbers = true)]
    pub alpha_error: Option<f64>,
    /// Allocate for a range of a parameter, side by side: beta=1:4:0.5; beta, experts, rank, sparsity or epsilon, by the rule
    #[arg(long, value_name = "NAME=FROM:TO:STEP", conflicts_with = "compare")]
    pub sweep: Option<Sweep>,
    /// Allocate with the alphas by these rules of fit, side by side: peak,median,ks
    #[arg(long, value_enum, value_name = "RULES", value_delimiter = ',')]
    pub compare: Vec<Rule>,
}

impl StudyArgs {
    pub fn study(self) -> SensitivityAnalysis {
        let usual = StabilitySimulation::default();
        let simulation = StabilitySimulation {
            draws: self.stability_draws.unwrap_or(usual.draws),
            seed: self.stability_seed.unwrap_or(usual.seed),
            relative_error: self.alpha_error.unwrap_or(usual.relative_error),
        };
        SensitivityAnalysis {
            simulation: self.stability.then_some(simulation),
            sweep: self.sweep,
            compare: self.compare,
        }
    }
}
