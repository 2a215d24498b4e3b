//! The `config.json` beside a checkpoint: what the weights alone do not say, such as the number of layers.
//!
//! A configuration is optional. Without one, and for fields that it does not have, names and shapes decide. The layout of
//! configurations is not fixed: fields of a language model are at the top or in a section such as `text_config`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::json;

const NAME: &str = "config.json";

/// The sections that hold the fields of the language model, from the outside to the inside.
const TEXT_SECTIONS: [&str; 5] = ["thinker_config", "text_config", "llm_config", "language_config", "llm"];

/// The configuration of a model. Empty if there is none.
#[derive(Debug, Clone, Default)]
pub struct Config {
    path: Option<PathBuf>,
    /// Why the file was not used.
    problem: Option<String>,
    root: Value,
}

impl Config {
    /// Reads the `config.json` in the folder `path`, or beside the file `path`.
    pub(super) fn beside(path: &Path) -> Config {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let file = folder.join(NAME);
        if !file.exists() {
            return Config::default();
        }
        let text = json::read(&file).map_err(|error| format!("cannot be read: {error}"));
        let root = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| format!("is not JSON: {error}")));
        match root {
            Ok(root @ Value::Object(_)) => Config { path: Some(file), problem: None, root },
            Ok(_) => Config { path: Some(file), problem: Some("is not a JSON object".into()), root: Value::Null },
            Err(problem) => Config { path: Some(file), problem: Some(problem), root: Value::Null },
        }
    }

    /// The configuration with this text.
    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Config {
        Config { root: serde_json::from_str(text).expect("JSON of a test"), ..Config::default() }
    }

    /// The path of the file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Why the file is not used, as a phrase.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The field of this name at the top; null counts as absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.root.get(name).filter(|value| !value.is_null())
    }

    /// The field of this name of the language model: in the innermost section that has it, or at the top.
    pub fn text(&self, name: &str) -> Option<&Value> {
        let inner = TEXT_SECTIONS.iter().rev().filter_map(|section| self.section(section));
        inner.chain([&self.root]).find_map(|section| section.get(name).filter(|value| !value.is_null()))
    }

    /// The same as a number.
    pub fn text_number(&self, name: &str) -> Option<u64> {
        self.text(name)?.as_u64()
    }

    /// True if the fields of the language model are in a section of their own, because the model has other parts.
    pub fn has_text_section(&self) -> bool {
        TEXT_SECTIONS.iter().any(|section| self.section(section).is_some())
    }

    /// The type of the model: `llama`, `bert` ...
    pub fn model_type(&self) -> Option<&str> {
        self.get("model_type")?.as_str()
    }

    /// The section of this name, at the top or within `thinker_config`.
    fn section(&self, name: &str) -> Option<&Value> {
        let thinker = || self.root.get("thinker_config")?.get(name);
        self.root.get(name).or_else(thinker).filter(|value| value.is_object())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), text).unwrap();
        Config::beside(folder.path())
    }

    #[test]
    fn fields_of_the_language_model_are_found_in_its_section() {
        let nested = config(
            r#"{"model_type": "vl", "num_hidden_layers": 9, "text_config": {"num_hidden_layers": 2, "x": null}, "x": 4}"#,
        );
        assert_eq!((nested.text_number("num_hidden_layers"), nested.text_number("x")), (Some(2), Some(4)));
        assert_eq!((nested.model_type(), nested.get("num_hidden_layers")), (Some("vl"), Some(&Value::from(9))));
        let deep = config(r#"{"thinker_config": {"text_config": {"num_hidden_layers": 3}}}"#);
        assert_eq!(deep.text_number("num_hidden_layers"), Some(3));
    }

    #[test]
    fn a_file_that_is_no_configuration_is_reported() {
        for (text, problem) in [("", "is not JSON"), ("[1]", "is not a JSON object"), ("{", "is not JSON")] {
            let config = config(text);
            assert!(config.problem().unwrap().starts_with(problem), "{text}: {config:?}");
            assert_eq!(config.text("num_hidden_layers"), None);
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Config::beside(folder.path()).path(), None);
        let file = folder.path().join("model.safetensors");
        std::fs::write(folder.path().join(NAME), r#"{"model_type": "llama"}"#).unwrap();
        assert_eq!(Config::beside(&file).model_type(), Some("llama"));
    }
}
