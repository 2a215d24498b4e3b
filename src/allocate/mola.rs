//! MoLA's fixed shapes (arXiv 2402.08562): a number of experts for each quarter of the layers, from input to output,
//! independent of their alphas.
//!
//! For 32 layers, the shape 2468 gives the first eight layers 2 experts each and the last eight 8 each. With L layers,
//! layer l is in quarter floor(4 l / L), which divides any L as evenly as possible.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Solution, Solve, Unit};

/// Experts of a layer in each quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MolaShape(pub [u32; 4]);

/// The shape that MoLA recommends: more experts for higher layers.
impl Default for MolaShape {
    fn default() -> Self {
        MolaShape([2, 4, 6, 8])
    }
}

impl fmt::Display for MolaShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MolaShape([a, b, c, d]) = self;
        write!(f, "{a},{b},{c},{d}")
    }
}

/// Parses `2468`, the paper's notation for one-digit numbers, or `2,4,6,8`.
impl FromStr for MolaShape {
    type Err = String;

    fn from_str(text: &str) -> Result<MolaShape, String> {
        let numbers: Option<Vec<u32>> = match text.contains(',') {
            true => text.split(',').map(|number| number.trim().parse().ok()).collect(),
            false => text.chars().map(|digit| digit.to_digit(10)).collect(),
        };
        let shape = numbers.and_then(|numbers| <[u32; 4]>::try_from(numbers).ok());
        // A layer without experts has no adapter; a larger number is a typing error.
        shape.filter(|shape| shape.iter().all(|number| (1..=65536).contains(number))).map(MolaShape).ok_or_else(|| {
            "not four positive whole numbers\n\nhint: use 2468, 8642, 8228 or 5555 (MoLA's shapes), or any four numbers a,b,c,d"
                .into()
        })
    }
}

impl MolaShape {
    /// Prepares the rule for layers in their order; each stack is divided separately.
    pub(super) fn prepare(self, units: &[Unit]) -> Solve<'static> {
        let stacks = units.chunk_by(|a, b| a.stack == b.stack);
        let of_stack = |layers: &[Unit]| {
            let count = layers.len();
            (0..count).map(move |layer| f64::from(self.0[4 * layer / count])).collect::<Vec<_>>()
        };
        let values: Vec<f64> = stacks.flat_map(of_stack).collect();
        Box::new(move |_| Ok(Solution::free(values.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str, layers: u32) -> Vec<f64> {
        let units: Vec<Unit> = (0..layers).map(|layer| Unit::of_layer(layer, 2.0)).collect();
        text.parse::<MolaShape>().unwrap().prepare(&units)(&[]).unwrap().values
    }

    #[test]
    fn quarters_of_any_number_of_layers() {
        let published: Vec<f64> = [2.0, 4.0, 6.0, 8.0].iter().flat_map(|&number| [number; 8]).collect();
        assert_eq!(shape("2468", 32), published);
        assert_eq!(shape("8,2,2,8", 6), [8.0, 8.0, 2.0, 2.0, 2.0, 8.0]);
        assert_eq!(shape("8642", 1), [8.0]);
        assert_eq!(shape("5555", 3), [5.0; 3]);
        assert_eq!(shape("10,1,1,2", 4), [10.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    fn what_is_no_shape() {
        for text in ["", "246", "24680", "2,4,6", "2,4,6,8,9", "2,4,x,8", "0246", "-1,2,3,4", "2468,"] {
            assert!(text.parse::<MolaShape>().is_err(), "{text}");
        }
    }
}
