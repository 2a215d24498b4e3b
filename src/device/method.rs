//! The method of an analysis: precision, fit rule and rounding of weights.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Cast;
use crate::fit::Rule;

/// The arithmetic in which the Gram matrix is formed and its eigenvalues are computed. Fits are always in f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// The fastest arithmetic whose alpha is within 1e-3 of the f64 result, by its error bound.
    #[default]
    Auto,
    /// Double precision.
    F64,
    /// Single precision. For the peak rule the smallest eigenvalue is still computed in f64.
    F32,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Auto => "auto",
            Precision::F64 => "f64",
            Precision::F32 => "f32",
        })
    }
}

/// The largest error of alpha that [`Precision::Auto`] allows.
pub(super) const AUTO_TOLERANCE: f64 = 1e-3;

/// What to compute for each matrix. The default is the peak rule at automatic precision, without a cast.
///
/// ```
/// use htsr::checkpoint::Cast;
/// use htsr::device::{Method, Precision};
/// use htsr::fit::Rule;
///
/// let method = Method::new(Rule::Median).with_precision(Precision::F64).with_cast(Cast::Bf16);
/// assert_eq!(Method::new(Rule::Peak), Method::default());
/// # assert_eq!((method.rule, method.precision, method.cast), (Rule::Median, Precision::F64, Cast::Bf16));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Method {
    /// How the start of the tail is chosen.
    pub rule: Rule,
    /// The arithmetic.
    pub precision: Precision,
    /// The type to which weights are rounded before anything is computed.
    pub cast: Cast,
}

impl Method {
    /// This rule at automatic precision, without a cast.
    pub fn new(rule: Rule) -> Method {
        Method { rule, ..Method::default() }
    }

    /// The same method in another arithmetic.
    pub fn with_precision(self, precision: Precision) -> Method {
        Method { precision, ..self }
    }

    /// The same method for rounded weights.
    pub fn with_cast(self, cast: Cast) -> Method {
        Method { cast, ..self }
    }
}
