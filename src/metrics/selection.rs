//! The selection of metrics to measure.

use std::str::FromStr;

use super::{METRICS, Metric};
use crate::fit::Rule;
use crate::uncertainty::Simulations;

/// The name of the metric with the alpha of this rule, which can differ from the rule of the row.
pub fn alpha_by(rule: Rule) -> String {
    format!("alpha_{rule}").replace('-', "_")
}

/// The requested metrics; those that cost nothing are always measured too. Also holds the options of metrics (a seed, a
/// number of draws).
#[derive(Debug, Clone, Default)]
pub struct MetricSelection {
    requested: Vec<&'static Metric>,
    simulations: Simulations,
}

impl MetricSelection {
    /// Adds the metrics of the list that `wanted` accepts.
    pub fn and(self, wanted: impl Fn(&Metric) -> bool) -> MetricSelection {
        let requested = |metric: &&Metric| self.is_requested(metric.name) || wanted(metric);
        MetricSelection { requested: METRICS.iter().filter(requested).collect(), ..self }
    }

    /// Adds the alphas of these fit rules.
    pub fn and_alphas(self, rules: &[Rule]) -> MetricSelection {
        self.and(|metric| rules.iter().any(|rule| metric.name == alpha_by(*rule)))
    }

    /// Sets the simulations and adds the metrics that they compute.
    pub fn with_simulations(self, simulations: Simulations) -> MetricSelection {
        let simulated = |metric: &Metric| match metric.name {
            "alpha_se" => simulations.standard_error.is_some(),
            "gof_p" => simulations.goodness.is_some(),
            _ => false,
        };
        MetricSelection { simulations, ..self.and(simulated) }
    }

    /// What is simulated.
    pub fn simulations(&self) -> Simulations {
        self.simulations
    }

    /// The requested metrics, in the order of the list.
    pub fn requested(&self) -> &[&'static Metric] {
        &self.requested
    }

    /// The metrics to measure, in the order of the list.
    pub fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        METRICS.iter().filter(|metric| metric.always || self.is_requested(metric.name))
    }

    /// True if this metric was requested.
    pub fn is_requested(&self, name: &str) -> bool {
        self.requested.iter().any(|metric| metric.name == name)
    }
}

/// Comma-separated names, or `all`.
impl FromStr for MetricSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<MetricSelection, String> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let known = |name: &str| name == "all" || METRICS.iter().any(|metric| metric.name == name);
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            let known: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
            return Err(format!("unknown metric `{unknown}`\n\nhint: known metrics: all, {}", known.join(", ")));
        }
        let requested = |metric: &&Metric| names.iter().any(|name| *name == "all" || *name == metric.name);
        Ok(MetricSelection { requested: METRICS.iter().filter(requested).collect(), ..MetricSelection::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_any_order_and_unknown_names_list_the_known_ones() {
        let names = |text: &str| -> Vec<&str> {
            text.parse::<MetricSelection>().unwrap().requested().iter().map(|metric| metric.name).collect()
        };
        assert_eq!(names("stable_rank, alpha"), ["alpha", "stable_rank"]);
        assert_eq!(names("all").len(), METRICS.len());
        let error = "alpha,rank".parse::<MetricSelection>().unwrap_err();
        assert!(error.starts_with("unknown metric `rank`\n\nhint: known metrics: all, alpha, "), "{error}");
        assert!("".parse::<MetricSelection>().is_err());
    }

    #[test]
    fn every_rule_has_its_alpha() {
        let rules = [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks];
        assert_eq!(MetricSelection::default().and_alphas(&rules).requested().len(), 4);
        let both = "alpha_ks,Q".parse::<MetricSelection>().unwrap().and_alphas(&rules[2..]);
        assert_eq!(
            both.requested().iter().map(|metric| metric.name).collect::<Vec<_>>(),
            ["alpha_median", "alpha_ks", "Q"]
        );
    }

    #[test]
    fn free_metrics_are_always_measured() {
        let selection = MetricSelection::default();
        assert!(selection.requested().is_empty());
        assert!(selection.metrics().any(|metric| metric.name == "stable_rank"));
    }
}
