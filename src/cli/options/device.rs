//! Which device a command uses, and opening it.

use crate::device::{self, Device, DeviceChoice, Opened, SolverChoice};
use crate::error::Result;

use crate::cli::printer::Printer;

#[derive(Debug, clap::Args)]
pub struct ThreadArgs {
    /// Cores to use, each for one matrix and then to help with others, or lanes of a GPU; changes speed and memory, never
    /// results [default: all cores, or 4 lanes of each GPU, or as many as fit in 60 % of
    /// its free memory, and in 20 GiB]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl ThreadArgs {
    pub fn count(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// auto, cpu, cuda, cuda:N or cuda:all; auto takes the first NVIDIA GPU if it can be used
    #[arg(long, value_name = "DEVICE", default_value_t, env = "HTSR_DEVICE", hide_env_values = true)]
    pub device: DeviceChoice,
    /// How eigenvalues are found
    #[arg(long, value_enum, default_value_t)]
    pub solver: SolverChoice,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl DeviceArgs {
    /// Opens the device.
    pub fn open(&self, printer: &Printer) -> Result<Box<dyn Device>> {
        open_device(self.device, self.solver, self.threads.count(), Some(printer))
    }
}

/// Opens a device, and tells what the user should know of it.
pub fn open_device(
    choice: DeviceChoice,
    solver: SolverChoice,
    lanes: Option<usize>,
    printer: Option<&Printer>,
) -> Result<Box<dyn Device>> {
    let Opened { device, note } = device::open(choice, solver, lanes)?;
    if let (Some(note), Some(printer)) = (note, printer) {
        printer.warning(&note, Some("`htsr doctor` says what was looked for; --device cpu asks for the CPU"));
    }
    Ok(device)
}
