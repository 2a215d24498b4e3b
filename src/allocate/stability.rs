//! Stability of an allocation: repeats it with simulated errors of the alphas.
//!
//! The alpha of every matrix is drawn independently: uniformly from its interval over good xmin
//! (`alpha_low..=alpha_high`), plus its sampling error (`alpha_se`). If the scores have neither, an assumed relative
//! error is used. Errors multiply alpha - 1, which is positive for a power law, by e^(s z) with z normal, so every draw
//! is a valid alpha. The units then get their alphas and numbers as usual. Draw k depends only on the seed and k, so
//! the result is the same for any number of threads.

use super::{Aggregate, AllocatedUnit, Allocation, AllocationPlan, Solve, Stability, Unit, ValueRange};
use crate::error::{Error, Result};
use crate::metrics::MetricValue;
use crate::score::MatrixScore;

/// Share of the draws that must give the printed number for it to count as determined.
const DETERMINED: f64 = 0.95;
/// Relative change up to which a real value counts as equal to the printed one.
const SAME: f64 = 0.05;
/// Share of the draws that a range leaves out at either end.
const TAIL: f64 = 0.025;

/// Options of the simulation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StabilitySimulation {
    /// Number of draws.
    pub draws: u32,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Relative standard error assumed for alphas whose error the scores do not state.
    pub relative_error: f64,
}

impl Default for StabilitySimulation {
    fn default() -> Self {
        StabilitySimulation { draws: 10_000, seed: 0, relative_error: 0.05 }
    }
}

impl StabilitySimulation {
    /// Sets the number of draws.
    pub fn with_draws(self, draws: u32) -> StabilitySimulation {
        StabilitySimulation { draws, ..self }
    }

    /// Sets the seed of the random numbers.
    pub fn with_seed(self, seed: u64) -> StabilitySimulation {
        StabilitySimulation { seed, ..self }
    }

    /// Assumes this relative standard error for alphas whose error the scores do not state.
    pub fn with_relative_error(self, relative_error: f64) -> StabilitySimulation {
        StabilitySimulation { relative_error, ..self }
    }

    /// Checks the options against a plan.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if the rule does not depend on alphas or the options are invalid.
    pub fn check(&self, plan: &AllocationPlan) -> Result<()> {
        if !plan.rule.needs_alphas() {
            let rule = plan.rule.name();
            let cause = format!("§stability simulates errors of the alphas, but the rule {rule} does not use alphas");
            return Err(Error::usage(cause).hint("omit §stability"));
        }
        let StabilitySimulation { draws, relative_error, .. } = *self;
        if draws == 0 || !(relative_error.is_finite() && relative_error >= 0.0) {
            let cause = format!("invalid simulation: {draws} draws with a relative error of {relative_error}");
            return Err(Error::usage(cause).hint("use §stability-draws=10000 §alpha-error=0.05"));
        }
        Ok(())
    }
}

/// An alpha and its errors.
#[derive(Debug, Clone, Copy)]
struct UncertainAlpha {
    alpha: f64,
    /// The smallest and the largest alpha over all good xmin.
    interval: Option<(f64, f64)>,
    standard_error: f64,
    weight: f64,
}

impl UncertainAlpha {
    fn of_matrix(matrix: &MatrixScore, relative_error: f64) -> Option<(UncertainAlpha, bool)> {
        let alpha = matrix.alpha?;
        let metric = |name| matrix.measured.get(name).and_then(MetricValue::number).filter(|number| number.is_finite());
        let interval = metric("alpha_low").zip(metric("alpha_high"));
        let interval = interval.filter(|&(low, high)| 0.0 < low && low <= high);
        let stated = metric("alpha_se").filter(|error| *error >= 0.0);
        let standard_error = match (stated, interval) {
            (Some(error), _) => error,
            (None, Some(_)) => 0.0,
            (None, None) => relative_error * alpha,
        };
        let weight = matrix.rows as f64 * matrix.cols as f64;
        let known = stated.is_some() || interval.is_some();
        Some((UncertainAlpha { alpha, interval, standard_error, weight }, known))
    }

    /// A simulated alpha, from a standard normal `z` and a `place` in 0..1 within the interval.
    fn draw(&self, z: f64, place: f64) -> f64 {
        let center = self.interval.map_or(self.alpha, |(low, high)| low + place * (high - low));
        let floor = if center > 1.0 { 1.0 } else { 0.0 };
        floor + (center - floor) * (self.standard_error / (center - floor) * z).exp()
    }
}

