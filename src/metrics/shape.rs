//! Metrics of the shape alone, which every matrix has.

use super::{Measurement, Subject};

pub(super) fn num_evals(subject: &Subject) -> Measurement {
    Ok(subject.short.into())
}

pub(super) fn aspect_ratio(subject: &Subject) -> Measurement {
    if subject.short == 0 {
        return Err("the matrix is empty".into());
    }
    Ok((subject.long as f64 / subject.short as f64).into())
}
