//! The library as a user of the crate sees it.

use std::sync::Mutex;

use half::{bf16, f16};
use htsr::checkpoint::Cast;
use htsr::device::Cpu;
use htsr::device::{Failure, Outcome};
use htsr::error::{Error, Kind};
use htsr::pipeline::Sink;
use htsr::score::MatrixScore;
use htsr::{Checkpoint, Precision, Report, Result, Rule, Scorer, analyze};

use crate::support::{Tensor, folder, projection, random, save, small_model};

/// A device has no rule. With one device and every rule, each row has the alpha of the rule that it names.
#[test]
fn a_row_has_the_alpha_of_the_rule_that_it_names() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let checkpoint = Checkpoint::open(&path).unwrap();
    let device = Cpu::new(Some(1));
    let mut alphas = Vec::new();
    for rule in [Rule::Peak, Rule::PeakRobust, Rule::Median, Rule::Ks] {
        let scored = Scorer::new()
            .with_rule(rule)
            .with_precision(Precision::F64)
            .score_on(&checkpoint, &device, &(), &[])
            .unwrap();
        let row = &scored.report.matrices[0];
        let fitted = htsr::fit::fit(&spectrum_of(&checkpoint, &device), rule).unwrap().alpha;
        assert_eq!((row.rule, row.alpha), (rule, Some(fitted)));
        assert_eq!(scored.report.provenance.rule, Some(rule));
        alphas.push(fitted);
    }
    alphas.sort_by(f64::total_cmp);
    alphas.dedup();
    assert!(alphas.len() > 2, "the rules differ: {alphas:?}");
}

fn spectrum_of(checkpoint: &Checkpoint, device: &Cpu) -> htsr::spectrum::Spectrum {
    let first = Keep::default();
    Scorer::new().with_precision(Precision::F64).score_on(checkpoint, device, &(), &[&first]).unwrap();
    let mut outcomes = first.0.into_inner().unwrap();
    outcomes.sort_by(|(a, _), (b, _)| a.cmp(b));
    outcomes.remove(0).1.unwrap().spectrum
}

/// Collects names and outcomes.
#[derive(Default)]
struct Keep(Mutex<Vec<(String, Outcome)>>);

impl Sink for Keep {
    fn matrix(&self, row: &MatrixScore, outcome: &Outcome) -> Result<()> {
        self.0.lock().unwrap().push((row.tensor.clone(), outcome.clone()));
        Ok(())
    }
}

#[test]
fn a_sink_gets_every_matrix_once_and_the_report_is_the_same() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let checkpoint = Checkpoint::open(&path).unwrap();
    let (device, sink) = (Cpu::new(Some(2)), Keep::default());
    let with = Scorer::new().score_on(&checkpoint, &device, &(), &[&sink]).unwrap();
    let without = Scorer::new().score_on(&checkpoint, &device, &(), &[]).unwrap();
    assert_eq!(with.report, without.report);
    let mut names: Vec<String> = sink.0.into_inner().unwrap().into_iter().map(|(name, _)| name).collect();
    names.sort();
    let mut rows: Vec<String> = with.report.matrices.iter().map(|row| row.tensor.clone()).collect();
    rows.sort();
    assert_eq!(names, rows);
}

/// Fails at the first matrix.
struct Full;

impl Sink for Full {
    fn matrix(&self, row: &MatrixScore, _: &Outcome) -> Result<()> {
        Err(Error::usage("the disk is full").tensor(&row.tensor))
    }
}

#[test]
fn an_error_of_a_sink_ends_the_run() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let checkpoint = Checkpoint::open(&path).unwrap();
    let error = Scorer::new().score_on(&checkpoint, &Cpu::new(Some(2)), &(), &[&Full]).unwrap_err();
    assert_eq!((error.kind, error.cause.to_string()), (Kind::Usage, "the disk is full".into()));
}

