//! The random bulk of a spectrum: the part that follows a Marchenko-Pastur law, without the spikes above it.
//!
//! The variance of the law is chosen so that its median equals the median of the bulk. The median hardly fluctuates,
//! and no spike moves it far (Gavish and Donoho, arXiv 1305.5870, section III). Eigenvalues above the limit that noise
//! exceeds once in a thousand matrices are spikes. The rest is the bulk of a matrix with as many fewer rows and columns
//! as there are spikes; the fit is repeated until it finds no further spike. In trained matrices the remaining bulk may
//! be small and the law a rough description: `mp_distance` says how rough.
//!
//! WeightWatcher instead fits a smoothed density with a fixed bandwidth, spikes included. For square matrices the
//! variance only scales that density, so its sigma_mp is 1 for every square matrix.

use super::marchenko_pastur::MarchenkoPastur;
use super::numerical_rank::numerical_rank;
use crate::fit::MIN_EIGENVALUES;
use crate::spectrum::Spectrum;

/// Relative error of the median eigenvalue above which the bulk is not fitted.
const HIDDEN: f64 = 1e-3;

/// A Marchenko-Pastur law fitted to the bulk of a spectrum.
#[derive(Debug, Clone)]
pub(super) struct Bulk {
    pub law: MarchenkoPastur,
    /// Mean of the bulk, the scale of the law.
    pub mean: f64,
    /// Variance of the bulk's elements, relative to the mean square of all elements of W.
    pub relative_variance: f64,
    /// Number of eigenvalues above the bulk.
    pub spikes: usize,
    /// Kolmogorov-Smirnov distance between bulk and law.
    pub distance: f64,
    pub largest: f64,
}

impl Bulk {
    /// Fits the bulk of a matrix with the larger dimension `long`.
    ///
    /// # Errors
    ///
    /// A phrase, if fewer than [`MIN_EIGENVALUES`] remain in the bulk or rounding hides it.
    pub fn fit(spectrum: &Spectrum, long: usize) -> Result<Bulk, String> {
        let x = spectrum.values();
        // Zero rows or columns reduce the rank; they are not part of the random matrix.
        let zeros = numerical_rank(spectrum).map_or(0, |rank| x.len() - rank);
        let rank = x.len() - zeros;
        if rank < MIN_EIGENVALUES {
            return Err(format!("{rank} nonzero eigenvalues, fewer than {MIN_EIGENVALUES}"));
        }
        let mut spikes = 0;
        loop {
            let count = rank - spikes;
            let middle = count / 2;
            if spectrum.relative_error(zeros + middle) > HIDDEN {
                return Err("rounding hides the median eigenvalue".into());
            }
            let law = MarchenkoPastur::new(long - spikes, count);
            let mean = x[zeros + middle] / law.quantile((middle as f64 + 0.5) / count as f64);
            let limit = mean * law.largest_by_chance();
            let above = x.len() - x.partition_point(|&x| x <= limit);
            if rank - above < MIN_EIGENVALUES {
                return Err(format!("all but {} of {rank} eigenvalues are above any bulk", rank - above));
            }
            if above <= spikes {
                let bulk = &x[zeros..x.len() - spikes];
                let shape = x.len() as f64 * (long as f64 / (long - spikes) as f64);
                return Ok(Bulk {
                    law,
                    mean,
                    relative_variance: mean / spectrum.trace() * shape,
                    spikes,
                    distance: distance(bulk, mean, law),
                    largest: spectrum.largest(),
                });
            }
            spikes = above;
        }
    }
}

