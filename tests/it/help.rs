//! What `-h`, `--help` and `htsr help` print, and options that accept a rule of the wrong kind.

use std::fs;

use htsr::error::Kind;

use crate::support::{command, folder, htsr, run, save, small_model};

/// Returns the lines of `htsr SUBCOMMAND -h` on a terminal of 80 columns.
fn short_help(subcommand: &str) -> Vec<String> {
    let mut command = command();
    let run = run(command.args([subcommand, "-h"]).env("COLUMNS", "80"));
    run.succeeds().stdout.lines().map(str::to_owned).collect()
}

#[test]
fn short_help_fits_a_screen() {
    for command in ["score", "esd", "inspect", "allocate", "compare", "export", "demo", "bench", "doctor"] {
        let lines = short_help(command);
        assert!(lines.len() <= 40, "htsr {command} -h has {} lines:\n{}", lines.len(), lines.join("\n"));
    }
    let score = short_help("score").join("\n");
    for heading in ["Selection:", "Fit:", "Allocation:", "Device:", "Output:"] {
        assert!(score.contains(&format!("\n{heading}\n")), "{heading} in {score}");
    }
    for option in ["--rule", "--allocate", "--experts", "--layers", "--device", "--format", "--output"] {
        assert!(score.contains(option), "{option} in {score}");
    }
    // Only the long help has the other options.
    let long = htsr(["score", "--help"]).succeeds().stdout.clone();
    for option in ["--lora-scaling", "--stability-draws", "--farms", "--gof", "--solver", "--base"] {
        assert!(long.contains(option) && !score.contains(option), "{option}");
    }
    assert!(long.contains("peak-robust  A robust variant"), "{long}");
}

#[test]
fn topics_explain_rules_metrics_allocation_and_exit_codes() {
    for (topic, fragments) in [
        ("rules", ["peak-robust", "WeightWatcher", "not comparable"]),
        ("metrics", ["stable_rank", "exponent of the power law", "gof_p"]),
        ("allocation", ["arXiv 2410.10054", "alphapruning  --sparsity --epsilon", "--experts --beta --rounding"]),
        ("exit-codes", ["3    unreadable", "4    partial", "130  interrupted"]),
    ] {
        let text = htsr(["help", topic]).succeeds().stdout.clone();
        for fragment in fragments {
            assert!(text.contains(fragment), "{fragment} in {text}");
        }
        assert!(htsr(["--help"]).succeeds().stdout.contains(&format!("htsr help {topic}")));
    }
    for kind in [Kind::Usage, Kind::Input, Kind::Device, Kind::Interrupted] {
        let code = format!("\n  {:<3}  ", kind.exit_code());
        assert!(htsr(["help", "exit-codes"]).stdout.contains(&code), "{kind:?}");
    }
    htsr(["help", "colors"]).fails(2, &["no command or topic `colors`", "hint: the topics are rules, metrics"]);
}

#[test]
fn topics_are_at_most_100_columns_wide_in_a_pipe() {
    for topic in ["rules", "metrics", "allocation", "exit-codes"] {
        let text = htsr(["help", topic]).succeeds().stdout.clone();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{topic}:\n{text}");
        let mut narrow = command();
        let text = run(narrow.args(["help", topic]).env("COLUMNS", "50")).succeeds().stdout.clone();
        assert!(text.lines().all(|line| line.chars().count() <= 50), "{topic}:\n{text}");
    }
}

#[test]
fn help_explains_commands_too() {
    assert_eq!(htsr(["help", "score"]).succeeds().stdout, htsr(["score", "--help"]).succeeds().stdout);
    assert_eq!(htsr(["help"]).succeeds().stdout, htsr(["--help"]).succeeds().stdout);
}

#[test]
fn a_rule_of_the_other_kind_gets_a_hint_that_works() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let csv = folder.path().join("scores.csv");
    fs::write(&csv, "layer,alpha\n0,2\n1,3\n").unwrap();
    let (model, csv) = (model.to_str().unwrap(), csv.to_str().unwrap());
    let hint = |stderr: &str| stderr.split("hint: use ").nth(1).unwrap().lines().next().unwrap().to_owned();
    for (wrong, cause) in [
        (["--rule", "rank"], "`rank` is an allocation rule"),
        (["--rule", "alphapruning"], "`alphapruning` is an allocation rule"),
        (["--allocate", "median"], "`median` is a fit rule"),
    ] {
        let refused = htsr(["score", model].iter().chain(&wrong));
        refused.fails(2, &[cause, "hint: use --"]);
        let hint = hint(&refused.stderr);
        htsr(["score", model].into_iter().chain(hint.split(' '))).succeeds();
    }
    for option in ["--rule", "--allocate"] {
        let hint = "hint: `htsr score PATH --rule ks -o scores.json`";
        htsr(["allocate", csv, option, "ks"]).fails(2, &["`ks` is a fit rule", hint]);
        htsr(["export", csv, "--to", "mola", option, "ks"]).fails(2, &["`ks` is a fit rule", hint]);
    }
    htsr(["esd", model, "q_proj", "--rule", "mola"]).fails(2, &["hint: `htsr score PATH --allocate mola`"]);
    htsr(["score", model, "--rule", "color"]).fails(2, &["invalid value 'color'", "peak-robust, median, ks"]);
}

#[test]
fn the_former_name_of_allocate_still_works() {
    let folder = folder();
    let csv = folder.path().join("scores.csv");
    fs::write(&csv, "layer,alpha\n0,2\n1,3\n").unwrap();
    let csv = csv.to_str().unwrap();
    for command in [vec!["allocate", csv], vec!["export", csv, "--to", "csv"]] {
        let by = |option: &'static str| htsr(command.iter().copied().chain([option, "uniform"]));
        let (new, former) = (by("--allocate"), by("--rule"));
        assert_eq!(new.succeeds().stdout, former.succeeds().stdout);
        assert_eq!(former.stderr, new.stderr);
        assert!(!htsr([command[0], "--help"]).succeeds().stdout.contains("--rule"));
    }
}

#[test]
fn the_summary_goes_to_stderr_when_results_go_to_a_file() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let file = folder.path().join("scores.json");
    let (model, file) = (model.to_str().unwrap(), file.to_str().unwrap());
    let run = htsr(["score", model, "-o", file]);
    for label in ["number_experts  ", "top_k  ", "allocation  ", "alphas  ", "made by  "] {
        assert!(
            run.succeeds().stderr.lines().any(|line| line.starts_with(label.trim_end())),
            "{label}: {}",
            run.stderr
        );
    }
    assert_eq!(run.stdout, "");
    assert_eq!(htsr(["score", model, "-q", "-o", file]).succeeds().stderr, "");
    assert!(!htsr(["score", model, "--format", "json"]).succeeds().stderr.contains("number_experts"));
}

#[cfg(not(feature = "plot"))]
#[test]
fn pictures_are_refused_before_any_work() {
    let folder = folder();
    let (picture, plots) = (folder.path().join("x.svg"), folder.path().join("plots"));
    let model = save(folder.path(), "model.safetensors", small_model());
    let model = model.to_str().unwrap();
    let cause = "built without the feature `plot`";
    htsr(["esd", model, "0.self_attn.q_proj", "-o", picture.to_str().unwrap()]).fails(2, &[cause, "hint: "]);
    htsr(["score", model, "--plots", plots.to_str().unwrap()]).fails(2, &[cause, "hint: remove --plots"]);
    assert!(!picture.exists() && !plots.exists());
}
