//! The floor of the stored format: how large an eigenvalue the rounding of the stored elements makes by itself.
//!
//! A checkpoint holds W + E, where E is what rounding to the stored format changed. If W has eigenvalues that are smaller than
//! those of E, the spectrum has those of E in their place. A fit must not take them for eigenvalues of W: a product of rank 48
//! has 16 eigenvalues of pure rounding when it is stored, and the difference of a merged adapter from its base has nearly no
//! others.
//!
//! The floor is an upper bound for the eigenvalues of E^T E, from the variances of the elements of E (`edge`); `docs/floor.md`
//! shows how well it holds. Where W has r eigenvalues above it, the others are at most those of the part of E that is orthogonal
//! to the r directions on both sides, (m - r) x (n - r). The eigenvalues between that and twice the bound are uncertain.

mod edge;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::matrices::Rounding;
use crate::spectrum::Spectrum;
use edge::edge;

/// Which eigenvalues a fit leaves out because the rounding of the stored weights makes them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Floor {
    /// Estimates the floor. For updates (W - W_base), what is below it is left out; for weights, it is reported only.
    #[default]
    Auto,
    /// Fits all eigenvalues, and estimates nothing.
    None,
    /// Leaves out eigenvalues below this one.
    Value(f64),
}

impl Floor {
    /// True for the default.
    pub fn is_auto(&self) -> bool {
        *self == Floor::Auto
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Floor::Auto => f.write_str("auto"),
            Floor::None => f.write_str("none"),
            Floor::Value(value) => write!(f, "{value:e}"),
        }
    }
}

impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Floor, String> {
        match text {
            "auto" => Ok(Floor::Auto),
            "none" => Ok(Floor::None),
            number => match number.parse::<f64>() {
                Ok(value) if value.is_finite() && value > 0.0 => Ok(Floor::Value(value)),
                _ => Err("not auto, none, or a positive eigenvalue, such as 1e-12".into()),
            },
        }
    }
}

impl From<Floor> for String {
    fn from(floor: Floor) -> String {
        floor.to_string()
    }
}

impl TryFrom<String> for Floor {
    type Error = String;

    fn try_from(text: String) -> Result<Floor, String> {
        text.parse()
    }
}

/// Share of unchanged elements above which the errors of an update are no noise: they are mostly the update itself, lost.
///
/// 38 % of the elements stay the same if the update of each is normal with a standard deviation of one spacing.
pub const MOST_UNCHANGED: f64 = 0.4;

/// A bound for the eigenvalues that the errors `rounding` make. With independent errors, one in a thousand matrices exceeds it.
fn bound(rounding: &Rounding) -> f64 {
    let Rounding { rows, cols, largest, .. } = rounding;
    let short = rows.len().min(cols.len()) as f64;
    // The largest eigenvalue fluctuates around the edge (Johnstone, Ann. Statist. 29, 2001): its 99.9 % quantile, for a square
    // matrix. A lone element contributes its squared error, of which the variance is the mean and three times that the most.
    (edge(rows, cols) + 2.0 * largest) * (1.0 + 2.0 * short.powf(-2.0 / 3.0))
}

/// A number above [`bound`] for all errors whose variances have this sum.
///
/// The floor of a matrix whose smallest eigenvalue is larger does not need to be computed.
pub(crate) fn cheap_bound(variances: f64) -> f64 {
    // The edge is at most four times the sum, a single element adds two, and the margin of 8 eigenvalues is the factor 1.5.
    9.0 * variances
}

/// The noise that rounding puts into a spectrum, estimated from the errors of a matrix, or of several whose spectra are pooled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    /// Bound for its eigenvalues.
    bound: f64,
    /// Sum of its eigenvalues: of all variances.
    trace: f64,
    /// Rows and columns of each matrix.
    shape: [usize; 2],
    /// Number of matrices.
    count: usize,
}

impl Noise {
    /// The noise of matrices of this shape with the errors `roundings`.
    pub fn new(roundings: &[Rounding], shape: [usize; 2]) -> Noise {
        Noise {
            bound: roundings.iter().map(bound).fold(0.0, f64::max),
            trace: roundings.iter().flat_map(|rounding| &rounding.rows).sum(),
            shape,
            count: roundings.len(),
        }
    }

    /// Size of the part of the noise that is orthogonal to the directions of all but the `below` smallest of `of` eigenvalues, as
    /// shares: of its largest eigenvalue, and of its trace.
    fn rest(&self, below: usize, of: usize) -> (f64, f64) {
        let taken = (of - below) / self.count;
        let [rows, cols] = self.shape.map(|size| size.saturating_sub(taken) as f64 / size as f64);
        let [tall, wide] = self.shape.map(|size| (size as f64).sqrt());
        let largest = ((tall * rows.sqrt() + wide * cols.sqrt()) / (tall + wide)).powi(2);
        (largest, rows * cols)
    }

