//! Which matrices a command uses.

use crate::matrices::{Layers, Selection};
use regex::Regex;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    /// Score only matrices whose name matches (repeatable)
    ///
    /// Optimizer states and moving averages (exp_avg, ema) are scored only if a pattern matches their names and not those of the
    /// weights.
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub include: Vec<Regex>,
    /// Skip matrices whose name matches (repeatable)
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub exclude: Vec<Regex>,
    /// Score only these layers, e.g. 0-15,20
    #[arg(long, value_name = "LIST")]
    pub layers: Option<Layers>,
}

impl SelectionArgs {
    pub fn selection(self) -> Selection {
        Selection { include: self.include, exclude: self.exclude, layers: self.layers }
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    let hint = r"hint: quote the pattern for the shell, and write \. for a dot";
    Regex::new(text).map_err(|error| format!("{error}\n\n{hint}"))
}
