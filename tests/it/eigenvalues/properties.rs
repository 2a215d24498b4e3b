//! The sums of the eigenvalues and of their squares, on random matrices whose elements span many decades.

use htsr::internals::{Level, Real};
use proptest::prelude::*;

use super::matrices::{dot, singles, symmetric};
use super::{REPETITIVE, largest, solve};

/// The lower triangle of a matrix. Elements span `decades` in both directions, and some are zero.
fn lower_triangle(decades: f64) -> impl Strategy<Value = Vec<f64>> {
    let element = (-1.0_f64..1.0, -decades..decades, 0..4_u8)
        .prop_map(|(x, exponent, kind)| if kind == 0 { 0.0 } else { x * 10.0_f64.powf(exponent) });
    (1_usize..=40).prop_flat_map(move |n| prop::collection::vec(element.clone(), n * (n + 1) / 2))
}

fn from_lower_triangle(elements: &[f64]) -> Vec<f64> {
    let n = ((8 * elements.len() + 1).isqrt() - 1) / 2;
    let mut elements = elements.iter();
    symmetric(n, |_, _| *elements.next().unwrap())
}

/// The sum of the eigenvalues is the trace. The sum of their squares is the squared Frobenius norm.
fn keeps_trace_and_norm<T: Real>(matrix: &[T], level: Level, threads: usize) -> Result<(), TestCaseError> {
    let n = matrix.len().isqrt();
    let values = solve(matrix, level, threads);
    prop_assert!(values.is_sorted());
    let elements: Vec<f64> = matrix.iter().map(|&x| x.into()).collect();
    let trace: f64 = elements.iter().step_by(n + 1).sum();
    let norm = largest(&values);
    let slack = n as f64 * REPETITIVE.of::<T>();
    let error = (values.iter().sum::<f64>() - trace).abs();
    prop_assert!(error <= slack * norm, "trace {trace:e}: error {error:e} for a norm of {norm:e}");
    let (square, sum) = (dot(&elements, &elements), dot(&values, &values));
    let error = (sum - square).abs();
    prop_assert!(error <= 2.0 * slack * norm * norm, "squared norm {square:e}: error {error:e} for {:e}", norm * norm);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn eigenvalues_keep_trace_and_norm(
        elements in prop_oneof![lower_triangle(0.5), lower_triangle(5.0), lower_triangle(60.0)],
        threads in 1_usize..=3,
    ) {
        for level in Level::all() {
            keeps_trace_and_norm(&from_lower_triangle(&elements), level, threads)?;
        }
    }

    #[test]
    fn eigenvalues_in_f32_keep_trace_and_norm(
        elements in prop_oneof![lower_triangle(0.5), lower_triangle(5.0), lower_triangle(15.0)],
        threads in 1_usize..=3,
    ) {
        for level in Level::all() {
            keeps_trace_and_norm(&singles(&from_lower_triangle(&elements)), level, threads)?;
        }
    }
}
