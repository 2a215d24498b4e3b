//! The hardware that computes spectra, behind one interface.
//!
//! A [`Device`] creates [`Lane`]s. A lane owns everything it needs (workspaces, handles, buffers), lives on one thread, and
//! turns batches of matrices of one shape into spectra and fits. Lanes never communicate with each other: concurrency comes
//! from having several. The [pipeline](crate::pipeline) knows nothing else about hardware.

mod arithmetic;
mod ceilings;
mod choice;
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod lanczos;
mod method;
mod open;
mod operators;
mod outcome;
mod refine;
mod roundoff;
mod scaling;
mod smallest_eigenvalue;

pub use arithmetic::Arithmetic;
pub use ceilings::Ceilings;
pub use choice::{DeviceChoice, Gpus, SolverChoice};
pub use cpu::Cpu;
use method::AUTO_TOLERANCE;
pub use method::{Method, Precision};
pub use open::{Opened, open};
pub use outcome::{Analysis, Failure, Outcome};
use roundoff::of_weights;
use scaling::{binary_exponent, power_of_two};

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrices::WeightMatrix;

/// Hardware that computes spectra.
pub trait Device: Sync {
    /// Its name, for the provenance. Two runs on devices of one name give the same bytes.
    fn name(&self) -> String;

    /// Its eigensolver, for the provenance.
    fn solver(&self) -> String;

    /// How many lanes can analyze these matrices by `method` at once, given the free memory; at least 1. Call before creating
    /// lanes.
    fn lanes(&self, method: Method, matrices: &[WeightMatrix]) -> usize;

    /// How many matrices of this shape a lane takes at once; at least 1.
    fn batch_size(&self, matrix: &WeightMatrix) -> usize;

    /// Creates a lane that analyzes any of these matrices by `method`, on the thread that will use it. `None` if there is no
    /// memory for one more lane.
    ///
    /// The method is given here and nowhere else, so that a row's label cannot differ from what was computed.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if the device fails, or has no memory for even one lane.
    fn lane<'a>(
        &'a self,
        method: Method,
        checkpoint: &'a Checkpoint,
        matrices: &[WeightMatrix],
    ) -> Result<Option<Box<dyn Lane + 'a>>>;

    /// Measures the peak rates of this hardware. Takes about a second.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if the device fails.
    fn ceilings(&self) -> Result<Ceilings>;
}

/// One worker of a device.
pub trait Lane {
    /// Analyzes matrices of one shape; returns one outcome for each, in the same order.
    ///
    /// # Errors
    ///
    /// [`Kind::Device`](crate::error::Kind::Device) if the device itself fails, which ends the run.
    fn analyze(&mut self, batch: &[&WeightMatrix]) -> Result<Vec<Outcome>>;
}
