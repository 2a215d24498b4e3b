//! Metrics: numbers computed from a spectrum in addition to alpha.
//!
//! Each metric is a line of [`METRICS`]. It has the name that WeightWatcher uses, if the definitions agree
//! (`docs/metrics.md` lists all definitions, sources and differences). Metrics are computed on the thread that computed
//! the spectrum, from an [`AnalyzedMatrix`] alone, so they are the same on every device. A metric that does not exist
//! for a matrix is null, with a reason next to it; it is never -1, 0 or infinite.
//!
//! Metrics that need more than a spectrum (the weights, another matrix) are computed elsewhere and added by
//! [`Measured::insert`]; their source is `Source::Elsewhere`.

mod alternatives;
pub(crate) mod analyzed_matrix;
mod bulk;
mod list;
mod marchenko_pastur;
pub(crate) mod measure;
mod norms;
mod numerical_rank;
pub(crate) mod random_baseline;
mod randomized;
mod randomness;
mod rank;
mod selection;
mod shape;
mod simulated;
mod stability;
mod tail;
mod value;

pub(crate) use analyzed_matrix::AnalyzedMatrix;
pub use list::METRICS;
pub(crate) use measure::measure;
pub(crate) use randomized::compare;
pub use selection::MetricSelection;
pub(crate) use selection::alpha_by;
pub(crate) use simulated::simulate;
pub(crate) use tail::{OVER_TRAINED, UNDER_TRAINED};
pub use value::{Measured, Measurement, MetricValue};

/// A metric.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name: a column, a key in JSON, a word for `--metrics`.
    pub name: &'static str,
    /// What it is, as a phrase.
    pub about: &'static str,
    /// Whether it is measured even if nobody requests it. Such a metric must cost nothing compared with the spectrum.
    pub always: bool,
    /// Where its value comes from.
    pub(crate) source: Source,
}

/// Where the value of a metric comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// From the spectrum, the fit and the shape, by this function.
    Spectrum(fn(&AnalyzedMatrix) -> Measurement),
    /// From elsewhere; if no value was added, the metric is missing for this reason.
    Elsewhere(&'static str),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::analyzed_matrix::tests::{analyzed, outcome};
    use super::measure::measure_each;
    use super::*;
    use crate::device::{Failure, Outcome};
    use crate::fit::Rule;

    #[test]
    fn names_are_unique_and_words_that_can_be_listed() {
        let names: HashSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        let word = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && *name != "all";
        assert!(names.iter().all(word), "{names:?}");
    }

    #[test]
    fn metrics_from_elsewhere_are_missing_until_added() {
        let elsewhere = Metric {
            name: "num_traps",
            about: "spikes of the randomized matrix",
            always: false,
            source: Source::Elsewhere("only with the option randomize"),
        };
        let outcome = outcome(&[1.0, 2.0], Rule::Ks);
        let mut measured = measure_each([&elsewhere].into_iter(), &analyzed(&outcome, Rule::Ks, 2, 2));
        assert_eq!(measured.missing["num_traps"], "only with the option randomize");
        measured.insert("num_traps", Ok(3_usize.into()));
        assert_eq!(measured.get("num_traps"), Some(&MetricValue::Whole(3)));
    }

    #[test]
    fn a_matrix_without_a_spectrum_has_only_metrics_of_shape() {
        let failed: Outcome = Err(Failure::AllZero);
        let measured = measure(&"all".parse().unwrap(), &analyzed(&failed, Rule::Ks, 10, 30));
        for Metric { name, .. } in METRICS {
            let expected = match *name {
                "num_evals" => Some(MetricValue::Whole(10)),
                "Q" => Some(MetricValue::Real(3.0)),
                _ => None,
            };
            assert_eq!(measured.metrics[*name], expected, "{name}");
            assert_eq!(measured.missing.contains_key(*name), expected.is_none(), "{name}");
        }
    }
}
