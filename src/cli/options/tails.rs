//! `--fit`: the tails to fit.

use crate::metrics::MetricSelection;
use crate::tails::Alternative;
use clap::ValueEnum;

/// A tail to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TailChoice {
    /// The power law, which is always fitted: alpha is its exponent
    Pl,
    /// The truncated power law, x^-alpha exp(-lambda x)
    Tpl,
    /// A normal distribution of ln x
    Lognormal,
    /// exp(-lambda x)
    Exponential,
}

impl TailChoice {
    /// The tail that is compared with the power law; `None` for the power law itself.
    pub fn alternative(self) -> Option<Alternative> {
        match self {
            TailChoice::Pl => None,
            TailChoice::Tpl => Some(Alternative::Tpl),
            TailChoice::Lognormal => Some(Alternative::Lognormal),
            TailChoice::Exponential => Some(Alternative::Exponential),
        }
    }

    /// `plan` with the metrics of these alternatives added.
    pub fn add_to(choices: &[TailChoice], plan: MetricSelection) -> MetricSelection {
        let names =
            choices.iter().filter_map(|choice| choice.alternative()).map(|alternative| format!("{alternative}_"));
        let prefixes: Vec<String> = names.collect();
        plan.and(|metric| prefixes.iter().any(|prefix| metric.name.starts_with(prefix)))
    }
}
