//! Renaming: the same module or tensor has another name in another place.
//!
//! For example, a GPT-2 checkpoint contains `h.0.attn.c_attn.weight`, but the loaded model names that module
//! `transformer.h.0.attn.c_attn`, and a checkpoint of a compiled model has `_orig_mod.` in front of every name. A [`Rename`]
//! replaces the start of a name, or what a regular expression matches. Nothing is written into a checkpoint.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::error::{Error, Result};
use crate::message::verbatim;

/// Starts of names that programs add or remove: wrappers of torch, and classes of transformers and PEFT.
const USUAL: [&str; 9] = [
    "",
    "model.",
    "language_model.",
    "model.language_model.",
    "language_model.model.",
    "_orig_mod.",
    "module.",
    "transformer.",
    "base_model.model.",
];

/// How names change from one place to another; the default changes nothing.
#[derive(Debug, Clone)]
pub struct Rename {
    how: How,
    new: String,
}

#[derive(Debug, Clone)]
enum How {
    /// Replaces this start of a name.
    Start(String),
    /// Replaces all matches.
    Matches(Regex),
}

impl Default for Rename {
    fn default() -> Self {
        Rename::start("", "")
    }
}

/// Parses `OLD=NEW`, two starts of names. Either side may be empty.
impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or_else(|| {
            "expected OLD=NEW, two prefixes of names\n\nhint: `=transformer.` adds a prefix to all names, `model.=` removes one"
                .to_owned()
        })?;
        Ok(Rename::start(old, new))
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rename { how, new } = self;
        match how {
            How::Start(old) => write!(f, "{old}={new}"),
            How::Matches(pattern) => write!(f, "{pattern}={new}"),
        }
    }
}

impl Rename {
    /// Replaces the start `old` of names by `new`.
    pub fn start(old: &str, new: &str) -> Rename {
        Rename { how: How::Start(old.to_owned()), new: new.to_owned() }
    }

    /// Parses `REGEX=NEW`: in names, replaces all that the regular expression matches. `${1}` in NEW is the first group. The first
    /// `=` separates the two; `\x3d` matches one.
    ///
    /// # Errors
    ///
    /// A sentence, if this is no regular expression, or NEW refers to a group that the expression lacks.
    pub fn parse_regex(text: &str) -> Result<Rename, String> {
        let hint = r"hint: '^h\.(\d+)=layers.${1}' turns h.0 into layers.0; quote it for the shell";
        let (old, new) = text.split_once('=').ok_or_else(|| format!("expected REGEX=NEW\n\n{hint}"))?;
        let pattern = Regex::new(old).map_err(|error| format!("{error}\n\n{hint}"))?;
        match unknown_reference(&pattern, new) {
            Some(reference) => Err(format!("`{reference}` in `{new}` is no group of the expression\n\n{hint}")),
            None => Ok(Rename { how: How::Matches(pattern), new: new.to_owned() }),
        }
    }

    /// True if it is a regular expression.
    pub fn is_regex(&self) -> bool {
        matches!(self.how, How::Matches(_))
    }

    /// The new name; `None` if `name` has neither the start nor a match.
    pub fn apply(&self, name: &str) -> Option<String> {
        match &self.how {
            How::Start(old) => name.strip_prefix(old).map(|rest| format!("{}{rest}", self.new)),
            How::Matches(pattern) => {
                pattern.is_match(name).then(|| pattern.replace_all(name, self.new.as_str()).into_owned())
            }
        }
    }

    /// The new name, or `name` itself if it does not change.
    pub fn of<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.apply(name).map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// What names do that it changes, in a sentence: ``begin with `model.` ``.
    pub(crate) fn condition(&self) -> String {
        match &self.how {
            How::Start(old) => format!("begin with `{}`", verbatim(old)),
            How::Matches(pattern) => format!("match `{}`", verbatim(pattern.as_str())),
        }
    }

    /// The opposite, if there is one.
    fn reversed(&self) -> Option<Rename> {
        match &self.how {
            How::Start(old) => Some(Rename::start(&self.new, old)),
            How::Matches(_) => None,
        }
    }

    /// Checks that it changes one of `names`, and that no two of them become one. `others` are the names in the other place.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`](crate::error::Kind::Usage), with names.
    pub fn check<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        others: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let mut old_of: HashMap<Cow<str>, &str> = HashMap::new();
        let mut example = None;
        let mut changes = false;
        for name in names {
            changes |= self.apply(name).is_some();
            example = example.or(Some(name));
            if let Some(other) = old_of.insert(self.of(name), name).filter(|other| *other != name) {
                let (new, one, two) = (self.of(name), other.min(name), other.max(name));
                let cause = format!(
                    "{self} gives `{one}` and `{two}` the same name `{new}`, so it is not clear which one pairs"
                );
                return Err(Error::usage(verbatim(&cause)).hint("rename fewer names, with §rename-regex"));
            }
        }
        if changes {
            return Ok(());
        }
        let error = Error::usage(format!("there are no tensor names that {}", self.condition()));
        let is_reversed = others.into_iter().any(|name| self.apply(name).is_some());
        let reversed = self.reversed().filter(|_| is_reversed).map(|reversed| verbatim(&reversed.to_string()));
        Err(match (reversed, example) {
            (Some(reversed), _) => error.hint(format!("the other names do; the opposite is {reversed}")),
            (None, Some(name)) => error.hint(format!("the names look like `{}`", verbatim(name))),
            (None, None) => error,
        })
    }

    /// The usual rename under which the most of `names` pair, according to `pairs` of a name and its new name. `None` if none
    /// pairs, or if two pair equally many in different ways.
    pub(crate) fn guess<'a>(
        names: &[&'a str],
        others: &[&str],
        pairs: impl Fn(&'a str, &str) -> bool,
    ) -> Option<Rename> {
        let starts = |names: &[&str], start: &str| names.iter().any(|name| name.starts_with(start));
        let olds = USUAL.into_iter().filter(|start| starts(names, start));
        let news: Vec<&str> = USUAL.into_iter().filter(|start| starts(others, start)).collect();
        let mut best: Option<(Rename, HashSet<(&str, String)>)> = None;
        let mut is_ambiguous = false;
        for (old, new) in olds.flat_map(|old| news.iter().map(move |new| (old, *new))).filter(|(old, new)| old != new) {
            let rename = Rename::start(old, new);
            let renamed = names.iter().filter_map(|name| Some((*name, rename.apply(name)?)));
            let paired: HashSet<(&str, String)> = renamed.filter(|(name, new)| pairs(name, new)).collect();
            match best.as_ref().map_or(0, |(_, best)| best.len()) {
                most if paired.len() > most => (best, is_ambiguous) = (Some((rename, paired)), false),
                most if paired.len() == most && most > 0 => {
                    is_ambiguous |= best.as_ref().is_some_and(|(_, best)| *best != paired);
                }
                _ => {}
            }
        }
        best.filter(|_| !is_ambiguous).map(|(rename, _)| rename)
    }
}

