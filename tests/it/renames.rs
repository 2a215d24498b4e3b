//! `--rename`: the same tensors have other names in the base, or in the other model of a comparison.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Run, TempDir, Tensor, folder, htsr, save};

/// Three layers with q and o of 24 x 24; `shift` makes the fine-tuned model.
fn model(name: impl Fn(usize, char) -> String, shift: u64) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    for layer in 0..3 {
        for (letter, index) in ['q', 'o'].into_iter().zip(0..) {
            tensors.insert(name(layer, letter), Tensor::random(24, 24, shift + layer as u64 * 2 + index));
        }
    }
    tensors
}

fn starting(start: &str) -> impl Fn(usize, char) -> String {
    move |layer, letter| format!("{start}layers.{layer}.self_attn.{letter}_proj.weight")
}

fn saved(folder: &TempDir, file: &str, name: impl Fn(usize, char) -> String, shift: u64) -> PathBuf {
    save(folder.path(), file, model(name, shift))
}

fn run(command: &str, path: &Path, base: &Path, options: &[&str]) -> Run {
    htsr([command, path.to_str().unwrap(), "--base", base.to_str().unwrap()].iter().chain(options))
}

/// The alphas of all matrices.
fn alphas(report: &Value) -> Vec<Value> {
    report["matrices"].as_array().unwrap().iter().map(|matrix| matrix["alpha"].clone()).collect()
}

#[test]
fn names_in_the_base_are_renamed_names_of_the_model() {
    let folder = folder();
    let tuned = saved(&folder, "tuned.safetensors", starting("model."), 50);
    let same = saved(&folder, "same.safetensors", starting("model."), 0);
    let expected = run("score", &tuned, &same, &["--format", "json"]).succeeds().json();
    let hidden = |layer, letter| format!("h.{layer}.attn.{letter}_proj.weight");
    let regex = r"^model\.layers\.(\d+)\.self_attn=h.${1}.attn";
    let odd = starting("odd.model.");
    for (base, option, rename) in [
        (saved(&folder, "odd.safetensors", odd, 0), "--rename", "=odd."),
        (saved(&folder, "replaced.safetensors", starting("a=b.c."), 0), "--rename", "model.=a=b.c."),
        (saved(&folder, "regex.safetensors", hidden, 0), "--rename-regex", regex),
    ] {
        run("score", &tuned, &base, &[]).fails(3, &["no matrix pairs with one of ", "6 not in the base", "--rename"]);
        let result = run("score", &tuned, &base, &[option, rename, "--format", "json"]);
        assert!(!result.succeeds().stderr.contains("warning"), "{}", result.stderr);
        let report = result.json();
        assert_eq!(alphas(&report), alphas(&expected), "{rename}");
        let recorded = &report["provenance"]["options"][option.trim_start_matches('-').replace('-', "_")];
        assert_eq!(recorded, rename);
        assert_eq!(report["skipped"], expected["skipped"]);
        let inspected = run("inspect", &tuned, &base, &[option, rename, "--format", "json"]).succeeds().json();
        assert_eq!((inspected["matrices"].as_array().unwrap().len(), &inspected["rename"]), (6, &rename.into()));
        let esd = htsr(
            ["esd", tuned.to_str().unwrap(), "layers.1.self_attn.q", "--base", base.to_str().unwrap()]
                .iter()
                .chain(&[option, rename, "--format", "json"]),
        );
        assert_eq!(esd.succeeds().json()["matrix"]["alpha"], alphas(&expected)[3]);
    }
}

