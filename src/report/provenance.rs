//! The provenance of a result: code, device, options and input. It contains no time and no thread count, so that the same
//! input, device and version give the same bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::allocate::{AllocationPlan, AllocationRule, Budget};
use crate::checkpoint::{Cast, Checkpoint};
use crate::device::{Device, Method, Precision};
use crate::fit::Rule;
use crate::floor::Floor;
use crate::matrices::Farms;
use crate::rename::Rename;
use crate::uncertainty::Simulations;

/// The provenance of a result. Unknown fields are null: a CSV of alphas has no device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Version of `htsr`.
    pub version: String,
    /// Its git commit, or `unknown`.
    pub commit: String,
    /// The device that computed the spectra.
    pub device: Option<String>,
    /// The eigensolver.
    pub solver: Option<String>,
    /// The requested precision; each matrix has the one that it ended with.
    pub precision: Option<Precision>,
    /// The rule that chose the tails.
    pub rule: Option<Rule>,
    /// The other options.
    pub options: Options,
    /// What was scored.
    pub input: Input,
    /// The base W_base, if W - W_base was scored; null if the weights themselves were scored.
    #[serde(default)]
    pub base: Option<Input>,
}

/// Options that change the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Options {
    /// Rounding of the weights before the computation.
    pub cast: Cast,
    /// Patterns of the names to score; empty for all.
    pub include: Vec<String>,
    /// Patterns of the names to leave out.
    pub exclude: Vec<String>,
    /// The layers to score, as given; null for all.
    pub layers: Option<String>,
    /// The windows of every matrix; none if matrices were scored whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub farms: Option<Farms>,
    /// Which eigenvalues the fits left out; missing for `auto`.
    #[serde(default, skip_serializing_if = "Floor::is_auto")]
    pub floor: Floor,
    /// The seed of the randomized matrices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub randomize: Option<u64>,
    /// The requested metrics, which tables show; others may have been measured, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// What was simulated for error bars, with its seed; null or missing if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulations: Option<Simulations>,
    /// The start of names, and the start that they have in the base: `OLD=NEW`, given or found; missing if names are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<String>,
    /// The expression that turned names into those of the base: `REGEX=NEW`; missing if none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename_regex: Option<String>,
    /// The budget of experts under AlphaLoRA's rule, which `plan` contains, too.
    #[serde(flatten)]
    pub budget: Option<Budget>,
    /// The allocation plan; null in older files.
    #[serde(default)]
    pub plan: Option<AllocationPlan>,
}

impl Options {
    /// Sets what turned names into those of the base.
    pub fn set_rename(&mut self, rename: Option<&Rename>) {
        let text = |is_regex| rename.filter(|rename| rename.is_regex() == is_regex).map(Rename::to_string);
        (self.rename, self.rename_regex) = (text(false), text(true));
    }

    /// Sets the allocation plan.
    pub fn set_plan(&mut self, plan: &AllocationPlan) {
        self.plan = Some(plan.clone());
        self.budget = match plan.rule {
            AllocationRule::AlphaLora(budget) => Some(budget),
            _ => None,
        };
    }
}

/// A checkpoint, or a file of scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Input {
    /// The file or folder that was read: as given, or the chosen snapshot or component within it.
    pub path: String,
    /// Size of all files.
    pub bytes: u64,
    /// SHA-256 of all file names, sizes and header digests: it identifies the layout, not the weights.
    pub headers_sha256: Option<String>,
    /// The files, in order.
    pub files: Vec<InputFile>,
    /// The configuration, if it is an adapter.
    #[serde(default)]
    pub adapter: Option<InputAdapter>,
}

/// The configuration of an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputAdapter {
    /// SHA-256 of its configuration.
    pub config_sha256: String,
    /// The model that it was trained on, according to the configuration.
    pub base_model: Option<String>,
    /// Whether the scale s is lora_alpha / sqrt(r) instead of lora_alpha / r.
    pub rslora: bool,
}

/// A file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputFile {
    /// Its name, without the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its header.
    pub header_sha256: String,
}

impl Provenance {
    /// The provenance of scores of `checkpoint` that `device` computed by `method`.
    pub fn of_scores(device: &dyn Device, method: &Method, options: Options, checkpoint: &Checkpoint) -> Provenance {
        Provenance {
            base: checkpoint.base().map(Input::of),
            device: Some(device.name()),
            solver: Some(device.solver()),
            precision: Some(method.precision),
            rule: Some(method.rule),
            ..Provenance::of_alphas(options, Input::of(checkpoint))
        }
    }

    /// The provenance of alphas that another program computed.
    pub fn of_alphas(options: Options, input: Input) -> Provenance {
        Provenance {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("HTSR_COMMIT").to_owned(),
            device: None,
            solver: None,
            precision: None,
            rule: None,
            options,
            input,
            base: None,
        }
    }
}

impl Input {
    /// Describes an opened checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Input {
        let file = |shard: &crate::checkpoint::Shard| InputFile {
            name: shard.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: shard.bytes,
            header_sha256: shard.header_sha256.clone(),
        };
        let files: Vec<InputFile> = checkpoint.shards().iter().map(file).collect();
        let mut digest = Sha256::new();
        for InputFile { name, bytes, header_sha256 } in &files {
            digest.update(format!("{name} {bytes} {header_sha256}\n"));
        }
        Input {
            path: checkpoint.path().display().to_string(),
            bytes: checkpoint.bytes(),
            headers_sha256: Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            files,
            adapter: checkpoint.adapter().map(|adapter| InputAdapter {
                config_sha256: adapter.config_sha256.clone(),
                base_model: adapter.base_model.clone(),
                rslora: adapter.rslora,
            }),
        }
    }
}
