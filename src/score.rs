//! Scores: one row per matrix and one alpha per layer, from the fits.

mod summary;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Dtype;
use crate::device::{Failure, Method, Outcome};
use crate::fit::{Fit, NoFit, Rule, is_certain};
use crate::matrices::{Update, WeightMatrix};
use crate::metrics::Measured;
use crate::spectrum::Spectrum;
pub use summary::{GroupSummary, RoleSummary, Spread, Summary};

/// Bound on the error of alpha above which a row has a note: the agreement among published codes.
const ALPHA_ERROR: f64 = 1e-3;

/// Whether a matrix has an alpha.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// The matrix has an alpha.
    Ok,
    /// The matrix has no alpha: `reason` says why, and the mean of its layer excludes it.
    Failed,
}

/// Windows of a matrix whose eigenvalues were pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WindowSet {
    /// Number of windows.
    pub count: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub cols: usize,
}

impl WindowSet {
    /// Number of pooled eigenvalues.
    pub fn eigenvalues(&self) -> usize {
        self.count * self.rows.min(self.cols)
    }
}

impl fmt::Display for WindowSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}x{}", self.count, self.rows, self.cols)
    }
}

/// The floor of a matrix's stored format, and what is on either side of it. All are missing where the floor is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FloorScore {
    /// The largest eigenvalue that rounding to the stored format explains, or the one that was chosen. Missing if all eigenvalues
    /// are far above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// Number of eigenvalues below the floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_floor: Option<usize>,
    /// Number of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_above_floor: Option<usize>,
    /// Of an update W - W_base: the share of elements that are the same in both, of those in rows and columns with any change and not
    /// zero in both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<f64>,
}

/// One scored matrix: a row of the results (schema 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MatrixScore {
    /// Full name of the tensor, or of the tensor that is updated.
    pub tensor: String,
    /// Module path above the layers.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Module path within the layer.
    pub role: String,
    /// Outer dimension.
    pub rows: usize,
    /// Inner dimension.
    pub cols: usize,
    /// Element type in the file.
    pub dtype: Dtype,
    /// How the weights are stored, if not as they are: `pruned`, `weight norm`, `spectral norm` or `sparse bitmask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// What was scored instead of the tensor: the update by a fine-tune or an adapter.
    #[serde(default)]
    pub update: Option<Update>,
    /// The rule that chose the tail.
    pub rule: Rule,
    /// The exponent of the power law.
    pub alpha: Option<f64>,
    /// The Kolmogorov-Smirnov distance D of the fit.
    pub ks_distance: Option<f64>,
    /// The smallest eigenvalue in the tail.
    pub xmin: Option<f64>,
    /// Number of eigenvalues in the tail.
    pub tail: Option<usize>,
    /// Number of eigenvalues, pooled over all windows.
    pub eigenvalues: usize,
    /// The windows whose eigenvalues were pooled; none if the eigenvalues are those of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowSet>,
    /// The smallest eigenvalue; `None` if it is zero within rounding.
    pub lambda_min: Option<f64>,
    /// The largest eigenvalue.
    pub lambda_max: Option<f64>,
    /// Sum of the eigenvalues.
    pub trace: Option<f64>,
    /// The arithmetic that produced the eigenvalues.
    pub precision: String,
    /// Whether there is an alpha.
    pub status: Status,
    /// Why there is no alpha.
    pub reason: Option<String>,
    /// What limits the accuracy of alpha.
    pub note: Option<String>,
    /// The floor of its stored format.
    #[serde(flatten)]
    pub floor: FloorScore,
    /// Its metrics.
    #[serde(flatten)]
    pub measured: Measured,
}

impl MatrixScore {
    /// The row for `matrix`, without metrics.
    pub fn new(matrix: &WeightMatrix, method: &Method, outcome: &Outcome) -> MatrixScore {
        MatrixScore::of_part(matrix, method, outcome, outcome)
    }

