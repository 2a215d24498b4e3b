//! `htsr export`: the contents of the files, and inputs that are refused. In `tests/consumers`, the tools read these files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Run, TempDir, Tensor, folder, htsr, projection, save, small_model};

const ROLES: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Scores a model with these tensors and returns the file of scores.
fn scores_of(folder: &TempDir, names: impl IntoIterator<Item = String>, options: &[&str]) -> PathBuf {
    let tensors = names.into_iter().zip(0..).map(|(name, seed)| (name, Tensor::random(24, 16, seed)));
    let model = save(folder.path(), "model.safetensors", tensors.collect::<BTreeMap<_, _>>());
    let scores = folder.path().join("scores.json");
    let mut arguments = vec!["score", model.to_str().unwrap(), "-q", "-o", scores.to_str().unwrap()];
    arguments.extend(options);
    htsr(arguments).succeeds();
    scores
}

fn llama(layers: u32) -> impl Iterator<Item = String> {
    (0..layers).flat_map(|layer| ROLES.map(|role| format!("model.layers.{layer}.{role}.weight")))
}

fn export(scores: &Path, target: &str, options: &[&str]) -> Run {
    let mut arguments = vec!["export", scores.to_str().unwrap(), "--to", target];
    arguments.extend(options);
    htsr(arguments)
}

#[test]
fn keys_are_full_names_anchored_and_escaped() {
    let folder = folder();
    let scores = scores_of(&folder, llama(11), &[]);
    let run = export(&scores, "peft", &["--allocate", "rank", "--rank", "4", "--lora-scaling", "0.5"]);
    let lora = run.succeeds().json();
    let ranks = lora["rank_pattern"].as_object().unwrap();
    assert_eq!(ranks.len(), 77);
    assert_eq!(lora["target_modules"].as_array().unwrap().len(), 7);
    for (key, rank) in ranks {
        let name = key.strip_prefix("^model\\.layers\\.").unwrap().replace("\\.", ".");
        assert!(llama(11).any(|tensor| tensor == format!("model.layers.{name}.weight")), "{key}");
        assert_eq!(lora["alpha_pattern"][key].as_f64().unwrap(), rank.as_f64().unwrap() / 2.0);
    }
    // The text is in the model's order, layer 10 after layer 9. serde_json's maps do not keep that order.
    let place = |layer: &str| run.stdout.find(&format!("layers\\\\.{layer}\\\\.")).unwrap();
    assert!(place("9") < place("10") && place("2") < place("9"));
}

#[test]
fn the_allocation_in_a_file_is_exported_unchanged() {
    let folder = folder();
    let scores = scores_of(&folder, llama(3), &["--allocate", "rank", "--rank", "3", "--group", "matrix"]);
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&scores).unwrap()).unwrap();
    let lora = export(&scores, "peft", &[]).succeeds().json();
    for row in saved["allocation"]["rows"].as_array().unwrap() {
        let name = row["tensor"].as_str().unwrap().strip_suffix(".weight").unwrap();
        assert_eq!(lora["rank_pattern"][format!("^{}", name.replace('.', "\\."))], row["value"]);
    }
    let again = export(&scores, "peft", &["--allocate", "rank", "--rank", "3", "--group", "matrix"]).succeeds().json();
    assert_eq!(again, lora);
}

#[test]
fn ambiguous_module_names_are_written_in_full() {
    let folder = folder();
    let name = |layer: u32, role: &str| format!("encoder.layer.{layer}.{role}.dense.weight");
    let mut names: Vec<String> = (0..2).map(|layer| name(layer, "output")).collect();
    names.push("pooler.dense.weight".into());
    let scores = scores_of(&folder, names, &[]);
    let lora = export(&scores, "peft", &["--allocate", "rank", "--rename", "=bert."]).succeeds().json();
    let modules = ["bert.encoder.layer.0.output.dense", "bert.encoder.layer.1.output.dense"];
    assert_eq!(lora["target_modules"], serde_json::json!(modules));
    let regex = ["--allocate", "rank", "--rename-regex", r"^encoder\.layer\.(\d+)=layers.${1}"];
    let lora_of_regex = export(&scores, "peft", &regex).succeeds().json();
    let keys: Vec<&String> = lora_of_regex["rank_pattern"].as_object().unwrap().keys().collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with(r"^layers\.")), "{keys:?}");
    let other = ["--allocate", "rank", "--rename-regex", r"^h\.=layers."];
    export(&scores, "peft", &other).fails(2, &[r"the name does not match `^h\.`, which should be renamed", "hint: "]);
    export(&scores, "peft", &["--allocate", "rank", "--rename", "model.="])
        .fails(2, &["tensor `encoder.layer.0.output.dense.weight`", "does not begin with `model.`", "hint: "]);
}

