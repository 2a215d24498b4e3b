//! A PEFT adapter: a small file of factors, and a configuration that defines the update that they form.
//!
//! LoRA's update of a weight is s B A, with s = lora_alpha / r, or lora_alpha / sqrt(r) for rank-stabilized LoRA
//! (arXiv 2106.09685, section 4.1; arXiv 2312.03732). `rank_pattern` and `alpha_pattern` give single modules a different r and
//! lora_alpha. A configuration with any other update is refused here; single tensors are skipped with a reason later.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::formats;
use super::hash::sha256;
use super::json::{self, Pairs};
use crate::error::{Error, Result};

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

const HINT_MERGE: &str = "merge the adapter into its model, and score the merged model with §base=ORIGINAL_MODEL";

/// The configuration of an adapter.
#[derive(Debug)]
#[non_exhaustive]
pub struct Adapter {
    /// The path of the configuration.
    pub config: PathBuf,
    /// SHA-256 of the configuration, in hexadecimal.
    pub config_sha256: String,
    /// Name or path of the model that it was trained on, if given.
    pub base_model: Option<String>,
    /// True if weights are stored as inputs x outputs, as in GPT-2.
    pub fan_in_fan_out: bool,
    /// True for DoRA (arXiv 2402.09353), which also rescales the weights.
    pub dora: bool,
    /// True for rank-stabilized LoRA.
    pub rslora: bool,
    rank: u64,
    alpha: f64,
    ranks: Pattern<u64>,
    alphas: Pattern<f64>,
}

/// Values for modules by name; the first pattern that matches counts.
type Pattern<T> = Vec<(Regex, T)>;

/// The two files of an adapter.
pub(super) struct AdapterFiles {
    pub weights: PathBuf,
    pub config: PathBuf,
}

/// The adapter at `path`, which may be its folder or its file of weights. `None` if there is none.
///
/// # Errors
///
/// If one of the two files is missing, or the folder also contains a model.
pub(super) fn locate(path: &Path) -> Result<Option<AdapterFiles>> {
    let folder = match path.file_name() {
        _ if path.is_dir() => path,
        Some(name) if name == WEIGHTS => path.parent().unwrap_or(Path::new("")),
        _ => return Ok(None),
    };
    let files = AdapterFiles { weights: folder.join(WEIGHTS), config: folder.join(CONFIG) };
    match (files.weights.exists(), files.config.exists()) {
        (false, false) => Ok(None),
        (true, false) => {
            let error = Error::input(&files.weights, format!("is an adapter without its {CONFIG}"));
            Err(error.hint("copy the config, which has lora_alpha and r, into the same folder"))
        }
        // A merged model may keep the configuration of its adapter.
        (false, true) if contains_checkpoint(folder) => Ok(None),
        (false, true) => {
            let error = Error::input(&files.config, format!("has no {WEIGHTS} in the same folder"));
            Err(error.hint(match folder.join("adapter_model.bin").exists() {
                true => "adapter_model.bin is in another format: save the adapter with safe_serialization=True",
                false => "the download is incomplete: download the adapter's weights",
            }))
        }
        (true, true) if path.is_dir() && contains_model(folder) => {
            let error = Error::input(folder, "the folder contains a model and an adapter");
            Err(error.hint(format!("give the path of the file to score, for example {}", files.weights.display())))
        }
        (true, true) => Ok(Some(files)),
    }
}

fn contains_checkpoint(folder: &Path) -> bool {
    let known = |entry: std::fs::DirEntry| formats::has_known_extension(&entry.path());
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(known))
}

fn contains_model(folder: &Path) -> bool {
    ["model.safetensors", super::locate::INDEX_NAME].iter().any(|name| folder.join(name).exists())
}

