//! The factorizations from which single eigenvalues are refined in f64.

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{ColMut, MatMut, Par};

use super::eigen::{self, Tiles, cholesky};
use super::products::WeightProducts;
use super::simd::Level;
use super::workspace::Workspace;
use super::{faer_solver, qr};
use crate::device::Failure;
use crate::device::operators::{Factorizations, InverseGram, Triangle};

/// The factorizations of a scaled matrix, in the buffers of a workspace.
pub(super) struct CpuFactorizations<'a, 'v> {
    pub products: WeightProducts<'a, 'v>,
    pub workspace: &'a mut Workspace<f64>,
}

impl<'a, 'v> Factorizations for CpuFactorizations<'a, 'v> {
    type Error = Failure;
    type Cholesky<'t>
        = CpuCholesky<'t>
    where
        Self: 't;
    type Triangle<'t>
        = CpuTriangle<'t>
    where
        Self: 't;
    type Products<'t>
        = WeightProducts<'a, 'v>
    where
        Self: 't;

    fn cholesky(&mut self) -> Result<Option<(CpuCholesky<'_>, WeightProducts<'a, 'v>)>, Failure> {
        let Workspace { gram_copy, block, has_gram_copy, .. } = &mut *self.workspace;
        if !std::mem::take(has_gram_copy) {
            return Ok(None);
        }
        let WeightProducts { view, level, workers, .. } = self.products;
        let n = view.short();
        let mut factor = Tiles::of(n, gram_copy.get(eigen::tile_elements(n))?);
        let workspace = block.get(cholesky::workspace_elements(n))?;
        let is_positive = cholesky::factorize(&mut factor, workspace, level, workers);
        Ok(is_positive.then_some((CpuCholesky { factor, level }, self.products)))
    }

    fn qr(&mut self) -> Result<CpuTriangle<'_>, Failure> {
        let Workspace { square, block, .. } = &mut *self.workspace;
        Ok(CpuTriangle(qr::triangle(self.products.view, self.products.scale, square, block)?))
    }
}

/// L with L L^T = W^T W.
pub(super) struct CpuCholesky<'a> {
    factor: Tiles<'a, f64>,
    level: Level,
}

impl InverseGram for CpuCholesky<'_> {
    type Error = Failure;

    fn order(&self) -> usize {
        self.factor.order()
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Failure> {
        cholesky::solve(&mut self.factor, x, self.level);
        Ok(())
    }
}

/// An upper triangle; elements below its diagonal are ignored.
pub(super) struct CpuTriangle<'a>(MatMut<'a, f64>);

impl InverseGram for CpuTriangle<'_> {
    type Error = Failure;

    fn order(&self) -> usize {
        self.0.ncols()
    }

    fn apply_inverse_gram(&mut self, x: &mut [f64]) -> Result<(), Failure> {
        let mut x = ColMut::from_slice_mut(x).as_mat_mut();
        solve_lower_triangular_in_place(self.0.as_ref().transpose(), x.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(self.0.as_ref(), x, Par::Seq);
        Ok(())
    }
}

impl Triangle for CpuTriangle<'_> {
    fn singular_values(self) -> Result<Vec<f64>, Failure> {
        faer_solver::singular_values(self.0)
    }
}
