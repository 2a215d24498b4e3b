//! Wrong command lines: what the messages say, and that their advice works.

use std::fs;

use crate::support::{command, folder, htsr, run, save, small_model};

#[test]
fn no_tip_makes_a_file_name_of_an_option() {
    for arguments in [
        ["inspect", "model", "--allocate", "rank"].as_slice(),
        &["score", "--no-such-option"],
        &["allocate", "a.csv", "--no-such-option", "b.csv"],
        &["--no-such-option"],
        &["help", "--rule"],
    ] {
        let run = htsr(arguments);
        run.fails(2, &["unexpected argument '--"]);
        assert!(!run.stderr.contains("as a value") && !run.stderr.contains("-- --"), "{}", run.stderr);
    }
}

#[test]
fn an_option_of_other_commands_is_found() {
    let tip = "tip: '--allocate' is an option of 'htsr score', 'htsr allocate' and 'htsr export'";
    htsr(["inspect", "model", "--allocate", "rank"]).fails(2, &[tip]);
    htsr(["score", "model", "--to", "peft"]).fails(2, &["tip: '--to' is an option of 'htsr export'\n"]);
    htsr(["doctor", "--plots", "x"]).fails(2, &["tip: '--plots' is an option of 'htsr score'\n"]);
    htsr(["--metrics", "D"]).fails(2, &["unexpected argument '--metrics'", "score"]);
    htsr(["score", "model", "--expert", "3"]).fails(2, &["a similar argument exists: '--experts'"]);
}

#[test]
fn a_negative_number_is_a_wrong_number() {
    htsr(["score", "model", "--experts", "-5"]).fails(2, &["'-5' for '--experts <T>'", "positive whole number"]);
    htsr(["score", "model", "--rank", "-1"]).fails(2, &["'-1' for '--rank <R>'"]);
    htsr(["bench", "--runs", "-1"]).fails(2, &["'-1' for '--runs <N>'"]);
}

#[test]
fn a_device_of_the_environment_is_named_as_such() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let model = model.to_str().unwrap();
    for arguments in [["score", model].as_slice(), &["bench", "--sizes", "16"], &["demo"]] {
        let refused = run(command().args(arguments).env("HTSR_DEVICE", "foo"));
        refused.fails(2, &["the environment variable HTSR_DEVICE is 'foo': not a device", "hint: auto, cpu, cuda"]);
        assert!(!refused.stderr.contains("--device"), "{}", refused.stderr);
    }
    run(command().args(["score", model, "--device", "cpu"]).env("HTSR_DEVICE", "foo")).succeeds();
    let automatic = run(command().args(["score", model, "-q", "--format", "json"]).env("HTSR_DEVICE", ""));
    assert!(automatic.succeeds().json()["provenance"]["device"].is_string());
    htsr(["score", model, "--device", "foo"]).fails(2, &["invalid value 'foo' for '--device <DEVICE>'"]);
}

#[test]
fn a_dash_is_stdout() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let scores = folder.path().join("scores.json");
    let (model, scores) = (model.to_str().unwrap(), scores.to_str().unwrap());
    let here = |arguments: &[&str]| run(command().args(arguments).current_dir(folder.path()));
    htsr(["score", model, "-q", "-o", scores]).succeeds();
    for arguments in [
        ["score", model, "--format", "json"].as_slice(),
        &["esd", model, "0.self_attn.q_proj", "--format", "csv"],
        &["inspect", model],
        &["allocate", scores, "--format", "md"],
        &["compare", scores, scores],
        &["export", scores, "--to", "mola"],
        &["export", scores, "--to", "csv"],
        &["doctor", "--format", "json"],
    ] {
        let dash = here(&[arguments, &["-o", "-"]].concat());
        assert_eq!(dash.succeeds().stdout, here(arguments).succeeds().stdout, "{arguments:?}");
        assert!(!dash.stdout.is_empty() && !dash.stderr.contains("wrote "), "{arguments:?}: {}", dash.stderr);
    }
    let timings = here(&["score", model, "-q", "-o", scores, "--timings", "-"]);
    assert_eq!(timings.succeeds().stdout.lines().count(), 5);
    here(&["score", model, "--timings", "-"]).fails(2, &["would both go to stdout", "hint: add --output FILE"]);
    assert!(!folder.path().join("-").exists());
    here(&["score", model, "--format", "json", "-o", "./-"]).succeeds();
    assert!(fs::read_to_string(folder.path().join("-")).unwrap().starts_with('{'));
}

#[test]
fn a_file_that_cannot_be_written_gets_the_hint_for_its_cause() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let model = model.to_str().unwrap();
    let write = |file: &str| htsr(["score", model, "--format", "json", "-o", file]);
    let place = folder.path().to_str().unwrap();
    write(place).fails(2, &["it is a folder", "hint: add the name of a file in this folder"]);
    let missing = format!("{place}/missing/scores.json");
    write(&missing).fails(2, &["cannot be written", &format!("hint: create the folder {place}/missing first")]);
    let inside = format!("{model}/scores.json");
    write(&inside).fails(2, &["cannot be written", &format!("hint: {model} is not a folder")]);
}

#[test]
fn unknown_extensions_get_the_list_of_the_command() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let model = model.to_str().unwrap();
    let results = "use .json, .csv, .md or .txt, or add --format";
    htsr(["score", model, "-o", "x.xyz"]).fails(2, &["x.xyz: unrecognized file extension", results]);
    let pictures = if cfg!(feature = "plot") { "use .svg, .png, .json, .csv, .md or .txt, or add" } else { results };
    htsr(["esd", model, "0.self_attn.q_proj", "-o", "x.xyz"]).fails(2, &["x.xyz: unrecognized", pictures]);
}
