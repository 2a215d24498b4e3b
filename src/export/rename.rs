//! Names of modules in a model that begin otherwise than in its checkpoint.
//!
//! A checkpoint of GPT-2 holds `h.0.attn.c_attn.weight`, and the model that it is loaded into calls that module
//! `transformer.h.0.attn.c_attn`; a pattern for the one never matches the other.

use std::str::FromStr;

use crate::error::{Error, Result};

/// A beginning of names and what replaces it; by default nothing is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rename {
    old: String,
    new: String,
}

/// `OLD=NEW`, of which either may be empty.
impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or_else(|| {
            "no equals sign between two beginnings of names\n\nhint: `=transformer.` puts it in front of all names, `model.=` takes it away"
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
    /// [`Kind::Usage`](crate::error::Kind::Usage) if `name` does not begin with what is to be replaced.
    pub fn apply(&self, name: &str) -> Result<String> {
        match name.strip_prefix(&self.old) {
            Some(rest) => Ok(format!("{}{rest}", self.new)),
            None => {
                let cause = format!("the name does not begin with `{}`, which --rename is to replace", self.old);
                Err(Error::usage(cause).tensor(name).hint("leave such matrices out when scoring, with --include"))
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
        assert!(error.cause.contains("`model.`") && error.hint.is_some());
        assert!("transformer.".parse::<Rename>().is_err());
    }
}
