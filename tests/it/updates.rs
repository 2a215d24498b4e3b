//! Model updates (differences to a base, and adapters), compared with the same updates as dense matrices.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use htsr::checkpoint::Checkpoint;
use htsr::matrices::{Catalog, Selection};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::support::{Run, TempDir, Tensor, data, folder, htsr, projection, random, root, save, small_model};

const RULES: [&str; 3] = ["peak", "median", "ks"];

fn score(path: &Path, arguments: &[&str]) -> Run {
    htsr(["score", path.to_str().unwrap(), "--format", "json", "-q"].iter().chain(arguments))
}

fn score_update(base: &Path, path: &Path, arguments: &[&str]) -> Run {
    score(path, &[&["--base", base.to_str().unwrap()], arguments].concat())
}

fn rows(json: &Value) -> &Vec<Value> {
    json["matrices"].as_array().unwrap()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"))
}

#[track_caller]
fn assert_close(row: &Value, other: &Value, keys: &[&str], tolerance: f64) {
    for key in keys {
        let (x, y) = (number(row, key), number(other, key));
        assert!((x / y - 1.0).abs() < tolerance, "{} {key}: {x:e} {y:e}", row["tensor"]);
    }
}

/// Returns skipped tensors without a counterpart, with their reasons.
fn unpaired(json: &Value) -> BTreeMap<String, String> {
    let skipped = json["skipped"].as_array().unwrap().iter().filter(|row| row["unpaired"] == true);
    skipped.map(|row| (row["tensor"].as_str().unwrap().into(), row["reason"].as_str().unwrap().into())).collect()
}

/// Saves three model files: W and W_base with these dtypes, and W - W_base in f64.
fn tuned(types: &[(Dtype, Dtype)]) -> (TempDir, [PathBuf; 3]) {
    let folder = folder();
    let typed = |dtype, shape: &[usize], values: &[f64]| match dtype {
        Dtype::F64 => Tensor::f64(shape, values),
        Dtype::F32 => Tensor::f32(shape, values),
        Dtype::BF16 => Tensor::bf16(shape, values),
        _ => unreachable!(),
    };
    let read = |tensor: &Tensor| -> Vec<f64> {
        let bytes = tensor.bytes.chunks_exact(tensor.dtype.bitsize() / 8);
        bytes
            .map(|bytes| match tensor.dtype {
                Dtype::F64 => f64::from_le_bytes(bytes.try_into().unwrap()),
                Dtype::F32 => f32::from_le_bytes(bytes.try_into().unwrap()).into(),
                _ => half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
            })
            .collect()
    };
    let mut models: [BTreeMap<String, Tensor>; 3] = Default::default();
    for (layer, &(dtype, base_dtype)) in types.iter().enumerate() {
        let shape = [30, 20 + layer];
        let before = random(shape[0] * shape[1], layer as u64);
        let change = random(shape[0] * shape[1], 100 + layer as u64);
        let after: Vec<f64> = before.iter().zip(&change).map(|(x, dx)| x + 0.1 * dx).collect();
        let (w, base) = (typed(dtype, &shape, &after), typed(base_dtype, &shape, &before));
        let difference: Vec<f64> = read(&w).iter().zip(read(&base)).map(|(x, y)| x - y).collect();
        let name = projection(layer, 'q');
        for (model, tensor) in models.iter_mut().zip([w, base, Tensor::f64(&shape, &difference)]) {
            model.insert(name.clone(), tensor);
        }
    }
    let files = ["tuned", "base", "difference"].map(|name| format!("{name}.safetensors"));
    let mut paths = models.into_iter().zip(files).map(|(model, file)| save(folder.path(), &file, model));
    let paths = std::array::from_fn(|_| paths.next().unwrap());
    (folder, paths)
}

