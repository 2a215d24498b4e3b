//! Windows: sub-matrices of one shape, whose spectra together stand for that of the whole matrix (FARMS: fixed-aspect-ratio
//! matrix subsampling, Hu et al., arXiv 2506.06280).
//!
//! The spectrum of a random matrix depends on its aspect ratio, and so does alpha: matrices of different shapes cannot be
//! compared. FARMS looks at every matrix through windows of the same shape, lays all their eigenvalues together, and fits one
//! power law to them. Where the paper leaves the geometry open, this is what the published code does (HUST-AI-HYZ/FARMS,
//! for the linear layers of language models): windows begin at multiples of a step along rows and along columns, at most so
//! many along each, and the step is the largest with which so many fit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most windows along a dimension; the published settings have 15.
const MOST_WINDOWS: usize = 100;
/// Fewest eigenvalues of a window: those that a power-law fit takes.
const FEWEST_EIGENVALUES: usize = crate::fit::MIN_EIGENVALUES;

/// The shape of windows, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Farms {
    /// Rows of a window, where the matrix has so many rows and columns.
    pub rows: usize,
    /// Columns of a window, as a multiple of its rows.
    pub q: f64,
    /// Windows along rows, and as many along columns: up to the square of this in all.
    pub windows: usize,
}

/// The settings that the published code has for LLaMA.
impl Default for Farms {
    fn default() -> Self {
        Farms { rows: 2000, q: 1.0, windows: 15 }
    }
}

/// A sub-matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first row.
    pub row: usize,
    /// Its first column.
    pub col: usize,
    /// Number of its rows.
    pub rows: usize,
    /// Number of its columns.
    pub cols: usize,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { row, col, rows, cols } = self;
        write!(f, "the window of rows {row} to {} and columns {col} to {}", row + rows - 1, col + cols - 1)
    }
}

impl Farms {
    /// The shape of the windows of a rows x cols matrix.
    ///
    /// The published code takes no more rows than the matrix has rows or columns. For q > 1 its columns may then still be
    /// more than there are, and its windows are cut off at the edge, or empty: here rows give way until they fit, and the
    /// aspect ratio stays.
    pub fn shape(&self, rows: usize, cols: usize) -> (usize, usize) {
        let wide = |rows: usize| (rows as f64 * self.q) as usize;
        let mut taken = self.rows.min(rows).min(cols);
        if wide(taken) > cols {
            taken = ((cols as f64 / self.q) as usize).max(1);
        }
        (taken, wide(taken).clamp(1, cols))
    }

    /// The windows of a rows x cols matrix, row by row. There is at least one, all are different, and all lie inside.
    pub fn windows(&self, rows: usize, cols: usize) -> Vec<Window> {
        let shape = self.shape(rows, cols);
        let (down, right) = (self.starts(rows - shape.0), self.starts(cols - shape.1));
        let window = |row, col| Window { row, col, rows: shape.0, cols: shape.1 };
        down.flat_map(|row| right.clone().map(move |col| window(row, col))).collect()
    }

    /// Where windows begin along a dimension in which they have so much room to move.
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

/// `rows=2000,q=1,windows=15`: what is left out is as published, and `default` leaves all out.
impl FromStr for Farms {
    type Err = String;

    fn from_str(text: &str) -> Result<Farms, String> {
        let mut farms = Farms::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|_| text.trim() != "default") {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            if seen.contains(&key) {
                return Err(format!("`{key}` stands twice{HINT}"));
            }
            seen.push(key);
            match key {
                "rows" => farms.rows = whole(key, value)?,
                "windows" => farms.windows = whole(key, value)?,
                "q" => farms.q = value.parse().map_err(|_| format!("`q` is not a number: `{value}`{HINT}"))?,
                _ => return Err(format!("there is no `{key}`: the known keys are rows, q, windows{HINT}")),
            }
        }
        farms.check()?;
        Ok(farms)
    }
}

const HINT: &str =
    "\n\nhint: --farms rows=2000,q=1,windows=15 is what the published code uses, and --farms default says the same";

fn whole(key: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("`{key}` is not a positive whole number: `{value}`{HINT}"))
}

impl Farms {
    fn check(&self) -> Result<(), String> {
        if !(self.q > 0.0 && self.q.is_finite()) {
            return Err(format!("`q` is not a positive number: {}{HINT}", self.q));
        }
        let cols = self.rows as f64 * self.q;
        if (self.rows as f64).min(cols) < FEWEST_EIGENVALUES as f64 {
            return Err(format!(
                "a window of {} rows and {cols} columns has fewer than the {FEWEST_EIGENVALUES} eigenvalues that a power-law \
                 fit takes{HINT}",
                self.rows
            ));
        }
        if self.windows > MOST_WINDOWS {
            return Err(format!(
                "windows={} along each dimension are more than {MOST_WINDOWS}, and take their square in time{HINT}",
                self.windows
            ));
        }
        Ok(())
    }
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
        // No room along rows; 8 places along columns, though 15 are asked for.
        assert_eq!(starts("default", 1000, 1007), (vec![0], (0..8).collect()));
        assert_eq!("default".parse::<Farms>().unwrap().shape(1000, 1007), (1000, 1000));
        assert_eq!(starts("rows=100,windows=1", 300, 300), (vec![0], vec![0]));
        // The columns of q = 4 do not fit beside 100 rows.
        let wide: Farms = "rows=100,q=4".parse().unwrap();
        assert_eq!(
            (wide.shape(500, 500), wide.shape(500, 200), wide.shape(60, 500)),
            ((100, 400), (50, 200), (60, 240))
        );
        let narrow: Farms = "rows=100,q=0.25".parse().unwrap();
        assert_eq!((narrow.shape(500, 500), narrow.shape(500, 50), narrow.shape(2, 1)), ((100, 25), (50, 12), (1, 1)));
    }

    #[test]
    fn settings_are_read_and_bad_ones_answered() {
        let farms: Farms = " rows=128, windows=5".parse().unwrap();
        assert_eq!(farms, Farms { rows: 128, q: 1.0, windows: 5 });
        assert_eq!(farms.to_string().parse(), Ok(farms));
        for (text, answer) in [
            ("rows=0", "`rows` is not a positive whole number: `0`"),
            ("rows", "`rows` is not a positive whole number: ``"),
            ("windows=2.5", "`windows` is not a positive whole number: `2.5`"),
            ("windows=101", "windows=101 along each dimension are more than 100"),
            ("q=x", "`q` is not a number: `x`"),
            ("q=-1", "`q` is not a positive number: -1"),
            ("q=nan", "`q` is not a positive number: NaN"),
            ("rows=100,rows=100", "`rows` stands twice"),
            ("", "there is no ``: the known keys are rows, q, windows"),
            ("row=100", "there is no `row`: the known keys are rows, q, windows"),
            ("rows=7", "a window of 7 rows and 7 columns has fewer than the 8 eigenvalues"),
            ("rows=30,q=0.25", "a window of 30 rows and 7.5 columns has fewer than the 8 eigenvalues"),
        ] {
            let error = text.parse::<Farms>().unwrap_err();
            assert!(error.starts_with(answer) && error.contains("\n\nhint: "), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn windows_lie_inside_differ_and_are_as_many_as_fit(
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
