//! Uncertainty of alpha: its standard error, and whether a power law is plausible at all. `docs/error-bars.md` has the
//! definitions, the costs and the coverage.
//!
//! Both are simulated with a seed. Each matrix has its own stream of random numbers (by its name) and is simulated on
//! one thread, so the results are the same for any number of threads.

mod goodness;
pub(crate) mod lone_elements;
pub(crate) mod positions;
mod random;
mod repulsion;
mod simulation;
pub(crate) mod standard_error;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

pub(crate) use goodness::goodness_of_fit;
pub(crate) use lone_elements::check_elements;
pub(crate) use positions::Positions;
pub(crate) use standard_error::standard_error;

/// What is simulated for every matrix, and the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Simulations {
    /// Simulated spectra for the standard error of alpha; `None` for no standard error.
    pub standard_error: Option<u32>,
    /// Simulated spectra for the goodness of fit; `None` for none.
    pub goodness: Option<u32>,
    /// The seed of all random numbers.
    pub seed: u64,
}

impl Simulations {
    /// Computes the standard error of alpha from this many simulated spectra.
    pub fn with_standard_error(self, draws: u32) -> Simulations {
        Simulations { standard_error: Some(draws), ..self }
    }

    /// Computes the goodness of fit from this many simulated spectra.
    pub fn with_goodness(self, draws: u32) -> Simulations {
        Simulations { goodness: Some(draws), ..self }
    }

    /// Sets the seed of all random numbers.
    pub fn with_seed(self, seed: u64) -> Simulations {
        Simulations { seed, ..self }
    }

    /// True if nothing is simulated.
    pub fn is_none(&self) -> bool {
        self.standard_error.is_none() && self.goodness.is_none()
    }
}

/// Simulated positions of eigenvalues by shape, shared by all matrices of a shape.
#[derive(Debug)]
pub(crate) struct PositionsCache {
    simulations: Simulations,
    by_shape: Mutex<HashMap<(usize, usize), SharedPositions>>,
}

/// Filled by the first thread that needs it; other threads wait for it.
type SharedPositions = Arc<OnceLock<Arc<Positions>>>;

impl PositionsCache {
    /// An empty cache.
    pub fn new(simulations: Simulations) -> PositionsCache {
        PositionsCache { simulations, by_shape: Mutex::default() }
    }

    /// The simulations that the cache serves.
    pub fn simulations(&self) -> Simulations {
        self.simulations
    }

    /// `draws` sets of positions for `short` eigenvalues of matrices whose other dimension is `long`.
    pub fn positions(&self, short: usize, long: usize, draws: u32) -> Arc<Positions> {
        let shared = {
            let mut by_shape = self.by_shape.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            Arc::clone(by_shape.entry((short, long)).or_default())
        };
        Arc::clone(shared.get_or_init(|| Arc::new(Positions::simulate(short, long, draws, self.simulations.seed))))
    }
}
