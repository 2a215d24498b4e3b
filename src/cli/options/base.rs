//! The checkpoint to open: `--component`, one model of a pipeline; `--base`, the checkpoint whose weights are subtracted.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::cli::printer::Printer;
use crate::error::{Error, Result};
use crate::rename::Rename;

#[derive(Debug, clap::Args)]
pub struct ComponentArgs {
    /// Read this model of a pipeline: the name of its subfolder
    ///
    /// For folders of several models, such as those of diffusers, e.g. transformer or unet.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    component: Option<String>,
}

impl ComponentArgs {
    pub fn is_given(&self) -> bool {
        self.component.is_some()
    }

    /// Opens the checkpoint at `path`, and prints what there is to know about the choice of files.
    pub fn open(&self, path: &Path, printer: &Printer) -> Result<Checkpoint> {
        let checkpoint = match &self.component {
            Some(component) => Checkpoint::open_component(path, component),
            None => Checkpoint::open(path),
        }?;
        checkpoint.notes().iter().for_each(|note| printer.note(note));
        Ok(checkpoint)
    }
}

#[derive(Debug, clap::Args)]
pub struct BaseArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// Score the difference from this checkpoint
    ///
    /// Scores the update W - W_base, in f64, for tensors of the same name and shape. --component applies to both.
    #[arg(long, value_name = "BASE", hide_short_help = true)]
    base: Option<PathBuf>,
    /// Start of the names in PATH, and what it is in BASE
    ///
    /// `model.=` for names that begin with model. only in PATH, `=model.` for names that do so only in BASE. Names with another
    /// start are the same in both. Without this option, the usual starts are tried if nothing pairs: model., language_model.,
    /// _orig_mod., module., transformer. and base_model.model.
    #[arg(long, value_name = "OLD=NEW", requires = "base", hide_short_help = true)]
    rename: Option<Rename>,
    /// Replace all that matches in the names in PATH, to get those in BASE
    ///
    /// `'^h\.(\d+)=layers.${1}'` turns h.0 into layers.0.
    #[arg(long, value_name = "REGEX=NEW", requires = "base", value_parser = Rename::parse_regex, conflicts_with = "rename")]
    #[arg(hide_short_help = true)]
    rename_regex: Option<Rename>,
}

impl BaseArgs {
    /// Opens the checkpoint at `path`; with `--base`, as an update of that checkpoint.
    pub fn open(&self, path: &Path, printer: &Printer) -> Result<Checkpoint> {
        let checkpoint = self.component.open(path, printer)?;
        let Some(base) = &self.base else { return Ok(checkpoint) };
        if checkpoint.adapter().is_some() {
            let error = Error::usage("is an adapter, which is already an update").file(path);
            return Err(error.hint("remove --base"));
        }
        let base = self.component.open(base, printer)?;
        if base.adapter().is_some() {
            let error = Error::usage("is an adapter and cannot be the base").file(base.path());
            return Err(error.hint("use the model that was fine-tuned as the base; score an adapter without --base"));
        }
        let checkpoint = checkpoint.with_base(base);
        match self.rename.as_ref().or(self.rename_regex.as_ref()) {
            Some(rename) => checkpoint.with_base_rename(rename.clone()),
            None => Ok(checkpoint),
        }
    }
}
