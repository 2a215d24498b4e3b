//! What `bench` measured.

use serde::Serialize;

use super::{Cell, Document, SCHEMA, Table, literal};
use crate::bench::Throughput;
use crate::checkpoint::FloatType;
use crate::device::{Ceilings, Precision};
use crate::fit::Rule;

/// The results of `bench`.
#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the numbers come from.
    pub provenance: BenchmarkProvenance,
    /// The peak rates of the device.
    pub ceilings: Ceilings,
    /// One row per combination: all for matrices, or all for models.
    pub rows: Vec<BenchmarkRow>,
}

/// Where the numbers of a benchmark come from.
#[derive(Debug, Clone, Serialize)]
pub struct BenchmarkProvenance {
    /// Version of `htsr`.
    pub version: &'static str,
    /// Its git commit, or `unknown`.
    pub commit: &'static str,
    /// The device.
    pub device: String,
    /// The options.
    pub options: BenchmarkOptions,
}

/// The options of a benchmark.
#[derive(Debug, Clone, Serialize)]
pub struct BenchmarkOptions {
    /// What was analyzed.
    #[serde(flatten)]
    pub work: WorkOptions,
    /// Precisions.
    pub precisions: Vec<Precision>,
    /// Eigensolvers.
    pub solvers: Vec<String>,
    /// Numbers of lanes; empty for the device's own.
    pub lanes: Vec<usize>,
    /// The fit rule.
    pub rule: Rule,
    /// The requested device.
    pub device: String,
    /// Timed runs of each combination.
    pub runs: usize,
}

/// The options that select what is analyzed.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum WorkOptions {
    /// Matrices of given sizes.
    Sizes {
        /// Their smaller dimensions.
        sizes: Vec<usize>,
        /// The larger dimension over the smaller one.
        aspect: f64,
        /// Their element types.
        dtypes: Vec<FloatType>,
        /// How many of each, if given.
        count: Option<usize>,
        /// Size up to which eigenvalues were checked.
        check_up_to: usize,
    },
    /// A whole model.
    Model {
        /// Its name.
        model: String,
        /// The maximum number of layers, if given.
        layers: Option<usize>,
    },
}

/// One combination.
#[derive(Debug, Clone, Serialize)]
pub struct BenchmarkRow {
    /// What was analyzed.
    #[serde(flatten)]
    pub work: Work,
    /// Element type of the weights.
    pub dtype: FloatType,
    /// The requested precision.
    pub precision: Precision,
    /// The requested solver.
    pub solver: String,
    /// The solver that the device used.
    pub eigensolver: String,
    /// Lanes at work.
    pub lanes: usize,
    /// Times and rates.
    #[serde(flatten)]
    pub throughput: Throughput,
    /// Largest |x - x_f64| / x_max over the eigenvalues of the first matrix, where x_f64 are those of faer on the CPU in f64.
    /// Null if not requested.
    pub error: Option<f64>,
}

/// What was analyzed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Work {
    /// Matrices of one shape.
    Matrices {
        /// Outer dimension.
        rows: usize,
        /// Inner dimension.
        cols: usize,
    },
    /// The projection matrices of a model.
    Model {
        /// Its name.
        model: String,
        /// Number of layers.
        layers: usize,
        /// Number of weights in these matrices.
        parameters: u64,
    },
}

