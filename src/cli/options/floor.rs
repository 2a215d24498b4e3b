//! `--floor`: whether a fit sees eigenvalues that rounding made.

use crate::floor::Floor;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit")]
pub struct FloorArgs {
    /// Leave eigenvalues below this floor out of the fit: auto, none or a number
    ///
    /// Rounding the weights to their format makes eigenvalues of its own. `auto` estimates the largest of them. With --base, the fit
    /// sees only what is above it; for weights it is reported, in a note if it changes alpha. `none` fits everything.
    #[arg(long, value_name = "FLOOR", default_value_t, value_parser = floor, hide_short_help = true)]
    #[arg(allow_negative_numbers = true)]
    pub floor: Floor,
}

fn floor(text: &str) -> Result<Floor, String> {
    text.parse().map_err(|error| {
        format!("{error}\n\nhint: `htsr score PATH --format json` reports the floor of every matrix as `floor`")
    })
}
