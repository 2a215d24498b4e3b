//! `--base`: the checkpoint whose weights are subtracted.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct BaseArgs {
    /// Score the difference from this checkpoint
    ///
    /// Scores the update W - W_base, in f64, for tensors of the same name and shape.
    #[arg(long, value_name = "BASE", hide_short_help = true)]
    base: Option<PathBuf>,
}

impl BaseArgs {
    /// Opens the checkpoint at `path`; with `--base`, as an update of that checkpoint.
    pub fn open(&self, path: &Path) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(path)?;
        let Some(base) = &self.base else { return Ok(checkpoint) };
        if checkpoint.adapter().is_some() {
            let error = Error::usage("is an adapter, which is already an update").file(path);
            return Err(error.hint("remove --base"));
        }
        let base = Checkpoint::open(base)?;
        if base.adapter().is_some() {
            let error = Error::usage("is an adapter and cannot be the base").file(base.path());
            return Err(error.hint("use the model that was fine-tuned as the base; score an adapter without --base"));
        }
        Ok(checkpoint.with_base(base))
    }
}
