//! `--base`: the checkpoint whose weights are subtracted.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub struct BaseArgs {
    /// Score what has changed since this checkpoint: W - W_base, in f64, for tensors of the same name and shape
    #[arg(long, value_name = "BASE")]
    base: Option<PathBuf>,
}

impl BaseArgs {
    /// Opens the checkpoint at `path`, as an update of the base if there is one.
    pub fn open(&self, path: &Path) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(path)?;
        let Some(base) = &self.base else { return Ok(checkpoint) };
        if checkpoint.adapter().is_some() {
            let error = Error::usage("is an adapter, which is an update by itself").file(path);
            return Err(error.hint("leave --base out"));
        }
        let base = Checkpoint::open(base)?;
        if base.adapter().is_some() {
            let error = Error::usage("is an adapter, and cannot be the base").file(base.path());
            return Err(error.hint("give the model that was fine-tuned; an adapter is scored without --base"));
        }
        Ok(checkpoint.with_base(base))
    }
}
