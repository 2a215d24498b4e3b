//! The names that one module defines, imports and uses.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::group;

/// An import: `path` under the name `name`, or every item of `path`.
#[derive(Debug)]
pub struct Import {
    pub name: String,
    pub path: Vec<String>,
    pub public: bool,
}

/// The name of a glob import.
pub const ALL: &str = "*";

/// A module without its child modules.
#[derive(Debug, Default)]
pub struct Module {
    /// Items at the top level. True for types (structs, enums, traits, unions and aliases).
    pub definitions: BTreeMap<String, bool>,
    pub imports: Vec<Import>,
    /// Paths of at least two segments, outside `use`.
    pub paths: Vec<Vec<String>>,
    /// Words outside `use`, except fields and methods.
    pub words: BTreeSet<String>,
    /// Child modules in their own file.
    pub files: Vec<String>,
    /// Inline child modules.
    pub inner: BTreeMap<String, Module>,
}

impl Module {
    pub fn read(tokens: &[&str]) -> Self {
        let mut module = Self::default();
        let (mut at, mut depth) = (0, 0);
        while at < tokens.len() {
            let before = at.checked_sub(1).map(|before| tokens[before]);
            match (tokens[at], tokens.get(at + 1).copied().unwrap_or("")) {
                ("use", next) if next != "<" => {
                    let length = tokens[at..].iter().position(|token| *token == ";").expect("a use has an end");
                    let public = matches!(before, Some("pub" | ")"));
                    module.import(&[], &tokens[at + 1..at + length], public);
                    at += length;
                }
                ("mod", name) if tokens.get(at + 2) == Some(&";") => {
                    module.files.push(name.to_owned());
                    at += 2;
                }
                ("mod", name) if tokens.get(at + 2) == Some(&"{") => {
                    let length = group(&tokens[at + 2..]);
                    module.inner.insert(name.to_owned(), Self::read(&tokens[at + 3..at + 1 + length]));
                    at += 2 + length;
                    continue;
                }
                ("{" | "(" | "[", _) => depth += 1,
                ("}" | ")" | "]", _) => depth -= 1,
                (word, next) if is_name(word) => {
                    if depth == 0 {
                        module.define(word, next, tokens.get(at + 2).copied());
                    }
                    at += module.mention(before, &tokens[at..]);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        module
    }

    fn define(&mut self, keyword: &str, next: &str, after: Option<&str>) {
        let (name, is_type) = match keyword {
            "struct" | "enum" | "trait" | "type" | "union" => (Some(next), true),
            "static" if next == "mut" => (after, false),
            "const" if next == "fn" => (None, false),
            "fn" | "const" | "static" => (Some(next), false),
            "macro_rules" => (after, false),
            _ => (None, false),
        };
        if let Some(name) = name.filter(|name| is_name(name)) {
            self.definitions.insert(name.to_owned(), is_type);
        }
    }

    /// Records the word or path at the start, and returns its number of tokens.
    fn mention(&mut self, before: Option<&str>, tokens: &[&str]) -> usize {
        let mut path = vec![tokens[0].to_owned()];
        let mut length = 1;
        while tokens.get(length) == Some(&"::") && tokens.get(length + 1).is_some_and(|next| is_name(next)) {
            path.push(tokens[length + 1].to_owned());
            length += 2;
        }
        if !matches!(before, Some("." | "fn")) {
            self.words.insert(path[0].clone());
        }
        if path.len() > 1 && before != Some("::") {
            self.paths.push(path);
        }
        length
    }

    /// Records the imports of a `use`, a tree of paths.
    fn import(&mut self, prefix: &[String], tree: &[&str], public: bool) {
        let mut path = prefix.to_vec();
        let mut name = None;
        let mut at = 0;
        while at < tree.len() {
            match tree[at] {
                "{" => {
                    let inside = &tree[at + 1..at + group(&tree[at..]) - 1];
                    for branch in split_at_commas(inside) {
                        self.import(&path, branch, public);
                    }
                    return;
                }
                "*" => name = Some(ALL),
                "as" => {
                    name = Some(tree[at + 1]);
                    at += 1;
                }
                "self" if !path.is_empty() => {}
                "::" => {}
                segment => path.push(segment.to_owned()),
            }
            at += 1;
        }
        let name = name.or(path.last().map(String::as_str)).expect("a use names something").to_owned();
        self.imports.push(Import { name, path, public });
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits a list into its branches. Each branch is a tree again.
fn split_at_commas<'t, 'a>(tokens: &'t [&'a str]) -> Vec<&'t [&'a str]> {
    let (mut branches, mut start, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        match tokens[at] {
            "{" => at += group(&tokens[at..]),
            "," => {
                branches.push(&tokens[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    branches.push(&tokens[start..]);
    branches.retain(|branch| !branch.is_empty());
    branches
}
