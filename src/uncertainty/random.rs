//! Random numbers of the distributions that make up a Gaussian random matrix.

/// A standard normal number (Marsaglia's polar method).
pub(super) fn normal(rng: &mut fastrand::Rng) -> f64 {
    loop {
        let (u, v) = (2.0 * rng.f64() - 1.0, 2.0 * rng.f64() - 1.0);
        let square = u * u + v * v;
        if square > 0.0 && square < 1.0 {
            return u * (-2.0 * square.ln() / square).sqrt();
        }
    }
}

/// A chi-square number with `freedom` degrees of freedom, at least 1 (Marsaglia and Tsang, ACM Trans. Math. Softw. 26, 2000;
/// one degree is the square of a normal number).
pub(super) fn chi_square(freedom: usize, rng: &mut fastrand::Rng) -> f64 {
    if freedom == 1 {
        return normal(rng).powi(2);
    }
    let d = freedom as f64 / 2.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let cube = (1.0 + c * x).powi(3);
        if cube > 0.0 && (1.0 - rng.f64()).ln() < 0.5 * x * x + d - d * cube + d * cube.ln() {
            return 2.0 * d * cube;
        }
    }
}

/// A seed for one of several streams: the first eight bytes of a digest of the seed and the name.
pub(super) fn stream(seed: u64, name: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{seed} {name}"));
    digest.iter().take(8).fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = fastrand::Rng::with_seed(1);
        let count = 200_000;
        let mut moments = |draw: &mut dyn FnMut(&mut fastrand::Rng) -> f64| {
            let values: Vec<f64> = (0..count).map(|_| draw(&mut rng)).collect();
            let mean = values.iter().sum::<f64>() / f64::from(count);
            (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count))
        };
        let (mean, variance) = moments(&mut normal);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02);
        for freedom in [1, 2, 3, 10, 1000] {
            let (mean, variance) = moments(&mut |rng| chi_square(freedom, rng));
            let k = freedom as f64;
            assert!((mean / k - 1.0).abs() < 0.02 && (variance / (2.0 * k) - 1.0).abs() < 0.04, "{freedom}");
        }
    }
}