impl Benchmark {
    /// Joins the measurements.
    pub fn new(device: String, options: BenchmarkOptions, ceilings: Ceilings, rows: Vec<BenchmarkRow>) -> Benchmark {
        let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("HTSR_COMMIT"));
        let provenance = BenchmarkProvenance { version, commit, device, options };
        Benchmark { schema: SCHEMA, provenance, ceilings, rows }
    }

    /// The results with one row per combination.
    pub fn document(&self) -> Document<'_, Benchmark> {
        // All rows have the same columns.
        let columns =
            |row: &BenchmarkRow| self.columns(row).into_iter().map(|(name, shown, _)| (name, shown)).collect();
        let cells = |row| self.columns(row).into_iter().map(|(_, _, cell)| cell).collect();
        let table = Table {
            columns: self.rows.first().map(columns).unwrap_or_default(),
            rows: self.rows.iter().map(cells).collect(),
        };
        Document { table, footer: literal(self.footer()), json: self }
    }

    /// The name of each column, whether tables for people show it, and its cell in this row.
    fn columns(&self, row: &BenchmarkRow) -> Vec<(&'static str, bool, Cell)> {
        let BenchmarkRow { work, dtype, precision, solver, eigensolver, lanes, throughput, error } = row;
        let text = |text: &dyn ToString| Cell::Text(text.to_string());
        let whole = |number: usize| Cell::Whole(number as u64);
        let times = |number: f64| Cell::Real(number, 4);
        let share = |number: f64| Cell::Real(number, 3);
        let is_model = matches!(work, Work::Model { .. });
        let mut columns = match work {
            Work::Matrices { rows, cols } => vec![
                ("size", true, Cell::Text(format!("{rows} x {cols}"))),
                ("rows", false, whole(*rows)),
                ("cols", false, whole(*cols)),
                ("dtype", true, text(dtype)),
            ],
            Work::Model { model, layers, parameters } => vec![
                ("model", true, text(model)),
                ("layers", true, whole(*layers)),
                ("matrices", true, whole(throughput.matrices)),
                ("parameters", true, Cell::Whole(*parameters)),
                ("bytes", true, Cell::Whole(throughput.bytes)),
                ("dtype", false, text(dtype)),
            ],
        };
        columns.extend([
            ("precision", true, text(precision)),
            ("solver", true, text(solver)),
            ("eigensolver", false, text(eigensolver)),
            ("lanes", true, whole(*lanes)),
        ]);
        if !is_model {
            columns.push(("matrices", true, whole(throughput.matrices)));
        }
        columns.extend([
            ("seconds", true, times(throughput.seconds)),
            ("seconds_min", false, times(throughput.seconds_min)),
            ("seconds_max", false, times(throughput.seconds_max)),
            ("matrices_per_s", true, times(throughput.matrices_per_s)),
            ("gb_per_s", is_model, times(throughput.gb_per_s)),
            ("gflops", true, times(throughput.gflops)),
            ("peak_share", true, Cell::optional(throughput.peak_share, share)),
        ]);
        if !is_model {
            columns.push(("error", true, Cell::optional(*error, |error| Cell::Real(error, 2))));
        }
        columns.extend([
            ("ended_in", true, text(&throughput.ended_in())),
            ("failed", true, whole(throughput.failed)),
            ("rule", false, text(&self.provenance.options.rule)),
            ("device", false, text(&self.provenance.device)),
            ("version", false, text(&self.provenance.version)),
            ("commit", false, text(&self.provenance.commit)),
        ]);
        columns
    }

    fn footer(&self) -> Vec<(&'static str, String)> {
        let Ceilings { measured_with, copy, copy_gb_per_s, gemm_f32_gflops, gemm_f64_gflops, gemm_bf16_gflops } =
            &self.ceilings;
        let BenchmarkProvenance { version, commit, device, options } = &self.provenance;
        let bf16 = gemm_bf16_gflops.map_or(String::new(), |gflops| format!(", bf16 into f32 {gflops:.0}"));
        let mut footer = vec![
            ("copy", format!("{copy_gb_per_s:.1} GB/s at best, {copy}, {measured_with}")),
            (
                "gemm",
                format!("f32 {gemm_f32_gflops:.0}, f64 {gemm_f64_gflops:.0}{bf16} GFLOP/s at best, {measured_with}"),
            ),
            ("gflops", "Gram matrix and tridiagonalization; refinements are not counted".into()),
            ("peak_share", "gflops divided by the gemm rate in the precision of the result".into()),
        ];
        match self.provenance.options.work {
            WorkOptions::Sizes { check_up_to, .. } => {
                if check_up_to > 0 {
                    let error = "largest |x - x_f64| / x_max of the first matrix, with x_f64 by faer on the CPU in f64";
                    footer.push(("error", format!("{error}; sizes up to {check_up_to}")));
                }
                footer.push(("weights", "random, in the page cache: this measures computation, not the disk".into()));
            }
            WorkOptions::Model { .. } => footer.push((
                "weights",
                "random; all layers share the bytes of one, which stay in the page cache: this measures computation, not \
                 the disk"
                    .into(),
            )),
        }
        let mut solvers: Vec<String> =
            self.rows.iter().map(|row| format!("{} is {}", row.solver, row.eigensolver)).collect();
        solvers.sort();
        solvers.dedup();
        footer.push(("solver", solvers.join("; ")));
        footer.push(("measured", format!("{} rule on {device}", options.rule)));
        footer.push(("made by", format!("htsr {version} ({commit})")));
        footer
    }
}
