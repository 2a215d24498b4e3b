use super::*;
use crate::fit::{Rule, fit};

fn spectrum(mut values: Vec<f64>) -> Spectrum {
    values.sort_by(f64::total_cmp);
    let trace = values.iter().sum();
    Spectrum::from_gram(values, trace, f64::EPSILON).unwrap()
}

/// The power law fitted to a whole spectrum, by the definition.
fn whole(spectrum: &Spectrum) -> Fit {
    let x = spectrum.values();
    let alpha = 1.0 + x.len() as f64 / x.iter().map(|y| ((y - x[0]) / x[0]).ln_1p()).sum::<f64>();
    Fit { alpha, ks_distance: 0.0, start: 0, xmin: x[0], tail: x.len() }
}

fn compare_all(values: Vec<f64>) -> Vec<Result<TailComparison, NoComparison>> {
    let spectrum = spectrum(values);
    let fit = whole(&spectrum);
    Alternative::ALL.iter().map(|&alternative| compare(&spectrum, &fit, alternative)).collect()
}

/// Values of the powerlaw package, for spectra of MiniLM and for simulated tails (tests/data/tails/make.py).
#[test]
fn agrees_with_the_powerlaw_package() {
    let text = include_str!("../../tests/data/tails/comparisons.json");
    let data: serde_json::Value = serde_json::from_str(text).unwrap();
    let numbers = |list: &serde_json::Value| -> Vec<f64> {
        list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let (mut agreed, mut without) = (0, 0);
    for case in data["cases"].as_array().unwrap() {
        let spectrum = spectrum(numbers(&case["tail"]));
        let fit = whole(&spectrum);
        assert!((fit.alpha - case["alpha"].as_f64().unwrap()).abs() < 1e-9);
        for alternative in Alternative::ALL {
            let expected = &case[alternative.to_string()];
            let name = format!("{}, {alternative}: {expected}", case["name"]);
            let found = compare(&spectrum, &fit, alternative);
            if found == Err(NoComparison::TendsToPowerLaw) {
                // If there is no best lognormal, the package runs until its normalization underflows.
                assert_eq!(expected["underflowed"], true, "{name}");
                without += 1;
                continue;
            }
            let found = found.unwrap();
            let [ratio, p] = ["R", "p"].map(|key| expected[key].as_f64().unwrap());
            assert!((found.log_likelihood_ratio - ratio).abs() < 1e-4 * ratio.abs().max(1.0), "{name} {found:?}");
            // p of a nested pair behaves like the square root of R near 0.
            let allowed = if alternative == Alternative::Tpl && ratio.abs() < 1e-4 { 1e-2 } else { 1e-4 };
            assert!((found.p_value - p).abs() < allowed, "{name} {found:?}");
            agreed += 1;
        }
    }
    assert!(agreed >= 60 && without >= 3, "{agreed} {without}");
}

/// Quantiles of a distribution of y with the given inverse survival function.
fn quantiles(n: usize, inverse_survival: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..n).map(|k| inverse_survival((k as f64 + 0.5) / n as f64)).collect()
}

#[test]
fn the_distribution_that_generated_a_tail_is_preferred() {
    let exponential = quantiles(400, |u| 1.0 - u.ln() / 3.0);
    let [tpl, _, fitted] = &compare_all(exponential)[..] else { unreachable!() };
    let fitted = fitted.as_ref().unwrap();
    assert!(fitted.log_likelihood_ratio < -5.0 && fitted.p_value < 0.05, "{fitted:?}");
    assert!((fitted.parameters[0] / 3.0 - 1.0).abs() < 0.02);
    // The exponential is a special case of the truncated power law, which therefore fits at least as well.
    assert!(tpl.as_ref().unwrap().log_likelihood_ratio <= fitted.log_likelihood_ratio + 1e-9);

    let power_law = quantiles(400, |u| u.powf(-1.0 / 1.2));
    let [tpl, lognormal, exponential] = &compare_all(power_law)[..] else { unreachable!() };
    let exponential = exponential.as_ref().unwrap();
    assert!(exponential.log_likelihood_ratio > 0.0 && exponential.p_value < 0.01, "{exponential:?}");
    assert!(tpl.as_ref().unwrap().p_value > 0.1, "{tpl:?}");
    assert!(lognormal.as_ref().is_ok_and(|lognormal| lognormal.p_value > 0.1) || lognormal.is_err(), "{lognormal:?}");
}

#[test]
fn planted_parameters_of_a_lognormal_are_found() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut normal = || (-2.0 * rng.f64().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    let values: Vec<f64> = (0..60_000).map(|_| (2.0 + 0.7 * normal()).exp()).filter(|&x| x >= 5.0).collect();
    let fitted = compare_all(values)[1].clone().unwrap();
    assert!((fitted.parameters[0] - 2.0).abs() < 0.03 && (fitted.parameters[1] - 0.7).abs() < 0.03, "{fitted:?}");
    assert!(fitted.log_likelihood_ratio < 0.0 && fitted.p_value < 1e-10);
}