#[test]
fn the_usual_starts_are_tried_if_nothing_pairs() {
    let folder = folder();
    let tuned = saved(&folder, "tuned.safetensors", starting("model."), 50);
    let same = saved(&folder, "same.safetensors", starting("model."), 0);
    let expected = run("score", &tuned, &same, &["--format", "json"]).succeeds().json();
    for (start, rename) in [
        ("", "model.="),
        ("_orig_mod.model.", "=_orig_mod."),
        ("module.model.", "=module."),
        ("model.language_model.", "model.=model.language_model."),
    ] {
        let base = saved(&folder, "base.safetensors", starting(start), 0);
        let warning = format!("warning: nothing pairs by its own name; names are renamed by {rename}");
        let hint = format!("hint: --rename '{rename}' does the same without this warning");
        let found = run("score", &tuned, &base, &["--format", "json"]);
        found.fails(0, &[&warning, &hint]);
        assert_eq!(alphas(&found.json()), alphas(&expected), "{rename}");
        assert_eq!(found.json()["provenance"]["options"]["rename"], rename);
        run("inspect", &tuned, &base, &[]).fails(0, &[&warning, &hint]);
        let esd = ["esd", tuned.to_str().unwrap(), "layers.0.self_attn.q", "--base", base.to_str().unwrap()];
        let esd = htsr(esd.iter().chain(&["--format", "json"]));
        esd.fails(0, &[&warning]);
        assert_eq!(esd.json()["provenance"]["options"]["rename"], rename);
        let given = run("score", &tuned, &base, &["--rename", rename, "--format", "json"]);
        assert_eq!(given.succeeds().stdout, found.stdout);
        assert!(!given.stderr.contains("warning"), "{}", given.stderr);
    }
    // One pair by its own name is enough to leave names as they are.
    let mut tensors = model(starting("module.model."), 0);
    tensors.insert(starting("model.")(0, 'q'), Tensor::random(24, 24, 0));
    let base = save(folder.path(), "mixed.safetensors", tensors);
    let one = run("score", &tuned, &base, &["--format", "json"]);
    assert_eq!(alphas(&one.succeeds().json()).len(), 1);
    // Two ways that fit as well: neither is chosen.
    let both = model(starting("module.model."), 0).into_iter().chain(model(starting("_orig_mod.model."), 7));
    let base = save(folder.path(), "both.safetensors", both);
    run("score", &tuned, &base, &[]).fails(3, &["no matrix pairs with one of "]);
    run("score", &tuned, &base, &["--rename", "=module."]).succeeds();
}

/// A decoder of three layers and an encoder of three; one stack alone would pair under any name.
fn two_stacks(folder: &TempDir, file: &str, start: &str, shift: u64) -> PathBuf {
    let stack = |stack: &str, shift| model(starting(&format!("{start}{stack}.")), shift);
    save(folder.path(), file, stack("decoder", shift).into_iter().chain(stack("encoder", shift + 10)))
}

fn compare(a: &Path, b: &Path, options: &[&str]) -> Run {
    htsr(["compare", a.to_str().unwrap(), b.to_str().unwrap()].iter().chain(options))
}

fn scores(folder: &TempDir, model: &Path, file: &str) -> PathBuf {
    let output = folder.path().join(file);
    htsr(["score", model.to_str().unwrap(), "-q", "-o", output.to_str().unwrap()]).succeeds();
    output
}