/// Draws alphas for all units.
struct AlphaSampler {
    units: Vec<Vec<UncertainAlpha>>,
    aggregate: Aggregate,
    seed: u64,
}

impl AlphaSampler {
    /// Writes the alphas of all units in draw number `draw` to `alphas`. `members` is a buffer.
    fn draw(&self, draw: u32, alphas: &mut Vec<f64>, members: &mut Vec<(f64, f64)>) {
        // Adjacent seeds of this generator give related numbers; mixed seeds do not.
        let mut rng = fastrand::Rng::with_seed(mixed(self.seed ^ mixed(u64::from(draw) + 1)));
        let mut spare = None;
        alphas.clear();
        for unit in &self.units {
            members.clear();
            for member in unit {
                let z = spare.take().unwrap_or_else(|| {
                    let (z, other) = normals(&mut rng);
                    spare = Some(other);
                    z
                });
                let place = if member.interval.is_some() { rng.f64() } else { 0.0 };
                members.push((member.draw(z, place), member.weight));
            }
            alphas.push(self.aggregate.of(members).unwrap_or(f64::NAN));
        }
    }
}

/// Two standard normal numbers (Box-Muller).
fn normals(rng: &mut fastrand::Rng) -> (f64, f64) {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    let (sine, cosine) = (std::f64::consts::TAU * rng.f64()).sin_cos();
    (radius * cosine, radius * sine)
}

/// A number whose every bit depends on all bits of `x` (the finalizer of splitmix64).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Allocation {
    /// Adds the range of each number over simulated errors of the alphas to every row. `matrices` are the matrices of
    /// the units; empty if only layers are known.
    ///
    /// # Errors
    ///
    /// Those of [`StabilitySimulation::check`], and [`Kind::Usage`](crate::error::Kind::Usage) if no draw has an
    /// allocation.
    pub fn simulate(&mut self, matrices: &[MatrixScore], simulation: &StabilitySimulation) -> Result<()> {
        let StabilitySimulation { draws, seed, relative_error } = *simulation;
        simulation.check(&self.plan)?;
        let units: Vec<Unit> = self.rows.iter().map(|row| row.unit.clone()).collect();
        let (members, stated) = uncertain(&units, matrices, relative_error);
        let alphas: usize = members.iter().map(Vec::len).sum();
        let sampler = AlphaSampler { units: members, aggregate: self.plan.aggregate, seed };
        let (values, failed) = draw_all(&self.plan, &units, &sampler, draws)?;
        if failed == draws {
            let cause = format!("none of {draws} draws has an allocation: the errors of the alphas are too large");
            return Err(Error::usage(cause).hint("§alpha-error is relative: 0.05 is 5 %"));
        }
        for (index, row) in self.rows.iter_mut().enumerate() {
            let of_unit = values.iter().flat_map(|chunk| chunk.iter().skip(index).step_by(units.len()).copied());
            row.range = Some(range(row, of_unit.collect(), draws));
        }
        let undetermined =
            self.rows.iter().filter(|row| row.range.as_ref().is_some_and(|range| !range.determined)).count();
        let assumed = alphas - stated;
        self.stability = Some(Stability { draws, seed, stated, assumed, relative_error, failed, undetermined });
        Ok(())
    }
}

/// The alphas of each unit with their errors, and how many of these errors the scores state.
fn uncertain(units: &[Unit], matrices: &[MatrixScore], relative_error: f64) -> (Vec<Vec<UncertainAlpha>>, usize) {
    if matrices.is_empty() {
        let of_unit = |unit: &Unit| {
            let alpha = unit.alpha.unwrap_or(f64::NAN);
            vec![UncertainAlpha { alpha, interval: None, standard_error: relative_error * alpha, weight: 1.0 }]
        };
        return (units.iter().map(of_unit).collect(), 0);
    }
    let places: std::collections::HashMap<_, usize> = units.iter().map(Unit::key).zip(0..).collect();
    let (mut members, mut stated) = (vec![Vec::new(); units.len()], 0);
    for matrix in matrices {
        let place = Unit::keys_around(matrix).into_iter().find_map(|key| places.get(&key));
        if let (Some(&place), Some((alpha, known))) = (place, UncertainAlpha::of_matrix(matrix, relative_error)) {
            members[place].push(alpha);
            stated += usize::from(known);
        }
    }
    (members, stated)
}

