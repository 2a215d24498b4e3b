//! FARMS: fixed-aspect-ratio matrix subsampling (Hu et al., arXiv 2506.06280). Windows of one shape replace the whole matrix.
//!
//! The spectrum of a random matrix depends on its aspect ratio, and so does alpha, so matrices of different shapes cannot be
//! compared. FARMS takes windows of the same shape from every matrix, pools their eigenvalues, and fits one power law. The paper
//! leaves the geometry open; this follows the published code (HUST-AI-HYZ/FARMS, for the linear layers of language models).
//! Windows start at multiples of a step along rows and columns. Their number along each is limited, and the step is the largest
//! with which that number fits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::elements::Window;
use crate::limits::MIN_EIGENVALUES;

/// Most windows along a dimension; the published settings have 15.
const MOST_WINDOWS: usize = 100;

/// The shape and number of windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Farms {
    rows: usize,
    q: f64,
    windows: usize,
}

/// The settings of the published code for LLaMA.
impl Default for Farms {
    fn default() -> Self {
        Farms { rows: 2000, q: 1.0, windows: 15 }
    }
}

impl Farms {
    /// Windows of `rows` rows (fewer in matrices that have fewer rows or columns) and `q` times as many columns; `windows` along
    /// rows and as many along columns, at most.
    ///
    /// # Errors
    ///
    /// A sentence, if a window has fewer eigenvalues than a power-law fit needs, or the numbers are not in range.
    pub fn new(rows: usize, q: f64, windows: usize) -> Result<Farms, String> {
        if !(q > 0.0 && q.is_finite()) {
            return Err(format!("`q` is not a positive number: {q}"));
        }
        let cols = rows as f64 * q;
        if (rows as f64).min(cols) < MIN_EIGENVALUES as f64 {
            return Err(format!(
                "a window of {rows} rows and {cols} columns has fewer than the {MIN_EIGENVALUES} eigenvalues that a power-law \
                 fit needs"
            ));
        }
        if windows == 0 {
            return Err("there must be at least one window".into());
        }
        if windows > MOST_WINDOWS {
            return Err(format!("windows={windows} exceeds {MOST_WINDOWS}; the time grows with its square"));
        }
        Ok(Farms { rows, q, windows })
    }

    /// The shape of the windows of a rows x cols matrix.
    ///
    /// As in the published code, a window has no more rows than the matrix has rows or columns. For q > 1, the windows of the
    /// published code may still be too wide, and are then cut off at the edge or empty. Here they get fewer rows until they fit, so
    /// the aspect ratio is kept.
    pub fn shape(&self, rows: usize, cols: usize) -> (usize, usize) {
        let wide = |rows: usize| (rows as f64 * self.q) as usize;
        let mut taken = self.rows.min(rows).min(cols);
        if wide(taken) > cols {
            taken = ((cols as f64 / self.q) as usize).max(1);
        }
        (taken, wide(taken).clamp(1, cols))
    }

    /// The windows of a rows x cols matrix, row by row: at least one, all different, all inside the matrix.
    pub fn windows(&self, rows: usize, cols: usize) -> Vec<Window> {
        let shape = self.shape(rows, cols);
        let (down, right) = (self.starts(rows - shape.0), self.starts(cols - shape.1));
        let window = |row, col| Window { row, col, rows: shape.0, cols: shape.1 };
        down.flat_map(|row| right.clone().map(move |col| window(row, col))).collect()
    }

    /// The starts of the windows along a dimension that is `room` longer than a window.
    fn starts(&self, room: usize) -> impl Iterator<Item = usize> + Clone {
        let step = room.checked_div(self.windows - 1).unwrap_or(0).max(1);
        let count = self.windows.min(room / step + 1);
        (0..count).map(move |index| index * step)
    }
}

impl fmt::Display for Farms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows={},q={},windows={}", self.rows, self.q, self.windows)
    }
}

/// Parses `rows=2000,q=1,windows=15`. Missing keys have the published values; so does `default`.
impl FromStr for Farms {
    type Err = String;

    fn from_str(text: &str) -> Result<Farms, String> {
        let hint = "write rows=2000,q=1,windows=15 as in the published code, or default for the same";
        parse(text).map_err(|cause| format!("{cause}\n\nhint: {hint}"))
    }
}

fn parse(text: &str) -> Result<Farms, String> {
    let Farms { mut rows, mut q, mut windows } = Farms::default();
    let mut seen = Vec::new();
    for part in text.split(',').map(str::trim).filter(|_| text.trim() != "default") {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim());
        if seen.contains(&key) {
            return Err(format!("`{key}` is given twice"));
        }
        seen.push(key);
        match key {
            "rows" => rows = whole(key, value)?,
            "windows" => windows = whole(key, value)?,
            "q" => q = value.parse().map_err(|_| format!("`q` is not a number: `{value}`"))?,
            _ => return Err(format!("unknown key `{key}`: the keys are rows, q and windows")),
        }
    }
    Farms::new(rows, q, windows)
}

