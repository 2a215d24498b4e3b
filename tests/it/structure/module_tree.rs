//! Which file uses which: every path is followed, through re-exports, to the file that defines what it names.

use std::collections::{BTreeMap, BTreeSet};

use super::module::{ALL, Module};
use super::tokens::{tokens, without_tests};

/// A module in its place. `file` indexes `House::files`; a module inside another shares its file.
struct Room {
    parent: Option<usize>,
    file: usize,
    children: BTreeMap<String, usize>,
    module: Module,
}

/// All modules of a library.
pub struct House {
    pub files: Vec<String>,
    /// Files of modules that are compiled for tests only.
    pub test_files: BTreeSet<String>,
    rooms: Vec<Room>,
}

/// What a path leads to.
enum Target {
    Module(usize),
    Item(usize, String),
}

/// Names that the first file takes from the second.
pub type Uses = BTreeMap<(usize, usize), BTreeSet<String>>;

impl House {
    /// Reads `lib.rs` and all modules below. `sources` has the text of every file, by its path below `src`.
    pub fn read(sources: &BTreeMap<String, String>) -> Self {
        let mut house = Self { files: Vec::new(), test_files: BTreeSet::new(), rooms: Vec::new() };
        house.open(sources, "lib.rs", "", None);
        house
    }

    /// Adds the module in `file`, whose modules have their files in `folder`.
    fn open(&mut self, sources: &BTreeMap<String, String>, file: &str, folder: &str, parent: Option<usize>) -> usize {
        let all = tokens(&sources[file]);
        let (tokens, tests) = without_tests(&all);
        let find = |name: &str| -> String {
            let [flat, nested] = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
            if sources.contains_key(&flat) { flat } else { nested }
        };
        self.test_files.extend(tests.iter().map(|name| find(name)));
        self.files.push(file.to_owned());
        let room = self.place(Module::read(&tokens), self.files.len() - 1, parent);
        for name in std::mem::take(&mut self.rooms[room].module.files) {
            let child = self.open(sources, &find(&name), &format!("{folder}{name}/"), Some(room));
            self.rooms[room].children.insert(name, child);
        }
        room
    }

    fn place(&mut self, mut module: Module, file: usize, parent: Option<usize>) -> usize {
        let inner = std::mem::take(&mut module.inner);
        let room = self.rooms.len();
        self.rooms.push(Room { parent, file, children: BTreeMap::new(), module });
        for (name, module) in inner {
            let child = self.place(module, file, Some(room));
            self.rooms[room].children.insert(name, child);
        }
        room
    }

    /// Which file uses what of which other. Not counted: declarations of modules, re-exports that their file does not use
    /// itself, and types of a folder's own file (`mod.rs`) that are used inside of that folder.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (index, room) in self.rooms.iter().enumerate() {
            let imported =
                room.module.imports.iter().filter(|import| {
                    !import.public || (import.name != ALL && room.module.words.contains(&import.name))
                });
            let imported = imported.map(|import| (&import.path, import.name == ALL));
            let named = room.module.paths.iter().map(|path| (path, false));
            for (path, all) in imported.chain(named) {
                let (target, name) = match self.resolve(index, path, 0) {
                    Some(Target::Item(target, name)) => (target, name),
                    Some(Target::Module(target)) if all => (target, ALL.to_owned()),
                    _ => continue,
                };
                let is_type = self.rooms[target].module.definitions.get(&name) == Some(&true);
                let file = self.rooms[target].file;
                if file != room.file && !(is_type && self.is_inside(index, target)) {
                    uses.entry((room.file, file)).or_default().insert(name);
                }
            }
        }
        uses
    }

    /// Whether a module is somewhere below another.
    fn is_inside(&self, room: usize, ancestor: usize) -> bool {
        let mut parents = std::iter::successors(Some(room), |room| self.rooms[*room].parent);
        parents.any(|parent| parent == ancestor)
    }

    /// Follows a path that is written in a module. `None` for paths into other crates.
    fn resolve(&self, room: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(room),
            "super" => Target::Module(self.rooms[room].parent?),
            name => self.find(room, name, rest.is_empty(), depth)?,
        };
        self.descend(start, rest, depth)
    }

    fn descend(&self, mut target: Target, path: &[String], depth: usize) -> Option<Target> {
        for (at, name) in path.iter().enumerate() {
            let Target::Module(room) = target else { return Some(target) };
            target = match name.as_str() {
                "super" => Target::Module(self.rooms[room].parent?),
                // What a macro defines is found nowhere.
                name => self
                    .find(room, name, at + 1 == path.len(), depth)
                    .unwrap_or_else(|| Target::Item(room, name.to_owned())),
            };
        }
        Some(target)
    }

    /// What a name means in a module. A module and an item may share it: the last name of a path is the item.
    fn find(&self, room: usize, name: &str, is_last: bool, depth: usize) -> Option<Target> {
        let Room { children, module, .. } = &self.rooms[room];
        let item = module.definitions.contains_key(name).then(|| Target::Item(room, name.to_owned()));
        let child = children.get(name).map(|child| Target::Module(*child));
        let known = if is_last { item.or(child) } else { child.or(item) };
        // A `use` of another crate may seem to lead back to itself.
        if known.is_some() || depth > 20 {
            return known;
        }
        let follow = |path: &[String]| self.resolve(room, path, depth + 1);
        if let Some(import) = module.imports.iter().find(|import| import.name == name) {
            return if import.path == [name] { None } else { follow(&import.path) };
        }
        module.imports.iter().filter(|import| import.name == ALL).find_map(|import| {
            let Target::Module(source) = follow(&import.path)? else { return None };
            self.find(source, name, is_last, depth + 1)
        })
    }
}