/// The fields of the configuration that are read, except its type. Null fields count as absent.
#[derive(Deserialize)]
struct Raw {
    r: u64,
    lora_alpha: f64,
    use_rslora: Option<bool>,
    use_dora: Option<bool>,
    fan_in_fan_out: Option<bool>,
    rank_pattern: Option<Pairs<u64>>,
    alpha_pattern: Option<Pairs<f64>>,
    base_model_name_or_path: Option<String>,
    init_lora_weights: Option<Value>,
    use_qalora: Option<Value>,
    use_bdlora: Option<Value>,
    kasa_config: Option<Value>,
    monteclora_config: Option<Value>,
}

impl Raw {
    /// The field that makes the update something other than s B A, and how.
    fn obstacle(&self) -> Option<(&'static str, &'static str)> {
        let is_set = |value: &Option<Value>| !matches!(value, None | Some(Value::Null | Value::Bool(false)));
        let variants = [
            ("use_qalora", &self.use_qalora, "its A acts on pooled inputs"),
            ("use_bdlora", &self.use_bdlora, "its factors are block-diagonal"),
            ("kasa_config", &self.kasa_config, "it has a third factor between B and A"),
            ("monteclora_config", &self.monteclora_config, "its factors are samples of a distribution"),
        ];
        if let Some((name, _, reason)) = variants.into_iter().find(|(_, value, _)| is_set(value)) {
            return Some((name, reason));
        }
        let init = self.init_lora_weights.as_ref().and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let moves_weights = ["pissa", "corda", "olora", "loftq", "lora_ga"].iter().any(|name| init.starts_with(name));
        moves_weights.then_some(("init_lora_weights", "B A started as a part of the model's weights, not as zero"))
    }
}

impl Adapter {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if it is damaged, or not LoRA.
    pub(super) fn read(config: &Path) -> Result<Adapter> {
        #[derive(Deserialize)]
        struct Typed {
            peft_type: String,
        }

        let refused = |cause: String| Error::input(config, cause);
        let damaged =
            |cause: String| refused(cause).hint("the config is damaged: download it or save the adapter again");
        let text = json::read(config).map_err(|error| damaged(format!("cannot be read: {error}")).because(error))?;
        let Typed { peft_type } = serde_json::from_slice(&text).map_err(|error| {
            damaged(format!("is not an adapter config, which must have a peft_type: {error}")).because(error)
        })?;
        if peft_type != "LORA" {
            return Err(refused(format!("has peft_type {peft_type}, but only LORA is supported")).hint(HINT_MERGE));
        }
        let raw: Raw = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("is not a LoRA config: {error}")).because(error))?;
        if raw.r == 0 || !raw.lora_alpha.is_finite() {
            return Err(damaged(format!("has invalid r {} or lora_alpha {}", raw.r, raw.lora_alpha)));
        }
        if let Some((name, reason)) = raw.obstacle() {
            return Err(refused(format!("sets {name}, so its update is not only B A: {reason}")).hint(HINT_MERGE));
        }
        Ok(Adapter {
            config: config.to_owned(),
            config_sha256: sha256(&text),
            base_model: raw.base_model_name_or_path,
            fan_in_fan_out: raw.fan_in_fan_out.unwrap_or(false),
            dora: raw.use_dora.unwrap_or(false),
            rslora: raw.use_rslora.unwrap_or(false),
            rank: raw.r,
            alpha: raw.lora_alpha,
            ranks: pattern("rank_pattern", raw.rank_pattern, config)?,
            alphas: pattern("alpha_pattern", raw.alpha_pattern, config)?,
        })
    }

    /// The rank of the update of the module of this name.
    pub fn rank(&self, module: &str) -> u64 {
        value(&self.ranks, module).unwrap_or(self.rank)
    }

    /// The factor s of the update s B A of the module of this name.
    pub fn scale(&self, module: &str) -> f64 {
        let alpha = value(&self.alphas, module).unwrap_or(self.alpha);
        let rank = self.rank(module) as f64;
        alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// Compiles keys as PEFT does (`get_pattern_key`): each is a regular expression that matches a whole name, or the end of a name
/// after a dot.
fn pattern<T>(field: &str, pairs: Option<Pairs<T>>, config: &Path) -> Result<Pattern<T>> {
    let compile = |(key, value): (String, T)| {
        let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{key})$")).map_err(|error| {
            let cause = format!("the key `{key}` of its {field} is not a supported regular expression: {error}");
            Error::input(config, cause)
                .hint("look-around and backreferences are not supported: list the names instead")
                .because(error)
        })?;
        Ok((regex, value))
    };
    pairs.map_or(Vec::new(), |pairs| pairs.0).into_iter().map(compile).collect()
}

