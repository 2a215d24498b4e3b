//! What the versions of cuSOLVER have.

use cudarc::cusolver::sys as solver;
use cudarc::cusolver::sys::cusolverStatus_t as E;
use fakecuda::{FOLDER, OLD_FOLDER};

use super::{LOWER, TOLERANCE, check_close, syevd, symmetric};
use crate::support::{Gpu, in_child_with};

#[test]
fn versions_differ() {
    let two_stage = |params| unsafe {
        use solver::{cusolverAlgMode_t::CUSOLVER_ALG_2, cusolverDnFunction_t::CUSOLVERDN_SYEVD};
        solver::cusolverDnSetAdvOptions(params, CUSOLVERDN_SYEVD, CUSOLVER_ALG_2)
    };
    let version = || {
        let mut version = 0;
        unsafe { solver::cusolverGetVersion(&mut version).result().unwrap() };
        version
    };
    let has_batched = || unsafe { solver::culib().get::<*const ()>(b"cusolverDnXsyevBatched").is_ok() };
    if let Some(outcome) = in_child_with(FOLDER, &[("CASE", "new")], || {
        let gpu = Gpu::new();
        assert_eq!((version(), has_batched()), (12304, true));
        let (matrix, expected) = symmetric(5, 30, LOWER);
        two_stage(gpu.params).result().unwrap();
        check_close(&syevd::<f64>(&gpu, &matrix, 30, 31, LOWER).0, &expected, TOLERANCE * f64::EPSILON);
    }) {
        outcome.expect_pass();
    }
    if let Some(outcome) = in_child_with(FOLDER, &[("FAKECUDA_CUSOLVER_VERSION", "11701")], || {
        assert_eq!(version(), 11701);
        assert_eq!(two_stage(Gpu::new().params), E::CUSOLVER_STATUS_NOT_SUPPORTED);
    }) {
        outcome.expect_pass();
    }
    if let Some(outcome) = in_child_with(OLD_FOLDER, &[("CASE", "old")], || {
        assert_eq!((version(), has_batched()), (11600, false));
        assert_eq!(two_stage(Gpu::new().params), E::CUSOLVER_STATUS_NOT_SUPPORTED);
    }) {
        outcome.expect_pass();
    }
}
