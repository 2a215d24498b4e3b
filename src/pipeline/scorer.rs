//! The options of a run, and its stages in order.

use super::examine::Examination;
use super::observer::Observer;
use super::parts::Parts;
use super::problems::{mostly_unread, nothing_to_score, problem};
use super::sampling::Sampling;
use super::schedule::analyze_and;
use super::sink::Sink;
use crate::allocate::{AllocationPlan, planned_units};
use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{self, Device, DeviceChoice, Method, Opened, Precision, SolverChoice};
use crate::error::{Error, Result};
use crate::fit::Rule;
use crate::floor::Floor;
use crate::matrices::{Catalog, Selection, WeightMatrix, missing_layers};
use crate::metrics::MetricSelection;
use crate::rename::Rename;
use crate::report::{Options, Provenance, Report};
use crate::score;
use crate::sensitivity::SensitivityAnalysis;

/// Scores checkpoints: which matrices, how each is fitted, what else is measured, and what is allocated.
///
/// By default: all projection matrices, the peak rule, [`Precision::Auto`], the first usable GPU or else the CPU, and
/// AlphaLoRA's experts.
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # htsr::internals::SyntheticModel { layers: 2, hidden: 64 }.write(folder.path(), |_, _| true)?;
/// # let path = folder.path();
/// use htsr::{Checkpoint, Rule, Scorer};
///
/// let scored = Scorer::new().with_rule(Rule::Median).score(&Checkpoint::open(path)?)?;
/// for layer in &scored.report.layers {
///     println!("layer {}: alpha {:?}, {:?} experts", layer.score.layer, layer.score.alpha, layer.experts);
/// }
/// # assert_eq!(scored.report.layers.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scorer {
    selection: Selection,
    sampling: Sampling,
    method: Method,
    floor: Floor,
    metrics: MetricSelection,
    plan: AllocationPlan,
    sensitivity: SensitivityAnalysis,
    device: DeviceChoice,
    solver: SolverChoice,
    lanes: Option<usize>,
}

/// Results, and what is missing from them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scored {
    /// The results.
    pub report: Report,
    /// One error for each matrix without an alpha, one if there is no allocation, and one if layers are missing.
    pub problems: Vec<Error>,
}

impl Scorer {
    /// A scorer with the defaults.
    pub fn new() -> Scorer {
        Scorer::default()
    }

    /// Fits by this rule; see [`Rule`] for which one to choose.
    pub fn with_rule(self, rule: Rule) -> Scorer {
        Scorer { method: Method { rule, ..self.method }, ..self }
    }

    /// Computes in this precision.
    pub fn with_precision(self, precision: Precision) -> Scorer {
        Scorer { method: Method { precision, ..self.method }, ..self }
    }

    /// Rounds the weights to this precision first.
    pub fn with_cast(self, cast: Cast) -> Scorer {
        Scorer { method: Method { cast, ..self.method }, ..self }
    }

    /// Fits by this method: rule, precision and cast at once.
    pub fn with_method(self, method: Method) -> Scorer {
        Scorer { method, ..self }
    }

    /// Scores these matrices only.
    pub fn with_selection(self, selection: Selection) -> Scorer {
        Scorer { selection, ..self }
    }

    /// Scores each matrix whole, through windows, or together with a copy whose elements are in random order.
    pub fn with_sampling(self, sampling: Sampling) -> Scorer {
        Scorer { sampling, ..self }
    }

    /// Leaves eigenvalues below this floor out of the fit.
    pub fn with_floor(self, floor: Floor) -> Scorer {
        Scorer { floor, ..self }
    }

    /// Measures these metrics, too.
    pub fn with_metrics(self, metrics: MetricSelection) -> Scorer {
        Scorer { metrics, ..self }
    }

    /// Allocates by this plan.
    pub fn with_allocation(self, plan: AllocationPlan) -> Scorer {
        Scorer { plan, ..self }
    }

    /// Asks how the allocation depends on errors, a parameter, or the rule of fit.
    pub fn with_sensitivity(self, sensitivity: SensitivityAnalysis) -> Scorer {
        Scorer { sensitivity, ..self }
    }

    /// Computes on this device. [`score_on`](Scorer::score_on) takes one that is already open instead.
    pub fn with_device(self, device: DeviceChoice) -> Scorer {
        Scorer { device, ..self }
    }

    /// Finds eigenvalues with this solver.
    pub fn with_solver(self, solver: SolverChoice) -> Scorer {
        Scorer { solver, ..self }
    }

    /// Works in this many lanes at once: threads on the CPU, streams on each GPU. Default: one per core, or as many as fit
    /// into memory.
    pub fn with_lanes(self, lanes: usize) -> Scorer {
        Scorer { lanes: Some(lanes), ..self }
    }

    /// The method by which spectra are computed and fitted: that of the options, as far as the sampling allows it.
    ///
    /// A device checks whether f32 suffices for the fit of the whole spectrum. A fit of a part of it gets f64.
    pub fn method(&self) -> Method {
        let method = self.sampling.method(self.method);
        match (self.floor, method.precision) {
            (Floor::Value(_), Precision::Auto) => method.with_precision(Precision::F64),
            _ => method,
        }
    }