#[test]
fn a_difference_is_scored_like_the_same_matrix_in_a_file() {
    let types = [(Dtype::BF16, Dtype::BF16), (Dtype::F32, Dtype::BF16), (Dtype::F64, Dtype::F32)];
    let (_folder, [tuned, base, difference]) = tuned(&types);
    for rule in RULES {
        let arguments = ["--rule", rule];
        let got = score_update(&base, &tuned, &arguments).succeeds().json();
        let expected = score(&difference, &arguments).succeeds().json();
        for ((row, other), (dtype, base_dtype)) in rows(&got).iter().zip(rows(&expected)).zip(types) {
            // The same elements in the same type: the same bits.
            for key in ["tensor", "rows", "cols", "alpha", "ks_distance", "xmin", "tail", "lambda_min", "trace", "note"]
            {
                assert_eq!(row[key], other[key], "{rule} {key}");
            }
            assert_eq!(row["dtype"], format!("{dtype:?}"));
            assert_eq!(row["update"], json!({ "kind": "difference", "base_dtype": format!("{base_dtype:?}") }));
            assert_eq!(other["update"], Value::Null);
        }
        assert_eq!(got["layers"], expected["layers"]);
        let provenance = &got["provenance"];
        assert_eq!(provenance["input"]["path"], tuned.to_str().unwrap());
        assert_eq!(provenance["base"]["path"], base.to_str().unwrap());
        assert_eq!(provenance["base"]["headers_sha256"].as_str().unwrap().len(), 64);
        assert_eq!(expected["provenance"]["base"], Value::Null);
    }
}

#[test]
fn a_cast_rounds_both_models_before_the_subtraction() {
    let (_folder, [tuned, base, _]) = tuned(&[(Dtype::F64, Dtype::F32)]);
    let (_other, [tuned_bf16, base_bf16, _]) = self::tuned(&[(Dtype::BF16, Dtype::BF16)]);
    let cast = score_update(&base, &tuned, &["--cast", "bf16"]).succeeds().json();
    let stored = score_update(&base_bf16, &tuned_bf16, &[]).succeeds().json();
    assert_eq!(rows(&cast)[0]["alpha"], rows(&stored)[0]["alpha"]);
    assert_eq!(rows(&cast)[0]["trace"], rows(&stored)[0]["trace"]);
}

#[test]
fn unpaired_tensors_are_listed() {
    let folder = folder();
    let base = save(folder.path(), "base.safetensors", {
        let mut base = small_model();
        base.remove(&projection(0, 'q'));
        base.insert(projection(0, 'o'), Tensor::random(24, 32, 9));
        base.insert(projection(1, 'q'), Tensor::zeros(Dtype::I8, &[24, 24]));
        base.insert(projection(1, 'o'), Tensor::random(24, 24, 10));
        base.insert(projection(7, 'k'), Tensor::random(24, 24, 11));
        base.insert("lm_head.weight".into(), Tensor::random(24, 24, 12));
        base
    });
    let path = save(folder.path(), "tuned.safetensors", small_model());
    let run = score_update(&base, &path, &[]);
    run.fails(
        0,
        &["4 tensors have no counterpart: `model.layers.0.self_attn.o_proj.weight` (shape [24, 24], but [24, 32] in"],
    );
    let json = run.json();
    assert_eq!(rows(&json).len(), 1);
    let reasons = [
        (projection(0, 'o'), "shape [24, 24], but [24, 32] in the base"),
        (projection(0, 'q'), "not in the base"),
        (projection(1, 'q'), "in the base: integer tensor (I8)"),
        (projection(7, 'k'), "only in the base"),
    ];
    assert_eq!(unpaired(&json), reasons.map(|(name, reason)| (name, reason.to_owned())).into());
    let table = htsr(["score", path.to_str().unwrap(), "--base", base.to_str().unwrap()]);
    let base_name = base.to_str().unwrap();
    assert!(table.stdout.contains(&format!("update          W - W_base, subtracted in f64; base {base_name}\n")));
    assert!(table.stdout.contains("unpaired        4: "), "{}", table.stdout);
    let csv = htsr(["score", path.to_str().unwrap(), "--base", base_name, "--format", "csv"]).stdout;
    assert!(csv.lines().next().unwrap().contains(",base,base_headers_sha256,") && csv.contains(base_name), "{csv}");

    let inspect = htsr(["inspect", path.to_str().unwrap(), "--base", base_name, "--format", "json"]).json();
    assert_eq!(unpaired(&inspect), unpaired(&json));
    // Missing in the checkpoint, but it would not be scored anyway.
    let head = json["skipped"].as_array().unwrap().iter().find(|row| row["tensor"] == "lm_head.weight").unwrap();
    assert_eq!(head, &json!({ "tensor": "lm_head.weight", "reason": "only in the base" }));
    assert_eq!(inspect["base"]["path"], base_name);
}

