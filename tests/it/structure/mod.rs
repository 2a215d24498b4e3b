//! Files of `src/` must not depend on each other in a cycle, so that each file can be understood without those that use it.
//!
//! A file depends on the file that defines a name it imports or writes as a path. Re-exports are followed to the definition;
//! re-exports, declarations of modules and test code are not dependencies. Inside a folder, a file may use the types of the
//! folder's own `mod.rs`, and of those of its parent folders; using their functions and constants is a dependency.
//! Calls of methods are not detected.

mod cycles;
mod module;
mod module_tree;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cycles::cycles;
use module_tree::{ModuleTree, Uses};

/// Reads every Rust file below `folder` into a map from its path relative to `src` to its text.
fn sources(folder: &Path, prefix: &str, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        let name = format!("{prefix}{}", path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8"));
        if path.is_dir() {
            sources(&path, &format!("{name}/"), into);
        } else if name.ends_with(".rs") {
            into.insert(name, std::fs::read_to_string(&path).expect("src can be read"));
        }
    }
}

fn library() -> BTreeMap<String, String> {
    let mut library = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut library);
    library
}

fn find_cycles(tree: &ModuleTree, uses: &Uses) -> Vec<BTreeSet<usize>> {
    cycles(tree.files.len(), uses.keys().copied())
}

/// Lists the dependencies in a cycle.
fn describe(tree: &ModuleTree, uses: &Uses, cycle: &BTreeSet<usize>) -> String {
    let mut lines = format!("cycle of {} files:\n", cycle.len());
    for ((from, to), names) in uses.iter().filter(|((from, to), _)| cycle.contains(from) && cycle.contains(to)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        lines += &format!("  {} -> {}: {}\n", tree.files[*from], tree.files[*to], names.join(", "));
    }
    lines
}

#[test]
fn no_cycle_among_the_files_of_the_library() {
    let tree = ModuleTree::read(&library());
    let uses = tree.uses();
    let cycles: Vec<String> = find_cycles(&tree, &uses).iter().map(|cycle| describe(&tree, &uses, cycle)).collect();
    assert!(cycles.is_empty(), "files use each other:\n{}", cycles.join("\n"));
}

#[test]
fn every_file_of_the_library_is_read() {
    let library = library();
    let tree = ModuleTree::read(&library);
    let seen: BTreeSet<&str> =
        tree.files.iter().chain(&tree.test_files).map(String::as_str).chain(["main.rs"]).collect();
    // The files of a test module are not followed.
    let followed = |file: &&str| !file.contains("/tests/");
    let files: BTreeSet<&str> = library.keys().map(String::as_str).filter(followed).collect();
    assert_eq!(files, seen.into_iter().filter(followed).collect());
}

/// Returns the dependencies in a small library, as `from -> to: names`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let tree = ModuleTree::read(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect());
    let edge = |((from, to), names): ((usize, usize), BTreeSet<String>)| {
        let names: Vec<String> = names.into_iter().collect();
        format!("{} -> {}: {}", tree.files[from], tree.files[to], names.join(" "))
    };
    tree.uses().into_iter().map(edge).collect()
}

#[test]
fn uses_are_followed_through_reexports_to_the_definition() {
    let seen = edges(&[
        ("lib.rs", "pub mod a; mod b; pub use b::Deep;"),
        (
            "a.rs",
            "use std::fmt; use crate::{Deep as D, b::{self, *}}; fn f() { b::c::g::<D>(\"crate::b::no\", 'x'); b::K; }",
        ),
        ("b/mod.rs", "mod c; pub use c::{Deep, h}; pub const K: u8 = 1; pub struct T;"),
        ("b/c.rs", "pub struct Deep; pub fn g() {} pub fn h() {} // crate::a::f()"),
    ]);
    assert_eq!(seen, ["a.rs -> b/mod.rs: * K", "a.rs -> b/c.rs: Deep g"]);
}

#[test]
fn only_types_of_its_own_folder_are_no_dependency_of_a_file() {
    let seen = edges(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; pub(crate) use b::f; pub trait T {} pub fn up() { f() } pub const fn max() {}"),
        ("a/b.rs", "use super::T; pub fn f() { super::up(); inner::g() } mod inner { fn g() { super::super::max() } }"),
    ]);
    assert_eq!(seen, ["a/mod.rs -> a/b.rs: f", "a/b.rs -> a/mod.rs: max up"]);
}

#[test]
fn test_code_and_unused_reexports_are_not_dependencies() {
    let seen = edges(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use crate::b::f; #[cfg(test)] #[allow(x)] mod tests { use crate::b::g; } #[cfg(test)] mod more;"),
        ("b.rs", "pub fn f() {} pub fn g() {} #[cfg(test)] use crate::a::f; /* crate::a::f() /* */ */"),
        ("a/more.rs", "use crate::b::g;"),
    ]);
    assert_eq!(seen, Vec::<String>::new());
}

#[test]
fn separate_cycles_are_found_completely() {
    let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 0)];
    assert_eq!(cycles(6, edges.into_iter()), [BTreeSet::from([3, 4]), BTreeSet::from([0, 1, 2])]);
}
