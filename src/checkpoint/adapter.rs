//! A PEFT adapter: a small file of factors, and a configuration that says which update of a model they stand for.
//!
//! LoRA's update of a weight is s B A, with s = lora_alpha / r, or lora_alpha / sqrt(r) under rank-stabilised LoRA
//! (arXiv 2106.09685, section 4.1; arXiv 2312.03732). `rank_pattern` and `alpha_pattern` give single modules another r and
//! lora_alpha. What would make the update another one than that is refused here, or left to the catalog to list.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::header::hex;
use super::json::{self, Pairs};
use crate::error::{Error, Result};

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// What an adapter's configuration says of its factors.
#[derive(Debug)]
pub struct Adapter {
    /// Where the configuration was read.
    pub config: PathBuf,
    /// SHA-256 of the configuration, in hexadecimal.
    pub config_sha256: String,
    /// The model it was trained on, by its name or path, if that is said.
    pub base_model: Option<String>,
    /// Whether weights are stored as inputs x outputs, as GPT-2 does.
    pub fan_in_fan_out: bool,
    /// Whether it is DoRA (arXiv 2402.09353), which rescales the weights besides.
    pub dora: bool,
    /// Whether it is rank-stabilised.
    pub rslora: bool,
    rank: u64,
    alpha: f64,
    ranks: Pattern<u64>,
    alphas: Pattern<f64>,
}

/// Values for the modules whose names match; the first that matches counts.
type Pattern<T> = Vec<(Regex, T)>;

/// Where an adapter's files lie.
pub(super) struct Place {
    pub weights: PathBuf,
    pub config: PathBuf,
}

/// The adapter that `path` stands for: its folder, or its file of weights. `None` if it stands for something else.
///
/// # Errors
///
/// If one of the two files is missing, or the folder holds a model too.
pub(super) fn locate(path: &Path) -> Result<Option<Place>> {
    let folder = match path.file_name() {
        _ if path.is_dir() => path,
        Some(name) if name == WEIGHTS => path.parent().unwrap_or(Path::new("")),
        _ => return Ok(None),
    };
    let place = Place { weights: folder.join(WEIGHTS), config: folder.join(CONFIG) };
    match (place.weights.exists(), place.config.exists()) {
        (false, false) => Ok(None),
        (true, false) => {
            let error = Error::input(&place.weights, format!("is an adapter without its {CONFIG}"));
            Err(error.hint("without lora_alpha and r its update is unknown: copy the config beside it"))
        }
        // A model may lie beside the configuration of what was merged into it.
        (false, true) if holds_safetensors(folder) => Ok(None),
        (false, true) => {
            let error = Error::input(&place.config, format!("has no {WEIGHTS} beside it"));
            Err(error.hint(match folder.join("adapter_model.bin").exists() {
                true => "adapter_model.bin is in another format: save the adapter with safe_serialization=True",
                false => "the download is incomplete: fetch the adapter's weights",
            }))
        }
        (true, true) if path.is_dir() && holds_model(folder) => {
            let error = Error::input(folder, "the folder holds a model and an adapter");
            Err(error.hint(format!("name the file of the one that is meant, e.g. {}", place.weights.display())))
        }
        (true, true) => Ok(Some(place)),
    }
}

fn holds_safetensors(folder: &Path) -> bool {
    let is_one = |path: &Path| path.extension().is_some_and(|extension| extension == "safetensors");
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_one(&entry.path())))
}

fn holds_model(folder: &Path) -> bool {
    ["model.safetensors", super::locate::INDEX_NAME].iter().any(|name| folder.join(name).exists())
}

/// What is read of the configuration, beside its type. Fields that are null count as absent.
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
    /// What makes the update another one than s B A.
    fn obstacle(&self) -> Option<(&'static str, &'static str)> {
        let is_set = |value: &Option<Value>| !matches!(value, None | Some(Value::Null | Value::Bool(false)));
        let variants = [
            ("use_qalora", &self.use_qalora, "its A acts on pooled inputs"),
            ("use_bdlora", &self.use_bdlora, "its factors are block-diagonal"),
            ("kasa_config", &self.kasa_config, "there is a third factor between B and A"),
            ("monteclora_config", &self.monteclora_config, "its factors are samples of a distribution"),
        ];
        if let Some((name, _, reason)) = variants.into_iter().find(|(_, value, _)| is_set(value)) {
            return Some((name, reason));
        }
        let init = self.init_lora_weights.as_ref().and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let moves_weights = ["pissa", "corda", "olora", "loftq", "lora_ga"].iter().any(|name| init.starts_with(name));
        moves_weights.then_some(("init_lora_weights", "B A began as a part of the model's weights, not as zero"))
    }
}

