//! Metrics of the fitted tail (Clauset, Shalizi and Newman, arXiv 0706.1062; Martin and Mahoney, arXiv 2002.06716).
//!
//! They follow the rule that chose the tail: only those of the ks rule are WeightWatcher's.

use super::{Measurement, Subject};

pub(super) fn alpha(subject: &Subject) -> Measurement {
    Ok(subject.fit()?.alpha.into())
}

pub(super) fn ks_distance(subject: &Subject) -> Measurement {
    Ok(subject.fit()?.ks_distance.into())
}

pub(super) fn xmin(subject: &Subject) -> Measurement {
    Ok(subject.fit()?.xmin.into())
}
