//! When the eigenvalues of a Gram matrix are not enough for the rule, and what is computed instead: the same decisions on
//! every device.

use super::corrected::{Known, Others, Products, smallest_eigenvalue};
use super::lanczos::Smallest;
use super::{AUTO_TOLERANCE, Arithmetic, Failure, lanczos};
use crate::fit::{NoFit, Rule, fit, is_certain};
use crate::spectrum::Spectrum;

/// Relative error of alpha, by its bound, above which a fit in f64 is redone from singular values.
const ALPHA_TOLERANCE: f64 = 1e-8;

/// The factorisations of a matrix W in f64, made where it is fastest.
///
/// Both give a triangle T with T^T T or T T^T equal to W^T W. That of a QR factorisation has the singular values of W, each
/// within a few epsilon of the largest; that of a Gram matrix, which is cheaper, loses their squares below epsilon of the
/// largest.
pub(super) trait Factors: Sized {
    /// What the device fails with: a [`Failure`] of this matrix, or something graver.
    type Error: From<Failure>;
    /// A triangle from a Gram matrix.
    type Cholesky<'t>: InverseGram<Error = Self::Error>
    where
        Self: 't;
    /// Products with W.
    type Products<'t>: Products<Error: Into<Self::Error>>
    where
        Self: 't;
    /// A triangle from W itself.
    type Triangle<'t>: Triangle<Error = Self::Error>
    where
        Self: 't;

    /// Factorises the Gram matrix. `None` if it is not positive definite, or was not kept.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn cholesky(&mut self) -> Result<Option<CholeskyAndProducts<'_, Self>>, Self::Error>;

    /// Factorises W.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn qr(&mut self) -> Result<Self::Triangle<'_>, Self::Error>;
}

/// A triangle from a Gram matrix, and products with W, whose columns are in the order of the triangle's.
type CholeskyAndProducts<'t, F> = (<F as Factors>::Cholesky<'t>, <F as Factors>::Products<'t>);

/// Something that can be solved for.
pub(super) trait InverseGram {
    /// As of [`Factors`].
    type Error;

    /// Number of rows and columns.
    fn order(&self) -> usize;

    /// Replaces x by (W^T W)^-1 x, which is not finite if W is singular.
    ///
    /// # Errors
    ///
    /// If the device fails.
    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Self::Error>;
}

/// The triangle R of W = QR.
pub(super) trait Triangle: InverseGram {
    /// All singular values, in any order. R is lost.
    ///
    /// # Errors
    ///
    /// If the device fails, or the solver does not converge.
    fn singular_values(self) -> Result<Vec<f64>, Self::Error>;
}

/// Computes again, from W itself, what a Gram matrix in f64 gives too coarsely for the rule.
///
/// Returns the better spectrum, and the arithmetic.
pub(super) fn in_f64<F: Factors>(
    rule: Rule,
    spectrum: Spectrum,
    factors: &mut F,
) -> Result<(Spectrum, Arithmetic), F::Error> {
    let needs_smallest = needs_smallest(rule, &spectrum);
    if !needs_smallest && !needs_all(rule, &spectrum) {
        return Ok((spectrum, Arithmetic::F64));
    }
    if needs_smallest
        && let Some(corrected) = with_corrected_smallest(&spectrum, factors)?
        && !self::needs_smallest(rule, &corrected)
        && !needs_all(rule, &corrected)
    {
        return Ok((corrected, Arithmetic::F64Cholesky));
    }
    let mut triangle = factors.qr()?;
    if needs_smallest && let Some(Smallest { singular_value, .. }) = smallest_singular_value(&mut triangle)? {
        let refined = spectrum.clone().with_smallest(singular_value, f64::EPSILON, lanczos::RELATIVE_ERROR);
        // If even the smallest singular value is zero within rounding, no other matters to the peak rule.
        if refined.relative_error(0) >= 1.0 || !needs_all(rule, &refined) {
            return Ok((refined, Arithmetic::F64Qr));
        }
    }
    let singular_values = triangle.singular_values()?;
    let spectrum = Spectrum::from_singular_values(&singular_values, spectrum.trace(), f64::EPSILON);
    Ok((spectrum.map_err(Failure::from)?, Arithmetic::F64Svd))
}

