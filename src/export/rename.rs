//! Renaming of modules whose names in the model begin differently than in its checkpoint.
//!
//! For example, a GPT-2 checkpoint contains `h.0.attn.c_attn.weight`, but the loaded model names that module
//! `transformer.h.0.attn.c_attn`. A pattern for one never matches the other.

use std::str::FromStr;

use crate::error::{Error, Result};

/// A prefix and its replacement; the default replaces nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rename {
    old: String,
    new: String,
}

/// Parses `OLD=NEW`. Either side may be empty.
impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or_else(|| {
            "expected OLD=NEW, two prefixes of names\n\nhint: `=transformer.` adds a prefix to all names, `model.=` removes one"
                .to_owned()
        })?;
        Ok(Rename { old: old.to_owned(), new: new.to_owned() })
    }
}

impl Rename {
    /// The name of a module or parameter in the model.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage) if `name` does not begin with the prefix.
    pub fn apply(&self, name: &str) -> Result<String> {
        match name.strip_prefix(&self.old) {
            Some(rest) => Ok(format!("{}{rest}", self.new)),
            None => {
                let cause = format!("the name does not begin with `{}`, which §rename should replace", self.old);
                Err(Error::usage(cause).tensor(name).hint("exclude such matrices when scoring (§exclude)"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_replaced() {
        let rename = |text: &str, name: &str| text.parse::<Rename>().unwrap().apply(name);
        assert_eq!(rename("=transformer.", "h.0.attn").unwrap(), "transformer.h.0.attn");
        assert_eq!(rename("model.=", "model.layers.0").unwrap(), "layers.0");
        assert_eq!(rename("a.=b.", "a.a.c").unwrap(), "b.a.c");
        assert_eq!(Rename::default().apply("x").unwrap(), "x");
        let error = rename("model.=", "h.0").unwrap_err();
        assert!(error.cause.to_string().contains("`model.`") && error.hint.is_some());
        assert!("transformer.".parse::<Rename>().is_err());
    }
}