/// The Kolmogorov-Smirnov distance between ascending values and `law`, scaled to `mean`.
fn distance(values: &[f64], mean: f64, law: MarchenkoPastur) -> f64 {
    let count = values.len() as f64;
    let gap = |(index, x): (usize, &f64)| {
        let share = law.cumulative(x / mean);
        (share - index as f64 / count).max((index + 1) as f64 / count - share)
    };
    values.iter().enumerate().map(gap).fold(0.0, f64::max)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::device::cpu::{Level, symmetric_eigenvalues};

    /// Eigenvalues of a `long` x `short` matrix of normal elements with standard deviation `sigma`, plus `spikes` pairs
    /// of random directions with singular values from twice the bulk's largest one upward.
    pub fn spiked(long: usize, short: usize, sigma: f64, spikes: usize, seed: u64) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut normals =
            |count: usize| -> Vec<f64> { (0..count).map(|_| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0).collect() };
        let mut w: Vec<f64> = normals(long * short).iter().map(|x| sigma * x).collect();
        let edge = sigma * ((long as f64).sqrt() + (short as f64).sqrt());
        for spike in 0..spikes {
            let unit = |vector: Vec<f64>| -> Vec<f64> {
                let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
                vector.iter().map(|x| x / norm).collect()
            };
            let (left, right) = (unit(normals(long)), unit(normals(short)));
            let size = edge * (2.0 + spike as f64);
            for (row, x) in w.chunks_exact_mut(short).zip(&left) {
                row.iter_mut().zip(&right).for_each(|(element, y)| *element += size * x * y);
            }
        }
        let mut gram = vec![0.0; short * short];
        for row in w.chunks_exact(short) {
            for (column, x) in gram.chunks_exact_mut(short).zip(row) {
                column.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
            }
        }
        symmetric_eigenvalues(&gram, Level::Scalar, 1).unwrap()
    }

    fn spectrum(values: &[f64]) -> Spectrum {
        Spectrum::from_gram(values.to_vec(), values.iter().sum(), f64::EPSILON).unwrap()
    }

    /// The standard deviation of the bulk's elements.
    fn deviation(bulk: &Bulk, spectrum: &Spectrum, long: usize) -> f64 {
        (bulk.relative_variance * spectrum.trace() / (long * spectrum.len()) as f64).sqrt()
    }

    #[test]
    fn known_variances_and_spikes_are_found() {
        // Shape, and the tolerance of the deviation: the median fluctuates most where the spectrum begins at zero.
        for (long, short, tolerance) in [(150, 150, 0.05), (200, 100, 0.04), (400, 100, 0.03), (500, 60, 0.03)] {
            for spikes in [0, 1, 3, 10] {
                for (seed, sigma) in [(1, 1.0), (2, 0.02), (3, 1e3)] {
                    let spectrum = spectrum(&spiked(long, short, sigma, spikes, seed));
                    let bulk = Bulk::fit(&spectrum, long).unwrap();
                    assert_eq!(bulk.spikes, spikes, "{long} x {short}, seed {seed}");
                    let found = deviation(&bulk, &spectrum, long) / sigma;
                    assert!((found - 1.0).abs() < tolerance, "{long} x {short}, {spikes} spikes, seed {seed}: {found}");
                    assert!(bulk.distance < 0.08, "{long} x {short}, {spikes} spikes: {}", bulk.distance);
                }
            }
        }
    }

    #[test]
    fn noise_alone_hardly_ever_has_spikes() {
        let with_spikes = |(long, short): (usize, usize)| {
            let fit = |seed| Bulk::fit(&spectrum(&spiked(long, short, 1.0, 0, seed)), long).unwrap();
            (0..100).filter(|&seed| fit(seed).spikes > 0).count()
        };
        // One in a thousand by the Tracy-Widom law, a few more because the median fluctuates in square matrices.
        assert!(with_spikes((120, 40)) <= 2);
        assert!(with_spikes((60, 60)) <= 5);
    }

    #[test]
    fn zeros_are_not_part_of_the_bulk() {
        let mut values = spiked(300, 100, 1.0, 2, 4);
        let without = Bulk::fit(&spectrum(&values), 300).unwrap();
        // Thirty rows of zeros on the short side.
        values.splice(0..0, [0.0; 30]);
        let with = spectrum(&values);
        let bulk = Bulk::fit(&with, 300).unwrap();
        assert_eq!((bulk.spikes, bulk.mean), (without.spikes, without.mean));
        assert!((deviation(&bulk, &with, 300) - 1.0).abs() < 0.03);
    }

    #[test]
    fn the_scale_of_weights_does_not_matter() {
        let values = spiked(120, 40, 1.0, 2, 5);
        let expected = Bulk::fit(&spectrum(&values), 120).unwrap();
        for exponent in [-290, 290] {
            let scaled: Vec<f64> = values.iter().map(|x| x * 10.0_f64.powi(exponent)).collect();
            let bulk = Bulk::fit(&spectrum(&scaled), 120).unwrap();
            assert_eq!(bulk.spikes, 2);
            assert!((bulk.relative_variance / expected.relative_variance - 1.0).abs() < 1e-9);
            assert!((bulk.distance - expected.distance).abs() < 1e-9);
        }
    }

    #[test]
    fn spectra_without_a_bulk_give_the_reason() {
        let fit = |values: &[f64], long| Bulk::fit(&spectrum(values), long).map(|bulk| bulk.spikes);
        let reason = |values: &[f64], long| fit(values, long).unwrap_err();
        assert_eq!(reason(&[1.0; 7], 9), "7 nonzero eigenvalues, fewer than 8");
        let zeros: Vec<f64> = (0..100).map(|k| if k < 95 { 0.0 } else { 1.0 }).collect();
        assert_eq!(reason(&zeros, 100), "5 nonzero eigenvalues, fewer than 8");
        // A power law over ten decades has no edge.
        let heavy: Vec<f64> = (0..200).map(|k| 10.0_f64.powf(f64::from(k) * 0.05)).collect();
        assert_eq!(reason(&heavy, 600), "all but 7 of 200 eigenvalues are above any bulk");
        // In f32, the median of this spectrum is noise.
        let steep: Vec<f64> = (0..20).map(|k| if k < 15 { 1e-6 * f64::from(k + 1) } else { 1.0 }).collect();
        let coarse = Spectrum::from_gram(steep.clone(), steep.iter().sum(), f32::EPSILON.into()).unwrap();
        assert_eq!(Bulk::fit(&coarse, 20).unwrap_err(), "rounding hides the median eigenvalue");
        // Equal eigenvalues are a bulk without width, which the distance shows.
        for long in [40, 400] {
            let flat = Bulk::fit(&spectrum(&[2.0; 40]), long).unwrap();
            assert_eq!(flat.spikes, 0);
            assert!(flat.distance > 0.45);
        }
    }
}