/// The first reference in `new` to a group that `pattern` lacks; such a reference would become nothing.
fn unknown_reference(pattern: &Regex, new: &str) -> Option<String> {
    let mut rest = new;
    while let Some(start) = rest.find(['$', '\\']) {
        let after = &rest[start + 1..];
        if rest[start..].starts_with('\\') {
            // Python's form.
            return Some(rest[start..].chars().take(2).collect());
        }
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let group = match after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some((group, _)) => group,
            None => &after[..after.find(|c| !is_word(c)).unwrap_or(after.len())],
        };
        let is_known = match group.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|name| name == group),
        };
        if !is_known {
            return Some(if after.starts_with('{') { format!("${{{group}}}") } else { format!("${group}") });
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Rename {
        text.parse().unwrap()
    }

    #[test]
    fn beginnings_are_replaced() {
        let rename = |text: &str, name: &str| start(text).apply(name);
        assert_eq!(rename("=transformer.", "h.0.attn").unwrap(), "transformer.h.0.attn");
        assert_eq!(rename("model.=", "model.layers.0").unwrap(), "layers.0");
        assert_eq!(rename("a.=b.", "a.a.c").unwrap(), "b.a.c");
        assert_eq!(Rename::default().apply("x").unwrap(), "x");
        assert_eq!(rename("model.=", "h.0"), None);
        assert_eq!(start("model.=").of("h.0"), "h.0");
        assert!("transformer.".parse::<Rename>().is_err());
    }

    #[test]
    fn matches_are_replaced() {
        let rename = Rename::parse_regex(r"^h\.(?<layer>\d+)\.attn\.=layers.${layer}.self_attn.").unwrap();
        assert_eq!(rename.apply("h.3.attn.c_attn").unwrap(), "layers.3.self_attn.c_attn");
        assert_eq!(rename.apply("h.3.mlp.c_fc"), None);
        assert_eq!(Rename::parse_regex("a=bb").unwrap().apply("a.a").unwrap(), "bb.bb");
        assert_eq!(Rename::parse_regex("a=$$").unwrap().apply("a").unwrap(), "$");
        for (text, cause) in [
            ("model", "expected REGEX=NEW"),
            ("(=x", "unclosed group"),
            (r"h\.(\d+)=layers.\1", r"`\1` in `layers.\1` is no group"),
            (r"h\.(\d+)=layer_$1_x", "`$1_x`"),
            (r"h=$1", "`$1`"),
            (r"h=${name}", "`${name}`"),
            (r"h=a$", "`$`"),
        ] {
            let error = Rename::parse_regex(text).unwrap_err();
            assert!(error.contains(cause) && error.contains("hint: "), "{text}: {error}");
        }
    }

    #[test]
    fn names_must_stay_different() {
        let names = ["model.a", "a", "model.b"];
        let error = start("model.=").check(names, []).unwrap_err();
        assert!(error.to_string().starts_with("model.= gives `a` and `model.a` the same name `a`"), "{error}");
        assert!(start("model.=").check(["model.a", "b"], []).is_ok());
        let error = start("x.=").check(names, ["x.a"]).unwrap_err();
        assert_eq!(error.hint.unwrap().to_string(), "the other names do; the opposite is =x.");
        let error = start("modle.=").check(names, []).unwrap_err();
        assert_eq!(error.to_string(), "there are no tensor names that begin with `modle.`");
        assert!(error.hint.unwrap().to_string().contains("`model.a`"));
    }

    #[test]
    fn the_usual_renames_are_guessed_unless_two_fit() {
        let guess = |names: &[&str], others: &[&str]| {
            Rename::guess(names, others, |_, new| others.contains(&new)).map(|rename| rename.to_string())
        };
        assert_eq!(guess(&["model.a", "model.b"], &["a", "b"]).unwrap(), "model.=");
        assert_eq!(guess(&["a"], &["_orig_mod.a", "_orig_mod.b"]).unwrap(), "=_orig_mod.");
        assert_eq!(
            guess(&["language_model.model.a"], &["model.language_model.a"]).unwrap(),
            "language_model.model.=model.language_model."
        );
        assert_eq!(guess(&["a"], &["b"]), None);
        assert_eq!(guess(&["a"], &["strange.a"]), None);
        assert_eq!(guess(&["a"], &["model.a", "module.a"]), None);
        assert_eq!(guess(&["a", "b"], &["model.a", "module.a", "module.b"]).unwrap(), "=module.");
    }
}
