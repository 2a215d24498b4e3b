//! What the names of weight files say: `model-00001-of-00004.safetensors`, `diffusion_pytorch_model.fp16.safetensors`,
//! `model.safetensors.index.json`.

/// Names under which a whole model is saved, the preferred first: by transformers, diffusers, older transformers, OpenCLIP,
/// and the authors of Llama and Mistral.
pub(super) const STANDARD: [&str; 6] =
    ["model", "diffusion_pytorch_model", "pytorch_model", "open_clip_model", "open_clip_pytorch_model", "consolidated"];

/// The name of a set of files that hold one model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SetName {
    pub stem: String,
    /// `fp16`, for example. Only standard names have variants; in others, a dot means nothing.
    pub variant: Option<String>,
    /// The number of files, if their names state it.
    pub of: Option<u32>,
}

/// The name of a file of weights.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WeightsName {
    pub set: SetName,
    /// The number of this file among all.
    pub shard: Option<(u32, u32)>,
}

/// Takes the name of a weight file apart; `None` if it has no known extension.
pub(super) fn weights(name: &str) -> Option<WeightsName> {
    let (name, _) = name.rsplit_once('.')?;
    // diffusers puts the variant before or after the number of the shard.
    let (numbered, after) = match name.split_once("-of-").and_then(|(_, of)| of.split_once('.')) {
        Some((_, after)) => (&name[..name.len() - after.len() - 1], Some(after)),
        None => (name, None),
    };
    let numbers = |text: &str| {
        let (before, of) = text.rsplit_once("-of-")?;
        let (stem, number) = before.rsplit_once('-')?;
        Some((stem.to_owned(), number.parse().ok()?, of.parse().ok()?))
    };
    let (stem, shard) = match numbers(numbered) {
        Some((stem, number, of)) => (stem, Some((number, of))),
        None => (name.to_owned(), None),
    };
    let (stem, variant) = split_variant(stem);
    let variant = variant.or_else(|| after.filter(|_| shard.is_some()).map(str::to_owned));
    Some(WeightsName { set: SetName { stem, variant, of: shard.map(|(_, of)| of) }, shard })
}

/// Takes the name of an index apart: `model.safetensors.index.json`, `model.safetensors.index.fp16.json`.
pub(super) fn index(name: &str) -> Option<SetName> {
    let (stem, rest) = name.split_once(".safetensors.index.")?;
    let variant = match rest {
        "json" => None,
        _ => Some(rest.strip_suffix(".json")?.to_owned()),
    };
    let (stem, before) = split_variant(stem.to_owned());
    Some(SetName { stem, variant: variant.or(before), of: None })
}

/// True for the name of a weight file whose download is not finished.
pub(super) fn is_unfinished(name: &str) -> bool {
    let unfinished = ["incomplete", "part", "partial", "crdownload", "download", "aria2", "tmp"];
    name.rsplit_once('.').is_some_and(|(rest, end)| rest.contains(".safetensors") && unfinished.contains(&end))
}

fn split_variant(stem: String) -> (String, Option<String>) {
    match stem.split_once('.') {
        Some((standard, variant)) if STANDARD.contains(&standard) => (standard.to_owned(), Some(variant.to_owned())),
        _ => (stem, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (name, stem, variant, shard) in [
            ("model.safetensors", "model", None, None),
            ("model-00002-of-00004.safetensors", "model", None, Some((2, 4))),
            ("consolidated.00.safetensors", "consolidated", Some("00"), None),
            ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model", Some("fp16"), None),
            (
                "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
                "diffusion_pytorch_model",
                Some("fp16"),
                Some((1, 2)),
            ),
            (
                "diffusion_pytorch_model-00001-of-00002.fp16.safetensors",
                "diffusion_pytorch_model",
                Some("fp16"),
                Some((1, 2)),
            ),
            ("flux.1-dev.safetensors", "flux.1-dev", None, None),
            ("one-of-us.safetensors", "one-of-us", None, None),
            ("a-1-of-b.c.safetensors", "a-1-of-b.c", None, None),
        ] {
            let set = SetName { stem: stem.into(), variant: variant.map(str::to_owned), of: shard.map(|(_, of)| of) };
            assert_eq!(weights(name), Some(WeightsName { set, shard }), "{name}");
        }
        for (name, stem, variant) in [
            ("model.safetensors.index.json", "model", None),
            ("model.safetensors.index.fp16.json", "model", Some("fp16")),
            ("diffusion_pytorch_model.fp16.safetensors.index.json", "diffusion_pytorch_model", Some("fp16")),
        ] {
            let set = SetName { stem: stem.into(), variant: variant.map(str::to_owned), of: None };
            assert_eq!(index(name), Some(set), "{name}");
        }
        for name in ["model.safetensors", "config.json", "model.bin.index.json"] {
            assert_eq!(index(name), None, "{name}");
        }
    }
}