#[test]
fn a_base_without_a_common_matrix_is_refused() {
    let folder = folder();
    let base = save(folder.path(), "base.safetensors", [(projection(0, 'x'), Tensor::random(24, 24, 1))]);
    let path = save(folder.path(), "tuned.safetensors", small_model());
    let run = score_update(&base, &path, &[]);
    run.fails(
        3,
        &["no matrix pairs with one of ", "base.safetensors: 4 not in the base", "hint: are they of the same model?"],
    );
    assert_eq!(run.stdout, "");
    score_update(Path::new("/no/such/base"), &path, &[]).fails(3, &["/no/such/base: cannot be opened"]);
}

#[test]
fn identical_checkpoints_have_no_update() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = score_update(&path, &path, &[]);
    run.fails(4, &["unchanged: all elements of W - W_base are zero (shape [24, 24], BF16)", "if it was not trained"]);
    for row in rows(&run.json()) {
        assert_eq!(row["reason"], "unchanged: all elements of W - W_base are zero");
        assert_eq!((&row["alpha"], &row["status"]), (&Value::Null, &json!("failed")));
    }
    // The base is also an input and is not overwritten.
    let base = save(folder.path(), "base.safetensors", small_model());
    let arguments = ["-o", base.to_str().unwrap()];
    score_update(&base, &path, &arguments).fails(2, &["belongs to the checkpoint and would be overwritten"]);
}

#[test]
fn nonfinite_weights_are_found_in_the_model_and_in_the_base() {
    let folder = folder();
    let mut values = random(24 * 24, 1);
    let good = Tensor::f32(&[24, 24], &values);
    values[24 * 3 + 5] = f64::INFINITY;
    let bad = Tensor::f32(&[24, 24], &values);
    let name = projection(0, 'q');
    let good = save(folder.path(), "good.safetensors", [(name.clone(), good)]);
    let bad = save(folder.path(), "bad.safetensors", [(name, bad)]);
    for (base, path) in [(&good, &bad), (&bad, &good), (&bad, &bad)] {
        score_update(base, path, &[]).fails(4, &["contains NaN or infinity (first at row 3, column 5)"]);
    }
}

fn adapter() -> PathBuf {
    root().join("tests/data/adapter")
}

/// Copies the test adapter to a new folder. `edit` changes its configuration, and `tensors` replaces its tensors if given.
fn edited(edit: impl FnOnce(&mut Value), tensors: Option<BTreeMap<String, Tensor>>) -> TempDir {
    let folder = folder();
    let mut config: Value = serde_json::from_slice(&fs::read(adapter().join("adapter_config.json")).unwrap()).unwrap();
    edit(&mut config);
    fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
    match tensors {
        Some(tensors) => drop(save(folder.path(), "adapter_model.safetensors", tensors)),
        None => {
            fs::copy(adapter().join("adapter_model.safetensors"), folder.path().join("adapter_model.safetensors"))
                .unwrap();
        }
    }
    folder
}

/// Compares with numpy's results for the dense updates of an adapter written by PEFT: tests/data/adapter/expected.py.
#[track_caller]
fn assert_as_expected(path: &Path, expected: &Value) {
    for rule in RULES {
        let run = score(path, &["--rule", rule]);
        run.fails(4, &["4 eigenvalues, fewer than the 8", "an update of rank r has only r eigenvalues"]);
        let json = run.json();
        assert_eq!(rows(&json).len(), expected.as_object().unwrap().len());
        for row in rows(&json) {
            let expected = &expected[row["tensor"].as_str().unwrap()];
            for key in ["rows", "cols"] {
                assert_eq!(row[key], expected[key], "{}", row["tensor"]);
            }
            let scale = &expected["scale"];
            assert_eq!(row["update"], json!({ "kind": "low_rank", "rank": expected["rank"], "scale": scale }));
            assert_eq!(row["eigenvalues"], expected["rank"]);
            if expected["rank"] == 4 {
                assert_eq!(row["alpha"], Value::Null);
                continue;
            }
            assert_close(row, expected, &["lambda_max", "trace"], 1e-12);
            if rule == "peak" {
                assert_close(row, expected, &["lambda_min"], 1e-7);
            }
            assert_close(row, &expected[rule], &["alpha", "ks_distance", "xmin"], 1e-9);
        }
    }
}