/// Gives the peak rule the smallest eigenvalue that f32 loses. With that one alone, it gave alpha to 8e-6 on 210 matrices of
/// a real model, and was wrong by up to 5 on 45 of them without it.
///
/// Returns the better spectrum, and the arithmetic.
pub(super) fn in_f32<F: Factors>(
    rule: Rule,
    spectrum: Spectrum,
    factors: &mut F,
) -> Result<(Spectrum, Arithmetic), F::Error> {
    if !needs_smallest(rule, &spectrum) {
        return Ok((spectrum, Arithmetic::F32));
    }
    if let Some((mut triangle, products)) = factors.cholesky()?
        && let Some(smallest) = smallest_singular_value(&mut triangle)?
    {
        let refined =
            spectrum.clone().with_smallest_of_gram(smallest.singular_value, f64::EPSILON, lanczos::RELATIVE_ERROR);
        if !self::needs_smallest(rule, &refined) {
            return Ok((refined, Arithmetic::F32Cholesky));
        }
        // f32 has lost the next eigenvalues, too; the iteration that found the smallest has seen the second.
        let Smallest { vector, next_eigenvalue, .. } = smallest;
        let largest = spectrum.largest() + spectrum.accuracy().eta;
        let others = Others { next: next_eigenvalue - Spectrum::gram_error(f64::EPSILON) * largest, largest };
        if let Some(known) = smallest_eigenvalue(vector, others, &mut triangle, &products)? {
            let known = Known { relative_error: known.relative_error + lanczos::RELATIVE_ERROR, ..known };
            let corrected = known.put_into(spectrum.clone());
            if !self::needs_smallest(rule, &corrected) {
                return Ok((corrected, Arithmetic::F32Cholesky));
            }
        }
    }
    let mut triangle = factors.qr()?;
    let smallest = match smallest_singular_value(&mut triangle)? {
        Some(Smallest { singular_value, .. }) => singular_value,
        None => triangle.singular_values()?.into_iter().fold(f64::INFINITY, f64::min),
    };
    Ok((spectrum.with_smallest(smallest, f64::EPSILON, lanczos::RELATIVE_ERROR), Arithmetic::F32Qr))
}

/// Whether the rule needs the smallest eigenvalue better than this.
pub(super) fn needs_smallest(rule: Rule, spectrum: &Spectrum) -> bool {
    rule == Rule::Peak && spectrum.relative_error(0) > Rule::PEAK_TOLERANCE
}

/// The spectrum with its smallest eigenvalue from the Gram matrix and products with W; `None` where that does not work.
fn with_corrected_smallest<F: Factors>(spectrum: &Spectrum, factors: &mut F) -> Result<Option<Spectrum>, F::Error> {
    // What the smallest eigenvalue must be told from.
    let next = spectrum.values().get(1).map_or(f64::INFINITY, |x| x * (1.0 - spectrum.relative_error(1)));
    if next.is_nan() || next <= 0.0 {
        return Ok(None);
    }
    let Some((mut gram, products)) = factors.cholesky()? else { return Ok(None) };
    let Some(Smallest { vector, .. }) = smallest_singular_value(&mut gram)? else { return Ok(None) };
    let known = smallest_eigenvalue(vector, Others { next, largest: spectrum.largest() }, &mut gram, &products)?;
    Ok(known.map(|known| known.put_into(spectrum.clone())))
}

fn smallest_singular_value<T: InverseGram>(triangle: &mut T) -> Result<Option<Smallest>, T::Error> {
    lanczos::smallest_singular_value(triangle.order(), |x| triangle.apply_inverse_gram(x))
}

/// Whether the rule needs more than the smallest eigenvalue better than a Gram matrix in f64 gives it.
fn needs_all(rule: Rule, spectrum: &Spectrum) -> bool {
    // Starts that rounding hides cannot be candidates, and the best may be among them: of the ks rule all, of the peak rule
    // the smallest. Those that it blurs count in bins and in D, and may move the choice.
    let found = fit(spectrum, rule);
    let is_coarse = |index: usize| found.is_ok() && spectrum.relative_error(index) > Rule::PEAK_TOLERANCE;
    let is_open = || found.is_ok() && !is_certain(spectrum, rule, &found, AUTO_TOLERANCE);
    let hidden = match rule {
        Rule::Peak => spectrum.relative_error(0) < 1.0 && (spectrum.first_known() > 1 || is_coarse(1) && is_open()),
        Rule::Median => false,
        // Its peak is one of the bulk, unless the spectrum is so wide that a bin reaches down to the noise.
        Rule::PeakRobust => is_open(),
        Rule::Ks => spectrum.first_known() > 0 || is_coarse(0) && is_open(),
    };
    hidden
        || match found {
            Ok(fit) => fit.alpha_error(spectrum) > ALPHA_TOLERANCE * fit.alpha,
            Err(NoFit::Unresolved) => true,
            Err(NoFit::RankDeficient { .. }) => rule != Rule::Peak,
            Err(_) => false,
        }
}