    /// The row for `matrix`, without metrics, where the fit saw only the eigenvalues in `seen`.
    pub(crate) fn of_part(matrix: &WeightMatrix, method: &Method, outcome: &Outcome, seen: &Outcome) -> MatrixScore {
        let analysis = outcome.as_ref().ok();
        let spectrum = analysis.map(|analysis| &analysis.spectrum);
        let seen_spectrum = seen.as_ref().ok().map(|analysis| &analysis.spectrum);
        let fit = seen.as_ref().ok().and_then(|analysis| analysis.fit.as_ref().ok());
        let reason = match outcome {
            Err(Failure::AllZero) => Some(all_zero(matrix).to_owned()),
            Err(failure) => Some(failure.to_string()),
            Ok(analysis) => analysis.fit.as_ref().err().map(NoFit::to_string),
        };
        let [rows, cols] = matrix.whole_shape();
        MatrixScore {
            tensor: matrix.name().to_owned(),
            stack: matrix.stack.to_string(),
            layer: matrix.layer,
            role: matrix.role.to_string(),
            rows,
            cols,
            dtype: matrix.stored().tensor.dtype.clone(),
            form: matrix.form().map(str::to_owned),
            update: matrix.update(),
            rule: method.rule,
            alpha: fit.map(|fit| fit.alpha),
            ks_distance: fit.map(|fit| fit.ks_distance),
            xmin: fit.map(|fit| fit.xmin),
            tail: fit.map(|fit| fit.tail),
            eigenvalues: matrix.eigenvalues(),
            windows: None,
            lambda_min: spectrum.filter(|spectrum| spectrum.relative_error(0) < 1.0).map(Spectrum::smallest),
            lambda_max: spectrum.map(Spectrum::largest),
            trace: spectrum.map(Spectrum::trace),
            precision: analysis.map_or(method.precision.to_string(), |analysis| analysis.precision.to_string()),
            status: if fit.is_some() { Status::Ok } else { Status::Failed },
            reason,
            note: fit.zip(seen_spectrum).and_then(|(fit, spectrum)| accuracy_note(fit, spectrum, method)),
            floor: FloorScore::default(),
            measured: Measured::default(),
        }
    }
}

/// What it means that all elements are zero.
fn all_zero(matrix: &WeightMatrix) -> &'static str {
    match matrix.update() {
        None => "all elements are zero",
        Some(Update::Difference { .. }) => "unchanged: all elements of W - W_base are zero",
        Some(Update::LowRank { .. }) => "no update: all elements of B A are zero",
    }
}

/// A note if rounding limits alpha: it hid candidates from the ks rule, alpha's bound is wide, the peak rule's bins are
/// not fixed, or another tail may be the best.
fn accuracy_note(fit: &Fit, spectrum: &Spectrum, method: &Method) -> Option<String> {
    let error = fit.alpha_error(spectrum);
    let smallest = spectrum.relative_error(0);
    let hidden = spectrum.first_known();
    // All larger eigenvalues are more accurate than these two. Errors that cannot move alpha do not count.
    let is_coarse = smallest.max(spectrum.relative_error(1)) > Rule::PEAK_TOLERANCE;
    let is_open =
        method.rule != Rule::Median && is_coarse && !is_certain(spectrum, method.rule, &Ok(*fit), ALPHA_ERROR);
    if is_open && method.rule == Rule::Ks && hidden > 0 {
        Some(format!("{hidden} of {} eigenvalues are zero within rounding and were not tried as xmin", spectrum.len()))
    } else if error > ALPHA_ERROR {
        Some(format!("rounding makes alpha uncertain by up to {error:.0e} for this tail"))
    } else if is_open && method.rule == Rule::Peak && smallest > Rule::PEAK_TOLERANCE {
        Some(format!(
            "the smallest eigenvalue has a relative error of {smallest:.0e}, too large for the bins of the peak rule"
        ))
    } else if is_open {
        Some(format!("rounding leaves open where the tail begins; alpha may be off by more than {ALPHA_ERROR:.0e}"))
    } else {
        None
    }
}

/// The mean alpha of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerScore {
    /// Module path above the layers.
    pub stack: String,
    /// Number of the layer in its stack.
    pub layer: u32,
    /// Unweighted mean of the alphas of its matrices; `None` if none has one.
    pub alpha: Option<f64>,
    /// Number of matrices in the mean.
    pub matrices: usize,
}

impl LayerScore {
    /// Its name in a sentence: `layer 3`, or `layer 3 of decoder`.
    pub fn name(&self) -> String {
        let LayerScore { stack, layer, .. } = self;
        if stack.is_empty() { format!("layer {layer}") } else { format!("layer {layer} of {stack}") }
    }
}

/// The layers of `matrices`, which are in order of stack and number.
///
/// The score of a layer is the unweighted mean of alpha over its matrices (AlphaLoRA, arXiv 2410.10054, section 3).
pub fn layers(matrices: &[MatrixScore]) -> Vec<LayerScore> {
    let of_one_layer = |a: &MatrixScore, b: &MatrixScore| a.stack == b.stack && a.layer == b.layer;
    let mean = |group: &[MatrixScore]| {
        let alphas: Vec<f64> = group.iter().filter_map(|matrix| matrix.alpha).collect();
        LayerScore {
            stack: group[0].stack.clone(),
            layer: group[0].layer,
            alpha: (!alphas.is_empty()).then(|| alphas.iter().sum::<f64>() / alphas.len() as f64),
            matrices: alphas.len(),
        }
    };
    matrices.chunk_by(of_one_layer).map(mean).collect()
}