#[test]
fn an_adapter_of_peft_is_scored_like_its_dense_updates() {
    let expected = data("adapter/expected.json");
    assert_as_expected(&adapter(), &expected["lora"]);
    assert_as_expected(&adapter().join("adapter_model.safetensors"), &expected["lora"]);
    let rslora = edited(|config| config["use_rslora"] = true.into(), None);
    assert_as_expected(rslora.path(), &expected["rslora"]);

    let json = score(&adapter(), &["--exclude", "0.mlp.down_proj"]).succeeds().json();
    let skipped: Vec<&Value> = json["skipped"].as_array().unwrap().iter().map(|row| &row["reason"]).collect();
    assert_eq!(skipped, ["trained in full: not a low-rank update", "excluded by pattern", "excluded by pattern"]);
    assert_eq!(json["provenance"]["input"]["adapter"]["rslora"], false);
    assert_eq!(json["provenance"]["input"]["adapter"]["config_sha256"].as_str().unwrap().len(), 64);
}

/// The command line refuses a base for an adapter, and the library does not subtract one.
#[test]
fn an_update_has_no_difference_to_a_base() {
    let open = || Checkpoint::open(adapter()).unwrap();
    let updates = Catalog::new(&open(), &Selection::default()).matrices.len();
    let catalog = Catalog::new(&open().with_base(open()), &Selection::default());
    assert_eq!(catalog.matrices.len(), 0);
    let refused = catalog.skipped.iter().filter(|skipped| skipped.reason == "an update already, not stored weights");
    assert_eq!(refused.inspect(|skipped| assert!(skipped.unpaired)).count(), updates);
}

#[test]
fn an_adapter_is_inspected() {
    let run = htsr(["inspect", adapter().to_str().unwrap()]);
    let line = |start: &str| run.succeeds().stdout.lines().find(|line| line.contains(start)).unwrap().to_owned();
    let words = |start: &str| line(start).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words("self_attn.v_proj"), ["model", "self_attn.v_proj", "12", "24", "F32", "2", "0-1", "9"]);
    assert!(run.stdout.contains("\nlayers      2\n"), "{}", run.stdout);
    assert_eq!(words("adapter "), ["adapter", "LoRA"]);
    assert!(line("skipped").contains("1 trained in full"));
}

/// Names the factors A (`down`) and B (`up`) of one module.
fn factors(module: &str, down: Tensor, up: Tensor) -> [(String, Tensor); 2] {
    let name = |factor| format!("base_model.model.{module}.{factor}.weight");
    [(name("lora_A"), down), (name("lora_B"), up)]
}

fn plain(config: &mut Value, rank: u64) {
    *config = json!({ "peft_type": "LORA", "r": rank, "lora_alpha": rank });
}

