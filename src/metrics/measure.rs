//! Measuring the selected metrics of one matrix.

use super::analyzed_matrix::AnalyzedMatrix;
use super::selection::MetricSelection;
use super::value::Measured;
use super::{Metric, Source};

/// Measures the metrics that `selection` selects.
pub fn measure(selection: &MetricSelection, matrix: &AnalyzedMatrix) -> Measured {
    measure_each(selection.metrics(), matrix)
}

pub(super) fn measure_each<'a>(metrics: impl Iterator<Item = &'a Metric>, matrix: &AnalyzedMatrix) -> Measured {
    let mut measured = Measured::default();
    for metric in metrics {
        let measurement = match metric.source {
            Source::Spectrum(compute) => compute(matrix),
            Source::Elsewhere(reason) => Err(reason.to_owned()),
        };
        measured.insert(metric.name, measurement);
    }
    measured
}
