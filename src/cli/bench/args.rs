//! The arguments of `htsr bench`.

use std::path::PathBuf;

use crate::bench::PublishedModel;
use crate::checkpoint::FloatType;
use crate::device::{Precision, SolverChoice};
use crate::fit::{MIN_EIGENVALUES, Rule};

use crate::cli::options::{DeviceOption, FitRuleParser};
use crate::cli::output::OutputArgs;

/// Largest accepted size.
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
    /// Timed runs of each combination
    ///
    /// [default: 3 after a warm-up run; with --model 1 without warm-up]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Timing")]
    pub runs: Option<u16>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Matrices")]
pub struct SizeArgs {
    /// Numbers of columns, which equal the numbers of eigenvalues
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "512,1024,2048", value_parser = size)]
    #[arg(conflicts_with = "model")]
    pub sizes: Vec<usize>,
    /// Rows per column
    #[arg(long, value_name = "RATIO", default_value_t = 1.0, value_parser = aspect)]
    #[arg(conflicts_with = "model")]
    pub aspect: f64,
    /// Element types of the weights
    #[arg(long, alias = "dtype", value_enum, value_name = "LIST", value_delimiter = ',', default_value = "bf16")]
    #[arg(conflicts_with = "model")]
    pub dtypes: Vec<FloatType>,
    /// Matrices of each size [default: about four per lane, fewer if large]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    #[arg(conflicts_with = "model")]
    #[arg(hide_short_help = true)]
    pub count: Option<u32>,
    /// Largest size that is checked against the reference solver
    ///
    /// The reference solver is faer, on the CPU in f64. 0 checks nothing.
    #[arg(long, value_name = "SIZE", default_value_t = 2048, conflicts_with = "model")]
    #[arg(hide_short_help = true)]
    pub check_up_to: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Time all projection matrices of a model of this shape
    ///
    /// Generates random weights for one layer (up to 2.8 GB on disk) and uses them for every layer.
    #[arg(long, value_enum, value_name = "MODEL")]
    pub model: Option<PublishedModel>,
    /// Use only the first N layers
    #[arg(long, value_name = "N", requires = "model", value_parser = clap::value_parser!(u32).range(1..))]
    pub layers: Option<u32>,
    /// Keep the weights in this new folder
    #[arg(long, value_name = "DIR", requires = "model")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
pub struct EngineArgs {
    #[command(flatten)]
    pub device: DeviceOption,
    // The aliases are the options of `score`, which shared errors name.
    /// Arithmetic of the spectra
    #[arg(long, alias = "precision", value_enum, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    pub precisions: Vec<Precision>,
    /// Eigensolvers of a GPU
    #[arg(long, alias = "solver", value_enum, value_name = "LIST", value_delimiter = ',', default_value = "auto")]
    #[arg(hide_short_help = true)]
    pub solvers: Vec<SolverChoice>,
    /// Numbers of matrices, or batches of them, to analyze at once
    ///
    /// On GPUs, the number for each of them. [default: all cores; on a GPU 4, or fewer if memory is short]
    #[arg(long, alias = "threads", value_name = "LIST", value_delimiter = ',', value_parser = lanes)]
    pub lanes: Vec<usize>,
    /// Fit rule: peak, peak-robust, median or ks
    ///
    /// The rule determines which eigenvalues are refined.
    #[arg(long, default_value_t, value_parser = FitRuleParser, hide_possible_values = true)]
    #[arg(hide_short_help = true)]
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