/// An allocation that fails returns an error and keeps the scores.
#[test]
fn a_report_keeps_its_scores_without_an_allocation() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    std::fs::write(&path, "layer,alpha\n0,2.5\n1,3.5\n").unwrap();
    let mut report = Report::read(&path).unwrap();
    let ranks = htsr::allocate::Ranks::default();
    let plan = htsr::allocate::AllocationPlan::new(htsr::allocate::AllocationRule::Rank(ranks));
    let error = report.allocate(&plan, &Default::default(), &[]).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    assert!(report.allocation.is_none());
    report.allocate(&Default::default(), &Default::default(), &[]).unwrap();
    assert_eq!(report.layers.iter().filter_map(|layer| layer.experts).sum::<u32>(), 10, "5 for each layer");
}

/// A program can find out why a matrix has no alpha without parsing a message.
#[test]
fn a_problem_has_its_failure_as_source() {
    let folder = folder();
    let mut tensors = small_model();
    tensors.insert(projection(0, 'k'), Tensor::f32(&[24, 24], &[f64::NAN; 24 * 24]));
    tensors.insert(projection(1, 'k'), Tensor::f32(&[4, 24], &[0.5; 4 * 24]));
    let path = save(folder.path(), "model.safetensors", tensors);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let scored = Scorer::new().score_on(&checkpoint, &Cpu::new(Some(1)), &(), &[]).unwrap();
    let failure = |index: usize| {
        let problem: &dyn std::error::Error = &scored.problems[index];
        problem.source().and_then(|source| source.downcast_ref::<Failure>()).cloned()
    };
    assert_eq!(failure(0), Some(Failure::NonFinite { row: 0, col: 0, cast: Cast::None }));
    assert_eq!(failure(1), Some(Failure::TooFewEigenvalues(4)));
    assert_eq!(scored.problems[0].tensor.as_deref(), Some(projection(0, 'k').as_str()));
    assert_eq!(scored.problems[0].file.as_deref(), Some(path.as_path()));
}

#[test]
fn a_matrix_in_memory_has_the_same_spectrum_as_in_a_file() {
    let values = random(40 * 24, 3);
    let of_file = |tensor: Tensor| {
        let folder = folder();
        let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), tensor)]);
        let keep = Keep::default();
        let checkpoint = Checkpoint::open(&path).unwrap();
        Scorer::new().with_rule(Rule::Ks).score_on(&checkpoint, &Cpu::new(Some(1)), &(), &[&keep]).unwrap();
        keep.0.into_inner().unwrap().remove(0).1.unwrap()
    };
    let shape = [40, 24];
    assert_eq!(analyze(&values, 40, 24, Rule::Ks).unwrap(), of_file(Tensor::f64(&shape, &values)));
    let singles: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    assert_eq!(analyze(&singles, 40, 24, Rule::Ks).unwrap(), of_file(Tensor::f32(&shape, &values)));
    let brains: Vec<bf16> = values.iter().map(|&value| bf16::from_f64(value)).collect();
    assert_eq!(analyze(&brains, 40, 24, Rule::Ks).unwrap(), of_file(Tensor::bf16(&shape, &values)));
    let halves: Vec<f16> = values.iter().map(|&value| f16::from_f64(value)).collect();
    let exact: Vec<f64> = halves.iter().map(|&value| f64::from(value)).collect();
    // The spectra differ in what they know about the rounding of the weights.
    let [halves, exact] = [analyze(&halves, 40, 24, Rule::Ks), analyze(&exact, 40, 24, Rule::Ks)].map(Result::unwrap);
    assert_eq!((halves.spectrum.values(), halves.fit), (exact.spectrum.values(), exact.fit));
}

#[test]
fn invalid_matrices_are_refused() {
    let error = analyze(&[1.0_f32; 10], 3, 4, Rule::Peak).unwrap_err();
    assert_eq!(error.kind, Kind::Usage);
    assert_eq!(error.to_string(), "a matrix of 3 x 4 does not have 10 elements");
    assert!(analyze(&[0.0_f32; 0], usize::MAX, 2, Rule::Peak).is_err());
    let error = analyze(&[f32::NAN; 100], 10, 10, Rule::Peak).unwrap_err();
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    assert_eq!((error.kind, source), (Kind::Input, Some(&Failure::NonFinite { row: 0, col: 0, cast: Cast::None })));
}
