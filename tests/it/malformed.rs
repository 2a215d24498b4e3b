//! Damaged files, and matrices without an alpha: the message, hint and exit code of each.

use std::fs::{self, File};
use std::path::Path;

use htsr::Scorer;
use htsr::checkpoint::Checkpoint;
use htsr::device::Cpu;
use safetensors::tensor::Dtype;

use crate::support::{Tensor, folder, htsr, projection, random, save, save_raw, small_model};

#[track_caller]
fn refused(path: &Path, fragments: &[&str]) {
    for command in ["score", "inspect"] {
        let run = htsr([command, path.to_str().unwrap()]);
        run.fails(3, fragments).fails(3, &["error: ", "\nhint: "]);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn no_such_path() {
    refused(Path::new("/no/such/model"), &["/no/such/model: cannot be opened: No such file"]);
}

#[test]
fn an_error_has_its_cause_as_source() {
    let error = Checkpoint::open("/no/such/model").unwrap_err();
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
}

#[test]
fn a_folder_without_safetensors() {
    let folder = folder();
    refused(folder.path(), &["contains no .safetensors file", "hint: download"]);
    fs::write(folder.path().join("pytorch_model.bin"), [0]).unwrap();
    refused(folder.path(), &["contains no .safetensors file", "pytorch_model.bin is in another format"]);
    let inner = folder.path().join("a_snapshot");
    fs::create_dir(&inner).unwrap();
    save(&inner, "model.safetensors", [(projection(0, 'q'), Tensor::random(16, 16, 1))]);
    fs::remove_file(folder.path().join("pytorch_model.bin")).unwrap();
    refused(folder.path(), &["contains no .safetensors file", "did you mean", "a_snapshot?"]);
}

#[test]
fn not_a_safetensors_file() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, "short").unwrap();
    refused(&path, &["model.safetensors: is a text file", "hint: the download failed"]);
    fs::write(&path, [0, 1, 2, 3, 4]).unwrap();
    refused(&path, &["model.safetensors: has 5 bytes"]);
    fs::write(&path, [0xab; 40]).unwrap();
    let cause = "model.safetensors: is not a safetensors file: it does not begin with the length of a header";
    refused(&path, &[cause, "hint: only safetensors files are read"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device() {
    let folder = folder();
    let pipe = folder.path().join("model.safetensors");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(&pipe, &["model.safetensors: is not a regular file", "memory-mapped"]);
    refused(Path::new("/dev/zero"), &["/dev/zero: is not a regular file"]);
    std::fs::remove_file(&pipe).unwrap();
    for (name, weights) in
        [("model.safetensors.index.json", "model-1.safetensors"), ("adapter_config.json", "adapter_model.safetensors")]
    {
        let folder = self::folder();
        save(folder.path(), weights, small_model());
        let endless = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        refused(folder.path(), &[name, "cannot be read: it is not a regular file"]);
        std::fs::remove_file(&endless).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&endless).status().unwrap().success());
        refused(folder.path(), &[name, "cannot be read: it is not a regular file"]);
    }
}

#[test]
fn a_truncated_file() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    refused(&path, &["model.safetensors: tensor `", "the file has only", "download or save it again"]);
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    refused(&path, &["states a header of", "but the whole file has 100"]);
}

#[test]
fn bytes_after_the_data() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length + 3).unwrap();
    refused(&path, &["3 bytes follow the last tensor"]);
}

