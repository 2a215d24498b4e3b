//! Matrices whose spectra are known and sensitive to rounding: the error bounds hold, and alpha is accurate.

use htsr::checkpoint::Checkpoint;
use htsr::device::Cpu;
use htsr::device::{Analysis, Arithmetic, Device, Method, Precision};
use htsr::fit::{NoFit, Rule, fit};
use htsr::internals::matrix_with_singular_values;
use htsr::matrices::{Catalog, Selection};
use htsr::spectrum::Spectrum;

use crate::support::{Tensor, folder, projection, save};

/// Writes a matrix of shape rows x cols to a file and analyzes it.
fn analyze(rows: usize, cols: usize, values: &[f64], rule: Rule, precision: Precision) -> Analysis {
    analyze_tensor(Tensor::f64(&[rows, cols], values), rule, precision)
}

fn analyze_tensor(tensor: Tensor, rule: Rule, precision: Precision) -> Analysis {
    analyze_on(&Cpu::new(Some(1)), Method::new(rule).with_precision(precision), tensor)
}

fn analyze_on(device: &Cpu, method: Method, tensor: Tensor) -> Analysis {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), tensor)]);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let catalog = Catalog::new(&checkpoint, &Selection::default());
    let mut lane = device.lane(method, &checkpoint, &catalog.matrices).unwrap().unwrap();
    lane.analyze(&[&catalog.matrices[0]]).unwrap().pop().unwrap().unwrap()
}

/// Singular values in ascending order, of several kinds, each hard for a different reason.
fn spectra(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let step = |i: usize| i as f64 / (n - 1) as f64;
    let spread = |decades: f64| (0..n).map(|i| 10.0_f64.powf(-decades * (1.0 - step(i)))).collect::<Vec<_>>();
    let pareto =
        |alpha: f64| (0..n).map(|k| (1.0 - (k as f64 + 0.5) / n as f64).powf(-0.5 / (alpha - 1.0))).collect::<Vec<_>>();
    let mut one_tiny = pareto(3.0);
    one_tiny[0] = 1e-6;
    let mut giant = pareto(3.0);
    giant[n - 1] = 1e4;
    let clusters = (0..n).map(|i| 1.0 + (i * 4 / n) as f64).collect();
    vec![
        ("narrow", spread(0.3)),
        ("4 decades", spread(4.0)),
        ("7 decades", spread(7.0)),
        ("heavy tail", pareto(1.8)),
        ("light tail", pareto(6.0)),
        ("one tiny", one_tiny),
        ("one giant", giant),
        ("clusters", clusters),
    ]
}