    /// What is allocated.
    pub fn plan(&self) -> &AllocationPlan {
        &self.plan
    }

    /// Opens the device and scores `checkpoint` on it. `report.provenance.device` names the device.
    ///
    /// # Errors
    ///
    /// As [`score_on`](Scorer::score_on), or [`Kind::Device`](crate::error::Kind::Device) if the device cannot be opened.
    pub fn score(&self, checkpoint: &Checkpoint) -> Result<Scored> {
        let Opened { device, .. } = device::open(self.device, self.solver, self.lanes)?;
        self.score_on(checkpoint, &*device, &(), &[])
    }

    /// Scores `checkpoint` on `device`; `observer` follows the run, and each of `sinks` gets the results as they are made.
    ///
    /// # Errors
    ///
    /// If there is nothing to score, no alphas could meet the plan, the device or a sink fails, or the observer
    /// cancels. Problems with single matrices are in the result.
    pub fn score_on(
        &self,
        checkpoint: &Checkpoint,
        device: &dyn Device,
        observer: &dyn Observer,
        sinks: &[&dyn Sink],
    ) -> Result<Scored> {
        let catalog = Catalog::new(checkpoint, &self.selection);
        if catalog.matrices.is_empty() {
            return Err(nothing_to_score(checkpoint, &catalog));
        }
        let Catalog { matrices, skipped, unread, notes, rename } = catalog;
        self.check(checkpoint, &matrices)?;
        let examination = self.examination(checkpoint);
        let parts = Parts::new(&matrices, self.sampling);
        let keep = |part, outcome| {
            let Some((index, outcomes)) = parts.collect(part, outcome) else { return Ok(None) };
            let matrix = &matrices[index];
            let (row, outcome) = examination.examine(matrix, outcomes);
            sinks.iter().try_for_each(|sink| sink.matrix(&row, &outcome))?;
            let problem = problem(checkpoint, matrix, &outcome, &row);
            Ok(Some((row, problem)))
        };
        let examined = analyze_and(checkpoint, parts.matrices(), self.method(), device, observer, keep)?;
        let (rows, problems): (Vec<_>, Vec<_>) = examined.into_iter().flatten().unzip();
        let mut problems: Vec<Error> = problems.into_iter().flatten().collect();
        let layers = score::layers(&rows);
        problems.extend(unread.as_ref().and_then(|unread| mostly_unread(checkpoint, unread)));
        let provenance = self.provenance(device, checkpoint, rename.as_ref());
        let mut report = Report::new(provenance, rows, layers, skipped).with_unread(unread);
        report.notes = notes;
        problems.extend(report.allocate(&self.plan, &self.sensitivity, &[]).err());
        problems.extend(missing_layers(checkpoint));
        Ok(Scored { report, problems })
    }

    /// Checks the options before the long work, as far as they do not depend on the alphas.
    fn check(&self, checkpoint: &Checkpoint, matrices: &[WeightMatrix]) -> Result<()> {
        self.sampling.check(checkpoint)?;
        self.sensitivity.check(&self.plan)?;
        let plan = self.plan.clone().for_layers(matrices.iter().map(|matrix| (&*matrix.stack, matrix.layer)));
        plan.check(&planned_units(matrices, plan.group))
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.sampling
    }

    pub(super) fn examination<'a>(&'a self, checkpoint: &'a Checkpoint) -> Examination<'a> {
        Examination::new(checkpoint, self.sampling, self.method(), self.floor, &self.metrics)
    }

    /// The provenance of scores, with what turned the names of the tensors into those of the base.
    pub(super) fn provenance(
        &self,
        device: &dyn Device,
        checkpoint: &Checkpoint,
        rename: Option<&Rename>,
    ) -> Provenance {
        let mut options = self.options();
        options.set_rename(rename);
        Provenance::of_scores(device, &self.method(), options, checkpoint)
    }

    /// The options, for the provenance.
    fn options(&self) -> Options {
        let patterns = |list: &[regex::Regex]| list.iter().map(|pattern| pattern.as_str().to_owned()).collect();
        Options {
            cast: self.method.cast,
            include: patterns(&self.selection.include),
            exclude: patterns(&self.selection.exclude),
            layers: self.selection.layers.as_ref().map(ToString::to_string),
            farms: match self.sampling {
                Sampling::Windows(farms) => Some(farms),
                _ => None,
            },
            floor: self.floor,
            randomize: match self.sampling {
                Sampling::Randomized(seed) => Some(seed),
                _ => None,
            },
            metrics: self.metrics.requested().iter().map(|metric| metric.name.to_owned()).collect(),
            simulations: Some(self.metrics.simulations()).filter(|simulations| !simulations.is_none()),
            rename: None,
            rename_regex: None,
            budget: None,
            plan: None,
        }
    }
}
