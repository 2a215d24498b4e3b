//! The floor of a matrix, and the eigenvalues that the fit sees.

use super::sampling::Sampling;
use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{Analysis, Failure, Method, Outcome};
use crate::fit::{Fit, MIN_EIGENVALUES, NoFit, Rule, fit};
use crate::floor::{Floor, Level, MOST_UNCHANGED, Noise, cheap_bound};
use crate::matrices::{Unavailable, Update, WeightMatrix};
use crate::score::{FloorScore, MatrixScore};
use crate::spectrum::Spectrum;

/// Change of alpha from which eigenvalues below the floor are worth a note: the agreement among published codes.
const WORTH_A_NOTE: f64 = 1e-3;

/// If less than one in this many eigenvalues may be below the floor, and it is not known whether they are, there is no note.
const FEW: usize = 32;

/// A spectrum with its floor.
#[derive(Debug, Clone, Default)]
pub(super) struct Floored {
    level: Option<Level>,
    /// Whether there is a floor that was not computed, because every eigenvalue is far above it.
    is_far_below: bool,
    unchanged: Option<f64>,
    /// The analysis of the eigenvalues that the fit sees, if it does not see all.
    seen: Option<Outcome>,
}

impl Floored {
    /// Finds the floor of `matrix`, whose whole spectrum is in `outcome`, and fits what the fit is to see: then the fit in
    /// `outcome` becomes that one.
    pub fn new(
        floor: Floor,
        matrix: &WeightMatrix,
        checkpoint: &Checkpoint,
        sampling: Sampling,
        method: &Method,
        outcome: &mut Outcome,
    ) -> Floored {
        let Ok(analysis) = outcome else { return Floored::default() };
        match Floored::find(floor, matrix, checkpoint, sampling, method.cast, &analysis.spectrum) {
            Ok(found) => found.fitted(floor, matrix, method.rule, analysis),
            Err(unavailable) => {
                *outcome = Err(Failure::from(unavailable));
                Floored::default()
            }
        }
    }