impl Adapter {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`Kind::Input`](crate::error::Kind::Input) if it is damaged, or not one of LoRA.
    pub(super) fn read(config: &Path) -> Result<Adapter> {
        #[derive(Deserialize)]
        struct Typed {
            peft_type: String,
        }

        let refused = |cause: String| Error::input(config, cause);
        let damaged =
            |cause: String| refused(cause).hint("the config is damaged: download it or save the adapter again");
        let text = json::read(config).map_err(|error| damaged(format!("cannot be read: {error}")))?;
        let Typed { peft_type } = serde_json::from_slice(&text).map_err(|error| {
            damaged(format!("is not the config of an adapter, which states its peft_type: {error}"))
        })?;
        if peft_type != "LORA" {
            return Err(refused(format!("is of type {peft_type}, whose update is not LoRA's product of two factors"))
                .hint("merge the adapter into its model, and score that with --base MODEL"));
        }
        let raw: Raw =
            serde_json::from_slice(&text).map_err(|error| damaged(format!("is not a config of LoRA: {error}")))?;
        if raw.r == 0 || !raw.lora_alpha.is_finite() {
            return Err(damaged(format!("has r {} and lora_alpha {}", raw.r, raw.lora_alpha)));
        }
        if let Some((name, reason)) = raw.obstacle() {
            return Err(refused(format!("sets {name}, so that its update is not B A alone: {reason}"))
                .hint("merge the adapter into its model, and score that with --base and the weights before"));
        }
        Ok(Adapter {
            config: config.to_owned(),
            config_sha256: hex(&Sha256::digest(&text)),
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

    /// The rank of a module's update, by its name in the model.
    pub fn rank(&self, module: &str) -> u64 {
        value(&self.ranks, module).unwrap_or(self.rank)
    }

    /// The factor s of a module's update s B A.
    pub fn scale(&self, module: &str) -> f64 {
        let alpha = value(&self.alphas, module).unwrap_or(self.alpha);
        let rank = self.rank(module) as f64;
        alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// Compiles the keys as PEFT uses them (`get_pattern_key`): each is a regular expression for the end of a module's name that
/// begins the name or follows a dot.
fn pattern<T>(field: &str, pairs: Option<Pairs<T>>, config: &Path) -> Result<Pattern<T>> {
    let compile = |(key, value): (String, T)| {
        let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{key})$")).map_err(|error| {
            let cause =
                format!("its {field} has the key `{key}`, which is no regular expression that htsr knows: {error}");
            Error::input(config, cause).hint("look-around and backreferences are not supported: write the names out")
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
    fn rank_stabilised_and_patterned_scales() {
        let adapter = adapter(
            r#"{"peft_type": "LORA", "r": 16, "lora_alpha": 32, "use_rslora": true, "alpha_pattern": {"down_proj": 8.5},
                "rank_pattern": null, "use_dora": false, "init_lora_weights": true}"#,
        )
        .unwrap();
        assert_eq!(adapter.scale("layers.0.mlp.down_proj"), 8.5 / 4.0);
        assert_eq!(adapter.scale("layers.0.mlp.up_proj"), 32.0 / 4.0);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for (json, cause) in [
            ("", "which states its peft_type"),
            (r#"{"r": 8}"#, "which states its peft_type"),
            (r#"{"peft_type": "LOHA", "r": 8}"#, "is of type LOHA"),
            (r#"{"peft_type": "LORA", "r": 8}"#, "missing field `lora_alpha`"),
            (r#"{"peft_type": "LORA", "r": 0, "lora_alpha": 8}"#, "has r 0"),
            (r#"{"peft_type": "LORA", "r": -1, "lora_alpha": 8}"#, "is not a config of LoRA"),
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
