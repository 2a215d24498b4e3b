//! All eigenvalues of the Gram matrices of a batch, by any solver path.

use super::gram::GramSummary;
use super::sys::error::Result;
use super::sys::scalar::Scalar;
use super::sys::solver::SolverPath;
use super::tridiagonal::tridiagonalize;
use super::workspace::{Buffers, Workspace};
use crate::device::cuda::sys::memory::DeviceMemory;
use crate::device::{Failure, binary_exponent};

/// The eigenvalues of a matrix of a batch, by its number.
pub type Eigenvalues = (usize, Result<Vec<f64>, Failure>);

/// The eigenvalues of those Gram matrices of order n that are `solvable`. All Gram matrices are destroyed.
pub fn eigenvalues<T: Scalar>(
    workspace: &mut Workspace,
    path: SolverPath,
    n: usize,
    summaries: &[GramSummary],
    solvable: &[bool],
) -> Result<Vec<Eigenvalues>> {
    if !solvable.contains(&true) {
        return Ok(Vec::new());
    }
    let count = solvable.len();
    let Workspace { buffers, stream, .. } = &*workspace;
    let gram = buffers.gram.first::<T>(count * n * n);
    for index in (0..count).filter(|&index| !solvable[index]) {
        // It may contain infinities, which make cuSOLVER fail for the whole batch.
        stream.clear(gram.chunk(index, n * n))?;
    }
    stream.clear(buffers.status.first::<i32>(count))?;
    let values = match path {
        SolverPath::Batched | SolverPath::Syevd | SolverPath::SyevdTwoStage => {
            by_cusolver::<T>(workspace, path, n, solvable)?
        }
        SolverPath::Sytrd | SolverPath::TwoStage => {
            tridiagonal_matrices::<T>(workspace, path, n, summaries, solvable)?;
            by_bisection::<T>(workspace, [n, count])?
        }
    };
    let status = workspace.stream.download(workspace.buffers.status.first::<i32>(count))?;
    let answer = |(values, &status): (&[f64], &i32)| match status {
        0 => Ok(values.to_vec()),
        _ => Err(Failure::Solver(format!("cuSOLVER reports {status} eigenvalues that did not converge"))),
    };
    let answers = values.chunks(n).zip(&status).map(answer).enumerate();
    Ok(answers.filter(|&(index, _)| solvable[index]).collect())
}

/// The eigenvalues of all matrices; unspecified for those that are not solvable.
fn by_cusolver<T: Scalar>(
    workspace: &mut Workspace,
    path: SolverPath,
    n: usize,
    solvable: &[bool],
) -> Result<Vec<f64>> {
    let count = solvable.len();
    let Workspace { solver, buffers, stream, .. } = workspace;
    let gram = buffers.gram.first::<T>(count * n * n);
    let (values, status) = (buffers.values.first::<T>(count * n), buffers.status.first::<i32>(count));
    if path == SolverPath::Batched {
        solver.syev_batched([n, count], gram, values, status)?;
    } else {
        for index in (0..count).filter(|&index| solvable[index]) {
            solver.syevd(path, gram.chunk(index, n * n), values.chunk(index, n), status.chunk(index, 1))?;
        }
    }
    Ok(stream.download(values)?.into_iter().map(Into::into).collect())
}

/// Reduces all solvable matrices to tridiagonal form.
fn tridiagonal_matrices<T: Scalar>(
    workspace: &mut Workspace,
    path: SolverPath,
    n: usize,
    summaries: &[GramSummary],
    solvable: &[bool],
) -> Result<()> {
    let count = solvable.len();
    for vector in [&workspace.buffers.diagonal, &workspace.buffers.subdiagonal] {
        // For the matrices that are left out.
        workspace.stream.clear(vector.first::<T>(count * n))?;
    }
    for index in (0..count).filter(|&index| solvable[index]) {
        if path == SolverPath::Sytrd {
            let Workspace { solver, buffers, .. } = &mut *workspace;
            let Buffers { gram, diagonal, subdiagonal, vector, status, .. }: &Buffers<DeviceMemory> = buffers;
            solver.sytrd::<T>(
                gram.all().chunk(index, n * n),
                diagonal.all().chunk(index, n),
                subdiagonal.all().chunk(index, n),
                vector.first(n),
                status.all().chunk(index, 1),
            )?;
        } else {
            let Buffers { gram, diagonal, subdiagonal, .. } = &workspace.buffers;
            // No element of a Gram matrix is larger than its trace.
            let exponent = binary_exponent(summaries[index].trace);
            let result = [diagonal, subdiagonal].map(|vector| vector.all::<T>().chunk(index, n));
            tridiagonalize(workspace, n, exponent, gram.all().chunk(index, n * n), result)?;
        }
    }
    Ok(())
}

/// The eigenvalues of all tridiagonal matrices.
fn by_bisection<T: Scalar>(workspace: &Workspace, [n, count]: [usize; 2]) -> Result<Vec<f64>> {
    let Workspace { kernels, buffers, stream, .. } = workspace;
    let offsets = buffers.offsets.first(count + 1);
    stream.upload(offsets, &spectrum_offsets(n, count))?;
    let tridiagonal = [&buffers.diagonal, &buffers.subdiagonal].map(|vector| vector.first::<T>(count * n));
    let values = buffers.values.first(count * n);
    kernels.sturm(stream, [n, count], tridiagonal, (offsets, buffers.intervals.first(count)), values)?;
    stream.download(values)
}

/// Where each of `count` spectra of n values begins, and where the last ends.
pub fn spectrum_offsets(n: usize, count: usize) -> Vec<u64> {
    (0..=count).map(|index| (index * n) as u64).collect()
}
