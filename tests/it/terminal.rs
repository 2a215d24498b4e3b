//! What the command line prints for people: tables that fit the terminal.

use std::fs;
use std::process::Command;

use crate::support::{Run, command, folder, run, save, small_model};

/// `htsr score` on the small model, with these options and environment.
fn score(options: &[&str], environment: &[(&str, &str)]) -> Run {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let mut command: Command = command();
    command.arg("score").arg(&path).args(options).envs(environment.iter().copied());
    run(&mut command)
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn a_table_of_matrices_fits_in_80_columns() {
    let narrow = score(&["--by", "matrix"], &[("COLUMNS", "80")]);
    let (table, footer) = narrow.succeeds().stdout.split_once("\n\n").unwrap();
    assert!(widest(table) <= 80, "{table}");
    assert!(table.starts_with("tensor ") && table.contains(" alpha ") && table.lines().count() == 5, "{table}");
    assert!(footer.contains("all rows ") && footer.contains("rule peak"), "{footer}");
    let very_narrow = score(&["--by", "matrix"], &[("COLUMNS", "50")]);
    assert!(
        very_narrow.stdout.contains("not shown ") && very_narrow.stdout.contains("--format"),
        "{}",
        very_narrow.stdout
    );
    let wide = score(&["--by", "matrix"], &[]);
    assert!(widest(&wide.succeeds().stdout) > 100 && !wide.stdout.contains("all rows"), "{}", wide.stdout);
}

#[test]
fn all_metrics_go_down_the_page() {
    let narrow = score(&["--metrics", "all"], &[("COLUMNS", "80")]);
    let blocks: Vec<&str> = narrow.succeeds().stdout.split("\n\n").collect();
    assert_eq!(blocks.len(), 5, "four matrices and the lines below them");
    for block in &blocks[..4] {
        assert!(block.starts_with("tensor ") && block.lines().count() > 30, "{block}");
        assert!(block.lines().any(|line| line.starts_with("stable_rank  ")), "{block}");
        assert!(widest(block) <= 80, "{block}");
    }
}

#[test]
fn a_table_in_a_file_is_as_wide_as_it_needs_to_be() {
    let folder = folder();
    let output = folder.path().join("scores.txt");
    score(&["--by", "matrix", "-o", output.to_str().unwrap()], &[("COLUMNS", "50")]).succeeds();
    assert!(widest(fs::read_to_string(&output).unwrap().split("\n\n").next().unwrap()) > 100);
}
