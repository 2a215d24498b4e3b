//! What a `config.json` says about the quantization of the weights.

use serde_json::Value;

use super::config::Config;

/// The field of a configuration that describes the quantization.
const FIELD: &str = "quantization_config";

/// The quantization that a configuration describes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuantizationConfig<'a>(&'a Value);

impl Config {
    /// The quantization, if the configuration describes one.
    pub(crate) fn quantization(&self) -> Option<QuantizationConfig<'_>> {
        self.text(FIELD).or_else(|| self.get(FIELD)).filter(|value| value.is_object()).map(QuantizationConfig)
    }
}

impl QuantizationConfig<'_> {
    /// The method, with its format or number of bits: `gptq, 4 bits`.
    pub fn method(self) -> Option<String> {
        let text = |name: &str| self.0.get(name)?.as_str();
        let method = text("quant_method").or_else(|| text("quant_algo"))?;
        let flag = |name: &str| self.0.get(name).and_then(Value::as_bool) == Some(true);
        let bits = self.0.get("bits").and_then(Value::as_u64).map(|bits| format!("{bits} bits"));
        let loaded = || match (flag("load_in_4bit"), flag("load_in_8bit")) {
            (true, _) => Some("4 bits".to_owned()),
            (_, true) => Some("8 bits".to_owned()),
            _ => None,
        };
        let more = text("format").or_else(|| text("quant_algo").filter(|algorithm| *algorithm != method));
        let more = more.map(str::to_owned).or(bits).or_else(loaded);
        Some(more.map_or_else(|| method.to_owned(), |more| format!("{method}, {more}")))
    }

    /// Rows and columns of the blocks that share a scale factor, `None` if they are not given.
    ///
    /// # Errors
    ///
    /// A phrase, if there are no two positive numbers.
    pub fn block(self) -> Result<Option<[u64; 2]>, String> {
        let Some(given) = self.0.get("weight_block_size").filter(|value| !value.is_null()) else {
            return Ok(self.block_of_group());
        };
        sides(given).map(Some).ok_or_else(|| format!("weight_block_size in config.json is {given}, not two numbers"))
    }

    /// The blocks of compressed-tensors, which states them for groups of modules; `None` if the groups differ.
    fn block_of_group(self) -> Option<[u64; 2]> {
        let groups = self.0.get("config_groups")?.as_object()?.values();
        let structure = |group: &Value| sides(group.get("weights")?.get("block_structure")?);
        let mut blocks = groups.map(structure);
        let first = blocks.next()??;
        blocks.all(|block| block == Some(first)).then_some(first)
    }
}

/// `[128, 128]`, or `"128x128"`.
fn sides(value: &Value) -> Option<[u64; 2]> {
    let numbers: Vec<u64> = match value {
        Value::Array(numbers) => numbers.iter().map(Value::as_u64).collect::<Option<_>>()?,
        Value::String(text) => text.split('x').map(|side| side.trim().parse().ok()).collect::<Option<_>>()?,
        _ => return None,
    };
    <[u64; 2]>::try_from(numbers).ok().filter(|sides| sides.iter().all(|&side| side > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, read: impl Fn(QuantizationConfig) -> T) -> T {
        read(QuantizationConfig(&serde_json::from_str(text).unwrap()))
    }

    #[test]
    fn methods_as_models_on_the_hub_state_them() {
        for (text, method) in [
            (r#"{"quant_method": "gptq", "bits": 4, "group_size": 128}"#, Some("gptq, 4 bits")),
            (
                r#"{"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false}"#,
                Some("bitsandbytes, 4 bits"),
            ),
            (
                r#"{"quant_method": "compressed-tensors", "format": "pack-quantized"}"#,
                Some("compressed-tensors, pack-quantized"),
            ),
            (r#"{"quant_method": "modelopt", "quant_algo": "NVFP4"}"#, Some("modelopt, NVFP4")),
            (r#"{"quant_algo": "FP8"}"#, Some("FP8")),
            (r#"{"quant_method": "mxfp4"}"#, Some("mxfp4")),
            (r#"{"bits": 4}"#, None),
        ] {
            assert_eq!(with(text, |config| config.method()).as_deref(), method, "{text}");
        }
    }

    #[test]
    fn blocks_are_two_positive_numbers() {
        for (text, block) in [
            (r#"{"weight_block_size": [96, 128]}"#, Some([96, 128])),
            (r#"{"weight_block_size": null}"#, None),
            ("{}", None),
            (r#"{"config_groups": {"a": {"weights": {"block_structure": "128x64"}}}}"#, Some([128, 64])),
            (r#"{"config_groups": {"a": {"weights": {"block_structure": [8, 8]}}, "b": {"weights": null}}}"#, None),
            (r#"{"config_groups": {"a": {"weights": {"block_structure": null}}}}"#, None),
        ] {
            assert_eq!(with(text, |config| config.block()), Ok(block), "{text}");
        }
        for bad in ["[0, 128]", "[128]", "128", "[1.5, 2]", "[-1, 2]", r#""128""#] {
            let text = format!(r#"{{"weight_block_size": {bad}}}"#);
            assert!(with(&text, |config| config.block()).unwrap_err().contains("not two numbers"), "{text}");
        }
    }
}