#[test]
fn models_of_a_comparison_may_have_other_names() {
    let folder = folder();
    let a = two_stacks(&folder, "a.safetensors", "model.", 0);
    let same = two_stacks(&folder, "same.safetensors", "model.", 50);
    let expected = compare(&a, &same, &["--format", "json"]).succeeds().json();
    let numbers = |compared: &Value| -> Vec<Value> {
        let layers = compared["layers"].as_array().unwrap().iter();
        let layers =
            layers.map(|row| serde_json::json!([row["stack"], row["layer"], row["alpha_b"], row["experts_b"]]));
        layers.chain(compared["matrices"].as_array().unwrap().iter().map(|row| row["alpha_b"].clone())).collect()
    };
    assert_eq!(numbers(&expected).len(), 6 + 12);
    let odd = two_stacks(&folder, "odd.safetensors", "odd.", 50);
    compare(&a, &odd, &[]).fails(3, &["no layer pairs with one of ", "--rename maps names of A to those of B"]);
    let [a_json, a_csv] = ["a.json", "a.csv"].map(|file| scores(&folder, &a, file));
    let odd_json = scores(&folder, &odd, "odd.json");
    for (a, b) in [(&a, &odd), (&a_json, &odd), (&a, &odd_json)] {
        let compared = compare(a, b, &["--rename", "model.=odd.", "--format", "json"]).succeeds().json();
        assert_eq!(numbers(&compared), numbers(&expected));
        assert_eq!(
            (&compared["rename"], &compared["moved_experts"]),
            (&"model.=odd.".into(), &expected["moved_experts"])
        );
        assert_eq!(compared["matrices"][0]["tensor_a"], expected["matrices"][0]["tensor_a"]);
        assert!(compared["unpaired_layers"].as_array().unwrap().is_empty());
        let regex = compare(a, b, &["--rename-regex", "model=odd", "--format", "json"]).succeeds().json();
        assert_eq!(numbers(&regex), numbers(&expected));
    }
    let layers = compare(&a_csv, &odd, &["--rename", "model.=odd.", "--format", "json"]).succeeds().json();
    assert_eq!(numbers(&layers), numbers(&expected)[..6]);
    let table = compare(&a, &odd, &["--rename", "model.=odd."]);
    assert!(table.succeeds().stdout.contains("renamed") && table.stdout.contains("a: model.=odd."), "{}", table.stdout);

    // The usual starts need no option.
    let compiled = two_stacks(&folder, "compiled.safetensors", "_orig_mod.model.", 50);
    for a in [&a, &a_csv] {
        let found = compare(a, &compiled, &["--format", "json"]);
        found.fails(
            0,
            &[
                "warning: nothing pairs by its own name; names are renamed by =_orig_mod.",
                "hint: --rename '=_orig_mod.' does the same without this warning",
            ],
        );
        assert_eq!(numbers(&found.json())[..6], numbers(&expected)[..6]);
    }
}

#[test]
fn renames_that_cannot_be_right_are_refused() {
    let folder = folder();
    let tensors = model(starting("model."), 50).into_iter().chain(model(starting(""), 70));
    let twice = save(folder.path(), "twice.safetensors", tensors);
    let base = saved(&folder, "base.safetensors", starting(""), 0);
    let ambiguous = [
        "twice.safetensors: model.= gives `layers.0.self_attn.o_proj.weight` and `model.layers.0.self_attn.o_proj.weight`",
        "the same name `layers.0.self_attn.o_proj.weight`",
        "hint: ",
    ];
    for command in ["score", "inspect"] {
        run(command, &twice, &base, &["--rename", "model.="]).fails(2, &ambiguous);
        let path = twice.to_str().unwrap();
        for (options, fragments) in [
            (["--rename", "odd.="], ["there are no tensor names that begin with `odd.`", "names look like `"]),
            (["--rename", "model."], ["expected OLD=NEW", "hint: "]),
            (["--rename-regex", "model"], ["expected REGEX=NEW", "hint: "]),
            (["--rename-regex", "(="], ["unclosed group", "hint: "]),
            (["--rename-regex", r"(\d)=\1"], [r"`\1` in `\1` is no group", "hint: "]),
            (["--rename-regex", "odd=even"], ["there are no tensor names that match `odd`", "hint: "]),
        ] {
            run(command, &twice, &base, &options).fails(2, &fragments);
        }
        htsr([command, path, "--rename", "a=b"]).fails(2, &["--base"]);
        let both = ["--rename", "a=b", "--rename-regex", "a=b"];
        run(command, &twice, &base, &both).fails(2, &["cannot be used with"]);
    }
    let odd = saved(&folder, "odd.safetensors", starting("odd."), 0);
    run("score", &base, &odd, &["--rename", "odd.="])
        .fails(2, &["no tensor names that begin with `odd.`", "hint: the other names do; the opposite is =odd."]);
    let pair = compare(&twice, &base, &["--rename", "model.="]);
    pair.fails(2, &ambiguous);
    compare(&base, &odd, &["--rename", "odd.="]).fails(2, &["base.safetensors: there are no tensor names", "=odd."]);
    let saved = scores(&folder, &twice, "twice.json");
    compare(&saved, &base, &["--rename", "model.="]).fails(2, &["twice.json: ", "the same name"]);
    let csv = scores(&folder, &base, "base.csv");
    compare(&csv, &base, &["--rename", "model.="]).fails(2, &["base.csv: there are no tensor names", "hint: "]);
}
