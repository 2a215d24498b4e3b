//! Metrics that compare a spectrum with that of a random matrix: its [bulk](super::bulk), and the
//! [baseline](super::random_baseline) of alpha.

use super::{AnalyzedMatrix, Measurement};

pub(super) fn sigma_mp(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.bulk()?.relative_variance.sqrt().into())
}

pub(super) fn bulk_min(matrix: &AnalyzedMatrix) -> Measurement {
    let bulk = matrix.bulk()?;
    Ok((bulk.mean * bulk.law.edges().0).into())
}

pub(super) fn bulk_max(matrix: &AnalyzedMatrix) -> Measurement {
    let bulk = matrix.bulk()?;
    Ok((bulk.mean * bulk.law.edges().1).into())
}

pub(super) fn num_spikes(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.bulk()?.spikes.into())
}

/// Without spikes the largest eigenvalue counts as the edge of the bulk, on either side of the fitted edge.
pub(super) fn mp_softrank(matrix: &AnalyzedMatrix) -> Measurement {
    let bulk = matrix.bulk()?;
    Ok((bulk.mean * bulk.law.edges().1 / bulk.largest).min(1.0).into())
}

pub(super) fn mp_distance(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.bulk()?.distance.into())
}

pub(super) fn alpha_mp(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.random_baseline()?.alpha.into())
}

pub(super) fn alpha_mp_sd(matrix: &AnalyzedMatrix) -> Measurement {
    Ok(matrix.random_baseline()?.deviation.into())
}

pub(super) fn alpha_excess(matrix: &AnalyzedMatrix) -> Measurement {
    Ok((matrix.fit()?.alpha - matrix.random_baseline()?.alpha).into())
}

#[cfg(test)]
mod tests {
    use super::super::analyzed_matrix::tests::{analyzed, outcome};
    use super::super::bulk::tests::spiked;
    use super::*;
    use crate::fit::Rule;

    #[test]
    fn edges_and_soft_rank_are_in_units_of_eigenvalues() {
        let number = |metric: fn(&AnalyzedMatrix) -> Measurement, spikes| {
            let outcome = outcome(&spiked(400, 100, 1.0, spikes, 6), Rule::Median);
            metric(&analyzed(&outcome, Rule::Median, 100, 400)).unwrap().number().unwrap()
        };
        for spikes in [0, 4] {
            assert!((number(bulk_min, spikes) / 100.0 - 1.0).abs() < 0.1);
            assert!((number(bulk_max, spikes) / 900.0 - 1.0).abs() < 0.1);
            assert_eq!(number(num_spikes, spikes), spikes as f64);
        }
        // The largest of four spikes: five times the edge in singular values, a little more with the noise.
        assert!((number(mp_softrank, 4) * 25.0 - 1.0).abs() < 0.1);
        assert!((0.9..=1.0).contains(&number(mp_softrank, 0)));
        assert!(number(sigma_mp, 4) < 0.9 && (number(sigma_mp, 0) - 1.0).abs() < 0.02);
    }
}
