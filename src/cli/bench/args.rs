//! What can be typed after `htsr bench`.

use std::path::PathBuf;

use crate::bench::PublishedModel;
use crate::checkpoint::FloatType;
use crate::device::{DeviceChoice, Precision, SolverChoice};
use crate::fit::{MIN_EIGENVALUES, Rule};

use crate::cli::output::OutputArgs;

/// Largest size that can be asked for.
const MAX_SIZE: usize = 65536;
const MAX_ASPECT: f64 = 1000.0;

#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub sizes: SizeArgs,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub engines: EngineArgs,
    /// Timed runs of each combination [default: 3 after one to warm up; 1 without with --model]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Timing")]
    pub runs: Option<u16>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Matrices")]
pub struct SizeArgs {
    /// Numbers of columns, which are the numbers of eigenvalues
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "512,1024,2048", value_parser = size)]
    #[arg(conflicts_with = "model")]
    pub sizes: Vec<usize>,
    /// Rows for each column
    #[arg(long, value_name = "RATIO", default_value_t = 1.0, value_parser = aspect, allow_negative_numbers = true)]
    #[arg(conflicts_with = "model")]
    pub aspect: f64,
    /// Element types of the weights
    #[arg(long, alias = "dtype", value_enum, value_name = "LIST", value_delimiter = ',', default_value = "bf16")]
    #[arg(conflicts_with = "model")]
    pub dtypes: Vec<FloatType>,
    /// Matrices of each size [default: about four for each lane, fewer of large ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    #[arg(conflicts_with = "model")]
    pub count: Option<u32>,
    /// Largest size whose eigenvalues are compared with those of the CPU in f64 by faer; 0 for none
    #[arg(long, value_name = "SIZE", default_value_t = 2048, conflicts_with = "model")]
    pub check_up_to: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Time all projection matrices of a model of this shape instead, with random weights: those of one layer are
    /// generated (up to 2.8 GB on disk) and stand for every layer
    #[arg(long, value_enum, value_name = "MODEL")]
    pub model: Option<PublishedModel>,
    /// Only so many of its layers
    #[arg(long, value_name = "N", requires = "model", value_parser = clap::value_parser!(u32).range(1..))]
    pub layers: Option<u32>,
    /// Write the weights into this folder, which must not exist yet, and keep them
    #[arg(long, value_name = "DIR", requires = "model")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct EngineArgs {
    /// auto, cpu, cuda, cuda:N or cuda:all; auto takes the first NVIDIA GPU if it can be used
    #[arg(long, value_name = "DEVICE", default_value_t, env = "HTSR_DEVICE", hide_env_values = true)]
    pub device: DeviceChoice,
    // Aliases: errors that all commands share name the options of `score`.
    /// Arithmetics of the spectra
    #[arg(long, alias = "precision", value_enum, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    pub precisions: Vec<Precision>,
    /// How a GPU finds eigenvalues
    #[arg(long, alias = "solver", value_enum, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    pub solvers: Vec<SolverChoice>,
    /// Numbers of matrices, or of batches of them, that are analysed at once (for each GPU) [default: all cores, or 4 for
    /// each GPU, as far as memory allows]
    #[arg(long, alias = "threads", value_name = "LIST", value_delimiter = ',', value_parser = lanes)]
    pub lanes: Vec<usize>,
    /// How the start of the power-law tail is chosen, which decides what is refined
    #[arg(long, value_enum, default_value_t)]
    pub rule: Rule,
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (MIN_EIGENVALUES..=MAX_SIZE).contains(&size) => Ok(size),
        _ => Err(format!(
            "not a whole number from {MIN_EIGENVALUES}, the fewest eigenvalues of a fit, to {MAX_SIZE}\n\n\
             hint: --sizes 512,1024,2048"
        )),
    }
}

fn aspect(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(aspect) if (1.0..=MAX_ASPECT).contains(&aspect) => Ok(aspect),
        _ => Err(format!(
            "not a number from 1 to {MAX_ASPECT}\n\n\
             hint: --aspect 3.5 makes 3584 x 1024 matrices for --sizes 1024; a matrix and its transpose take the same time"
        )),
    }
}

fn lanes(text: &str) -> Result<usize, String> {
    match text.parse::<u16>() {
        Ok(lanes) if lanes > 0 => Ok(lanes.into()),
        _ => Err(format!("not a whole number from 1 to {}\n\nhint: --lanes 1,2,4", u16::MAX)),
    }
}