#[test]
fn no_small_step_from_a_maximum_raises_the_likelihood() {
    for (seed, power) in [(1, 1.0), (2, 0.3), (3, 3.0)] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let values = spectrum((0..200).map(|_| (1.0 - rng.f64().ln()).powf(power)).collect());
        let tail = Tail::new(values.values());
        let fitted = truncated::TruncatedPowerLaw::fit(&tail, whole(&values).alpha);
        let likelihood = |alpha: f64, lambda: f64| {
            -alpha * tail.log - lambda * tail.excess - exponential_integral::ln_scaled(alpha, lambda)
        };
        let best = likelihood(fitted.alpha, fitted.lambda);
        for (up, right) in [(1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3), (1e-3, -1e-3), (-1e-3, 1e-3)] {
            let moved = likelihood((fitted.alpha + up).max(0.0), (fitted.lambda + right).max(1e-9));
            assert!(moved <= best + 1e-12, "{seed}: {moved} {best}");
        }
    }
}

#[test]
fn the_scale_of_the_weights_changes_only_parameters_with_a_unit() {
    let mut rng = fastrand::Rng::with_seed(7);
    let values: Vec<f64> = (0..100).map(|_| rng.f64().powf(-0.6) + rng.f64()).collect();
    let reference = compare_all(values.clone());
    for scale in [1e-290, 1e-20, 1e20, 1e290] {
        let scaled = compare_all(values.iter().map(|x| x * scale).collect());
        for (scaled, reference) in scaled.iter().zip(&reference) {
            let (Ok(scaled), Ok(reference)) = (scaled, reference) else {
                assert_eq!(scaled, reference);
                continue;
            };
            let error = (scaled.log_likelihood_ratio - reference.log_likelihood_ratio).abs();
            assert!(error < 1e-7 * reference.log_likelihood_ratio.abs().max(1.0), "{scaled:?} {reference:?}");
            assert!((scaled.p_value - reference.p_value).abs() < 1e-6);
            let unit = match scaled.alternative {
                Alternative::Tpl => scaled.parameters[1] * scale - reference.parameters[1],
                Alternative::Lognormal => scaled.parameters[0] - scale.ln() - reference.parameters[0],
                Alternative::Exponential => scaled.parameters[0] * scale - reference.parameters[0],
            };
            assert!(unit.abs() < 1e-5, "{scaled:?} {reference:?}");
        }
    }
}

#[test]
fn unfriendly_tails_give_finite_numbers_or_a_reason() {
    let ramp = |n: usize, from: f64, to: f64| -> Vec<f64> {
        (0..n).map(|k| (from.ln() + (to / from).ln() * k as f64 / (n - 1) as f64).exp()).collect()
    };
    let mut ties = vec![1.0; 30];
    ties.extend([2.0; 10]);
    let mut outlier = ramp(40, 1.0, 2.0);
    outlier.push(1e15);
    let tails = [ties, outlier, ramp(8, 1.0, 1.0 + 1e-9), ramp(500, 1e-14, 1.0), ramp(9, 1e299, 1e300)];
    for values in tails {
        for found in compare_all(values.clone()) {
            let Ok(found) = found else { continue };
            assert!(found.parameters.iter().all(|parameter| parameter.is_finite()), "{values:?} {found:?}");
            assert!(found.log_likelihood_ratio.is_finite(), "{values:?} {found:?}");
            assert!((0.0..=1.0).contains(&found.p_value), "{values:?} {found:?}");
            if found.alternative == Alternative::Tpl {
                assert!(found.log_likelihood_ratio < 1e-6 && found.parameters[1] >= 0.0, "{found:?}");
            }
        }
    }
    assert_eq!(compare_all(ramp(7, 1.0, 2.0))[0], Err(NoComparison::ShortTail(7)));
}

#[test]
fn the_tail_is_the_one_that_the_rule_chose() {
    let mut values = quantiles(200, |u| u.powf(-0.5));
    values.extend((0..200).map(|k| 0.1 + 0.004 * f64::from(k)));
    let spectrum = spectrum(values);
    let fit = fit(&spectrum, Rule::Median).unwrap();
    let tail = self::spectrum(spectrum.values()[fit.start..].to_vec());
    for alternative in Alternative::ALL {
        let [part, alone] = [compare(&spectrum, &fit, alternative), compare(&tail, &whole(&tail), alternative)];
        match (part, alone) {
            (Ok(part), Ok(alone)) => {
                assert!((part.log_likelihood_ratio - alone.log_likelihood_ratio).abs() < 1e-9);
            }
            (part, alone) => assert_eq!(part, alone),
        }
    }
}

#[test]
fn the_density_of_a_comparison_is_the_one_that_was_fitted() {
    let values = quantiles(300, |u| (2.0 - 3.0 * u.ln()) * 1e-7);
    let spectrum = spectrum(values);
    let fit = whole(&spectrum);
    for alternative in Alternative::ALL {
        let found = compare(&spectrum, &fit, alternative).unwrap();
        let power_law = |x: f64| ((fit.alpha - 1.0) / fit.xmin).ln() - fit.alpha * (x / fit.xmin).ln();
        let ratio: f64 = spectrum.values().iter().map(|&x| power_law(x) - found.ln_density(x, fit.xmin)).sum();
        assert!((ratio - found.log_likelihood_ratio).abs() < 1e-6, "{found:?} {ratio}");
    }
}
