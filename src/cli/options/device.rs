//! The device of a command, and opening it.

use std::env;

use crate::device::{self, Device, DeviceChoice, Opened, SolverChoice};
use crate::error::{Error, Result};
use crate::message::verbatim;

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

/// The environment variable with the default of `--device`.
const DEVICE_VARIABLE: &str = "HTSR_DEVICE";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceOption {
    /// auto, cpu, cuda, cuda:N or cuda:all [default: auto]
    ///
    /// auto uses the first NVIDIA GPU, or the CPU without a usable one. The environment variable HTSR_DEVICE sets another
    /// default.
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
}

impl DeviceOption {
    /// The device of the command line, else that of the environment, else the automatic choice.
    ///
    /// # Errors
    ///
    /// If the environment variable names no device.
    pub fn choice(&self) -> Result<DeviceChoice> {
        let stated = env::var_os(DEVICE_VARIABLE).filter(|stated| !stated.is_empty());
        match (self.device, stated) {
            (Some(device), _) => Ok(device),
            (None, None) => Ok(DeviceChoice::default()),
            (None, Some(stated)) => stated.to_string_lossy().parse().map_err(|error: String| {
                let (cause, hint) = error.split_once("\n\nhint: ").unwrap_or((&error, "use --device"));
                let stated = verbatim(&stated.to_string_lossy());
                Error::usage(format!("the environment variable {DEVICE_VARIABLE} is '{stated}': {cause}")).hint(hint)
            }),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    #[command(flatten)]
    pub device: DeviceOption,
    /// Eigensolver
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    pub solver: SolverChoice,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl DeviceArgs {
    /// Opens the device.
    pub fn open(&self, printer: &Printer) -> Result<Box<dyn Device>> {
        open_device(self.device.choice()?, self.solver, self.threads.count(), Some(printer))
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