fn value<T: Copy>(pattern: &Pattern<T>, module: &str) -> Option<T> {
    pattern.iter().find(|(regex, _)| regex.is_match(module)).map(|&(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(json: &str) -> Result<Adapter> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG);
        std::fs::write(&path, json).unwrap();
        Adapter::read(&path)
    }

    #[test]
    fn the_first_pattern_that_matches_the_end_of_a_name_counts() {
        let adapter = adapter(
            r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "rank_pattern": {"v_proj": 32,
                "layers\\.[01]\\.self_attn\\.v_proj": 2, "^model.layers.1.self_attn.q_proj": 4, "a|k_proj": 64, "proj": 1}}"#,
        )
        .unwrap();
        for (module, rank) in [
            ("model.layers.0.self_attn.v_proj", 32),
            ("model.layers.1.self_attn.q_proj", 4),
            ("wrapped.model.layers.1.self_attn.q_proj", 8),
            ("model.layers.11.self_attn.q_proj", 8),
            ("model.layers.0.self_attn.k_proj", 64),
            ("model.layers.0.lora.a", 64),
            ("v_proj", 32),
            ("model.layers.0.mlp.up_proj", 8),
            ("model.layers.0.proj", 1),
        ] {
            assert_eq!(adapter.rank(module), rank, "{module}");
            assert_eq!(adapter.scale(module), 16.0 / rank as f64, "{module}");
        }
    }

    #[test]
    fn rank_stabilized_and_patterned_scales() {
        let adapter = adapter(
            r#"{"peft_type": "LORA", "r": 16, "lora_alpha": 32, "use_rslora": true, "alpha_pattern": {"down_proj": 8.5},
                "rank_pattern": null, "use_dora": false, "init_lora_weights": true}"#,
        )
        .unwrap();
        assert_eq!(adapter.scale("layers.0.mlp.down_proj"), 8.5 / 4.0);
        assert_eq!(adapter.scale("layers.0.mlp.up_proj"), 32.0 / 4.0);
    }

    #[test]
    fn unsupported_configurations_are_refused() {
        for (json, cause) in [
            ("", "must have a peft_type"),
            (r#"{"r": 8}"#, "must have a peft_type"),
            (r#"{"peft_type": "LOHA", "r": 8}"#, "has peft_type LOHA"),
            (r#"{"peft_type": "LORA", "r": 8}"#, "missing field `lora_alpha`"),
            (r#"{"peft_type": "LORA", "r": 0, "lora_alpha": 8}"#, "has invalid r 0"),
            (r#"{"peft_type": "LORA", "r": -1, "lora_alpha": 8}"#, "is not a LoRA config"),
            (r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "rank_pattern": {"(?<=x)y": 4}}"#, "look-around"),
            (
                r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "init_lora_weights": "pissa_niter_4"}"#,
                "init_lora_weights",
            ),
            (r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "use_bdlora": {"nblocks": 2}}"#, "use_bdlora"),
        ] {
            let error = adapter(json).unwrap_err();
            assert!(error.cause.to_string().contains(cause) && error.hint.is_some(), "{json}: {error:?}");
        }
        for init in ["true", "false", "null", r#""gaussian""#, r#""eva""#, r#""orthogonal""#] {
            adapter(&format!(r#"{{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "init_lora_weights": {init}}}"#))
                .unwrap();
        }
    }
}