fn whole(key: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("`{key}` is not a positive whole number: `{value}`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(farms: &str, rows: usize, cols: usize) -> (Vec<usize>, Vec<usize>) {
        let windows = farms.parse::<Farms>().unwrap().windows(rows, cols);
        let mut down: Vec<usize> = windows.iter().map(|window| window.row).collect();
        let mut right: Vec<usize> = windows.iter().map(|window| window.col).collect();
        down.dedup();
        right.sort_unstable();
        right.dedup();
        assert_eq!(down.len() * right.len(), windows.len());
        (down, right)
    }

    #[test]
    fn windows_of_llama_and_minilm_by_hand() {
        // 4096 - 2000 = 2096 over 14 steps: 149, and 11008 - 2000 = 9008: 643.
        let (down, right) = starts("default", 4096, 11008);
        assert_eq!((down.len(), down[1], down[14]), (15, 149, 14 * 149));
        assert_eq!((right.len(), right[1], right[14]), (15, 643, 14 * 643));
        // 384 - 128 = 256 over 4: 64; 1536 - 128 = 1408 over 4: 352.
        let (down, right) = starts("rows=128,windows=5", 384, 1536);
        assert_eq!(down, [0, 64, 128, 192, 256]);
        assert_eq!(right, [0, 352, 704, 1056, 1408]);
    }

    #[test]
    fn small_matrices_have_fewer_and_smaller_windows() {
        // Along rows there is one position; along columns there are 8, fewer than the 15 requested.
        assert_eq!(starts("default", 1000, 1007), (vec![0], (0..8).collect()));
        assert_eq!("default".parse::<Farms>().unwrap().shape(1000, 1007), (1000, 1000));
        assert_eq!(starts("rows=100,windows=1", 300, 300), (vec![0], vec![0]));
        // With q = 4, 100 rows would need more columns than these matrices have.
        let wide: Farms = "rows=100,q=4".parse().unwrap();
        assert_eq!(
            (wide.shape(500, 500), wide.shape(500, 200), wide.shape(60, 500)),
            ((100, 400), (50, 200), (60, 240))
        );
        let narrow: Farms = "rows=100,q=0.25".parse().unwrap();
        assert_eq!((narrow.shape(500, 500), narrow.shape(500, 50), narrow.shape(2, 1)), ((100, 25), (50, 12), (1, 1)));
    }

    #[test]
    fn settings_are_parsed_and_bad_ones_refused() {
        let farms: Farms = " rows=128, windows=5".parse().unwrap();
        assert_eq!(farms, Farms { rows: 128, q: 1.0, windows: 5 });
        assert_eq!(farms.to_string().parse(), Ok(farms));
        for (text, answer) in [
            ("rows=0", "`rows` is not a positive whole number: `0`"),
            ("rows", "`rows` is not a positive whole number: ``"),
            ("windows=2.5", "`windows` is not a positive whole number: `2.5`"),
            ("windows=101", "windows=101 exceeds 100"),
            ("q=x", "`q` is not a number: `x`"),
            ("q=-1", "`q` is not a positive number: -1"),
            ("q=nan", "`q` is not a positive number: NaN"),
            ("rows=100,rows=100", "`rows` is given twice"),
            ("", "unknown key ``: the keys are rows, q and windows"),
            ("row=100", "unknown key `row`: the keys are rows, q and windows"),
            ("rows=7", "a window of 7 rows and 7 columns has fewer than the 8 eigenvalues"),
            ("rows=30,q=0.25", "a window of 30 rows and 7.5 columns has fewer than the 8 eigenvalues"),
        ] {
            let error = text.parse::<Farms>().unwrap_err();
            assert!(error.starts_with(answer) && error.contains("\n\nhint: "), "{text}: {error}");
        }
    }

    #[test]
    fn there_is_at_least_one_window() {
        assert_eq!(Farms::new(100, 1.0, 0), Err("there must be at least one window".into()));
        assert_eq!(Farms::new(2000, 1.0, 15), Ok(Farms::default()));
    }

    proptest! {
        #[test]
        fn windows_are_inside_and_different_and_as_many_as_fit(
            rows in 1_usize..60, cols in 1_usize..60, size in 1_usize..40, q in 0.1_f64..6.0, windows in 1_usize..12,
        ) {
            let farms = Farms { rows: size, q, windows };
            let all = farms.windows(rows, cols);
            let shape = farms.shape(rows, cols);
            let places = |room: usize| windows.min(room + 1);
            prop_assert_eq!(all.len(), places(rows - shape.0) * places(cols - shape.1));
            let mut seen = std::collections::HashSet::new();
            for window in &all {
                prop_assert!(window.row + window.rows <= rows && window.col + window.cols <= cols);
                prop_assert!((window.rows, window.cols) == shape && window.rows > 0 && window.cols > 0);
                prop_assert!(seen.insert((window.row, window.col)));
            }
        }
    }
}
