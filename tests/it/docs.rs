//! README.md and docs/: their commands run and print the output shown, and their links and paths exist.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{command, folder, minilm, root, run};

/// First words of commands that a test cannot run, and what these commands need.
const LEFT_OUT: [(&str, &str); 6] = [
    ("cargo", "cargo"),
    ("pip", "the network"),
    ("python", "Python packages"),
    ("scripts/fetch-fixtures", "the network"),
    ("scripts/gpu-bundle", "cargo"),
    ("tests/consumers/run", "Python packages"),
];

/// A command in a console block, and the output shown below it.
struct Example {
    line: usize,
    command: String,
    output: Vec<String>,
}

#[test]
fn commands_in_the_docs_run_and_print_what_is_shown() {
    if minilm().is_none() {
        return;
    }
    let (mut ran, mut left_out) = (0, BTreeMap::<&str, Vec<String>>::new());
    for page in pages() {
        let folder = folder();
        prepare(folder.path());
        for example in examples(&fs::read_to_string(root().join(&page)).unwrap()) {
            let place = format!("{}:{}: {}", page.display(), example.line, example.command);
            if let Some(what) = needs(&example.command) {
                left_out.entry(what).or_default().push(place);
                continue;
            }
            let run = run(shell(folder.path()).arg(&example.command));
            assert_eq!(run.code, 0, "{place}\n{}{}", run.stdout, run.stderr);
            let mut printed = run.stdout.lines();
            for line in example.output.iter().filter(|line| !line.is_empty()) {
                assert!(
                    printed.any(|other| matches(line, other)),
                    "{place}\ndoes not print: {line}\nbut: {}",
                    run.stdout
                );
            }
            ran += 1;
        }
    }
    let mut summary = format!("\n{ran} commands of the docs ran\n");
    for (what, places) in left_out {
        summary += &format!("left out because they need {what}:\n  {}\n", places.join("\n  "));
    }
    // Written directly, because the test harness captures what tests print.
    let _ = io::stderr().write_all(summary.as_bytes());
    assert!(ran > 0, "no command was found");
}

#[test]
fn links_in_the_docs_lead_to_files() {
    let mut checked = 0;
    for page in pages().into_iter().chain(pages_without_commands()) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            let target = root().join(&page).parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link} does not exist", page.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no link was found");
}

#[test]
fn paths_named_in_the_docs_exist() {
    let folders = ["src/", "tests/", "docs/", "benches/", "scripts/", "kernels/", "crates/", "examples/", ".ci/"];
    let mut checked = 0;
    for page in pages().into_iter().chain(pages_without_commands()) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for path in text.split('`').filter(|code| folders.iter().any(|folder| code.starts_with(folder))) {
            if !path.contains(char::is_whitespace) {
                assert!(root().join(path).exists(), "{}: {path} does not exist", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "no path was found");
}

#[test]
fn the_page_on_design_names_every_dependency() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let page = fs::read_to_string(root().join("docs/design.md")).unwrap();
    let sections = manifest.split("\n[").filter(|section| {
        section.starts_with("dependencies]") || section.starts_with("target.") && section.contains(".dependencies]")
    });
    let lines = sections.flat_map(|section| section.lines().skip(1)).filter(|line| !line.starts_with('#'));
    let mut checked = 0;
    for name in lines.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty()) {
        assert!(page.contains(&format!("`{name}`")), "docs/design.md does not name {name}");
        checked += 1;
    }
    assert!(checked > 10, "{checked} dependencies found");
}

#[test]
fn the_readme_fits_150_lines() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "README.md has {lines} lines");
}

/// Pages whose commands are not run. The changelog is not included, because it may name files that no longer exist.
fn pages_without_commands() -> [PathBuf; 3] {
    ["CONTRIBUTING.md", "STYLE.md", "SECURITY.md"].map(PathBuf::from)
}

/// README.md and docs/*.md, by path from the root.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            pages.push(Path::new("docs").join(name));
        }
    }
    pages.sort();
    pages
}

/// Returns what a command needs and a test does not have, if anything.
fn needs(command: &str) -> Option<&'static str> {
    if command.contains("--device cuda") {
        return Some("a GPU");
    }
    if !cfg!(feature = "plot") && [".svg", ".png", "--plots"].iter().any(|word| command.contains(word)) {
        return Some("the feature `plot`");
    }
    if !cfg!(feature = "parquet") && command.contains("parquet") {
        return Some("the feature `parquet`");
    }
    let first = command.split_whitespace().next()?;
    LEFT_OUT.iter().find(|(word, _)| *word == first).map(|(_, what)| *what)
}

/// Links what the examples use into a folder: the fixtures, and `htsr` in `bin`.
fn prepare(folder: &Path) {
    std::os::unix::fs::symlink(root().join("fixtures"), folder.join("fixtures")).unwrap();
    fs::create_dir(folder.join("bin")).unwrap();
    std::os::unix::fs::symlink(command().get_program(), folder.join("bin/htsr")).unwrap();
}

/// Returns a shell in `folder` whose PATH starts with our `htsr`. The caller adds the command.
fn shell(folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    shell.current_dir(folder).env("PATH", path).env("NO_COLOR", "1").env("HTSR_DEVICE", "cpu");
    shell.stdin(Stdio::null()).arg("-c");
    shell
}

fn examples(text: &str) -> Vec<Example> {
    let (mut examples, mut console) = (Vec::<Example>::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            console = line == "```console";
        } else if let (true, Some(command)) = (console, line.strip_prefix("$ ")) {
            examples.push(Example { line: number + 1, command: command.to_owned(), output: Vec::new() });
        } else if let (true, Some(last)) = (console, examples.last_mut()) {
            last.output.push(line.to_owned());
        }
    }
    examples
}

/// True if `pattern` matches the whole `line`; `...` matches any text.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
