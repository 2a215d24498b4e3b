//! Analyzes one matrix after the other, each in the precision that it needs.

use super::factorizations::CpuFactorizations;
use super::magnitudes::{Magnitudes, magnitudes};
use super::precision::{is_promising, starts_in_f32};
use super::scaled_matrix::ScaledMatrix;
use super::thread_pool::{CoreReservation, Workers};
use super::workspace::Workspace;
use super::{Cpu, Solver};
use crate::checkpoint::{MatrixView, Scan};
use crate::device::{
    AUTO_TOLERANCE, Analysis, Arithmetic, Failure, Method, Outcome, Precision, binary_exponent, of_weights, refine,
};
use crate::fit::{MIN_EIGENVALUES, Rule, fit, is_certain};
use crate::spectrum::Spectrum;

/// Analyzes matrices, on one core that it reserves and any others that are free.
pub(super) struct Analyzer<'a> {
    cpu: &'a Cpu,
    method: Method,
    _core: CoreReservation<'a>,
    double: Workspace<f64>,
    single: Workspace<f32>,
}

impl<'a> Analyzer<'a> {
    pub fn new(cpu: &'a Cpu, method: Method) -> Analyzer<'a> {
        let (single, double) = (Workspace::default(), Workspace::default());
        Analyzer { cpu, method, _core: cpu.pool.reserve_core(), double, single }
    }

    /// The spectrum and fit of the matrix in `view`.
    pub fn analyze(&mut self, view: &MatrixView) -> Outcome {
        let workers = self.cpu.pool.start_solve();
        self.analyze_with(view, &workers)
    }

    fn analyze_with(&mut self, view: &MatrixView, workers: &Workers) -> Outcome {
        if view.short() < MIN_EIGENVALUES {
            return Err(Failure::TooFewEigenvalues(view.short()));
        }
        let Magnitudes { largest, column_order } = magnitudes(view, self.cpu.level, workers);
        if !largest.is_finite()
            && let Scan::NonFinite { row, col } = view.scan()
        {
            return Err(Failure::NonFinite { row, col, cast: self.method.cast });
        }
        if largest == 0.0 {
            return Err(Failure::AllZero);
        }
        let exponent = binary_exponent(largest);
        let (cpu, method, column_order) = (self.cpu, self.method, &column_order[..]);
        let matrix = ScaledMatrix { view, exponent, column_order, cpu, method, workers };
        match self.method.precision {
            Precision::F32 => self.analyze_in_f32(&matrix),
            Precision::F64 => {
                let spectrum = self.double.gram_spectrum(&matrix)?;
                self.refine_in_f64(&matrix, spectrum, Arithmetic::F64)
            }
            Precision::Auto => self.analyze_as_needed(&matrix),
        }
    }

    fn analyze_in_f32(&mut self, matrix: &ScaledMatrix) -> Outcome {
        let spectrum = self.single.gram_spectrum(matrix)?;
        if let Some(smallest) = self.single.smallest_eigenvalue(matrix, &spectrum)? {
            return fitted(matrix, smallest.replace_smallest(spectrum), Arithmetic::F32Cholesky);
        }
        let mut factorizations = CpuFactorizations { products: matrix.products(), workspace: &mut self.double };
        let (spectrum, arithmetic) = refine::in_f32(self.method.rule, spectrum, &mut factorizations)?;
        fitted(matrix, spectrum, arithmetic)
    }

    /// Refines a spectrum from a Gram matrix in f64, as far as the rule needs it.
    fn refine_in_f64(&mut self, matrix: &ScaledMatrix, spectrum: Spectrum, arithmetic: Arithmetic) -> Outcome {
        let mut factorizations = CpuFactorizations { products: matrix.products(), workspace: &mut self.double };
        let (spectrum, refined) = refine::in_f64(self.method.rule, spectrum, &mut factorizations)?;
        fitted(matrix, spectrum, arithmetic.max(refined))
    }

    /// Tries f32, then f64, then factorizations of W, until alpha is certain within [`AUTO_TOLERANCE`].
    fn analyze_as_needed(&mut self, matrix: &ScaledMatrix) -> Outcome {
        let rule = self.method.rule;
        let is_enough = |outcome: &Outcome| {
            outcome.as_ref().is_ok_and(|analysis| is_certain(&analysis.spectrum, rule, &analysis.fit, AUTO_TOLERANCE))
        };
        let mut smallest = None;
        if let Some(spectrum) = self.promising_in_f32(matrix)? {
            let outcome = fitted(matrix, spectrum.clone(), Arithmetic::F32);
            if is_enough(&outcome) {
                return outcome;
            }
            if spectrum.first_known() > 0 || refine::needs_smallest(rule, &spectrum) {
                smallest = self.single.smallest_eigenvalue(matrix, &spectrum)?;
            }
            if let Some(smallest) = smallest {
                let outcome = fitted(matrix, smallest.replace_smallest(spectrum), Arithmetic::F32Cholesky);
                if is_enough(&outcome) {
                    return outcome;
                }
            }
        }
        let spectrum = self.double.gram_spectrum(matrix)?;
        let (spectrum, arithmetic) = match smallest {
            Some(smallest) => (smallest.replace_smallest(spectrum), Arithmetic::F64Cholesky),
            None => (spectrum, Arithmetic::F64),
        };
        let outcome = fitted(matrix, spectrum.clone(), arithmetic);
        if is_enough(&outcome) {
            return outcome;
        }
        self.refine_in_f64(matrix, spectrum, arithmetic)
    }

    /// The spectrum in f32, if it is likely to be precise enough.
    fn promising_in_f32(&mut self, matrix: &ScaledMatrix) -> Result<Option<Spectrum>, Failure> {
        let (view, rule, solver) = (matrix.view, self.method.rule, self.cpu.solver);
        if !starts_in_f32(view, rule, solver) {
            return Ok(None);
        }
        let trace = self.single.form_gram(matrix)?;
        if solver == Solver::TwoStage && rule != Rule::Median {
            let spread = self.single.spread(matrix, trace)?;
            if !is_promising(view, rule, spread) {
                return Ok(None);
            }
        }
        match self.single.solve(matrix, trace) {
            Ok(spectrum) => Ok(Some(spectrum)),
            // f32 may fail where f64 does not.
            Err(Failure::Solver(_) | Failure::OutOfRange) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// The analysis of W, given the spectrum of the scaled matrix.
fn fitted(matrix: &ScaledMatrix, spectrum: Spectrum, precision: Arithmetic) -> Outcome {
    let spectrum = of_weights(spectrum.scaled(matrix.exponent), matrix.view);
    if !(spectrum.trace().is_normal() && spectrum.largest().is_normal()) {
        return Err(Failure::OutOfRange);
    }
    Ok(Analysis { fit: fit(&spectrum, matrix.method.rule), spectrum, precision })
}
