//! Opens the device that the user chose.

use super::cpu::{Cpu, Level};
use super::{Device, DeviceChoice, Gpus, SolverChoice};
use crate::error::{Error, Result};

/// An opened device.
#[non_exhaustive]
pub struct Opened {
    /// The device.
    pub device: Box<dyn Device>,
    /// Why `auto` fell back to the CPU, for the user.
    pub note: Option<String>,
}

/// Opens a device. `lanes` sets the number of lanes (per GPU); by default the cores and the free memory limit it.
///
/// # Errors
///
/// [`Kind::Device`](crate::error::Kind::Device) if the requested GPU cannot be used,
/// [`Kind::Usage`](crate::error::Kind::Usage) if the device does not support the solver.
pub fn open(choice: DeviceChoice, solver: SolverChoice, lanes: Option<usize>) -> Result<Opened> {
    let cpu = |note| {
        let device = Cpu::new(lanes).with_level(Level::from_environment()?);
        let device = match solver {
            SolverChoice::Auto | SolverChoice::TwoStage => device,
            SolverChoice::Faer => device.with_faer(),
            SolverChoice::Syevd | SolverChoice::SyevdTwoStage | SolverChoice::Sytrd | SolverChoice::Batched => {
                let error = Error::usage("this solver is cuSOLVER's, but the device is the CPU");
                return Err(error.hint("use §device=cuda, or another solver"));
            }
        };
        Ok(Opened { device: Box::new(device), note })
    };
    match choice {
        DeviceChoice::Cpu => cpu(None),
        DeviceChoice::Cuda(gpus) => Ok(Opened { device: gpu(gpus, solver, lanes)?, note: None }),
        DeviceChoice::Auto if !has_driver() => cpu(None),
        DeviceChoice::Auto => match gpu(Gpus::One(0), solver, lanes) {
            Ok(device) => Ok(Opened { device, note: None }),
            Err(error) => cpu(Some(format!("using the CPU: {}", error.cause))),
        },
    }
}

#[cfg(feature = "cuda")]
fn gpu(gpus: Gpus, solver: SolverChoice, lanes: Option<usize>) -> Result<Box<dyn Device>> {
    Ok(Box::new(super::cuda::Cuda::open(gpus, solver, lanes)?))
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: Gpus, _: SolverChoice, _: Option<usize>) -> Result<Box<dyn Device>> {
    Err(Error::device("this htsr was built without its GPU engine")
        .hint("build it with the feature `cuda`, the default"))
}

/// Whether the machine seems to have a GPU.
fn has_driver() -> bool {
    #[cfg(feature = "cuda")]
    return super::cuda::has_driver();
    #[cfg(not(feature = "cuda"))]
    false
}
