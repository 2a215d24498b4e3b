//! The user's choice among the matrices: regular expressions on names, and layers.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::WeightMatrix;

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
            digits.trim().parse::<u32>().map_err(|_| format!("`{digits}` is not a layer number; write e.g. 0-15,20"))
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range {part} ends before it begins; write {last}-{first}"));
            }
            Ok((first, last))
        };
        let ranges = text.split(',').map(range).collect::<Result<_, _>>()?;
        Ok(Layers { text: text.to_owned(), ranges })
    }
}

/// As it was written.
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

/// Which of the matrices found are to be scored. The default takes all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// If not empty, only names that match one of these.
    pub include: Vec<Regex>,
    /// No names that match one of these.
    pub exclude: Vec<Regex>,
    /// Only these layers (of every stack).
    pub layers: Option<Layers>,
}

impl Selection {
    /// Whether it leaves nothing out.
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.layers.is_none()
    }

    /// Passes `matrix` through, or says why it is left out.
    pub(super) fn admit(&self, matrix: WeightMatrix) -> Result<WeightMatrix, String> {
        let matches = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(matrix.name()));
        if matches(&self.exclude) {
            return Err("excluded by --exclude".into());
        }
        if !self.include.is_empty() && !matches(&self.include) {
            return Err("not matched by --include".into());
        }
        if self.layers.as_ref().is_some_and(|layers| !layers.contains(matrix.layer)) {
            return Err("not among --layers".into());
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
