//! `alpha_fit.cu`: every rule on unfriendly spectra.

use htsr::fit::{Fit, NoFit, Rule, fit};
use htsr::spectrum::{Accuracy, Spectrum};
use kernel_emulator::Order;
use kernel_emulator::abi::{self, Candidates, DeviceAccuracy, DeviceFit};

use super::{ORDERS, emulated, offsets, run};

/// Fits a batch on the emulated device.
fn device_fits(batch: &[Spectrum], rule: Rule, threads: u32, order: Order) -> Vec<DeviceFit> {
    let offsets = offsets(batch.iter().map(Spectrum::len));
    let values: Vec<f64> = batch.iter().flat_map(|spectrum| spectrum.values().iter().copied()).collect();
    let accuracy = |spectrum: &Spectrum| {
        let Accuracy { eta, delta, smallest, .. } = spectrum.accuracy();
        DeviceAccuracy { eta, delta, smallest: smallest.unwrap_or(-1.0) }
    };
    let accuracies: Vec<DeviceAccuracy> = batch.iter().map(accuracy).collect();
    let total = values.len();
    let (mut logs, mut suffix) = (vec![f64::NAN; total], vec![f64::NAN; total]);
    let (mut alphas, mut distances) = (vec![f64::NAN; total], vec![f64::NAN; total]);
    let unset = Candidates { begin: u32::MAX, end: u32::MAX, status: u32::MAX, unused: u32::MAX };
    let mut candidates = vec![unset; batch.len()];
    let mut fits = vec![DeviceFit::default(); batch.len()];
    let rule = match rule {
        Rule::Peak => abi::RULE_PEAK,
        Rule::Median => abi::RULE_MEDIAN,
        Rule::Ks => abi::RULE_KS,
        other => unreachable!("{other} is fitted on the host"),
    };
    let blocks = batch.len() as u32;
    let (values, offsets, accuracies) = (values.as_ptr(), offsets.as_ptr(), accuracies.as_ptr());
    let (logs, suffix, found) = (logs.as_mut_ptr(), suffix.as_mut_ptr(), candidates.as_mut_ptr());
    let (alphas, distances, results) = (alphas.as_mut_ptr(), distances.as_mut_ptr(), fits.as_mut_ptr());
    let wide = threads as usize * 2 * size_of::<f64>() + abi::FIT_COUNTERS as usize * size_of::<u32>();
    let narrow = threads as usize * (size_of::<f64>() + size_of::<u32>());
    run!("fit_prepare", [blocks, 1, 1], threads, wide, order, values, offsets, accuracies, rule, logs, suffix, found);
    run!(
        "fit_distances",
        [3, blocks, 1],
        threads,
        0,
        order,
        values,
        offsets,
        accuracies,
        logs,
        suffix,
        found,
        alphas,
        distances
    );
    run!("fit_select", [blocks, 1, 1], threads, narrow, order, offsets, found, alphas, distances, results);
    fits
}

fn spectrum(values: Vec<f64>) -> Spectrum {
    let trace = values.iter().sum();
    Spectrum::from_gram(values, trace, f64::EPSILON).unwrap()
}

/// Spectra of all sizes around block edges, and of all difficult kinds.
fn unfriendly() -> Vec<Spectrum> {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut lognormal = |n: usize, sigma: f64, scale: f64| -> Vec<f64> {
        let mut normal = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        (0..n).map(|_| scale * (sigma * normal()).exp()).collect()
    };
    let mut batch = Vec::new();
    for n in [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200] {
        batch.push(lognormal(n, 1.0, 1.0));
    }
    batch.push(lognormal(100, 0.01, 1.0));
    batch.push(lognormal(100, 1.0, 1e-300));
    batch.push(lognormal(100, 1.0, 1e290));
    batch.push(lognormal(100, 4.0, 1.0));
    batch.push(vec![3.0; 40]);
    batch.push(lognormal(50, 1.0, 1.0).into_iter().flat_map(|x| [x, x]).collect());
    batch.push(lognormal(33, 1.0, 1.0).into_iter().flat_map(|x| [x, x, x]).collect());
    let mut giant = lognormal(64, 0.1, 1.0);
    giant[5] = 1e9;
    batch.push(giant);
    for zeros in [1, 20, 39, 40] {
        let mut deficient = lognormal(41, 1.0, 1.0);
        deficient[..zeros].fill(0.0);
        batch.push(deficient);
    }
    let singular_values: Vec<f64> = lognormal(80, 3.0, 1.0);
    let squares = singular_values.iter().map(|s| s * s).sum();
    let mut batch: Vec<Spectrum> = batch.into_iter().map(spectrum).collect();
    batch.push(Spectrum::from_singular_values(&singular_values, squares, f64::EPSILON).unwrap());
    batch.push(spectrum(lognormal(50, 1.0, 1.0)).with_smallest(0.0, f64::EPSILON, 1e-8));
    let mut noise = lognormal(60, 1.0, 1.0);
    noise[..5].fill(0.0);
    batch.push(spectrum(noise).with_smallest(1e-6, f64::EPSILON, 1e-8));
    batch
}