#[test]
fn every_eigenvalue_is_within_its_stated_error() {
    for (n, long) in [(8, 8), (9, 31), (33, 33), (64, 200), (131, 131), (257, 300)] {
        for (name, singular_values) in spectra(n) {
            for transpose in [false, true] {
                let (rows, cols) = if transpose { (n, long) } else { (long, n) };
                let matrix = matrix_with_singular_values(rows, cols, &singular_values, n as u64);
                for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
                    for precision in [Precision::F64, Precision::F32] {
                        let Analysis { spectrum, precision, .. } = analyze(rows, cols, &matrix, rule, precision);
                        for (index, (&x, s)) in spectrum.values().iter().zip(&singular_values).enumerate() {
                            // The elements of the matrix are rounded themselves.
                            let stored = 16.0 * f64::EPSILON * singular_values[n - 1] / s;
                            let bound = spectrum.relative_error(index) + stored;
                            let error = (x - s * s).abs();
                            let case = format!("{name}, {rows} x {cols}, {rule}, {precision}, index {index}");
                            assert!(bound >= 1.0 || error <= bound * x, "{case}: {x:e} for {:e}", s * s);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn alpha_matches_the_exact_spectrum() {
    for (n, long) in [(40, 40), (131, 131), (131, 400), (300, 300)] {
        for (name, singular_values) in spectra(n) {
            if name == "clusters" {
                continue; // equal eigenvalues: alpha depends on which copy starts the tail
            }
            let squares: Vec<f64> = singular_values.iter().map(|s| s * s).collect();
            let exact = Spectrum::from_singular_values(&singular_values, squares.iter().sum(), f64::EPSILON).unwrap();
            let matrix = matrix_with_singular_values(long, n, &singular_values, 3);
            for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
                let Ok(expected) = fit(&exact, rule) else { continue };
                let analysis = analyze(long, n, &matrix, rule, Precision::F64);
                let got = analysis.fit.unwrap();
                let case = format!("{name}, {long} x {n}, {rule}, {}", analysis.precision);
                assert!((got.alpha / expected.alpha - 1.0).abs() < 1e-6, "{case}: {got:?} {expected:?}");
            }
        }
    }
}

/// The tolerance of `--precision auto`, on spectra that need f64 and on some for which f32 suffices.
#[test]
fn automatic_precision_keeps_its_tolerance() {
    let mut in_f32 = 0;
    for (n, long) in [(64, 64), (65, 200), (131, 132), (200, 600)] {
        let step = |i: usize| i as f64 / (n - 1) as f64;
        let decades = |decades: f64| (0..n).map(|i| 10.0_f64.powf(-decades * (1.0 - step(i)))).collect::<Vec<_>>();
        let mut hard = spectra(n);
        for (name, width) in [("1 decade", 1.0), ("2 decades", 2.0), ("8 decades", 8.0), ("16 decades", 16.0)] {
            hard.push((name, decades(width)));
        }
        let deficient = spectra(n)[3].1.iter().enumerate().map(|(i, &s)| if i < n / 8 { 0.0 } else { s }).collect();
        hard.push(("rank-deficient", deficient));
        hard.push(("ones", vec![1.0; n]));
        for (name, singular_values) in hard {
            let matrix = matrix_with_singular_values(long, n, &singular_values, 11);
            for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
                let tensor = |half: bool| {
                    if half { Tensor::bf16(&[long, n], &matrix) } else { Tensor::f32(&[long, n], &matrix) }
                };
                for half in [false, true] {
                    let exact = analyze_tensor(tensor(half), rule, Precision::F64);
                    let found = analyze_tensor(tensor(half), rule, Precision::Auto);
                    let case = format!("{name}, {long} x {n}, {rule}, {} for {}", found.precision, exact.precision);
                    match (&found.fit, &exact.fit) {
                        (Ok(found), Ok(exact)) => {
                            assert!((found.alpha - exact.alpha).abs() <= 1e-3, "{case}: {found:?} {exact:?}");
                        }
                        (found, exact) => assert_eq!(found, exact, "{case}"),
                    }
                    in_f32 += usize::from(found.precision == Arithmetic::F32);
                }
            }
        }
    }
    assert!(in_f32 > 20, "f32 sufficed for {in_f32}");
}

#[test]
fn the_reference_solver_keeps_the_tolerance() {
    let singular_values = &spectra(96)[4].1;
    for long in [96, 200] {
        let matrix = matrix_with_singular_values(long, 96, singular_values, 7);
        for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
            let alpha = |precision| {
                let device = Cpu::new(Some(1)).with_faer();
                let method = Method::new(rule).with_precision(precision);
                analyze_on(&device, method, Tensor::f32(&[long, 96], &matrix)).fit.unwrap().alpha
            };
            let (auto, exact) = (alpha(Precision::Auto), alpha(Precision::F64));
            assert!((auto - exact).abs() <= 1e-3, "{long} x 96, {rule}: {auto} {exact}");
        }
    }
}

/// Returns the element at a row and column.
type Pattern<'a> = &'a dyn Fn(usize, usize) -> f64;

/// The tolerance of `--precision auto` on patterns with various levels of noise. Rounding errors of a pattern are correlated.
#[test]
fn patterns_do_not_make_f32_overconfident() {
    let (mut rng, mut in_f32) = (fastrand::Rng::with_seed(1), [0, 0]);
    for (n, long) in [(516, 516), (300, 700)] {
        let noise: Vec<f64> = (0..n * long).map(|_| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0).collect();
        let patterns: [(&str, Pattern); 7] = [
            ("ones", &|_, _| 1.0),
            ("Hadamard", &|i, j| if (i & j).count_ones() % 2 == 0 { 1.0 } else { -1.0 }),
            ("sines", &|i, j| ((i * j) as f64 * 0.1).sin()),
            ("identity", &|i, j| f64::from(u8::from(i == j))),
            ("blocks", &|i, j| ((i / 32 + j / 32) % 5) as f64),
            ("int4", &|i, j| ((i * 7919 + j * 104_729) % 9973 % 16) as f64 - 7.5),
            ("Hilbert", &|i, j| 1.0 / (1.0 + i as f64 + j as f64)),
        ];
        for (name, pattern) in patterns {
            for level in [0.0, 1e-4, 1e-2, 0.1, 1.0, 3.0] {
                let values: Vec<f64> = (0..n * long).map(|k| pattern(k / n, k % n) + level * noise[k]).collect();
                let tensor = || Tensor::f32(&[long, n], &values);
                for rule in [Rule::Peak, Rule::Ks] {
                    let exact = analyze_tensor(tensor(), rule, Precision::F64);
                    let found = analyze_tensor(tensor(), rule, Precision::Auto);
                    let case = format!("{name}, noise {level}, {long} x {n}, {rule}, {}", found.precision);
                    // Hundreds of eigenvalues are equal here. Of equal ones only the first starts a tail, and rounding decides which
                    // of them are equal to the last bit.
                    let tied = name == "Hadamard" && level == 0.0;
                    match (&found.fit, &exact.fit) {
                        (Ok(_), Ok(_)) if tied => {}
                        (Ok(found), Ok(exact)) => {
                            assert!((found.alpha - exact.alpha).abs() <= 1e-3, "{case}: {found:?} {exact:?}");
                        }
                        (found, exact) => assert_eq!(found, exact, "{case}"),
                    }
                    in_f32[0] += usize::from(found.precision == Arithmetic::F32);
                    in_f32[1] += usize::from(found.precision == Arithmetic::F32Cholesky);
                }
            }
        }
    }
    assert!(in_f32[0] > 5 && in_f32[1] > 5, "f32 sufficed for {in_f32:?}");
}

/// The smallest eigenvalue, when f32 cannot resolve it and some of its neighbors.
#[test]
fn the_smallest_eigenvalue_is_accurate_beyond_f32() {
    let mut found = 0;
    for (n, long) in [(80, 80), (300, 301), (400, 1000)] {
        for tiny in [0.3_f64, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6] {
            // The second smallest is just above it, well above it, or one of several close together.
            for neighbors in [vec![1.01], vec![30.0], vec![1.2, 1.3, 1.5, 1.7, 2.0, 2.5], vec![1.0 + 1e-6]] {
                let mut singular_values: Vec<f64> =
                    (0..n).map(|k| (1.0 - (k as f64 + 0.5) / n as f64).powf(-0.25)).collect();
                singular_values[0] = tiny;
                for (s, factor) in singular_values[1..].iter_mut().zip(&neighbors) {
                    *s = (tiny * factor).min(0.9);
                }
                for (rows, cols) in [(long, n), (n, long)] {
                    let matrix = matrix_with_singular_values(rows, cols, &singular_values, 8);
                    let Analysis { spectrum, precision, .. } = analyze(rows, cols, &matrix, Rule::Peak, Precision::F32);
                    let stored = 16.0 * f64::EPSILON * singular_values[n - 1] / tiny;
                    let error = (spectrum.smallest() / (tiny * tiny) - 1.0).abs();
                    let bound = spectrum.relative_error(0) + 2.0 * stored + stored * stored;
                    let case = format!("{rows} x {cols}, {tiny:e}, {neighbors:?}, {precision}");
                    assert!(error <= bound, "{case}: {error:e}, {bound:e}");
                    assert!(spectrum.relative_error(0) < 1e-6, "{case}: {bound:e}");
                    found += usize::from(precision == Arithmetic::F32Cholesky);
                }
            }
        }
    }
    assert!(found > 80, "{found} of 144");
}

#[test]
fn scaling_by_powers_of_two_changes_nothing_but_the_scale() {
    let matrix = matrix_with_singular_values(48, 32, &spectra(32)[3].1, 5);
    let plain = analyze(48, 32, &matrix, Rule::Ks, Precision::F64);
    for exponent in [-400, -60, 7, 300] {
        let factor = 2.0_f64.powi(exponent);
        let scaled: Vec<f64> = matrix.iter().map(|x| x * factor).collect();
        let scaled = analyze(48, 32, &scaled, Rule::Ks, Precision::F64);
        let expected: Vec<f64> = plain.spectrum.values().iter().map(|x| x * factor * factor).collect();
        assert_eq!(scaled.spectrum.values(), expected);
        let (a, b) = (scaled.fit.unwrap().alpha, plain.fit.as_ref().unwrap().alpha);
        assert!((a / b - 1.0).abs() < 1e-11);
    }
}

#[test]
fn stacked_triangles_agree_with_one_block() {
    // With 64 columns, one step factorizes 16448 rows, so 40,000 rows take three steps.
    let mut singular_values: Vec<f64> = (0..64).map(|k| (1.0 - (k as f64 + 0.5) / 64.0).powf(-0.25)).collect();
    singular_values[0] = 1e-6;
    for (rows, cols) in [(40_000, 64), (64, 40_000), (64, 64)] {
        let matrix = matrix_with_singular_values(rows, cols, &singular_values, 8);
        let analysis = analyze(rows, cols, &matrix, Rule::Peak, Precision::F64);
        // A square matrix needs only the Gram matrix and products with W, no QR factorization.
        assert_eq!(analysis.precision, if rows == cols { Arithmetic::F64Cholesky } else { Arithmetic::F64Qr });
        assert!((analysis.spectrum.smallest() / 1e-12 - 1.0).abs() < 1e-7, "{:e}", analysis.spectrum.smallest());
    }
}

/// A spike raises the noise of the Gram matrix to just below the bulk. That affects every eigenvalue of the tail, not only
/// the smallest.
#[test]
fn a_bulk_just_above_the_noise_is_resolved() {
    for spike in [1e5, 1e6, 4e7] {
        let mut singular_values: Vec<f64> = (0..200).map(|k| (1.0 - (k as f64 + 0.5) / 200.0).powf(-0.25)).collect();
        singular_values[199] = spike;
        let squares: f64 = singular_values.iter().map(|s| s * s).sum();
        let exact = Spectrum::from_singular_values(&singular_values, squares, f64::EPSILON).unwrap();
        let matrix = matrix_with_singular_values(300, 200, &singular_values, 2);
        for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
            let expected = fit(&exact, rule).unwrap();
            let analysis = analyze(300, 200, &matrix, rule, Precision::F64);
            let got = analysis.fit.unwrap();
            assert!((got.alpha / expected.alpha - 1.0).abs() < 1e-6, "{spike:e} {rule} {}", analysis.precision);
        }
    }
}

#[test]
fn the_ks_rule_tries_every_start_however_small() {
    // Log-uniform over 20 decades of eigenvalues: the best xmin is far below the noise of a Gram matrix.
    let mut rng = fastrand::Rng::with_seed(3);
    let mut singular_values: Vec<f64> = (0..150).map(|_| 10.0_f64.powf(-10.0 * rng.f64())).collect();
    singular_values.sort_by(f64::total_cmp);
    let squares: f64 = singular_values.iter().map(|s| s * s).sum();
    let exact = Spectrum::from_singular_values(&singular_values, squares, f64::EPSILON).unwrap();
    let expected = fit(&exact, Rule::Ks).unwrap();
    let matrix = matrix_with_singular_values(220, 150, &singular_values, 2);
    let analysis = analyze(220, 150, &matrix, Rule::Ks, Precision::F64);
    assert_eq!(analysis.precision, Arithmetic::F64Svd);
    let got = analysis.fit.unwrap();
    assert_eq!(got.start, expected.start);
    assert!((got.alpha / expected.alpha - 1.0).abs() < 1e-6, "{got:?} {expected:?}");
}

/// Square matrices whose smallest eigenvalue ranges from well resolved by a Gram matrix to lost in its noise.
#[test]
fn the_smallest_eigenvalue_is_accurate_beyond_the_gram_matrix() {
    let mut corrected = 0;
    for n in [9, 64, 131, 300] {
        for (case, tiny) in [1e-4_f64, 1e-5, 1e-6, 1e-7, 3e-8, 1e-9, 1e-12].into_iter().enumerate() {
            // The second smallest is just above it, well above it, or also lost.
            for second in [1.01, 30.0, 3000.0] {
                let mut singular_values: Vec<f64> =
                    (0..n).map(|k| (1.0 - (k as f64 + 0.5) / n as f64).powf(-0.25)).collect();
                (singular_values[0], singular_values[1]) = (tiny, (tiny * second).min(0.9));
                let long = n + case % 3;
                for (rows, cols) in [(long, n), (n, long)] {
                    let matrix = matrix_with_singular_values(rows, cols, &singular_values, 8);
                    let Analysis { spectrum, precision, .. } = analyze(rows, cols, &matrix, Rule::Peak, Precision::F64);
                    let stored = 16.0 * f64::EPSILON * singular_values[n - 1] / tiny;
                    let error = (spectrum.smallest() / (tiny * tiny) - 1.0).abs();
                    let bound = spectrum.relative_error(0) + 2.0 * stored + stored * stored;
                    let case = format!("{rows} x {cols}, {tiny:e}, {second}, {precision}");
                    assert!(error <= bound, "{case}: {error:e}, {bound:e}");
                    if precision == Arithmetic::F64Cholesky {
                        assert!(spectrum.relative_error(0) < 1e-6, "{case}");
                        corrected += 1;
                    }
                }
            }
        }
    }
    assert!(corrected > 40, "{corrected}");
}

/// Asserts that alpha in f64 equals alpha of the exact spectrum.
#[track_caller]
fn assert_alpha_is_exact(eigenvalues: &[f64], rule: Rule) {
    let n = eigenvalues.len();
    let singular_values: Vec<f64> = eigenvalues.iter().map(|x| x.sqrt()).collect();
    let matrix = matrix_with_singular_values(n, n, &singular_values, n as u64);
    let found = analyze(n, n, &matrix, rule, Precision::F64).fit.unwrap();
    let exact = Spectrum::from_gram(eigenvalues.to_vec(), eigenvalues.iter().sum(), 0.0).unwrap();
    let expected = fit(&exact, rule).unwrap();
    assert!((found.alpha - expected.alpha).abs() < 1e-3, "{rule}: {found:?} {expected:?}");
}

/// A bin of low eigenvalues is about as full as a bin of the bulk, and a Gram matrix in f64 blurs the low ones by a few percent.
#[test]
fn blurred_eigenvalues_do_not_choose_the_bin_of_the_peak_rule() {
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..400 {
        let n = rng.usize(50..100);
        let decades = 13.5 + 0.8 * rng.f64();
        let low = (n as f64 * (0.2 + 0.1 * rng.f64())) as usize;
        let high = low - rng.usize(0..3);
        let (bin, slope) = (rng.usize(45..80) as f64, 0.3 + 0.7 * rng.f64());
        // Positions, in bins of the histogram of log10 x.
        let mut places = vec![0.0, 100.0];
        places.extend((1..low).map(|_| 0.02 + 0.97 * rng.f64()));
        places.extend((0..high).map(|_| bin + 0.1 + 0.8 * rng.f64()));
        while places.len() < n {
            let tail = -rng.f64().log10() / slope * 100.0 / decades;
            places.push((bin + 1.5 + tail).min(98.0));
        }
        places.sort_by(f64::total_cmp);
        let eigenvalues: Vec<f64> = places.iter().map(|place| 10.0_f64.powf(decades * (place / 100.0 - 1.0))).collect();
        assert_alpha_is_exact(&eigenvalues, Rule::Peak);
    }
}

/// Two values of xmin fit almost equally well. One is among eigenvalues that a Gram matrix in f64 blurs by a few percent.
#[test]
fn the_ks_rule_tries_blurred_starts() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut tried = 0;
    while tried < 300 {
        let n = rng.usize(10..26);
        let decades = 13.6 + 0.6 * rng.f64();
        let low = rng.usize(1..=n / 2);
        let (width, bulk, slope) = ([0.3, 1.0, 3.0][rng.usize(0..3)], 5.0 + 6.0 * rng.f64(), 0.3 + 2.2 * rng.f64());
        let mut places = vec![0.0, decades];
        places.extend((1..low).map(|_| width * rng.f64()));
        while places.len() < n {
            places.push((bulk - slope * rng.f64().ln()).min(decades));
        }
        places.sort_by(f64::total_cmp);
        let ln: Vec<f64> = places.iter().map(|place| (place - decades) * 10.0_f64.ln()).collect();
        let best = |starts: std::ops::Range<usize>| starts.map(|start| distance(&ln[start..])).fold(1.0, f64::min);
        if (best(0..low) - best(low..n - 1)).abs() < 2e-4 {
            tried += 1;
            assert_alpha_is_exact(&ln.iter().map(|ln| ln.exp()).collect::<Vec<_>>(), Rule::Ks);
        }
    }
}

/// Computes the KS distance D of a tail from the logarithms of its eigenvalues, by definition.
fn distance(ln: &[f64]) -> f64 {
    let n = ln.len() as f64;
    let excess = ln.iter().map(|x| x - ln[0]).sum::<f64>() / n;
    let difference = |(j, x): (usize, &f64)| (1.0 - ((ln[0] - x) / excess).exp() - j as f64 / n).abs();
    ln.iter().enumerate().map(difference).fold(0.0, f64::max)
}

/// A Hadamard matrix: its eigenvalues are equal or differ only in their last bits.
#[test]
fn a_matrix_without_a_spread_has_no_tail() {
    let element = |at: usize| if ((at / 128) & (at % 128)).count_ones().is_multiple_of(2) { 0.02 } else { -0.02 };
    let values: Vec<f64> = (0..128 * 128).map(element).collect();
    for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
        for tensor in [Tensor::bf16(&[128, 128], &values), Tensor::f64(&[128, 128], &values)] {
            let analysis = analyze_tensor(tensor, rule, Precision::Auto);
            assert_eq!(analysis.fit, Err(NoFit::NoTail), "{rule}");
        }
    }
}