    fn find(
        floor: Floor,
        matrix: &WeightMatrix,
        checkpoint: &Checkpoint,
        sampling: Sampling,
        cast: Cast,
        spectrum: &Spectrum,
    ) -> Result<Floored, Unavailable> {
        let nothing = Floored::default();
        match floor {
            Floor::None => return Ok(nothing),
            Floor::Value(value) => return Ok(Floored { level: Some(Level::given(value, spectrum)), ..nothing }),
            Floor::Auto => {}
        }
        if matrix.update().is_none()
            && let Some(most) = matrix.most_rounding(checkpoint, cast, spectrum.trace())?
            && spectrum.count_below(cheap_bound(most)).1 == 0
        {
            return Ok(Floored { is_far_below: true, ..nothing });
        }
        let parts = match sampling {
            Sampling::Windows(farms) => matrix.windows(&farms.windows(matrix.rows, matrix.cols)),
            Sampling::Whole | Sampling::Randomized(_) => vec![matrix.clone()],
        };
        let mut roundings = Vec::with_capacity(parts.len());
        for part in &parts {
            let Some(rounding) = part.rounding(checkpoint, cast)? else { return Ok(nothing) };
            roundings.push(rounding);
        }
        let shares: Vec<f64> = roundings.iter().filter_map(|rounding| rounding.unchanged).collect();
        let unchanged = (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
        let level = Noise::new(&roundings, [parts[0].rows, parts[0].cols]).level(spectrum);
        Ok(Floored { level, unchanged, ..nothing })
    }

    /// Fits what the fit is to see.
    fn fitted(self, floor: Floor, matrix: &WeightMatrix, rule: Rule, analysis: &mut Analysis) -> Floored {
        let Some(level) = self.level else { return self };
        let is_update = matches!(matrix.update(), Some(Update::Difference { .. }));
        if matches!(floor, Floor::Auto) && !is_update {
            return self;
        }
        let lost = self.unchanged.filter(|&share| share > MOST_UNCHANGED);
        if lost.is_none() && level.below == 0 {
            return self;
        }
        let seen = match lost {
            Some(share) => Analysis { fit: Err(NoFit::Unchanged { share }), ..analysis.clone() },
            None => above(analysis, level.below, rule),
        };
        analysis.fit = seen.fit.clone().map(|fit| Fit { start: fit.start + level.below, ..fit });
        Floored { seen: Some(Ok(seen)), ..self }
    }

    /// The outcome as the fit saw it; the rows describe `outcome`.
    pub fn seen<'a>(&'a self, outcome: &'a Outcome) -> &'a Outcome {
        self.seen.as_ref().unwrap_or(outcome)
    }

    /// Adds the floor to the row of the matrix.
    pub fn describe(&self, rule: Rule, outcome: &Outcome, row: &mut MatrixScore) {
        let Ok(analysis) = outcome else { return };
        let count = analysis.spectrum.len();
        let below = match (self.level, self.is_far_below) {
            // What the fit does not see is below, and otherwise what is known to be.
            (Some(level), _) => (self.seen.is_some() || level.below == level.surely_below).then_some(level.below),
            (None, true) => Some(0),
            (None, false) => return,
        };
        row.floor = FloorScore {
            floor: self.level.map(|level| level.floor),
            below_floor: below,
            rank_above_floor: below.map(|below| count - below),
            unchanged: self.unchanged,
        };
        let Some(level) = self.level else { return };
        let note = if self.seen.is_some() {
            self.note_on_cut(&level, analysis)
        } else {
            note_on_noise(&level, rule, analysis)
        };
        row.note = match (note, row.note.take()) {
            (Some(note), Some(other)) => Some(format!("{note}; {other}")),
            (note, other) => note.or(other),
        };
    }

    /// The eigenvalues near the floor that may be on the other side of it.
    fn note_on_cut(&self, level: &Level, analysis: &Analysis) -> Option<String> {
        if level.uncertain == 0 || analysis.fit.is_err() {
            return None;
        }
        let above = analysis.spectrum.len() - level.below;
        let floor = level.floor;
        Some(match level.uncertain {
            1 => format!(
                "1 eigenvalue near the floor of the stored format ({floor:.1e}) is uncertain; {above} above it are fitted"
            ),
            n => format!(
                "{n} eigenvalues near the floor of the stored format ({floor:.1e}) are uncertain; {above} above it are fitted"
            ),
        })
    }
}

/// The analysis of the eigenvalues above the `below` smallest.
fn above(analysis: &Analysis, below: usize, rule: Rule) -> Analysis {
    let of = analysis.spectrum.len();
    let above = of - below;
    if above < MIN_EIGENVALUES {
        return Analysis { fit: Err(NoFit::BelowFloor { above, of }), ..analysis.clone() };
    }
    let spectrum = analysis.spectrum.without_smallest(below);
    Analysis { fit: fit(&spectrum, rule), spectrum, precision: analysis.precision }
}

/// What the eigenvalues below the floor do to the alpha of weights, if that is worth a note.
fn note_on_noise(level: &Level, rule: Rule, analysis: &Analysis) -> Option<String> {
    let (below, of) = (level.below, analysis.spectrum.len());
    let hidden = below - level.surely_below;
    if below == 0 || hidden > 0 && below * FEW < of {
        return None;
    }
    let without = above(analysis, level.below, rule).fit;
    if let (Ok(fit), Ok(without)) = (&analysis.fit, &without)
        && (fit.alpha - without.alpha).abs() <= WORTH_A_NOTE
    {
        return None;
    }
    let values = analysis.spectrum.values();
    let floor = match hidden {
        0 => shortest(level.floor, values[below - 1], values.get(below).copied()),
        _ => format!("{:.1e}", level.floor),
    };
    let effect = match without {
        Ok(fit) => format!("without them (option floor={floor}) alpha is {:.3}", fit.alpha),
        Err(reason) => format!("without them (option floor={floor}) there is no alpha: {reason}"),
    };
    let are = if below == 1 { "is" } else { "are" };
    Some(match hidden {
        0 => format!(
            "{below} of {of} eigenvalues {are} below the floor of the stored format, where rounding makes them; {effect}"
        ),
        _ => format!(
            "up to {below} of {of} eigenvalues may be below the floor of the stored format, {hidden} of which the precision hides; {effect}"
        ),
    })
}

/// `floor` in as few digits as leave it between `below` and `above`.
fn shortest(floor: f64, below: f64, above: Option<f64>) -> String {
    let mut written = (0..17).map(|digits| format!("{floor:.digits$e}"));
    let is_between = |text: &String| {
        text.parse::<f64>().is_ok_and(|value| value > below && above.is_none_or(|above| value <= above))
    };
    written.find(is_between).unwrap_or_else(|| format!("{floor:e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_written_so_that_it_separates_the_same_eigenvalues() {
        assert_eq!(shortest(1.26e-13, 3e-16, Some(2e-3)), "1e-13");
        assert_eq!(shortest(1.26e-13, 1.1e-13, Some(1.27e-13)), "1.26e-13");
        assert_eq!(shortest(1.6, 1.5, None), "2e0");
        assert_eq!(shortest(1.6, 0.0, Some(1.7)), "1.6e0");
    }
}
