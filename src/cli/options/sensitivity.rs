//! How an allocation depends on errors, on a parameter, and on the fit rule.

use crate::allocate::{StabilitySimulation, Sweep};
use crate::fit::Rule;
use crate::sensitivity::SensitivityAnalysis;

use super::rules::FitRuleParser;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Stability and comparison")]
pub struct SensitivityArgs {
    /// Simulate the errors of the alphas, and show the range of every allocated number
    ///
    /// Also shows the share of draws that give the printed number. Uses alpha_se and alpha_low..alpha_high if the scores
    /// have these metrics.
    #[arg(long, hide_short_help = true)]
    pub stability: bool,
    /// Number of draws [default: 10000]
    #[arg(long, value_name = "N", requires = "stability", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    #[arg(hide_short_help = true)]
    pub stability_draws: Option<u32>,
    /// Seed of the random numbers [default: 0]
    #[arg(long, value_name = "N", requires = "stability", hide_short_help = true)]
    pub stability_seed: Option<u64>,
    /// Relative standard error of alphas without a known error [default: 0.05]
    #[arg(long, value_name = "E", requires = "stability", hide_short_help = true)]
    pub alpha_error: Option<f64>,
    /// Allocate for a range of a parameter, e.g. beta=1:4:0.5
    ///
    /// The parameter is beta, experts, rank, sparsity or epsilon, depending on the allocation rule.
    #[arg(long, value_name = "NAME=FROM:TO:STEP", conflicts_with = "compare", hide_short_help = true)]
    pub sweep: Option<Sweep>,
    /// Compare the allocations by several fit rules, e.g. peak,median,ks
    #[arg(long, value_parser = FitRuleParser, value_name = "RULES", value_delimiter = ',', hide_short_help = true)]
    pub compare: Vec<Rule>,
}

impl SensitivityArgs {
    pub fn sensitivity(self) -> SensitivityAnalysis {
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
