//! Goodness of fit: the p-value of the KS distance by a semi-parametric bootstrap (Clauset, Shalizi and Newman, arXiv
//! 0706.1062, section 4.1).
//!
//! Each draw has N independent values: with probability n/N a value of the fitted power law above xmin, otherwise one
//! of the observed eigenvalues below it. The rule is applied to it again, including the choice of xmin. p is the share
//! of draws whose D is at least the observed one; p below 0.1 rules out the power law.
//!
//! Eigenvalues repel each other and follow their density more closely than independent values do. So a spectrum that
//! follows a power law has p near 1, not p spread over 0 to 1. A small p rejects the power law; a large p proves
//! little.

use super::random::stream;
use crate::fit::{Fit, Rule, fit};
use crate::spectrum::Spectrum;

/// Share of the draws that may have no fit.
const FAILURES: f64 = 0.05;

/// The p-value of `found`, the fit of `spectrum` under `rule`, from `draws` simulated spectra. `name` gives each matrix
/// its own random numbers under one seed. Costs one fit per draw.
///
/// # Errors
///
/// A phrase that says why there is no p-value.
pub fn goodness_of_fit(
    spectrum: &Spectrum,
    rule: Rule,
    found: &Fit,
    draws: u32,
    seed: u64,
    name: &str,
) -> Result<f64, String> {
    let mut rng = fastrand::Rng::with_seed(stream(seed, &format!("goodness {name}")));
    let unit = unit(spectrum, rule);
    let body: Vec<f64> = spectrum.values()[..found.start].iter().map(|x| x / unit).collect();
    let (mut farther, mut failed) = (0_u32, 0_u32);
    for _ in 0..draws {
        let values = draw(&body, found, found.xmin / unit, &mut rng);
        let in_range = values[values.len() - 1].is_finite();
        match in_range.then(|| fit(&Spectrum::exact(values), rule)) {
            Some(Ok(fit)) => farther += u32::from(fit.ks_distance >= found.ks_distance),
            _ => failed += 1,
        }
    }
    if f64::from(failed) > FAILURES * f64::from(draws) || failed == draws {
        return Err(format!("{failed} of {draws} simulated spectra have no power-law fit"));
    }
    Ok(f64::from(farther) / f64::from(draws - failed))
}

/// The unit that keeps values in range. 1 for the peak rule, whose window depends on the unit.
fn unit(spectrum: &Spectrum, rule: Rule) -> f64 {
    if rule == Rule::Peak { 1.0 } else { spectrum.largest() }
}

fn draw(body: &[f64], found: &Fit, xmin: f64, rng: &mut fastrand::Rng) -> Vec<f64> {
    let count = body.len() + found.tail;
    let mut value = || {
        if rng.usize(..count) < body.len() {
            body[rng.usize(..body.len())]
        } else {
            // 1 - u is in (0, 1].
            xmin * (1.0 - rng.f64()).powf(-1.0 / (found.alpha - 1.0))
        }
    };
    let mut values: Vec<f64> = (0..count).map(|_| value()).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p_value(values: Vec<f64>, rule: Rule, seed: u64) -> Result<f64, String> {
        let trace = values.iter().sum();
        let spectrum = Spectrum::from_gram(values, trace, f64::EPSILON).unwrap();
        let found = fit(&spectrum, rule).unwrap();
        goodness_of_fit(&spectrum, rule, &found, 60, seed, "w")
    }

    fn power_law(n: usize, rng: &mut fastrand::Rng) -> Vec<f64> {
        (0..n).map(|_| (1.0 - rng.f64()).powf(-0.7)).collect()
    }

    #[test]
    fn p_of_independent_power_laws_is_uniform() {
        // A power law above 1, and another distribution below.
        let mut rng = fastrand::Rng::with_seed(1);
        let mut values = || {
            let body: Vec<f64> = (0..60).map(|_| rng.f64()).collect();
            body.into_iter().chain(power_law(140, &mut rng)).collect()
        };
        let p: Vec<f64> = (0..60).map(|_| p_value(values(), Rule::Ks, 1).unwrap()).collect();
        let mean = p.iter().sum::<f64>() / 60.0;
        let low = p.iter().filter(|p| **p < 0.1).count();
        // Standard errors: 0.04, and 2.3 of 6.
        assert!((0.35..0.65).contains(&mean) && low <= 14, "mean {mean}, {low} of 60 below 0.1");
    }

    #[test]
    fn other_distributions_are_ruled_out() {
        // Uniform numbers under the median rule: no power law begins in their middle.
        let mut rng = fastrand::Rng::with_seed(2);
        for seed in 0..5 {
            let uniform: Vec<f64> = (0..400).map(|_| 1.0 + rng.f64()).collect();
            assert!(p_value(uniform, Rule::Median, seed).unwrap() < 0.05);
        }
    }

    #[test]
    fn it_depends_on_seed_and_name_alone() {
        let values = power_law(80, &mut fastrand::Rng::with_seed(3));
        let spectrum = Spectrum::from_gram(values.clone(), values.iter().sum(), f64::EPSILON).unwrap();
        let found = fit(&spectrum, Rule::Ks).unwrap();
        let p = |seed, name| goodness_of_fit(&spectrum, Rule::Ks, &found, 40, seed, name).unwrap().to_bits();
        assert_eq!(p(1, "a"), p(1, "a"));
        let others = [p(1, "b"), p(2, "a"), p(3, "a"), p(4, "a"), p(5, "a")];
        assert!(others.iter().any(|other| *other != p(1, "a")));
    }

    #[test]
    fn zeros_in_the_body_do_no_harm_where_the_rule_does_not_need_them() {
        let mut values = power_law(80, &mut fastrand::Rng::with_seed(4));
        values[..10].fill(0.0);
        assert!(p_value(values.clone(), Rule::Ks, 1).is_ok());
        assert!(p_value(values, Rule::Median, 1).is_ok());
    }
}