/// The values of all draws, unit by unit within each draw, in one chunk per thread; and how many draws had none.
fn draw_all(plan: &AllocationPlan, units: &[Unit], sampler: &AlphaSampler, draws: u32) -> Result<(Vec<Vec<f64>>, u32)> {
    let solve = plan.prepare(units)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 64) as u32;
    let chunk = draws.div_ceil(threads);
    let chunks = (0..draws).step_by(chunk as usize).map(|start| (start, draws.min(start.saturating_add(chunk))));
    let chunks: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let work = |(start, end)| {
            let solve = &solve;
            std::thread::Builder::new().spawn_scoped(scope, move || draw_some(solve, sampler, start, end))
        };
        let threads = chunks.map(work).collect::<std::io::Result<Vec<_>>>();
        let threads = threads.map_err(|error| Error::device(format!("cannot start a thread: {error}")))?;
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<f64>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        Ok::<_, Error>(threads.into_iter().map(join).collect())
    })?;
    let done = chunks.iter().map(Vec::len).sum::<usize>() / units.len();
    Ok((chunks, draws - done as u32))
}

fn draw_some(solve: &Solve, sampler: &AlphaSampler, start: u32, end: u32) -> Vec<f64> {
    let mut values = Vec::with_capacity((end - start) as usize * sampler.units.len());
    let (mut alphas, mut members) = (Vec::new(), Vec::new());
    for draw in start..end {
        sampler.draw(draw, &mut alphas, &mut members);
        // Very large errors give alphas that are infinite or NaN.
        if let Ok(solution) = solve(&alphas)
            && alphas.iter().chain(&solution.values).all(|number| number.is_finite())
        {
            values.extend(solution.values);
        }
    }
    values
}

/// Summarizes the values of all draws for one row.
fn range(row: &AllocatedUnit, mut values: Vec<f64>, draws: u32) -> ValueRange {
    let printed = row.value.real();
    let tolerance = if row.value.is_whole() { 0.0 } else { SAME * printed.abs() };
    let same = values.iter().filter(|value| (**value - printed).abs() <= tolerance).count();
    let share = same as f64 / f64::from(draws);
    let mut quantile = |part: f64| {
        let place = ((part * values.len() as f64) as usize).min(values.len() - 1);
        *values.select_nth_unstable_by(place, f64::total_cmp).1
    };
    ValueRange { low: quantile(TAIL), high: quantile(1.0 - TAIL), share, determined: share >= DETERMINED }
}

#[cfg(test)]
mod tests {
    use super::super::{AllocationRule, AlphaDecay, Budget, Group, Rounding, TempBalance, Uniform};
    use super::*;

    fn layers(alphas: &[f64]) -> Vec<Unit> {
        alphas.iter().zip(0..).map(|(&alpha, layer)| Unit::of_layer(layer, alpha)).collect()
    }

    fn usual() -> AllocationPlan {
        AllocationPlan::experts(Budget { experts: Some(160), ..Budget::default() })
    }

    fn simulated(plan: AllocationPlan, alphas: &[f64], simulation: StabilitySimulation) -> Allocation {
        let mut allocation = plan.allocate(layers(alphas)).unwrap();
        allocation.simulate(&[], &simulation).unwrap();
        allocation
    }

    #[test]
    fn without_errors_everything_is_determined() {
        let exact = StabilitySimulation { relative_error: 0.0, draws: 50, ..StabilitySimulation::default() };
        let allocation = simulated(usual(), &[1.5, 2.5, 3.5, 0.4], exact);
        assert_eq!(allocation.stability.unwrap().undetermined, 0);
        for row in allocation.rows {
            let ValueRange { low, high, share, .. } = row.range.unwrap();
            assert_eq!((low, high, share), (row.value.real(), row.value.real(), 1.0));
        }
    }

    #[test]
    fn two_layers_share_two_experts_as_their_alphas_are_ordered() {
        // 3 experts for two layers: the one with the larger alpha gets 2. With equal alphas that is a coin toss.
        let budget = Budget { experts: Some(3), rounding: Rounding::LargestRemainder, ..Budget::default() };
        let allocation = simulated(AllocationPlan::experts(budget), &[2.0, 2.0], StabilitySimulation::default());
        for row in &allocation.rows {
            let range = row.range.as_ref().unwrap();
            assert!((range.share - 0.5).abs() < 0.02, "{range:?}");
            assert_eq!((range.low, range.high, range.determined), (1.0, 2.0, false));
        }
        assert_eq!(allocation.stability.unwrap().undetermined, 2);
    }