#[test]
fn updates_of_every_shape_and_range() {
    let module = "model.layers.0.self_attn.q_proj";
    // (out, in, r, scale of A, scale of B): a rank above the smaller dimension, and factors whose squares are out of range in f64.
    for (out, inner, rank, down, up) in
        [(10, 40, 16, 1.0, 1.0), (40, 9, 16, 1.0, 1.0), (30, 20, 12, 1e200, 1e-250), (30, 20, 12, 1e-280, 1e260)]
    {
        let times = |values: Vec<f64>, scale: f64| values.into_iter().map(|x| x * scale).collect::<Vec<f64>>();
        let (a, b) = (times(random(rank * inner, 3), down), times(random(out * rank, 4), up));
        let product: Vec<f64> = (0..out * inner)
            .map(|at| (0..rank).map(|k| b[at / inner * rank + k] * a[k * inner + at % inner]).sum())
            .collect();
        let tensors = factors(module, Tensor::f64(&[rank, inner], &a), Tensor::f64(&[out, rank], &b));
        let adapter = edited(|config| plain(config, rank as u64), Some(tensors.into()));
        let dense = folder();
        let dense = (
            save(
                dense.path(),
                "model.safetensors",
                [(format!("{module}.weight"), Tensor::f64(&[out, inner], &product))],
            ),
            dense,
        );
        let (got, dense) = (score(adapter.path(), &["--rule", "median"]), score(&dense.0, &["--rule", "ks"]));
        let (got, dense) = (got.succeeds().json(), dense.json());
        let row = &rows(&got)[0];
        assert_eq!(number(row, "eigenvalues"), out.min(inner).min(rank) as f64);
        assert_eq!((number(row, "rows"), number(row, "cols")), (out as f64, inner as f64));
        assert_close(row, &rows(&dense)[0], &["lambda_max", "trace"], 1e-11);
    }
    let huge = |value: f64| Tensor::f64(&[9, 9], &[value; 81]);
    let run = |down, up| {
        let adapter = edited(|config| plain(config, 9), Some(factors(module, down, up).into()));
        score(adapter.path(), &[])
    };
    run(huge(1e300), huge(1e300)).fails(4, &["its eigenvalues are outside the range of f64"]);
    run(huge(1e-300), huge(1e-300)).fails(4, &["its eigenvalues are outside the range of f64"]);
    run(huge(1.0), huge(0.0)).fails(4, &["no update: all elements of B A are zero", "B starts as zero"]);
    run(huge(f64::NAN), huge(1.0)).fails(4, &["lora_A contains NaN or infinity (first at row 0, column 0)"]);
    run(huge(1.0), huge(1.0)).fails(4, &["rank-deficient (numerical rank 1 of 9)"]);
}

#[test]
fn adapter_tensors_that_form_no_update() {
    let mut tensors = BTreeMap::new();
    let matrix = |rows, cols, seed| Tensor::random(rows, cols, seed);
    let add = |tensors: &mut BTreeMap<String, Tensor>, name: &str, tensor: Tensor| {
        tensors.insert(format!("base_model.model.{name}"), tensor);
    };
    let module = |role: &str| format!("model.layers.0.{role}");
    tensors.extend(factors(&module("self_attn.q_proj"), matrix(8, 24, 1), matrix(24, 8, 2)));
    tensors.extend(factors(&module("self_attn.k_proj"), matrix(8, 24, 1), matrix(24, 9, 2)));
    tensors.extend(factors(&module("self_attn.v_proj"), matrix(9, 24, 1), matrix(24, 9, 2)));
    tensors.extend(factors(&module("mlp.up_proj"), matrix(8, 24, 1), matrix(24, 8, 2)));
    tensors.extend(factors("lm_head", matrix(8, 24, 1), matrix(24, 8, 2)));
    tensors.extend(factors(
        &module("conv"),
        Tensor::zeros(Dtype::F32, &[8, 3, 3, 3]),
        Tensor::zeros(Dtype::F32, &[8, 8, 1, 1]),
    ));
    add(&mut tensors, "model.layers.0.mlp.up_proj.lora_magnitude_vector.weight", Tensor::zeros(Dtype::F32, &[24]));
    add(&mut tensors, "model.layers.0.self_attn.o_proj.lora_A.weight", matrix(8, 24, 1));
    add(&mut tensors, "model.layers.1.self_attn.o_proj.lora_B.weight", matrix(24, 8, 1));
    add(&mut tensors, "model.layers.0.self_attn.q_proj.lora_B.bias", Tensor::zeros(Dtype::F32, &[24]));
    add(&mut tensors, "model.embed_tokens.lora_embedding_A", matrix(8, 24, 1));
    // The same factors, named without PEFT's prefix.
    let again = factors(&module("self_attn.q_proj"), matrix(8, 24, 3), matrix(24, 8, 4));
    tensors.extend(again.map(|(name, tensor)| (name.trim_start_matches("base_model.model.").to_owned(), tensor)));
    add(&mut tensors, "model.layers.0.self_attn.q_proj.lora_E", matrix(8, 24, 1));
    let adapter = edited(|config| plain(config, 8), Some(tensors.clone()));
    let run = score(adapter.path(), &[]);
    run.fails(0, &["2 tensors have no counterpart: `base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight` (lora_A without"]);
    let json = run.json();
    assert_eq!(rows(&json).len(), 1);
    let skipped = json["skipped"].as_array().unwrap();
    assert_eq!(skipped.len() + 2, tensors.len());
    let twice = "duplicate of `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`";
    for (part, reason) in [
        ("q_proj.lora_A.weight", twice),
        ("k_proj.lora_A.weight", "lora_A has rank 8, but lora_B has rank 9"),
        ("v_proj.lora_B.weight", "rank 9, but 8 in the config"),
        ("up_proj.lora_A.weight", "DoRA: its magnitude also rescales the weights"),
        ("lora_magnitude_vector.weight", "DoRA magnitude"),
        ("lm_head.lora_A.weight", "head"),
        ("conv.lora_A.weight", "4-dimensional, not a matrix"),
        ("0.self_attn.o_proj.lora_A.weight", "lora_A without lora_B"),
        ("1.self_attn.o_proj.lora_B.weight", "lora_B without lora_A"),
        ("q_proj.lora_B.bias", "bias"),
        ("embed_tokens.lora_embedding_A", "embedding"),
        ("q_proj.lora_E", "unknown kind of adapter factor"),
    ] {
        let row = skipped.iter().find(|row| row["tensor"].as_str().unwrap().ends_with(part)).unwrap();
        assert_eq!(row["reason"], reason, "{part}");
    }
    let dora = edited(
        |config| {
            plain(config, 8);
            config["use_dora"] = true.into()
        },
        Some(tensors),
    );
    score(dora.path(), &[]).fails(3, &["is a factor of an update to score", "DoRA: its magnitude", "hint: "]);
}

