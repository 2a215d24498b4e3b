//! Summary of a model: how its alphas and metrics are distributed, by role and over all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MatrixScore, Status};
use crate::metrics::{METRICS, MetricValue};

/// The distribution of a number over the matrices that have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// Number of matrices that have it.
    pub count: usize,
    /// Unweighted mean.
    pub mean: f64,
    /// Median; the mean of the middle two for an even count.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of finite numbers; `None` if there are none.
    pub fn of(mut numbers: Vec<f64>) -> Option<Spread> {
        numbers.sort_by(f64::total_cmp);
        let count = numbers.len();
        let (&min, &max) = (numbers.first()?, numbers.last()?);
        let sum: f64 = numbers.iter().sum();
        // Divide first if the sum overflows.
        let divided = || numbers.iter().map(|number| number / count as f64).sum::<f64>();
        let mean = if sum.is_finite() { sum / count as f64 } else { divided() };
        let median = 0.5 * numbers[(count - 1) / 2] + 0.5 * numbers[count / 2];
        Some(Spread { count, mean, median, min, max })
    }
}

/// The matrices of one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoleSummary {
    /// Module path above the layers.
    pub stack: String,
    /// Module path within the layer.
    pub role: String,
    /// The summary of its matrices.
    #[serde(flatten)]
    pub group: GroupSummary,
}

/// A group of matrices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupSummary {
    /// Number of matrices.
    pub matrices: usize,
    /// Number of matrices without an alpha.
    pub failed: usize,
    /// The alphas of the others.
    pub alpha: Option<Spread>,
    /// Every metric that is a number for at least one matrix.
    #[serde(default)]
    pub metrics: BTreeMap<String, Spread>,
}

impl GroupSummary {
    fn of(matrices: &[&MatrixScore]) -> GroupSummary {
        let numbers = |name: &str| {
            let values = matrices.iter().filter_map(|matrix| matrix.measured.get(name));
            values.filter_map(MetricValue::number).collect::<Vec<f64>>()
        };
        let metrics = METRICS.iter().map(|metric| metric.name).filter(|name| *name != "alpha");
        GroupSummary {
            matrices: matrices.len(),
            failed: matrices.iter().filter(|matrix| matrix.status == Status::Failed).count(),
            alpha: Spread::of(matrices.iter().filter_map(|matrix| matrix.alpha).collect()),
            metrics: metrics.filter_map(|name| Some((name.to_owned(), Spread::of(numbers(name))?))).collect(),
        }
    }
}

/// A scored model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// The summary of all matrices.
    #[serde(flatten)]
    pub group: GroupSummary,
    /// Number of matrices with the warning `over-trained`; null under a rule without that warning.
    pub over_trained: Option<usize>,
    /// Number of matrices with the warning `under-trained`; null under a rule without that warning.
    pub under_trained: Option<usize>,
    /// By role, in the order in which roles first appear.
    pub roles: Vec<RoleSummary>,
}

impl Summary {
    /// The summary of these matrices; `None` if there are none.
    pub fn of(matrices: &[MatrixScore]) -> Option<Summary> {
        if matrices.is_empty() {
            return None;
        }
        let all: Vec<&MatrixScore> = matrices.iter().collect();
        let warnings: Vec<&MetricValue> = all.iter().filter_map(|matrix| matrix.measured.get("warning")).collect();
        let count = |word: &str| warnings.iter().filter(|warning| ***warning == MetricValue::from(word)).count();
        let counted = |word| (!warnings.is_empty()).then(|| count(word));
        let roles = by_role(matrices).into_iter().map(|members| RoleSummary {
            stack: members[0].stack.clone(),
            role: members[0].role.clone(),
            group: GroupSummary::of(&members),
        });
        Some(Summary {
            over_trained: counted("over-trained"),
            under_trained: counted("under-trained"),
            roles: roles.collect(),
            group: GroupSummary::of(&all),
        })
    }
}

fn by_role(matrices: &[MatrixScore]) -> Vec<Vec<&MatrixScore>> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Vec<&MatrixScore>> = Vec::new();
    for matrix in matrices {
        let place = *places.entry((&matrix.stack, &matrix.role)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(matrix),
            None => groups.push(vec![matrix]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![2.0]), Some(Spread { count: 1, mean: 2.0, median: 2.0, min: 2.0, max: 2.0 }));
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 9.0]).unwrap();
        assert_eq!(spread, Spread { count: 4, mean: 4.0, median: 3.0, min: 1.0, max: 9.0 });
        let huge = Spread::of(vec![1e308; 3]).unwrap();
        assert_eq!((huge.mean, huge.median), (1e308, 1e308));
    }
}