#[test]
fn headers_that_contradict_the_file() {
    let folder = folder();
    for (header, data, fragments) in [
        ("[]", 0, vec!["its header is not a JSON object"]),
        ("{\"a\": }", 0, vec!["tensor `a`: its header entry is malformed"]),
        ("{\"a", 0, vec!["its header is not a JSON object"]),
        ("{} x", 0, vec!["its header is not a JSON object"]),
        (r#"{"a":7}"#, 0, vec!["tensor `a`: its header entry is malformed"]),
        (r#"{"a":{"dtype":"F32","shape":[1]}}"#, 4, vec!["tensor `a`", "missing field `data_offsets`"]),
        (
            r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
            4,
            vec!["tensor `a`: its header entry is malformed", "-1"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
            4,
            vec!["tensor `a`: its header entry is malformed", "1.5"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
            vec!["tensor `a`: appears twice in the header"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
            vec!["tensor `b`: overlaps the tensor before it"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
            12,
            vec!["tensor `b`: follows a gap"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            4,
            vec!["tensor `a`: its data ends at byte 8, but the file has only 4"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#,
            8,
            vec!["tensor `a`: its data ends (4) before it begins (8)"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
            8,
            vec!["tensor `a`: shape [3] of F32 takes 12 bytes, but the header gives it 8"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
            8,
            vec!["tensor `a`: the product of [4294967296, 4294967296] overflows"],
        ),
        (
            r#"{"a":{"dtype":"F64","shape":[4294967296,1073741824],"data_offsets":[0,8]}}"#,
            8,
            vec!["tensor `a`: shape [4294967296, 1073741824] of F64 takes 36893488147419103232 bytes"],
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]}}"#,
            8,
            vec!["tensor `a`: its header entry is malformed"],
        ),
    ] {
        refused(&save_raw(folder.path(), header, data), &fragments);
    }
}

#[test]
fn a_header_longer_than_the_format_allows() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, 100_000_001_u64.to_le_bytes()).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(200_000_000).unwrap();
    refused(&path, &["states a header of 100000001 bytes, more than the format's"]);
}

fn sharded(folder: &Path, index: &str) {
    save(folder, "model-1.safetensors", [(projection(0, 'q'), Tensor::random(16, 16, 1))]);
    save(folder, "model-2.safetensors", [(projection(1, 'q'), Tensor::random(16, 16, 2))]);
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

#[test]
fn an_index_that_contradicts_the_files() {
    let folder = folder();
    let (first, second) = (projection(0, 'q'), projection(1, 'q'));
    for (index, fragments) in [
        ("no json".into(), vec!["is not a checkpoint index"]),
        (r#"{"weight_map":{}}"#.into(), vec!["lists no tensor"]),
        (
            format!(r#"{{"weight_map":{{"{first}":"model-1.safetensors","{second}":"model-9.safetensors"}}}}"#),
            vec![
                "layers.1.self_attn.q_proj.weight",
                "names the shard model-9.safetensors, which is missing",
                "download the missing",
            ],
        ),
        (
            format!(r#"{{"weight_map":{{"{first}":"model-1.safetensors","x":"model-2.safetensors"}}}}"#),
            vec!["tensor `x`: the index says that it is in", "model-2.safetensors, which does not contain it"],
        ),
        (
            format!(r#"{{"weight_map":{{"{first}":"../model-1.safetensors"}}}}"#),
            vec!["../model-1.safetensors", "not a plain file name"],
        ),
        (
            format!(r#"{{"weight_map":{{"{first}":"model-1.safetensors","{first}":"model-2.safetensors"}}}}"#),
            vec!["appears twice in the index"],
        ),
    ] {
        sharded(folder.path(), &index);
        refused(folder.path(), &fragments);
    }
}

#[test]
fn a_tensor_that_the_index_does_not_list_is_skipped_with_that_reason() {
    let folder = folder();
    save(
        folder.path(),
        "model-1.safetensors",
        [(projection(0, 'q'), Tensor::random(16, 16, 1)), (projection(0, 'o'), Tensor::random(16, 16, 1))],
    );
    let index = format!(r#"{{"weight_map":{{"{}":"model-1.safetensors"}}}}"#, projection(0, 'q'));
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let result = htsr(["score", folder.path().to_str().unwrap(), "--format", "json"]).succeeds().json();
    assert_eq!(result["skipped"][0]["tensor"], projection(0, 'o'));
    assert_eq!(result["skipped"][0]["reason"], "not listed in the checkpoint's index");
}

#[test]
fn the_same_tensor_in_two_files() {
    let folder = folder();
    save(folder.path(), "a.safetensors", [(projection(0, 'q'), Tensor::random(16, 16, 1))]);
    save(folder.path(), "b.safetensors", [(projection(0, 'q'), Tensor::random(16, 16, 2))]);
    refused(
        folder.path(),
        &["b.safetensors: tensor", "is also in ", "a.safetensors", "give the path of the file to read, or add a"],
    );
}

/// One bad matrix among three good ones: the exit code is 4, the good ones are scored, and the bad one has a reason.
#[track_caller]
fn one_fails(bad: Tensor, options: &[&str], fragments: &[&str]) -> serde_json::Value {
    let folder = folder();
    let mut tensors = small_model();
    tensors.insert(projection(1, 'o'), bad);
    let path = save(folder.path(), "model.safetensors", tensors);
    let mut arguments = vec!["score", path.to_str().unwrap(), "--format", "json"];
    arguments.extend(options);
    let run = htsr(arguments);
    run.fails(4, fragments);
    run.fails(4, &["model.safetensors: tensor `model.layers.1.self_attn.o_proj.weight`: ", "(shape [", "\nhint: "]);
    let result = run.json();
    let rows = result["matrices"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["status"] == "ok").count(), 3);
    let failed = rows.iter().find(|row| row["status"] == "failed").unwrap().clone();
    assert!(failed["alpha"].is_null() && failed["reason"].is_string());
    assert_eq!(result["layers"][1]["matrices"], 1, "the failed matrix is left out of its layer's mean");
    assert_eq!(
        result["layers"][1]["alpha"],
        rows.iter().find(|row| row["layer"] == 1 && row["status"] == "ok").unwrap()["alpha"]
    );
    assert!(result["allocation"].is_object());
    failed
}

#[test]
fn nan_and_infinity() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut values = random(24 * 24, 9);
        values[3 * 24 + 5] = value;
        one_fails(Tensor::bf16(&[24, 24], &values), &[], &["contains NaN or infinity (first at row 3, column 5)"]);
    }
}

#[test]
fn a_cast_that_overflows() {
    let mut values = random(24 * 24, 9);
    values[24] = 1e6;
    one_fails(
        Tensor::f32(&[24, 24], &values),
        &["--cast", "fp16"],
        &[
            "contains NaN or infinity after the cast to fp16 (first at row 1, column 0)",
            "hint: score it without --cast",
        ],
    );
}

#[test]
fn an_all_zero_matrix() {
    one_fails(Tensor::zeros(Dtype::BF16, &[24, 24]), &[], &["all elements are zero"]);
}

#[test]
fn a_rank_deficient_matrix() {
    let mut values = random(24 * 24, 9);
    values.copy_within(0..24, 24);
    let failed =
        one_fails(Tensor::f32(&[24, 24], &values), &[], &["rank-deficient (numerical rank 23 of 24)", "--rule median"]);
    assert!(failed["lambda_max"].as_f64().unwrap() > 0.0);
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::f32(&[24, 24], &values))]);
    for rule in ["median", "ks"] {
        htsr(["score", path.to_str().unwrap(), "--rule", rule]).succeeds();
    }
    values[12 * 24..].fill(0.0);
    values.iter_mut().take(24).for_each(|value| *value = 0.0);
    one_fails(Tensor::f32(&[24, 24], &values), &["--rule", "median"], &["rank-deficient (numerical rank 11 of 24)"]);
}

#[test]
fn a_vector_in_the_shape_of_a_matrix() {
    let failed = one_fails(Tensor::random(1, 24, 3), &[], &["1 eigenvalue, fewer than the 8", "shape [1, 24]"]);
    assert_eq!(failed["eigenvalues"], 1);
}

/// A failure known from the shape costs no time and no memory, for vectors of any length.
#[test]
fn a_vector_of_terabytes() {
    let folder = folder();
    let elements = 4_u64 << 40;
    let header = format!(
        r#"{{"layers.0.x.weight":{{"dtype":"BF16","shape":[1,{elements}],"data_offsets":[0,{}]}}}}"#,
        2 * elements
    );
    let path = save_raw(folder.path(), &header, 0);
    let file = File::options().write(true).open(&path).unwrap();
    if file.set_len(8 + header.len() as u64 + 2 * elements).is_err() {
        return; // the file system does not support files of that size
    }
    htsr(["score", path.to_str().unwrap()]).fails(4, &["1 eigenvalue, fewer than the 8"]);
}

#[test]
fn fewer_than_eight_eigenvalues() {
    one_fails(Tensor::random(24, 7, 3), &[], &["7 eigenvalues, fewer than the 8", "shape [24, 7]"]);
}

#[test]
fn equal_singular_values() {
    let identity: Vec<f64> = (0..24 * 24).map(|i| if i % 25 == 0 { 0.5 } else { 0.0 }).collect();
    for rule in ["peak", "median", "ks"] {
        one_fails(Tensor::f32(&[24, 24], &identity), &["--rule", rule], &["no power-law tail"]);
    }
}

#[test]
fn eigenvalues_out_of_range() {
    let huge: Vec<f64> = random(24 * 24, 5).iter().map(|value| value * 1e200).collect();
    one_fails(Tensor::f64(&[24, 24], &huge), &[], &["outside the range of f64"]);
}

#[test]
fn a_layer_without_any_alpha_leaves_no_allocation() {
    let folder = folder();
    let mut tensors = small_model();
    for letter in ['q', 'o'] {
        tensors.insert(projection(1, letter), Tensor::zeros(Dtype::BF16, &[24, 24]));
    }
    let path = save(folder.path(), "model.safetensors", tensors);
    let run = htsr(["score", path.to_str().unwrap(), "--format", "json"]);
    run.fails(4, &["no allocation: layer 1 of model has no alpha", "hint: use --allocate uniform"]);
    let result = run.json();
    assert!(result["allocation"].is_null() && result["layers"][1]["alpha"].is_null());
    assert!(result["layers"][0]["alpha"].is_f64() && result["layers"][0]["experts"].is_null());
}

#[test]
fn unsupported_types_are_skipped_with_their_reason() {
    let folder = folder();
    let mut tensors = small_model();
    tensors.insert(projection(1, 'k'), Tensor::zeros(Dtype::F8_E8M0, &[24, 24]));
    tensors.insert(projection(1, 'v'), Tensor::zeros(Dtype::I64, &[24, 24]));
    let path = save(folder.path(), "model.safetensors", tensors);
    let result = htsr(["score", path.to_str().unwrap(), "--format", "json"]).succeeds().json();
    let reason = |name: &str| {
        let skipped = result["skipped"].as_array().unwrap().iter().find(|skipped| skipped["tensor"] == name);
        skipped.unwrap()["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(&projection(1, 'k')), "dtype F8_E8M0 is not supported");
    assert_eq!(reason(&projection(1, 'v')), "integer tensor (I64)");
    assert_eq!(reason("model.embed_tokens.weight"), "embedding");
}

#[test]
fn no_projection_matrix() {
    let folder = folder();
    let path =
        save(folder.path(), "model.safetensors", [("model.embed_tokens.weight".into(), Tensor::random(9, 9, 1))]);
    htsr(["score", path.to_str().unwrap()]).fails(
        3,
        &[
            "model.safetensors: none of its 1 tensors is a projection matrix to score: 1 embedding",
            "hint: `htsr inspect MODEL --by tensor`",
        ],
    );
    htsr(["inspect", path.to_str().unwrap()]).succeeds();
    let path = save(folder.path(), "model.safetensors", small_model());
    htsr(["score", path.to_str().unwrap(), "--layers", "7"])
        .fails(3, &["none of its 6 tensors", "4 layer not selected, 1 ", "hint: "]);
}

#[test]
fn a_shard_that_shrinks_while_it_is_mapped() {
    let folder = folder();
    let big = |seed| Tensor::random(64, 256, seed);
    save(folder.path(), "a.safetensors", [(projection(0, 'q'), big(1)), (projection(0, 'o'), big(2))]);
    save(folder.path(), "b.safetensors", [(projection(1, 'q'), big(3))]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    for tensor in checkpoint.tensors() {
        // Memory-maps both files without reading them.
        checkpoint.bytes_of(tensor.shard, tensor.info).unwrap();
    }
    File::options().write(true).open(folder.path().join("a.safetensors")).unwrap().set_len(4096).unwrap();

    let scored = Scorer::new().score_on(&checkpoint, &Cpu::new(Some(2)), &(), &[]).unwrap();
    assert_eq!(scored.problems.len(), 3, "two matrices, and no allocation");
    for problem in &scored.problems[..2] {
        assert!(problem.file.as_ref().unwrap().ends_with("a.safetensors"), "{problem}");
        assert!(
            problem.cause.to_string().starts_with("the file shrank or could not be read while it was mapped"),
            "{problem}"
        );
        assert_eq!(problem.hint.as_ref().unwrap().to_string(), "score it again while nothing writes to the file");
    }
    assert!(scored.report.layers[0].score.alpha.is_none());
    assert!(scored.report.layers[1].score.alpha.is_some());
}

#[test]
fn a_file_that_is_overwritten_while_it_is_mapped() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", [(projection(0, 'q'), Tensor::random(16, 16, 1))]);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let tensor = checkpoint.tensors().next().unwrap();
    checkpoint.bytes_of(tensor.shard, tensor.info).unwrap();
    checkpoint.verify(0).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(checkpoint.verify(0).unwrap_err(), "the file was written to while it was read");
}

#[test]
fn bad_patterns_and_lists() {
    for (option, value, fragment) in [
        ("--include", "q_proj(", "unclosed group"),
        ("--exclude", "[", "unclosed character class"),
        ("--layers", "3-1", "write 1-3"),
        ("--layers", "x", "not a layer number"),
        ("--rule", "hill", "possible values: peak, peak-robust, median, ks"),
        ("--threads", "0", "not in 1.."),
    ] {
        htsr(["score", "model", option, value]).fails(2, &[fragment, option]);
    }
    htsr(["score", "model", "--include", "("]).fails(2, &["hint: quote the pattern"]);
}

#[test]
fn outputs_that_cannot_be_written_are_found_before_the_work() {
    let folder = folder();
    let model = save(folder.path(), "model.safetensors", small_model());
    let missing = folder.path().join("missing/scores.json");
    let beneath_a_file = model.join("scores.json");
    for (output, hint) in [(&missing, "hint: create the folder "), (&beneath_a_file, "is not a folder; use a file in")]
    {
        let run = htsr(["score", model.to_str().unwrap(), "-o", output.to_str().unwrap()]);
        run.fails(2, &["scores.json: cannot be written", hint]);
        assert_eq!(run.stdout, "");
    }
    htsr(["score", model.to_str().unwrap(), "-o", folder.path().join("scores.xyz").to_str().unwrap()])
        .fails(2, &["scores.xyz: unrecognized file extension", "hint: use .json"]);
    htsr(["score", model.to_str().unwrap(), "--format", "csv", "-o", folder.path().to_str().unwrap()])
        .fails(2, &["it is a folder"]);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["model.safetensors"]);
}