#[test]
fn names_cannot_break_out_of_their_line() {
    let folder = folder();
    let names = (0..2).map(|layer| format!("model.layers.{layer}.it's\r- x: \"1\".weight"));
    let scores = scores_of(&folder, names, &[]);
    let yaml = export(&scores, "axolotl", &["--allocate", "rank"]).succeeds().stdout.clone();
    assert!(yaml.contains(r#"- "it's\U0000000d- x: \"1\"""#), "{yaml}");
    assert!(!yaml.contains('\r'), "{yaml}");
}

#[test]
fn mola_gets_its_lists() {
    let folder = folder();
    let path = folder.path().join("scores.csv");
    fs::write(&path, "layer,alpha\n0,2\n1,3\n2,4\n").unwrap();
    let options = ["--allocate", "alphalora", "--experts", "10", "--rounding", "largest-remainder"];
    assert_eq!(export(&path, "mola", &options).succeeds().stdout, "--number_experts 1,3,6 --top_k 1,2,2\n");
    let scores = scores_of(&folder, llama(2), &[]);
    let ranks = export(&scores, "mola", &["--allocate", "rank", "--beta", "0"]).succeeds().stdout.clone();
    assert_eq!(ranks, "--lora_r 8,8\n");
}

#[test]
fn alphapruning_gets_its_alphas() {
    let folder = folder();
    let scores = scores_of(&folder, llama(2), &[]);
    let file = folder.path().join("alpha_peak.npy");
    export(&scores, "alphapruning", &["-o", file.to_str().unwrap()]).succeeds();
    let bytes = fs::read(file).unwrap();
    let (header, elements) = bytes.split_at(128);
    assert!(header.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (14,), }"));
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&scores).unwrap()).unwrap();
    let matrices = saved["matrices"].as_array().unwrap();
    let expected =
        llama(2).map(|name| matrices.iter().find(|matrix| matrix["tensor"] == name).unwrap()["alpha"].as_f64());
    let alphas = elements.chunks(8).map(|chunk| Some(f64::from_le_bytes(chunk.try_into().unwrap())));
    assert!(alphas.eq(expected));
}

#[test]
fn rules_that_the_target_cannot_use_are_refused() {
    let folder = folder();
    let scores = scores_of(&folder, llama(2), &[]);
    let (experts, sparsity) =
        (["--allocate", "mola"].as_slice(), ["--allocate", "alphapruning", "--sparsity", "0.5"].as_slice());
    for (target, options, fragments) in [
        (
            "peft",
            [].as_slice(),
            ["peft needs LoRA ranks, and the allocation rule alphalora gives LoRA experts", "add --allocate rank"],
        ),
        ("peft", sparsity, ["rule alphapruning gives sparsities", "hint: add --allocate rank"]),
        ("axolotl", experts, ["axolotl needs LoRA ranks, and the allocation rule mola", "add --allocate rank"]),
        ("mola", sparsity, ["mola needs LoRA experts or LoRA ranks", "add --allocate alphalora or --allocate rank"]),
        ("mola", &["--allocate", "rank", "--group", "role"], ["mola needs one number per layer", "--group layer"]),
        ("llm-compressor", experts, ["llm-compressor needs sparsities", "add --allocate alphapruning"]),
        (
            "optimizer",
            sparsity,
            ["needs multipliers of the learning rate or", "--allocate tempbalance or --allocate alphadecay"],
        ),
        ("alphapruning", sparsity, ["alphapruning reads alphas", "remove --allocate"]),
        (
            "axolotl",
            &["--allocate", "rank", "--lora-alpha", "1.5"],
            ["whole numbers for lora_alpha, and one is 1.5", "hint: "],
        ),
        ("peft", &["--rank", "4"], ["--rank changes an allocation", "hint: add --allocate"]),
        ("peft", &["--group", "role"], ["--group changes an allocation", "hint: add --allocate"]),
        (
            "peft",
            &["--allocate", "rank", "--experts", "4"],
            ["the allocation rule rank does not use --experts", "hint: "],
        ),
        ("peft", &["--allocate", "rank", "--by", "layer"], ["peft has no rows for --by", "hint: "]),
        ("csv", &["--rename", "a=b"], ["csv contains no module names for --rename", "hint: "]),
        ("csv", &["--rename-regex", "a=b"], ["csv contains no module names for --rename", "hint: "]),
        ("peft", &["--rename", "a"], ["expected OLD=NEW", "hint: "]),
        ("onnx", &[], ["invalid value 'onnx'", "llm-compressor"]),
    ] {
        let file = folder.path().join("export");
        let mut options = options.to_vec();
        options.extend(["-o", file.to_str().unwrap()]);
        let run = export(&scores, target, &options);
        run.fails(2, &fragments);
        assert!(run.stdout.is_empty() && !file.exists(), "{target}");
    }
}

