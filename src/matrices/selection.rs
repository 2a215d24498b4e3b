//! The matrices that the user selects: by regular expressions on names, and by layers.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::matrix::WeightMatrix;

/// A set of layer numbers, written like `0-15,20`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    text: String,
    ranges: Vec<(u32, u32)>,
}

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            digits
                .trim()
                .parse::<u32>()
                .map_err(|_| format!("`{digits}` is not a layer number; write, for example, 0-15,20"))
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range {part} is reversed; write {last}-{first}"));
            }
            Ok((first, last))
        };
        let ranges = text.split(',').map(range).collect::<Result<_, _>>()?;
        Ok(Layers { text: text.to_owned(), ranges })
    }
}

/// Prints the text that was parsed.
impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Layers {
    /// True if `layer` is in the set.
    pub fn contains(&self, layer: u32) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&layer))
    }
}

/// Which matrices to score. The default is all of them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Selection {
    /// If not empty, only matrices whose names match one of these.
    pub include: Vec<Regex>,
    /// No matrices whose names match one of these.
    pub exclude: Vec<Regex>,
    /// Only these layers (of every stack).
    pub layers: Option<Layers>,
}

impl Selection {
    /// True if nothing is left out.
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.layers.is_none()
    }

    /// Returns `matrix`, or the reason why it is left out.
    pub(super) fn admit(&self, matrix: WeightMatrix) -> Result<WeightMatrix, String> {
        let matches = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(matrix.name()));
        if matches(&self.exclude) {
            return Err("excluded by pattern".into());
        }
        if !self.include.is_empty() && !matches(&self.include) {
            return Err("not matched by an include pattern".into());
        }
        if self.layers.as_ref().is_some_and(|layers| !layers.contains(matrix.layer)) {
            return Err("layer not selected".into());
        }
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::Layers;

    #[test]
    fn layer_lists() {
        let layers: Layers = "0-3, 7".parse().unwrap();
        assert_eq!((0..10).filter(|&l| layers.contains(l)).collect::<Vec<_>>(), [0, 1, 2, 3, 7]);
        for bad in ["", "a", "3-1", "1-", "-1", "1,,2", "0..3"] {
            assert!(bad.parse::<Layers>().is_err(), "{bad}");
        }
    }
}
