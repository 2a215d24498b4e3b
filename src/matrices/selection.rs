//! The matrices that the user selects: by regular expressions on names, and by layers.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::matrix::WeightMatrix;
use super::skip;
use crate::error::{Error, Result};

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
///
/// ```
/// # use htsr::matrices::Selection;
/// let attention = Selection::default().with_include("self_attn")?.with_exclude("o_proj")?.with_layers("0-15,20".parse()?);
/// assert!(!attention.is_all());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// If not empty, only matrices whose names match one of these.
    pub(crate) include: Vec<Regex>,
    /// No matrices whose names match one of these.
    pub(crate) exclude: Vec<Regex>,
    /// Only these layers (of every stack).
    pub(crate) layers: Option<Layers>,
}

impl Selection {
    /// Also includes matrices whose names match `pattern`, a regular expression that may match a part of the name. Without any
    /// such pattern, all names are included.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if `pattern` is not a regular expression.
    pub fn with_include(mut self, pattern: &str) -> Result<Selection> {
        self.include.push(regex(pattern)?);
        Ok(self)
    }

    /// Also excludes matrices whose names match `pattern`, even those that are included.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if `pattern` is not a regular expression.
    pub fn with_exclude(mut self, pattern: &str) -> Result<Selection> {
        self.exclude.push(regex(pattern)?);
        Ok(self)
    }

    /// Selects only these layers, in every stack.
    #[must_use]
    pub fn with_layers(self, layers: Layers) -> Selection {
        Selection { layers: Some(layers), ..self }
    }

    /// True if nothing is left out.
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.layers.is_none()
    }

    /// The reason why a tensor of this name is a state of the training, unless a pattern asks for such states.
    ///
    /// A pattern asks for them if it matches the name, but not the name of the weights that they belong to.
    pub(super) fn state(&self, name: &str) -> Option<&'static str> {
        let state = skip::state(name)?;
        let asks = |pattern: &Regex| pattern.is_match(name) && !pattern.is_match(&state.weights);
        (!self.include.iter().any(asks)).then_some(state.reason)
    }

    /// Returns `matrix`, or the reason why it is left out.
    pub(super) fn admit(&self, matrix: WeightMatrix) -> Result<WeightMatrix, String> {
        self.refusal(matrix.name(), matrix.layer).map_or(Ok(matrix), |reason| Err(reason.into()))
    }

    /// The reason why the matrix of this name and layer is left out, if it is.
    pub(super) fn refusal(&self, name: &str, layer: u32) -> Option<&'static str> {
        let matches = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(name));
        if matches(&self.exclude) {
            Some("excluded by pattern")
        } else if !self.include.is_empty() && !matches(&self.include) {
            Some("not matched by an include pattern")
        } else if self.layers.as_ref().is_some_and(|layers| !layers.contains(layer)) {
            Some("layer not selected")
        } else {
            None
        }
    }
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        // The lines above the last one draw the pattern with a mark below the error.
        let text = error.to_string();
        let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Error::usage(format!("`{pattern}` is not a regular expression: {cause}")).because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::{Layers, Selection};

    #[test]
    fn layer_lists() {
        let layers: Layers = "0-3, 7".parse().unwrap();
        assert_eq!((0..10).filter(|&l| layers.contains(l)).collect::<Vec<_>>(), [0, 1, 2, 3, 7]);
        for bad in ["", "a", "3-1", "1-", "-1", "1,,2", "0..3"] {
            assert!(bad.parse::<Layers>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_pattern_is_refused_in_one_line() {
        let error = Selection::default().with_include("q_proj(").unwrap_err();
        assert_eq!(error.to_string(), "`q_proj(` is not a regular expression: unclosed group");
    }
}
