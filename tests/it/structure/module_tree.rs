//! The modules of a library and their dependencies. Paths are followed, through re-exports, to the file that defines the name.

use std::collections::{BTreeMap, BTreeSet};

use super::module::{ALL, Module};
use super::tokens::{tokens, without_tests};

/// A module and its position in the tree. `file` indexes `ModuleTree::files`; inline modules share the file of their parent.
struct Node {
    parent: Option<usize>,
    file: usize,
    children: BTreeMap<String, usize>,
    module: Module,
}

/// All modules of a library.
pub struct ModuleTree {
    pub files: Vec<String>,
    /// Files of modules that are compiled only for tests.
    pub test_files: BTreeSet<String>,
    nodes: Vec<Node>,
}

/// The module or item that a path names.
enum Target {
    Module(usize),
    Item(usize, String),
}

/// The names that the first file of each pair uses from the second.
pub type Uses = BTreeMap<(usize, usize), BTreeSet<String>>;

impl ModuleTree {
    /// Reads `lib.rs` and all its modules. `sources` maps paths relative to `src` to texts.
    pub fn read(sources: &BTreeMap<String, String>) -> Self {
        let mut tree = Self { files: Vec::new(), test_files: BTreeSet::new(), nodes: Vec::new() };
        tree.open(sources, "lib.rs", "", None);
        tree
    }

    /// Adds the module in `file`. The files of its child modules are in `folder`.
    fn open(&mut self, sources: &BTreeMap<String, String>, file: &str, folder: &str, parent: Option<usize>) -> usize {
        let all = tokens(&sources[file]);
        let (tokens, tests) = without_tests(&all);
        let find = |name: &str| -> String {
            let [flat, nested] = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            if sources.contains_key(&flat) { flat } else { nested }
        };
        self.test_files.extend(tests.iter().map(|name| find(name)));
        self.files.push(file.to_owned());
        let node = self.place(Module::read(&tokens), self.files.len() - 1, parent);
        for name in std::mem::take(&mut self.nodes[node].module.files) {
            let child = self.open(sources, &find(&name), &format!("{folder}{name}/"), Some(node));
            self.nodes[node].children.insert(name, child);
        }
        node
    }

    fn place(&mut self, mut module: Module, file: usize, parent: Option<usize>) -> usize {
        let inner = std::mem::take(&mut module.inner);
        let node = self.nodes.len();
        self.nodes.push(Node { parent, file, children: BTreeMap::new(), module });
        for (name, module) in inner {
            let child = self.place(module, file, Some(node));
            self.nodes[node].children.insert(name, child);
        }
        node
    }

    /// Lists the names that each file uses from each other file. Not included: declarations of modules, re-exports that
    /// their file does not use itself, and types of a folder's own file (`mod.rs`) that are used inside that folder.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let imported =
                node.module.imports.iter().filter(|import| {
                    !import.public || (import.name != ALL && node.module.words.contains(&import.name))
                });
            let imported = imported.map(|import| (&import.path, import.name == ALL));
            let named = node.module.paths.iter().map(|path| (path, false));
            for (path, all) in imported.chain(named) {
                let (target, name) = match self.resolve(index, path, 0) {
                    Some(Target::Item(target, name)) => (target, name),
                    Some(Target::Module(target)) if all => (target, ALL.to_owned()),
                    _ => continue,
                };
                let is_type = self.nodes[target].module.definitions.get(&name) == Some(&true);
                let file = self.nodes[target].file;
                if file != node.file && !(is_type && self.is_inside(index, target)) {
                    uses.entry((node.file, file)).or_default().insert(name);
                }
            }
        }
        uses
    }

    /// True if the module `node` is `ancestor` or one of its descendants.
    fn is_inside(&self, node: usize, ancestor: usize) -> bool {
        let mut parents = std::iter::successors(Some(node), |node| self.nodes[*node].parent);
        parents.any(|parent| parent == ancestor)
    }

    /// Follows a path written in the module `node`. `None` for paths into other crates.
    fn resolve(&self, node: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(node),
            "super" => Target::Module(self.nodes[node].parent?),
            name => self.find(node, name, rest.is_empty(), depth)?,
        };
        self.descend(start, rest, depth)
    }

    fn descend(&self, mut target: Target, path: &[String], depth: usize) -> Option<Target> {
        for (at, name) in path.iter().enumerate() {
            let Target::Module(node) = target else { return Some(target) };
            target = match name.as_str() {
                "super" => Target::Module(self.nodes[node].parent?),
                // An item that a macro defines cannot be found.
                name => self
                    .find(node, name, at + 1 == path.len(), depth)
                    .unwrap_or_else(|| Target::Item(node, name.to_owned())),
            };
        }
        Some(target)
    }

    /// Finds a name in a module. If a module and an item share the name, the last name of a path means the item.
    fn find(&self, node: usize, name: &str, is_last: bool, depth: usize) -> Option<Target> {
        let Node { children, module, .. } = &self.nodes[node];
        let item = module.definitions.contains_key(name).then(|| Target::Item(node, name.to_owned()));
        let child = children.get(name).map(|child| Target::Module(*child));
        let known = if is_last { item.or(child) } else { child.or(item) };
        // The depth is limited because a `use` of another crate can appear to refer to itself.
        if known.is_some() || depth > 20 {
            return known;
        }
        let follow = |path: &[String]| self.resolve(node, path, depth + 1);
        if let Some(import) = module.imports.iter().find(|import| import.name == name) {
            return if import.path == [name] { None } else { follow(&import.path) };
        }
        module.imports.iter().filter(|import| import.name == ALL).find_map(|import| {
            let Target::Module(source) = follow(&import.path)? else { return None };
            self.find(source, name, is_last, depth + 1)
        })
    }
}