    #[test]
    fn draws_have_the_error_that_was_asked_for() {
        let member = UncertainAlpha { alpha: 3.0, interval: None, standard_error: 0.06, weight: 1.0 };
        let sampler = AlphaSampler { units: vec![vec![member]; 2], aggregate: Aggregate::Mean, seed: 7 };
        let (mut all, mut alphas, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for draw in 0..20_000 {
            sampler.draw(draw, &mut alphas, &mut members);
            all.extend_from_slice(&alphas);
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let deviation = (all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / all.len() as f64).sqrt();
        assert!((mean - 3.0).abs() < 2e-3 && (deviation - 0.06).abs() < 1e-3, "{mean} {deviation}");
        let product = all.chunks(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / 20_000.0;
        assert!((product / (deviation * deviation)).abs() < 0.03, "two alphas of a draw are independent");
        assert!(all.iter().all(|alpha| *alpha > 1.0));
    }

    #[test]
    fn an_interval_over_xmin_counts() {
        let member = UncertainAlpha { alpha: 2.2, interval: Some((2.0, 3.0)), standard_error: 0.0, weight: 1.0 };
        assert_eq!((member.draw(1.0, 0.0), member.draw(-1.0, 1.0), member.draw(0.0, 0.5)), (2.0, 3.0, 2.5));
        let sharp = UncertainAlpha { alpha: 1.0, interval: None, standard_error: 0.01, weight: 1.0 };
        assert!(sharp.draw(3.0, 0.0) > 1.0 && sharp.draw(-300.0, 0.0) > 0.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_and_another_one_does_not() {
        let run = |seed| {
            simulated(
                usual(),
                &[2.0, 2.1, 3.0],
                StabilitySimulation { seed, draws: 999, ..StabilitySimulation::default() },
            )
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).rows, run(2).rows);
    }

    #[test]
    fn real_values_have_ranges_too() {
        let rule = AllocationRule::AlphaDecay(AlphaDecay::default());
        let plan = AllocationPlan::new(rule).with_group(Group::Layer);
        let allocation = simulated(plan, &[1.5, 2.5, 4.0], StabilitySimulation::default());
        let middle = allocation.rows[1].range.as_ref().unwrap();
        assert!(middle.low < allocation.rows[1].value.real() && middle.high > allocation.rows[1].value.real());
        assert!(allocation.rows[2].range.as_ref().unwrap().determined);
    }

    #[test]
    fn rules_without_alphas_and_empty_simulations_are_refused() {
        let plan = AllocationPlan {
            rule: AllocationRule::Uniform(Uniform { experts: Some(4), min_experts: 1 }),
            ..AllocationPlan::default()
        };
        let error =
            plan.allocate(layers(&[2.0, 3.0])).unwrap().simulate(&[], &StabilitySimulation::default()).unwrap_err();
        assert!(error.cause.to_string().contains("does not use alphas"));
        for simulation in [
            StabilitySimulation { draws: 0, ..StabilitySimulation::default() },
            StabilitySimulation { relative_error: -1.0, ..StabilitySimulation::default() },
            StabilitySimulation { relative_error: f64::NAN, ..StabilitySimulation::default() },
        ] {
            let mut allocation = usual().allocate(layers(&[2.0, 3.0])).unwrap();
            assert!(allocation.simulate(&[], &simulation).is_err());
        }
        // Draws with infinite alphas count as failed under every rule.
        let rough = StabilitySimulation { relative_error: 300.0, draws: 1000, ..StabilitySimulation::default() };
        for rule in
            [AllocationRule::AlphaDecay(AlphaDecay::default()), AllocationRule::TempBalance(TempBalance::default())]
        {
            let plan = AllocationPlan::new(rule).with_group(Group::Layer);
            let allocation = simulated(plan, &[2.0, 3.0, 4.0], rough);
            assert!(allocation.stability.unwrap().failed > 0);
            let ranges = allocation.rows.iter().map(|row| row.range.as_ref().unwrap());
            assert!(ranges.into_iter().all(|range| range.low <= range.high && range.high.is_finite()));
        }
        // Every draw has some infinite alphas.
        let wild = StabilitySimulation { relative_error: 1e300, ..StabilitySimulation::default() };
        let error = usual().allocate(layers(&[2.0; 40])).unwrap().simulate(&[], &wild).unwrap_err();
        assert!(error.cause.to_string().starts_with("none of 10000 draws has an allocation"), "{}", error.cause);
    }
}