    /// Where it ends in the spectrum of W + E; `None` if it is not finite.
    ///
    /// What is below twice the bound is compared with the trace of the noise. If it is more, there may be a second rounding (of a base
    /// that was cast from the same finer weights), and the floor rises with it, at most to twice the bound.
    pub fn level(&self, spectrum: &Spectrum) -> Option<Level> {
        let (x, of) = (spectrum.values(), spectrum.len());
        let widest = spectrum.count_below(2.0 * self.bound).1;
        let expected = self.trace * self.rest(widest, of).1;
        // Without what the errors of the computation may have added, which differ between devices.
        let found: f64 = (0..widest).map(|index| (x[index] - spectrum.absolute_error(index)).max(0.0)).sum();
        let ratio = if expected > 0.0 { (found / expected).clamp(1.0, 2.0) } else { 1.0 };
        let floor = self.bound * ratio;
        let level = Level::given(floor, spectrum);
        let sure = spectrum.count_below(floor * self.rest(level.below, of).0).1;
        floor.is_finite().then_some(Level { uncertain: widest.saturating_sub(sure), ..level })
    }
}

/// Where the floor of a matrix is in its spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    /// The floor.
    pub floor: f64,
    /// Number of eigenvalues that are, or within their errors may be, below it.
    pub below: usize,
    /// How many of them are below it for sure.
    pub surely_below: usize,
    /// Number of eigenvalues that, by the estimate, may be on the other side of it.
    pub uncertain: usize,
}

impl Level {
    /// A floor that somebody chose.
    pub fn given(floor: f64, spectrum: &Spectrum) -> Level {
        let (surely_below, below) = spectrum.count_below(floor);
        Level { floor, below, surely_below, uncertain: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_words_or_eigenvalues() {
        for (text, floor) in [("auto", Floor::Auto), ("none", Floor::None), ("1e-12", Floor::Value(1e-12))] {
            assert_eq!(text.parse(), Ok(floor));
            assert_eq!(floor.to_string(), text);
            assert_eq!(serde_json::from_str::<Floor>(&serde_json::to_string(&floor).unwrap()).unwrap(), floor);
        }
        for text in ["0", "-1", "nan", "inf", "Auto", ""] {
            assert!(text.parse::<Floor>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_cheap_bound_is_above_every_bound() {
        let mut variances = vec![vec![1e-5; 8]; 8];
        for outlier in [1e-5, 1e-3, 1.0, 1e6] {
            variances[3][5] = outlier;
            let rows: Vec<f64> = variances.iter().map(|row| row.iter().sum()).collect();
            let cols: Vec<f64> = (0..8).map(|j| variances.iter().map(|row| row[j]).sum()).collect();
            let sum = rows.iter().sum();
            let bound = bound(&Rounding { rows, cols, largest: outlier, unchanged: None });
            assert!(bound <= cheap_bound(sum) && bound > 0.1 * sum, "{outlier}: {bound} {sum}");
        }
    }

    #[test]
    fn eigenvalues_near_the_floor_are_uncertain() {
        let spectrum = Spectrum::exact(vec![0.1, 0.3, 0.6, 0.9, 1.5, 2.5, 3.0, 4.0]);
        let noise = |trace: f64| Noise { bound: 1.0, trace, shape: [8, 8], count: 1 };
        // Four are above, of 8 x 8: the rest of the noise is at most half of the floor. 3.4 of its trace are explained.
        let level = noise(100.0).level(&spectrum).unwrap();
        assert_eq!(level, Level { floor: 1.0, below: 4, surely_below: 4, uncertain: 3 });
        assert_eq!(Level::given(1.0, &spectrum), Level { floor: 1.0, below: 4, surely_below: 4, uncertain: 0 });
        // Twice the noise that one rounding explains: with three above, 25 / 64 of the trace.
        let level = noise(3.4 / 1.8 * 64.0 / 25.0).level(&spectrum).unwrap();
        assert!((level.floor - 1.8).abs() < 1e-12 && level.below == 5, "{level:?}");
        let level = noise(1e-3).level(&spectrum).unwrap();
        assert_eq!((level.floor, level.below), (2.0, 5));
        // Errors of the solver are no second rounding.
        let hidden =
            Spectrum::from_gram(vec![1e-7, 2e-7, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 21.0, f32::EPSILON.into()).unwrap();
        let level = Noise { bound: 1e-12, ..noise(1e-20) }.level(&hidden).unwrap();
        assert_eq!((level.floor, level.surely_below, level.below), (1e-12, 0, 2));
        assert_eq!(Noise { bound: f64::INFINITY, ..noise(1.0) }.level(&spectrum), None);
        assert_eq!(
            Noise { bound: 0.0, ..noise(0.0) }.level(&spectrum),
            Some(Level { floor: 0.0, below: 0, surely_below: 0, uncertain: 0 })
        );
        let above_all = Noise { bound: 9.0, ..noise(1.0) }.level(&spectrum).unwrap();
        assert_eq!(above_all.below, 8);
    }
}
