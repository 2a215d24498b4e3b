//! The device of a command, and opening it.

use crate::device::{self, Device, DeviceChoice, Opened, SolverChoice};
use crate::error::Result;

use crate::cli::printer::Printer;

#[derive(Debug, clap::Args)]
pub struct ThreadArgs {
    /// CPU cores, or lanes of each GPU; never changes results
    ///
    /// Changes speed and memory only. [default: all cores; on a GPU 4 lanes, or fewer if they need more than 60 % of its free
    /// memory or more than 20 GiB]
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
    /// auto, cpu, cuda, cuda:N or cuda:all
    ///
    /// auto uses the first NVIDIA GPU, or the CPU without a usable one. HTSR_DEVICE sets the default.
    #[arg(long, value_name = "DEVICE", default_value_t, env = "HTSR_DEVICE", hide_env = true)]
    pub device: DeviceChoice,
    /// Eigensolver
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
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

/// Opens a device, and prints what the user should know about it.
pub fn open_device(
    choice: DeviceChoice,
    solver: SolverChoice,
    lanes: Option<usize>,
    printer: Option<&Printer>,
) -> Result<Box<dyn Device>> {
    let Opened { device, note } = device::open(choice, solver, lanes)?;
    if let (Some(note), Some(printer)) = (note, printer) {
        printer.warning(&note, Some("`htsr doctor` lists what is missing; --device cpu selects the CPU"));
    }
    Ok(device)
}
