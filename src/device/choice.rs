//! Which device and which solver the user wants.

use std::fmt;
use std::str::FromStr;

/// A device as the user names it: `auto`, `cpu`, `cuda`, `cuda:N` or `cuda:all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The first GPU if one is usable, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs only.
    Cuda(Gpus),
}

/// Which GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gpus {
    /// The GPU with this number.
    One(usize),
    /// All GPUs of the machine.
    All,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
        let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match (text, number) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda(Gpus::One(0))),
            ("cuda:all", _) => Ok(DeviceChoice::Cuda(Gpus::All)),
            (_, Some(number)) => Ok(DeviceChoice::Cuda(Gpus::One(number))),
            _ => Err("not a device\n\nhint: auto, cpu, cuda, cuda:1 (the second GPU) or cuda:all".into()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(Gpus::One(number)) => write!(f, "cuda:{number}"),
            DeviceChoice::Cuda(Gpus::All) => f.write_str("cuda:all"),
        }
    }
}

/// An eigensolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum SolverChoice {
    /// `two-stage`; on a GPU `batched` up to n = 1024 if cuSOLVER supports it.
    #[default]
    Auto,
    /// cuSOLVER's Xsyevd.
    Syevd,
    /// htsr's own: reduction to a band matrix, then to tridiagonal form, then bisection.
    TwoStage,
    /// cuSOLVER's Xsyevd in two stages (cuSOLVER 12.3.4 and later).
    SyevdTwoStage,
    /// cuSOLVER's sytrd, then bisection on the GPU.
    Sytrd,
    /// cuSOLVER's XsyevBatched: many matrices of one shape at once (cuSOLVER 11.7.1 and later).
    Batched,
    /// The reference solver, on the CPU: tridiagonalization by the library faer, then bisection.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "cuda:all"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(Gpus::One(0))));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(name.parse::<DeviceChoice>().is_err(), "{name}");
        }
    }
}