/// A hint must work as it is printed: no rule that needs alphas helps where one is missing.
#[test]
fn hints_consider_missing_alphas() {
    let folder = folder();
    let mut tensors = small_model();
    for letter in ['q', 'o'] {
        tensors.insert(projection(1, letter), Tensor::f32(&[24, 24], &[0.0; 576]));
    }
    let model = save(folder.path(), "model.safetensors", tensors);
    let scores = folder.path().join("scores.json");
    let score = ["score", model.to_str().unwrap(), "-q", "-o", scores.to_str().unwrap()];
    htsr(score).fails(4, &["layer 1 of model has no alpha"]);
    let uniform = "layer 1 of model has no alpha; add --allocate uniform, which needs none";
    export(&scores, "mola", &[]).fails(2, &["have no allocation", uniform]);
    export(&scores, "mola", &["--allocate", "alphalora"]).fails(3, &["mola needs a number for every layer"]);
    export(&scores, "mola", &["--allocate", "uniform"]).succeeds();
    let without = "layer 1 of model has no alpha; score the model without it (--layers)";
    export(&scores, "peft", &[]).fails(2, &["have no allocation", without, "and add --allocate rank"]);
    let excluded = "has no alpha; score the model without it (--exclude)";
    export(&scores, "optimizer", &[]).fails(2, &["have no allocation", excluded]);
    htsr(score.iter().chain(&["--layers", "0"])).succeeds();
    export(&scores, "peft", &["--allocate", "rank"]).succeeds();
}

