//! Dense solvers of the library faer: the singular values of a triangle, for refinement, and the reference eigensolver, against
//! which htsr's own solver is tested.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::tridiag;
use faer::linalg::svd::{ComputeSvdVectors, SvdError, svd, svd_scratch};
use faer::traits::RealField;
use faer::{Mat, MatMut, Par};

use super::{qr, sturm};
use crate::device::Failure;

/// All eigenvalues of a symmetric matrix, ascending, given its lower half, which is overwritten.
///
/// Householder tridiagonalization in place, in the precision of the matrix, then bisection in f64. Both are backward
/// stable, so every eigenvalue has an absolute error of a few epsilon times the largest (Golub and Van Loan, section 8.3).
///
/// # Errors
///
/// [`Failure::OutOfMemory`], or [`Failure::Solver`] if the matrix is not finite.
pub(super) fn eigenvalues<T: RealField + Copy + Into<f64>>(mut matrix: MatMut<'_, T>) -> Result<Vec<f64>, Failure> {
    let n = matrix.nrows();
    let mut scratch = buffer(tridiag::tridiag_in_place_scratch::<T>(n, Par::Seq, Default::default()))?;
    // Only eigenvectors would need whole blocks of reflectors; one row suffices for eigenvalues.
    let mut reflectors = Mat::<T>::zeros(1, n - 1);
    let stack = MemStack::new(&mut scratch);
    tridiag::tridiag_in_place(matrix.as_mut(), reflectors.as_mut(), Par::Seq, stack, Default::default());

    let diagonal: Vec<f64> = (0..n).map(|i| matrix[(i, i)].into()).collect();
    let subdiagonal: Vec<f64> = (1..n).map(|i| matrix[(i, i - 1)].into()).collect();
    if diagonal.iter().chain(&subdiagonal).any(|entry| !entry.is_finite()) {
        return Err(Failure::Solver("the tridiagonalization gave NaN or infinity".into()));
    }
    Ok(sturm::eigenvalues(&diagonal, &subdiagonal))
}

/// All singular values of an upper triangular matrix, descending. Elements below its diagonal are ignored and overwritten.
///
/// The absolute error of each is a few epsilon times the largest, so small ones are far more precise than square roots of
/// eigenvalues of a Gram matrix.
///
/// # Errors
///
/// [`Failure::OutOfMemory`], or [`Failure::Solver`] if faer does not converge or loses a singular value.
pub(super) fn singular_values(mut triangle: MatMut<'_, f64>) -> Result<Vec<f64>, Failure> {
    let n = triangle.ncols();
    let mut scratch = buffer(singular_values_scratch(n))?;
    qr::clear_below_diagonal(triangle.as_mut());
    let triangle = triangle.as_ref();
    let trace = triangle.squared_norm_l2();
    // On permuted diagonals over many decades faer loses singular values in about one case of a hundred, but then not for the
    // transpose. The sum of squares detects it.
    for matrix in [triangle, triangle.transpose()] {
        let mut values = Diag::<f64>::zeros(n);
        let stack = MemStack::new(&mut scratch);
        if let Err(SvdError::NoConvergence) =
            svd(matrix, values.as_mut(), None, None, Par::Seq, stack, Default::default())
        {
            continue;
        }
        let values: Vec<f64> = values.column_vector().iter().copied().collect();
        let sum: f64 = values.iter().map(|value| value * value).sum();
        if (sum - trace).abs() <= 1e-12 * trace {
            return Ok(values);
        }
    }
    Err(Failure::Solver("the singular values do not converge".into()))
}

/// Bytes that [`singular_values`] allocates for an n x n triangle.
pub(super) fn singular_values_bytes(n: usize) -> u64 {
    singular_values_scratch(n).size_bytes() as u64
}

fn singular_values_scratch(n: usize) -> StackReq {
    let no = ComputeSvdVectors::No;
    svd_scratch::<f64>(n, n, no, no, Par::Seq, Default::default())
}

fn buffer(request: StackReq) -> Result<MemBuffer, Failure> {
    MemBuffer::try_new(request).map_err(|_| Failure::OutOfMemory { bytes: request.size_bytes() as u64 })
}
