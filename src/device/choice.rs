//! Which device the user wants, and how it is opened.

use std::fmt;
use std::str::FromStr;

use super::Device;
use super::cpu::{Cpu, Level};
use crate::error::{Error, Result};

/// A device, as it is asked for: `auto`, `cpu`, `cuda`, `cuda:N` or `cuda:all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The first GPU if there is one that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs, and nothing else.
    Cuda(Gpus),
}

/// Which GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpus {
    /// The one with this number.
    One(usize),
    /// All that there are.
    All,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match (text, number) {
            ("auto", _) => Ok(Choice::Auto),
            ("cpu", _) => Ok(Choice::Cpu),
            ("cuda", _) => Ok(Choice::Cuda(Gpus::One(0))),
            ("cuda:all", _) => Ok(Choice::Cuda(Gpus::All)),
            (_, Some(number)) => Ok(Choice::Cuda(Gpus::One(number))),
            _ => Err("not a device\n\nhint: auto, cpu, cuda, cuda:1 (the second GPU) or cuda:all".into()),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(Gpus::One(number)) => write!(f, "cuda:{number}"),
            Choice::Cuda(Gpus::All) => f.write_str("cuda:all"),
        }
    }
}

/// A way to the eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum SolverChoice {
    /// On the CPU `two-stage`; on a GPU too, above n = 1024, and `batched` up to that where cuSOLVER has it.
    #[default]
    Auto,
    /// cuSOLVER's Xsyevd.
    Syevd,
    /// Our own, by way of a band matrix, then bisection.
    TwoStage,
    /// cuSOLVER's Xsyevd by way of a band matrix (cuSOLVER 12.3.4 and later).
    SyevdTwoStage,
    /// cuSOLVER's sytrd, then bisection on the GPU.
    Sytrd,
    /// cuSOLVER's XsyevBatched, many matrices of one shape at once (cuSOLVER 11.7.1 and later).
    Batched,
    /// The library faer's tridiagonalisation, then bisection, on the CPU: the oracle.
    Faer,
}

impl fmt::Display for SolverChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SolverChoice::Auto => "auto",
            SolverChoice::Syevd => "syevd",
            SolverChoice::TwoStage => "two-stage",
            SolverChoice::SyevdTwoStage => "syevd-two-stage",
            SolverChoice::Sytrd => "sytrd",
            SolverChoice::Batched => "batched",
            SolverChoice::Faer => "faer",
        })
    }
}

/// An opened device.
pub struct Opened {
    /// The device.
    pub device: Box<dyn Device>,
    /// What the user should know of how `auto` was settled.
    pub note: Option<String>,
}

/// Opens the device that was chosen, with so many lanes (for each GPU) if that is said.
///
/// # Errors
///
/// [`Kind::Device`](crate::error::Kind::Device) if a GPU that was asked for cannot be used,
/// [`Kind::Usage`](crate::error::Kind::Usage) if the device has not what was asked for.
pub fn open(choice: Choice, solver: SolverChoice, lanes: Option<usize>) -> Result<Opened> {
    let cpu = |note| {
        let device = Cpu::new(lanes).with_level(Level::from_environment()?);
        let device = match solver {
            SolverChoice::Auto | SolverChoice::TwoStage => device,
            SolverChoice::Faer => device.with_faer(),
            SolverChoice::Syevd | SolverChoice::SyevdTwoStage | SolverChoice::Sytrd | SolverChoice::Batched => {
                let error = Error::usage("this solver is cuSOLVER's, and the device is the CPU");
                return Err(error.hint("say --device cuda, or choose another solver"));
            }
        };
        Ok(Opened { device: Box::new(device), note })
    };
    match choice {
        Choice::Cpu => cpu(None),
        Choice::Cuda(gpus) => Ok(Opened { device: gpu(gpus, solver, lanes)?, note: None }),
        Choice::Auto if !has_driver() => cpu(None),
        Choice::Auto => match gpu(Gpus::One(0), solver, lanes) {
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

/// Whether a machine looks as if it had a GPU.
fn has_driver() -> bool {
    #[cfg(feature = "cuda")]
    return super::cuda::has_driver();
    #[cfg(not(feature = "cuda"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "cuda:all"] {
            assert_eq!(name.parse::<Choice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(Gpus::One(0))));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(name.parse::<Choice>().is_err(), "{name}");
        }
    }
}