#[test]
fn scores_that_the_target_cannot_use_are_refused() {
    let folder = folder();
    let csv = folder.path().join("scores.csv");
    fs::write(&csv, "layer,alpha\n0,2\n1,3\n").unwrap();
    for (target, options) in
        [("alphapruning", [].as_slice()), ("llm-compressor", &["--allocate", "alphapruning", "--sparsity", "0.5"])]
    {
        let run = export(&csv, target, options);
        run.fails(3, &["scores.csv: has layers but no tensor names", "hint: use the JSON"]);
    }
    export(&csv, "mola", &[]).fails(2, &["these scores have no allocation", "hint: add --allocate"]);
    export(&csv, "csv", &[]).succeeds();

    fs::write(&csv, "layer,alpha\n0,2\n1,\n").unwrap();
    let hint = "hint: layer 1 has no alpha; add --allocate uniform, which needs none";
    export(&csv, "mola", &[]).fails(2, &["these scores have no allocation", hint]);
    let cause = "no allocation: layer 1 has no alpha, and mola needs a number for every layer";
    export(&csv, "mola", &["--allocate", "alphalora"]).fails(3, &[cause, "hint: use --allocate uniform"]);
    export(&csv, "mola", &["--allocate", "uniform"]).succeeds();
    htsr(["allocate", csv.to_str().unwrap()]).fails(3, &["layer 1 has no alpha", "hint: use --allocate uniform"]);
    htsr(["allocate", csv.to_str().unwrap(), "--allocate", "uniform"]).succeeds();
    for target in ["peft", "axolotl", "llm-compressor", "optimizer"] {
        export(&csv, target, &[]).fails(3, &["scores.csv: has layers but no tensor names", "hint: use the JSON"]);
    }

    fs::write(&csv, "layer,alpha\n0,2\n2,3\n").unwrap();
    export(&csv, "mola", &["--allocate", "alphalora"]).fails(2, &["layer 1 is missing", "hint: "]);
    fs::write(&csv, "stack,layer,alpha\ndecoder,0,2\nencoder,0,3\n").unwrap();
    export(&csv, "mola", &["--allocate", "alphalora"]).fails(2, &["`decoder` and `encoder`", "hint: "]);

    let check = |names: Vec<String>, target: &str, options: &[&str], fragments: &[&str]| {
        export(&scores_of(&folder, names, &[]), target, options).fails(2, fragments);
    };
    let sparsity = ["--allocate", "alphapruning", "--sparsity", "0.5"];
    check(
        llama(2).skip(1).collect(),
        "alphapruning",
        &[],
        &["same 7 matrices in every layer, and layer 0 has 6", "hint: "],
    );
    check(llama(2).take(13).collect(), "alphapruning", &[], &["and layer 1 has 6", "hint: "]);
    let other = |name: String| name.replace("q_proj", "qkv_proj");
    check(
        llama(2).map(other).collect(),
        "alphapruning",
        &[],
        &["the position of self_attn.qkv_proj in its layer", "hint: "],
    );
    let by_matrix = [sparsity.as_slice(), &["--group", "matrix"]].concat();
    check(
        llama(2).map(other).collect(),
        "llm-compressor",
        &by_matrix,
        &["the position of self_attn.qkv_proj", "hint: "],
    );
    let encoder = |name: String| [name.replace("model", "encoder"), name];
    check(llama(1).flat_map(encoder).collect(), "llm-compressor", &sparsity, &["`encoder` and `model`", "hint: "]);
    let joined = |layer| format!("layers.{layer}.attn.in_proj_weight");
    check(
        (0..2).map(joined).collect(),
        "peft",
        &["--allocate", "rank"],
        &["layers.0.attn.in_proj_weight", "not the weight of its own module"],
    );
}

#[test]
fn the_scores_are_not_overwritten() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let scores = folder.path().join("scores.json");
    htsr(["score", model.to_str().unwrap(), "-o", scores.to_str().unwrap()]).succeeds();
    let before = fs::read(&scores).unwrap();
    let run = export(&scores, "peft", &["--allocate", "rank", "-o", scores.to_str().unwrap()]);
    run.fails(2, &["scores.json: contains the scores to export and would be overwritten", "hint: "]);
    assert_eq!(fs::read(&scores).unwrap(), before);
}

#[test]
fn a_recipe_lists_layers_and_modules_to_ignore() {
    let folder = folder();
    let names = llama(2).chain(["model.layers.1.mlp.router.weight".into(), "lm_head.weight".into()]);
    let scores = scores_of(&folder, names, &["--exclude", "0.self_attn.k_proj"]);
    let options = ["--allocate", "alphapruning", "--sparsity", "0.5", "--rename", "model.=language."];
    let recipe = export(&scores, "llm-compressor", &options).succeeds().stdout.clone();
    let list = |name: &str| -> Vec<String> {
        let (_, rest) = recipe.split_once(&format!("      {name}:\n")).unwrap();
        let items = rest.lines().map_while(|line| line.strip_prefix("        - "));
        items.map(|item| item.trim_matches('\'').to_owned()).collect()
    };
    assert_eq!(list("targets"), ["language.layers.0", "language.layers.1"]);
    assert_eq!(list("ignore"), ["language.layers.0.self_attn.k_proj", "language.layers.1.mlp.router"]);
    assert_eq!(list("sparsity").len(), 2);
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_is_the_same_every_time() {
    let folder = folder();
    let scores = scores_of(&folder, llama(1), &[]);
    let bytes = |name: &str| {
        let file = folder.path().join(name);
        export(&scores, "parquet", &["--by", "matrix", "-o", file.to_str().unwrap()]).succeeds();
        fs::read(file).unwrap()
    };
    let first = bytes("a");
    assert!(first.starts_with(b"PAR1") && first.ends_with(b"PAR1"));
    assert_eq!(first, bytes("b"));
}