#[test]
fn a_transposed_weight_has_its_own_shape() {
    let tensors = factors("transformer.h.0.attn.c_attn", Tensor::random(8, 24, 1), Tensor::random(72, 8, 2));
    let adapter = edited(
        |config| {
            plain(config, 8);
            config["fan_in_fan_out"] = true.into()
        },
        Some(tensors.into()),
    );
    let json = score(adapter.path(), &[]).succeeds().json();
    assert_eq!((number(&rows(&json)[0], "rows"), number(&rows(&json)[0], "cols")), (24.0, 72.0));
}

#[test]
fn incomplete_and_foreign_adapters() {
    let refused = |path: &Path, fragments: &[&str]| {
        for command in ["score", "inspect"] {
            let run = htsr([command, path.to_str().unwrap()]);
            run.fails(3, fragments).fails(3, &["error: ", "\nhint: "]);
            assert_eq!(run.stdout, "");
        }
    };
    let other = edited(|_| (), None);
    let (config, weights) = (other.path().join("adapter_config.json"), other.path().join("adapter_model.safetensors"));
    fs::write(&config, "{\"peft_type\": \"LORA\", ").unwrap();
    refused(other.path(), &["adapter_config.json: is not an adapter config"]);
    fs::write(&config, r#"{"peft_type": "IA3"}"#).unwrap();
    refused(other.path(), &["adapter_config.json: has peft_type IA3"]);
    fs::remove_file(&config).unwrap();
    refused(other.path(), &["adapter_model.safetensors: is an adapter without its adapter_config.json"]);
    refused(&weights, &["adapter_model.safetensors: is an adapter without its adapter_config.json"]);

    let other = edited(|_| (), None);
    fs::remove_file(other.path().join("adapter_model.safetensors")).unwrap();
    refused(
        other.path(),
        &["adapter_config.json: has no adapter_model.safetensors in the same folder", "download the adapter's"],
    );
    fs::write(other.path().join("adapter_model.bin"), "x").unwrap();
    refused(other.path(), &["adapter_model.bin is in another format"]);

    let other = edited(|_| (), None);
    save(other.path(), "model.safetensors", small_model());
    refused(other.path(), &["the folder contains a model and an adapter", "give the path of the file"]);
    score(&other.path().join("model.safetensors"), &[]).succeeds();
    score_update(other.path().join("model.safetensors").as_path(), &adapter(), &[])
        .fails(2, &["is an adapter", "remove --base"]);
    score_update(&adapter(), other.path().join("model.safetensors").as_path(), &[]).fails(2, &["cannot be the base"]);
}
