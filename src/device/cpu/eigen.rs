//! The dense solver, behind two functions. Nothing outside this file knows which library does the work.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::{EvdError, tridiag, tridiagonal_self_adjoint_evd};
use faer::linalg::svd::{ComputeSvdVectors, SvdError, svd, svd_scratch};
use faer::linalg::temp_mat_scratch;
use faer::traits::RealField;
use faer::{Mat, MatMut, MatRef, Par};

use crate::device::Failure;

/// All eigenvalues of a symmetric matrix, given its lower half, which is destroyed.
///
/// Householder tridiagonalisation in place, then the implicit QR algorithm: backward stable, so every eigenvalue has an
/// absolute error of a few epsilon times the largest (Golub and Van Loan, section 8.3).
pub(super) fn eigenvalues<T: RealField>(mut matrix: MatMut<'_, T>) -> Result<Vec<T>, Failure> {
    let n = matrix.nrows();
    let mut scratch = buffer(StackReq::any_of(&[
        tridiag::tridiag_in_place_scratch::<T>(n, Par::Seq, Default::default()),
        temp_mat_scratch::<T>(n, 1).array(2),
    ]))?;
    // Blocks of reflectors would serve eigenvectors; one row suffices for the values.
    let mut reflectors = Mat::<T>::zeros(1, n.saturating_sub(1));
    let stack = MemStack::new(&mut scratch);
    tridiag::tridiag_in_place(matrix.as_mut(), reflectors.as_mut(), Par::Seq, stack, Default::default());

    let mut diagonal = Diag::<T>::zeros(n);
    let mut subdiagonal = Diag::<T>::zeros(n);
    for i in 0..n {
        diagonal[i] = matrix[(i, i)].clone();
        if i + 1 < n {
            subdiagonal[i] = matrix[(i + 1, i)].clone();
        }
    }
    let mut values = Diag::<T>::zeros(n);
    tridiagonal_self_adjoint_evd(
        diagonal.as_ref(),
        subdiagonal.as_ref(),
        values.as_mut(),
        None,
        Par::Seq,
        stack,
        Default::default(),
    )
    .map_err(|EvdError::NoConvergence| no_convergence())?;
    Ok(values.column_vector().iter().cloned().collect())
}

/// All singular values of an upper triangular matrix, descending; what lies below its diagonal is ignored.
///
/// The absolute error of each is a few epsilon times the largest, so that small ones are known far better than as square
/// roots of eigenvalues of a Gram matrix.
pub(super) fn singular_values(triangle: MatRef<'_, f64>) -> Result<Vec<f64>, Failure> {
    let n = triangle.ncols();
    let no = ComputeSvdVectors::No;
    let mut scratch = buffer(svd_scratch::<f64>(n, n, no, no, Par::Seq, Default::default()))?;
    let upper = Mat::from_fn(n, n, |i, j| if i <= j { triangle[(i, j)] } else { 0.0 });
    let mut values = Diag::<f64>::zeros(n);
    svd(upper.as_ref(), values.as_mut(), None, None, Par::Seq, MemStack::new(&mut scratch), Default::default())
        .map_err(|SvdError::NoConvergence| no_convergence())?;
    Ok(values.column_vector().iter().copied().collect())
}

fn buffer(request: StackReq) -> Result<MemBuffer, Failure> {
    MemBuffer::try_new(request).map_err(|_| Failure::OutOfMemory { bytes: request.size_bytes() as u64 })
}

fn no_convergence() -> Failure {
    Failure::Solver("the QR iteration did not converge".into())
}
