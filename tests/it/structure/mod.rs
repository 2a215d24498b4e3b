//! No circle among the files of `src/`: what a file uses lies below it, and is understood without it.
//!
//! An edge runs from a file to the file that defines a name it imports or writes as a path. Re-exports are followed to
//! their end and are no edges themselves, nor are declarations of modules and test code. Inside a folder, a file may use the types
//! of the folder's own `mod.rs`, and of those further up, without an edge; their functions and constants are edges.
//! Methods are not seen.

mod circles;
mod house;
mod module;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use circles::circles;
use house::{House, Uses};

/// Every file below `folder`, by its path relative to `src`.
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

fn found(house: &House, uses: &Uses) -> Vec<BTreeSet<usize>> {
    circles(house.files.len(), uses.keys().copied())
}

/// The files of a circle, and what ties them together.
fn describe(house: &House, uses: &Uses, circle: &BTreeSet<usize>) -> String {
    let mut lines = format!("circle of {} files:\n", circle.len());
    for ((from, to), names) in uses.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        lines += &format!("  {} -> {}: {}\n", house.files[*from], house.files[*to], names.join(", "));
    }
    lines
}

#[test]
fn no_circle_among_the_files_of_the_library() {
    let house = House::read(&library());
    let uses = house.uses();
    let circles: Vec<String> = found(&house, &uses).iter().map(|circle| describe(&house, &uses, circle)).collect();
    assert!(circles.is_empty(), "files use each other:\n{}", circles.join("\n"));
}

#[test]
fn every_file_of_the_library_is_seen() {
    let library = library();
    let house = House::read(&library);
    let seen: BTreeSet<&str> =
        house.files.iter().chain(&house.test_files).map(String::as_str).chain(["main.rs"]).collect();
    assert_eq!(library.keys().map(String::as_str).collect::<BTreeSet<_>>(), seen);
}

/// Edges of a small library, as `from -> to: names`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let house = House::read(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect());
    let edge = |((from, to), names): ((usize, usize), BTreeSet<String>)| {
        let names: Vec<String> = names.into_iter().collect();
        format!("{} -> {}: {}", house.files[from], house.files[to], names.join(" "))
    };
    house.uses().into_iter().map(edge).collect()
}

#[test]
fn uses_are_followed_through_reexports_to_the_file_that_defines() {
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
fn a_file_uses_types_of_its_folder_freely_and_nothing_else() {
    let seen = edges(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; pub(crate) use b::f; pub trait T {} pub fn up() { f() } pub const fn max() {}"),
        ("a/b.rs", "use super::T; pub fn f() { super::up(); inner::g() } mod inner { fn g() { super::super::max() } }"),
    ]);
    assert_eq!(seen, ["a/mod.rs -> a/b.rs: f", "a/b.rs -> a/mod.rs: max up"]);
}

#[test]
fn test_code_and_unused_reexports_are_no_uses() {
    let seen = edges(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use crate::b::f; #[cfg(test)] #[allow(x)] mod tests { use crate::b::g; } #[cfg(test)] mod more;"),
        ("b.rs", "pub fn f() {} pub fn g() {} #[cfg(test)] use crate::a::f; /* crate::a::f() /* */ */"),
        ("a/more.rs", "use crate::b::g;"),
    ]);
    assert_eq!(seen, Vec::<String>::new());
}

#[test]
fn circles_are_found_whole_and_apart() {
    let edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 0)];
    assert_eq!(circles(6, edges.into_iter()), [BTreeSet::from([3, 4]), BTreeSet::from([0, 1, 2])]);
}