fn agrees(host: &Result<Fit, NoFit>, device: &DeviceFit) -> bool {
    match host {
        Err(NoFit::TooFew(_)) => device.status == abi::FIT_TOO_FEW,
        Err(NoFit::RankDeficient { .. }) => device.status == abi::FIT_RANK_DEFICIENT,
        Err(NoFit::NoTail | NoFit::Unresolved) => device.status == abi::FIT_NO_TAIL,
        Err(other) => panic!("the device has no status for {other}"),
        Ok(fit) => {
            device.status == abi::FIT_OK
                && device.start as usize == fit.start
                && (device.alpha / fit.alpha - 1.0).abs() < 1e-11
                && (device.ks_distance - fit.ks_distance).abs() < 1e-11
        }
    }
}

#[test]
fn fits_are_those_of_the_host() {
    if !emulated() {
        return;
    }
    let batch = unfriendly();
    for rule in [Rule::Peak, Rule::Median, Rule::Ks] {
        let host: Vec<_> = batch.iter().map(|spectrum| fit(spectrum, rule)).collect();
        for threads in [32, 64, 256] {
            let device = device_fits(&batch, rule, threads, Order::Forward);
            for (index, (host, device)) in host.iter().zip(&device).enumerate() {
                assert!(agrees(host, device), "{rule}, {threads} threads, spectrum {index}: {host:?} {device:?}");
            }
        }
    }
}

#[test]
fn fits_depend_neither_on_the_order_of_threads_nor_on_the_batch() {
    if !emulated() {
        return;
    }
    let batch = unfriendly();
    for rule in [Rule::Peak, Rule::Median, Rule::Ks] {
        let together = device_fits(&batch, rule, 64, Order::Forward);
        for order in ORDERS {
            assert_eq!(device_fits(&batch, rule, 64, order), together, "{rule}, {order:?}");
        }
        for (index, spectrum) in batch.iter().enumerate() {
            let alone = device_fits(std::slice::from_ref(spectrum), rule, 64, Order::Forward);
            assert_eq!(alone[0], together[index], "{rule}, spectrum {index}");
        }
    }
}

#[test]
fn of_equal_distances_the_first_wins() {
    if !emulated() {
        return;
    }
    for n in [40_usize, 64, 100] {
        for first in [3, 31, 32, 38] {
            let offsets = [0, n as u64];
            let candidates = [Candidates { begin: 2, end: n as u32 - 1, status: abi::FIT_OK, unused: 0 }];
            let alphas: Vec<f64> = (0..n).map(|i| 2.0 + i as f64).collect();
            let distances: Vec<f64> = (0..n).map(|i| if i >= first { 0.25 } else { 0.5 }).collect();
            for order in ORDERS {
                let mut fits = [DeviceFit::default()];
                let (offsets, candidates) = (offsets.as_ptr(), candidates.as_ptr());
                let (alphas, distances) = (alphas.as_ptr(), distances.as_ptr());
                let results = fits.as_mut_ptr();
                run!("fit_select", [1, 1, 1], 32, 32 * 12, order, offsets, candidates, alphas, distances, results);
                let expected = DeviceFit {
                    alpha: 2.0 + first as f64,
                    ks_distance: 0.25,
                    start: first as u32,
                    status: abi::FIT_OK,
                };
                assert_eq!(fits[0], expected, "{n}, {order:?}");
            }
        }
    }
}
