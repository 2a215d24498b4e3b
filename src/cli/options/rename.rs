//! `--rename` and `--rename-regex` of a comparison.

use crate::rename::Rename;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct RenameArgs {
    /// Start of the names in A, and what it is in B
    ///
    /// `model.=` for names that begin with model. only in A, `=model.` for names that do so only in B. Names with another start are
    /// the same in both. Without this option, the usual starts are tried if nothing pairs: model., language_model., _orig_mod.,
    /// module., transformer. and base_model.model.
    #[arg(long, value_name = "OLD=NEW", hide_short_help = true)]
    rename: Option<Rename>,
    /// Replace all that matches in the names in A, to get those in B
    ///
    /// `'^h\.(\d+)=layers.${1}'` turns h.0 into layers.0.
    #[arg(long, value_name = "REGEX=NEW", value_parser = Rename::parse_regex, conflicts_with = "rename")]
    #[arg(hide_short_help = true)]
    rename_regex: Option<Rename>,
}

impl RenameArgs {
    pub fn rename(self) -> Option<Rename> {
        self.rename.or(self.rename_regex)
    }
}
