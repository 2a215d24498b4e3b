//! Output for people and their shells: tables that fit the terminal, colors, completions, manual pages, timings.

use std::fs;
use std::process::Command;

use crate::support::{Run, command, folder, htsr, run, save, small_model};

/// Runs `htsr score` on the small model with these options and environment variables.
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
fn the_environment_does_not_narrow_tables_in_pipes_and_files() {
    let narrow = [("COLUMNS", "50")];
    let piped = score(&["--by", "matrix"], &narrow);
    assert!(widest(&piped.succeeds().stdout) > 100 && !piped.stdout.contains("all rows"), "{}", piped.stdout);
    assert_eq!(piped.stdout.split("\n\n").next(), score(&["--by", "matrix"], &[]).stdout.split("\n\n").next());
    let folder = folder();
    let output = folder.path().join("scores.txt");
    score(&["--by", "matrix", "-o", output.to_str().unwrap()], &narrow).succeeds();
    assert!(widest(fs::read_to_string(&output).unwrap().split("\n\n").next().unwrap()) > 100);
}

/// Runs `htsr` with these arguments. Only the variables in `environment` control colors.
fn colored(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = command();
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    run(command.args(arguments).envs(environment.iter().copied()))
}

#[test]
fn colors_follow_the_option_and_the_environment() {
    let missing = ["score", "no-such-model"];
    let is_colored = |options: &[&str], environment: &[(&str, &str)]| {
        let run = colored(&[&missing, options].concat(), environment);
        run.fails(3, &["no-such-model"]);
        run.stderr.contains("\u{1b}[")
    };
    assert!(!is_colored(&[], &[]), "stderr is not a terminal");
    assert!(is_colored(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!is_colored(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(is_colored(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!is_colored(&["--color=never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn help_and_errors_of_usage_are_colored_and_results_are_not() {
    assert!(colored(&["score", "--help", "--color=always"], &[]).succeeds().stdout.contains("\u{1b}["));
    assert!(!colored(&["score", "--help"], &[]).succeeds().stdout.contains('\u{1b}'));
    assert!(colored(&["--color", "always", "score", "--bogus"], &[]).fails(2, &[]).stderr.contains("\u{1b}["));
    let sometimes = colored(&["--color", "sometimes", "doctor"], &[]);
    assert!(sometimes.fails(2, &["sometimes"]).stderr.contains("never"));
    assert!(!colored(&["doctor", "--color", "always"], &[]).succeeds().stdout.contains('\u{1b}'));
}

const COMMANDS: [&str; 12] = [
    "score",
    "esd",
    "inspect",
    "allocate",
    "compare",
    "export",
    "demo",
    "bench",
    "doctor",
    "completions",
    "man",
    "help",
];

#[test]
fn the_list_of_commands_is_complete() {
    let help = htsr(["-h"]).succeeds().stdout.clone();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, COMMANDS);
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = htsr(["completions", shell]).succeeds().stdout.clone();
        for name in COMMANDS {
            assert!(script.contains(name), "{shell}: {name}");
        }
        for option in ["timings", "color", "farms"] {
            assert!(script.contains(option), "{shell}: {option}");
        }
        if shell == "bash" {
            let folder = folder();
            let file = folder.path().join("htsr.bash");
            fs::write(&file, script).unwrap();
            match Command::new("bash").arg("-n").arg(&file).output() {
                Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
                Err(error) => eprintln!("skipped: bash -n: {error}"),
            }
        }
    }
    let zsh = htsr(["completions", "zsh"]).stdout;
    let help = zsh.split("(help)").nth(1).unwrap();
    for value in ["exit-codes", "metrics", "score"] {
        assert!(help.contains(&format!("{value}\\:")), "{value}: {help}");
    }
    htsr(["completions", "tcsh"]).fails(2, &["tcsh", "zsh"]);
}

#[test]
fn manual_pages_describe_every_command() {
    let page = htsr(["man"]).succeeds().stdout.clone();
    assert!(page.contains(".TH htsr 1"), "{page}");
    let folder = folder();
    let pages = folder.path().join("man1");
    htsr(["man", "--dir", pages.to_str().unwrap()]).succeeds();
    for name in COMMANDS {
        assert!(page.contains(&format!("htsr\\-{name}")), "{name}: {page}");
        let text = fs::read_to_string(pages.join(format!("htsr-{name}.1"))).unwrap();
        assert!(text.contains(&format!(".TH htsr-{name} 1")), "{text}");
    }
    assert_eq!(fs::read_to_string(pages.join("htsr.1")).unwrap(), page);
    assert_eq!(fs::read_dir(&pages).unwrap().count(), COMMANDS.len() + 1);
    let score = fs::read_to_string(pages.join("htsr-score.1")).unwrap();
    // Options that `-h` hides are explained, too, and the synopsis is short.
    assert!(score.contains("Exponent of alpha^beta") && score.contains("htsr score\\fR [OPTIONS] <PATH>"), "{score}");
    assert!(score.contains("peak\\-robust: A robust variant"), "values are a list: {score}");
    assert!(page.contains(".SH \"EXIT STATUS\"") && page.contains("130  interrupted"), "{page}");
    assert!(score.contains("timings") && score.contains("quiet"), "{score}");
}

#[test]
fn timings_have_a_line_per_matrix_and_a_total() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let path = path.to_str().unwrap();
    let file = folder.path().join("timings.jsonl");
    let plain = htsr(["score", path, "--format", "json"]);
    let timed = htsr(["score", path, "--format", "json", "--timings", file.to_str().unwrap()]);
    assert_eq!(timed.succeeds().stdout, plain.succeeds().stdout, "reports have no timings");
    assert!(timed.stderr.contains("wrote timings to "), "{}", timed.stderr);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (total, matrices) = lines.split_last().unwrap();
    let report = plain.json();
    assert_eq!(matrices.len(), 4);
    for (line, row) in matrices.iter().zip(report["matrices"].as_array().unwrap()) {
        assert_eq!((&line["kind"], &line["tensor"], &line["rows"]), (&"matrix".into(), &row["tensor"], &24.into()));
        assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["metrics_seconds"].as_f64().unwrap() > 0.0, "{line}");
        assert_eq!(line["parts"], 1);
        assert!(line["lane"].as_u64() < total["lanes"].as_u64() && line["batch"].as_u64() >= Some(1), "{line}");
    }
    assert_eq!((&total["kind"], &total["matrices"]), (&"total".into(), &4.into()));
    assert_eq!(total["device"], report["provenance"]["device"]);
    assert!(total["seconds"].as_f64() > matrices[0]["seconds"].as_f64(), "{total}");
}

#[test]
fn the_file_of_timings_is_checked_before_the_work() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let before = fs::read(&path).unwrap();
    let path = path.to_str().unwrap();
    htsr(["score", path, "--timings", "/no/such/folder/t.jsonl"]).fails(2, &["cannot be written", "hint: "]);
    htsr(["score", path, "--timings", path]).fails(2, &["would be overwritten"]);
    let same = folder.path().join("scores.json");
    let run = htsr(["score", path, "-o", same.to_str().unwrap(), "--timings", same.to_str().unwrap()]);
    run.fails(2, &["--output and --timings are the same file"]);
    assert!(!same.exists() && fs::read(path).unwrap() == before);
}

/// Runs on a real terminal (a pty).
#[cfg(unix)]
mod on_a_terminal {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::process::{Command, Stdio};
    use std::ptr::null_mut;

    use super::widest;
    use crate::support::{command, folder, save, small_model};

    /// Opens a terminal with this many columns. Returns the end of the test and the end of the command.
    #[allow(unsafe_code)]
    fn terminal(columns: u16) -> (File, OwnedFd) {
        let mut size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut ours, mut theirs) = (0, 0);
        // SAFETY: openpty writes one descriptor to each integer and reads the size; it takes null for name and settings.
        let opened =
            unsafe { libc::openpty(&mut ours, &mut theirs, null_mut(), null_mut::<libc::termios>(), &raw mut size) };
        assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: openpty has just opened both descriptors, and nothing else owns them.
        unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
    }

    /// Reads until `enough` returns true for the text so far, or until the command closes its end.
    fn read(terminal: &mut File, enough: impl Fn(&str) -> bool) -> String {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        // Linux reports the closed end as an error.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            if enough(&String::from_utf8_lossy(&bytes)) {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What `htsr` with these arguments writes to a terminal with this many columns.
    fn shown(columns: u16, arguments: &[&str]) -> String {
        let (mut ours, theirs) = terminal(columns);
        let mut command = command();
        command.args(arguments).stdout(theirs).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // `command` also holds the other end. It must be closed, so that the read ends when the child ends.
        drop(command);
        let text = read(&mut ours, |_| false).replace('\r', "");
        assert!(child.wait().unwrap().success(), "{text}");
        text
    }

    /// What `htsr score` of the small model with these options writes to a terminal with this many columns.
    fn shown_scores(columns: u16, options: &[&str]) -> String {
        let folder = folder();
        let path = save(folder.path(), "model.safetensors", small_model());
        shown(columns, &[&["score", path.to_str().unwrap()], options].concat())
    }

    #[test]
    fn tables_are_as_wide_as_the_terminal() {
        let narrow = shown_scores(80, &["--by", "matrix"]);
        let (table, footer) = narrow.split_once("\n\n").unwrap();
        assert!(widest(table) <= 80, "{table}");
        assert!(table.starts_with("tensor ") && table.contains(" alpha ") && table.lines().count() == 5, "{table}");
        assert!(footer.contains("all rows ") && footer.contains("rule peak"), "{footer}");
        let very_narrow = shown_scores(50, &["--by", "matrix"]);
        assert!(very_narrow.contains("not shown ") && very_narrow.contains("--format"), "{very_narrow}");
    }

    #[test]
    fn all_metrics_are_printed_vertically() {
        let narrow = shown_scores(80, &["--metrics", "all"]);
        let blocks: Vec<&str> = narrow.split("\n\n").collect();
        assert_eq!(blocks.len(), 5, "four matrices and the lines below them");
        for block in &blocks[..4] {
            assert!(block.starts_with("tensor ") && block.lines().count() > 30, "{block}");
            assert!(block.lines().any(|line| line.starts_with("stable_rank  ")), "{block}");
            assert!(widest(block) <= 80, "{block}");
        }
    }

    #[test]
    fn help_is_as_wide_as_the_terminal_up_to_100_columns() {
        for topic in ["rules", "metrics", "allocation", "exit-codes"] {
            for (columns, limit) in [(60, 60), (200, 100)] {
                let text = shown(columns, &["help", topic]);
                assert!(widest(&text) <= limit, "{topic} in {columns} columns:\n{text}");
            }
        }
        let rules = shown(60, &["help", "rules"]);
        let places = ["A robust variant", "near a peak"].map(|words| rules.lines().find_map(|line| line.find(words)));
        assert!(places[0].is_some() && places[0] == places[1], "a second line starts below the first:\n{rules}");
    }

    #[test]
    fn ctrl_c_clears_the_bar() {
        let folder = folder();
        let (mut ours, theirs) = terminal(80);
        let mut command = command();
        command.args(["demo", "--layers", "40", "--threads", "2"]).env("TMPDIR", folder.path()).env("TERM", "xterm");
        command.stdout(Stdio::null()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        drop(command);
        let bar = "/280 ";
        let before = read(&mut ours, |text| text.contains(bar));
        assert!(before.contains(bar), "{before}");
        // After the second signal there is no time to clean up.
        for _ in 0..2 {
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        }
        let after = read(&mut ours, |_| false);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{after:?}");
        let cleared = "\u{1b}[2K";
        assert!(!after.rsplit(cleared).next().unwrap().contains(bar) && after.contains(cleared), "{after:?}");
    }
}
