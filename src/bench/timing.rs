//! Wall-clock times of repeated runs.

use std::time::Instant;

use crate::error::Result;

/// Seconds of each run, in order; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    seconds: Vec<f64>,
}

impl Timing {
    /// Runs `work` once without timing if `warm_up` is true, then `runs` times with timing; returns the last result.
    ///
    /// # Errors
    ///
    /// The first error of `work`.
    ///
    /// # Panics
    ///
    /// If `runs` is 0.
    pub fn of<T>(warm_up: bool, runs: usize, mut work: impl FnMut() -> Result<T>) -> Result<(Timing, T)> {
        assert!(runs > 0);
        if warm_up {
            work()?;
        }
        let mut timed = || {
            let start = Instant::now();
            let answer = work()?;
            Ok((start.elapsed().as_secs_f64(), answer))
        };
        let (first, mut answer) = timed()?;
        let mut seconds = vec![first];
        for _ in 1..runs {
            let (again, latest) = timed()?;
            seconds.push(again);
            answer = latest;
        }
        Ok((Timing { seconds }, answer))
    }

    /// Seconds of each run.
    pub fn seconds(&self) -> &[f64] {
        &self.seconds
    }

    /// The median; the mean of the middle two for an even number.
    pub fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
    }

    /// The fastest.
    pub fn min(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The slowest.
    pub fn max(&self) -> f64 {
        self.seconds.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let median = |seconds: &[f64]| Timing { seconds: seconds.to_vec() }.median();
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[3.0, 1.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 9.0, 2.0]), 3.0);
    }

    #[test]
    fn a_warm_up_is_not_timed() {
        let mut calls = 0;
        let mut count = || {
            calls += 1;
            Ok(calls)
        };
        let (timing, last) = Timing::of(true, 3, &mut count).unwrap();
        assert_eq!((timing.seconds().len(), last), (3, 4));
        let (timing, last) = Timing::of(false, 1, &mut count).unwrap();
        assert_eq!((timing.seconds().len(), last), (1, 5));
        assert_eq!((timing.min(), timing.max()), (timing.median(), timing.median()));
    }
}
