//! Folders that hold a model in several forms, in parts, or not at all: which files are read, and what is said about it.

use std::fs;
use std::path::Path;

use crate::support::{Run, Tensor, command, folder, htsr, projection, run, save};

fn score(path: &Path, more: &[&str]) -> Run {
    htsr(["score", path.to_str().unwrap(), "--format", "json"].iter().copied().chain(more.iter().copied()))
}

/// Saves `layers` as a file of a model.
fn model(folder: &Path, file: &str, layers: std::ops::Range<usize>) {
    save(folder, file, layers.map(|layer| (projection(layer, 'q'), Tensor::random(16, 16, layer as u64))));
}

/// Asserts which layers were scored, and what was said.
#[track_caller]
fn scored(run: &Run, layers: &[u64], fragments: &[&str]) {
    run.fails(0, fragments);
    let found: Vec<u64> =
        run.json()["layers"].as_array().unwrap().iter().map(|layer| layer["layer"].as_u64().unwrap()).collect();
    assert_eq!(found, layers);
}

#[test]
fn a_model_in_two_forms_is_read_once() {
    let folder = folder();
    let path = folder.path();
    model(path, "model.safetensors", 0..2);
    save(path, "consolidated.safetensors", [("layers.5.attention.wq.weight".into(), Tensor::random(16, 16, 1))]);
    scored(&score(path, &[]), &[0, 1], &["reads model.safetensors and leaves out consolidated.safetensors"]);
    // Only the configuration of the original code.
    fs::write(path.join("params.json"), "{}").unwrap();
    scored(&score(path, &[]), &[5], &["reads consolidated.safetensors and leaves out model.safetensors"]);
    fs::write(path.join("config.json"), "{}").unwrap();
    scored(&score(path, &[]), &[0, 1], &["reads model.safetensors and leaves out consolidated.safetensors"]);
    scored(&score(&path.join("consolidated.safetensors"), &[]), &[5], &[]);
    // Files under other names are not a part of what libraries load.
    model(path, "extra.safetensors", 7..8);
    scored(&score(path, &[]), &[0, 1], &["and leaves out consolidated.safetensors, extra.safetensors"]);
}

#[test]
fn variants_are_read_if_there_is_nothing_else() {
    let folder = folder();
    let path = folder.path();
    model(path, "model.fp16.safetensors", 0..1);
    scored(&score(path, &[]), &[0], &[]);
    model(path, "model.bf16.safetensors", 0..2);
    let several = "the folder contains several checkpoints: model.bf16.safetensors, model.fp16.safetensors";
    score(path, &[]).fails(3, &[several, "hint: give the path of the file"]);
    model(path, "model.safetensors", 0..3);
    scored(
        &score(path, &[]),
        &[0, 1, 2],
        &["reads model.safetensors and leaves out model.bf16.safetensors, model.fp16.safetensors"],
    );
    // An index under the name of another library.
    let index = format!(
        r#"{{"weight_map":{{"{}":"model.bf16.safetensors","{}":"model.bf16.safetensors"}}}}"#,
        projection(0, 'q'),
        projection(1, 'q')
    );
    fs::write(path.join("model.safetensors.index.json"), index).unwrap();
    scored(
        &score(path, &[]),
        &[0, 1],
        &["reads model.safetensors.index.json and leaves out model.fp16.safetensors, model.safetensors"],
    );
}

#[test]
fn an_index_of_another_name_is_used() {
    for index in [
        "diffusion_pytorch_model.safetensors.index.json",
        "model.safetensors.index.fp16.json",
        "own.safetensors.index.json",
    ] {
        let folder = folder();
        model(folder.path(), "part.safetensors", 0..2);
        model(folder.path(), "overlay.safetensors", 2..3);
        let map = format!(r#"{{"weight_map":{{"{}":"part.safetensors"}}}}"#, projection(1, 'q'));
        fs::write(folder.path().join(index), &map).unwrap();
        scored(&score(folder.path(), &[]), &[1], &[&format!("reads {index} and leaves out overlay.safetensors")]);
        scored(&score(&folder.path().join(index), &[]), &[1], &[]);
    }
}

#[test]
fn shards_without_an_index_must_be_complete() {
    for (present, missing) in [
        (&[1, 2, 3][..], "1 of 4 shards is missing: model-00004-of-00004.safetensors"),
        (&[2, 3, 4], "1 of 4 shards is missing: model-00001-of-00004.safetensors"),
        (&[1, 4], "2 of 4 shards are missing: model-00002-of-00004.safetensors, model-00003-of-00004.safetensors"),
    ] {
        let folder = folder();
        for &shard in present {
            model(folder.path(), &format!("model-{shard:05}-of-00004.safetensors"), shard..shard + 1);
        }
        score(folder.path(), &[]).fails(3, &[missing, "hint: the download is incomplete"]);
    }
    let folder = folder();
    for shard in 1..4 {
        model(folder.path(), &format!("model-{shard:05}-of-00003.safetensors"), shard..shard + 1);
    }
    scored(&score(folder.path(), &[]), &[1, 2, 3], &[]);
    let one = score(&folder.path().join("model-00002-of-00003.safetensors"), &[]);
    scored(&one, &[2], &["is file 2 of 3: only its tensors are read"]);
    model(folder.path(), "model-00001-of-00002.safetensors", 0..1);
    score(folder.path(), &[])
        .fails(3, &["the folder contains several checkpoints: model-00001-of-00002.safetensors, model-0000"]);
    // A name may announce more files than there can be.
    let many = crate::support::folder();
    model(many.path(), "x-00001-of-4000000000.safetensors", 0..1);
    score(many.path(), &[]).fails(3, &["x-00002-of-4000000000.safetensors", "more"]);
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let folder = folder();
    for shard in 1..3 {
        model(folder.path(), &format!("model-{shard:05}-of-00002.safetensors"), shard..shard + 1);
    }
    model(folder.path(), "model-1-of-2.safetensors", 1..2);
    score(folder.path(), &[]).fails(
        3,
        &[
            "two files have the name of the same shard: ",
            "model-1-of-2.safetensors",
            "model-00001-of-00002.safetensors",
        ],
    );
    fs::remove_file(folder.path().join("model-1-of-2.safetensors")).unwrap();
    model(folder.path(), "model-00005-of-00002.safetensors", 1..2);
    score(folder.path(), &[]).fails(
        3,
        &["model-00005-of-00002.safetensors: is numbered 5, but its name states 2 shards", "hint: keep only"],
    );
    let none = crate::support::folder();
    model(none.path(), "model-00000-of-00000.safetensors", 0..1);
    score(none.path(), &[]).fails(3, &["is numbered 0, but its name states 0 shards"]);
}

#[test]
fn hidden_and_unfinished_files_are_not_read() {
    let folder = folder();
    fs::write(folder.path().join("model.safetensors.incomplete"), [0; 9]).unwrap();
    score(folder.path(), &[]).fails(3, &["model.safetensors.incomplete is an unfinished download: finish it"]);
    model(folder.path(), "model.safetensors", 0..1);
    fs::write(folder.path().join("._model.safetensors"), [0; 9]).unwrap();
    let run = score(folder.path(), &[]);
    scored(&run, &[0], &[]);
    assert!(!run.stderr.contains("leaves out"), "{}", run.stderr);
}

#[test]
fn files_without_an_index_are_read_together_and_named() {
    let folder = folder();
    model(folder.path(), "a.safetensors", 0..1);
    model(folder.path(), "b.safetensors", 1..2);
    scored(
        &score(folder.path(), &[]),
        &[0, 1],
        &["without an index, a.safetensors, b.safetensors are read as parts of"],
    );
    htsr(["score", folder.path().to_str().unwrap(), "--quiet"]).succeeds();
}

#[test]
fn the_configuration_of_diffusers_decides_for_its_name() {
    let folder = folder();
    model(folder.path(), "model.safetensors", 0..1);
    model(folder.path(), "diffusion_pytorch_model.safetensors", 0..2);
    scored(&score(folder.path(), &[]), &[0], &["leaves out diffusion_pytorch_model.safetensors"]);
    fs::write(folder.path().join("config.json"), r#"{"_class_name": "FluxTransformer2DModel"}"#).unwrap();
    scored(&score(folder.path(), &[]), &[0, 1], &["leaves out model.safetensors"]);
}

#[test]
fn a_stale_index_beside_the_whole_model_is_refused_with_both_ways_out() {
    let folder = folder();
    model(folder.path(), "model.safetensors", 0..2);
    let index = format!(r#"{{"weight_map":{{"{}":"model-00001-of-00002.safetensors"}}}}"#, projection(0, 'q'));
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let whole = folder.path().join("model.safetensors");
    let hint = format!("hint: download what the index names, or give the path of a file: {}", whole.display());
    score(folder.path(), &[])
        .fails(3, &["the index names the shard model-00001-of-00002.safetensors, which is missing", &hint]);
    scored(&score(&whole, &[]), &[0, 1], &[]);
}

#[test]
fn variants_in_shards_are_listed_by_one_shard_each() {
    let folder = folder();
    for variant in ["bf16", "fp16"] {
        for shard in 1..9 {
            model(folder.path(), &format!("model.{variant}-{shard:05}-of-00008.safetensors"), shard..shard + 1);
        }
    }
    let shards = "several checkpoints: model.bf16-00001-of-00008.safetensors, model.fp16-00001-of-00008.safetensors";
    score(folder.path(), &[]).fails(3, &[shards]);
}

#[test]
fn of_two_indexes_the_plain_one_is_used() {
    let folder = folder();
    let path = folder.path();
    model(path, "plain.safetensors", 0..1);
    let index = |weights: &str| format!(r#"{{"weight_map":{{"{}":"{weights}"}}}}"#, projection(0, 'q'));
    fs::write(path.join("model.safetensors.index.json"), index("plain.safetensors")).unwrap();
    fs::write(path.join("model.safetensors.index.fp16.json"), index("gone.safetensors")).unwrap();
    let note = "reads model.safetensors.index.json and leaves out model.safetensors.index.fp16.json";
    scored(&score(path, &[]), &[0], &[note]);
    // `compare` takes other JSON files for scores.
    let variant = path.join("model.safetensors.index.fp16.json");
    htsr(["compare", path.to_str().unwrap(), variant.to_str().unwrap()])
        .fails(3, &["the index names the shard gone.safetensors, which is missing"]);
    fs::write(&variant, "version https://git-lfs.github.com/spec/v1\noid sha256:00\n").unwrap();
    score(&variant, &[]).fails(3, &["cannot be read: it is a Git LFS pointer", "hint: download the index again"]);
}

#[test]
fn the_index_decides_about_a_tensor_in_two_shards() {
    let folder = folder();
    let path = folder.path();
    save(
        path,
        "base.safetensors",
        [(projection(0, 'q'), Tensor::random(16, 16, 1)), (projection(1, 'q'), Tensor::random(16, 16, 2))],
    );
    save(path, "overlay.safetensors", [(projection(1, 'q'), Tensor::random(16, 24, 3))]);
    score(path, &[])
        .fails(3, &["is also in", "hint: give the path of the file to read, or add a model.safetensors.index.json"]);
    let (first, second) = (projection(0, 'q'), projection(1, 'q'));
    let index = format!(r#"{{"weight_map":{{"{first}":"base.safetensors","{second}":"overlay.safetensors"}}}}"#);
    fs::write(path.join("model.safetensors.index.json"), index).unwrap();
    let run = score(path, &[]);
    scored(&run, &[0, 1], &[]);
    assert_eq!((&run.json()["matrices"][0]["cols"], &run.json()["matrices"][1]["cols"]), (&16.into(), &24.into()));
}

#[test]
fn a_pipeline_is_refused_until_one_of_its_models_is_named() {
    let folder = folder();
    let path = folder.path();
    for (component, layers) in [("vae", 0..1), ("transformer", 0..2)] {
        fs::create_dir(path.join(component)).unwrap();
        model(&path.join(component), "diffusion_pytorch_model.safetensors", layers);
    }
    let choice = "its folders transformer, vae contain weights: choose one with --component NAME";
    score(path, &[]).fails(3, &["contains no .safetensors file", choice]);
    fs::write(path.join("model_index.json"), "{}").unwrap();
    // The authors' own file holds all models at once.
    model(path, "everything.safetensors", 0..5);
    score(path, &[]).fails(
        3,
        &["is a pipeline of several models: transformer, vae", "hint: choose one, for example --component transformer"],
    );
    scored(&score(path, &["--component", "transformer"]), &[0, 1], &[]);
    for command in ["score", "inspect"] {
        htsr([command, path.to_str().unwrap(), "--component", "unet"])
            .fails(2, &["has no component `unet`", "hint: its components are transformer, vae"]);
    }
    score(path, &["--component", "../x"]).fails(2, &["has no component `../x`"]);
    htsr(["compare", path.to_str().unwrap(), path.to_str().unwrap(), "--component", "vae"]).succeeds();
    htsr(["esd", path.to_str().unwrap(), &projection(1, 'q'), "--component", "transformer"]).succeeds();
    let scores = path.join("scores.json");
    score(&path.join("vae"), &["-o", scores.to_str().unwrap()]).succeeds();
    htsr(["compare", scores.to_str().unwrap(), scores.to_str().unwrap(), "--component", "vae"])
        .fails(2, &["both files contain scores, and --component applies to folders only", "hint: remove --component"]);
    let modules = crate::support::folder();
    fs::create_dir(modules.path().join("0_Transformer")).unwrap();
    model(&modules.path().join("0_Transformer"), "model.safetensors", 0..1);
    fs::write(modules.path().join("modules.json"), "[]").unwrap();
    score(modules.path(), &[]).fails(3, &["--component 0_Transformer"]);
}

#[test]
fn a_folder_of_the_hub_cache_means_its_snapshot() {
    let cache = folder();
    let repository = cache.path().join("models--me--tiny");
    let snapshot = |name: &str, layers| {
        let snapshot = repository.join("snapshots").join(name);
        fs::create_dir_all(&snapshot).unwrap();
        model(&snapshot, "model.safetensors", layers);
    };
    fs::create_dir_all(repository.join("snapshots")).unwrap();
    score(&repository, &[]).fails(3, &["the cache folder has no snapshot"]);
    snapshot("0a1b", 0..1);
    scored(&score(&repository, &[]), &[0], &["snapshots/0a1b is the snapshot of"]);
    snapshot("2c3d", 0..2);
    score(&repository, &[]).fails(
        3,
        &["has 2 snapshots, and no refs/main", "hint: give the path of one: ", "snapshots/0a1b, ", "snapshots/2c3d"],
    );
    score(cache.path(), &[]).fails(3, &["is the cache of the Hugging Face Hub", "for example", "models--me--tiny"]);
    fs::create_dir(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "2c3d\n").unwrap();
    scored(&score(&repository, &[]), &[0, 1], &["snapshots/2c3d is the snapshot of"]);
    let by_id = |id: &str, cache: &Path| run(command().args(["score", id]).env("HF_HUB_CACHE", cache));
    let cached = "is in the cache of the Hugging Face Hub: give the path";
    by_id("me/tiny", cache.path()).fails(3, &["me/tiny: cannot be opened", cached, "models--me--tiny/snapshots/2c3d"]);
    for gone in ["4e5f", "../..", ""] {
        fs::write(repository.join("refs/main"), gone).unwrap();
        score(&repository, &[]).fails(
            3,
            &[
                "refs/main names the snapshot",
                "which is missing",
                "or give the path of another snapshot: ",
                "snapshots/0a1b",
            ],
        );
    }
    let old = cache.path().join("models--gpt2/snapshots/6f7a");
    fs::create_dir_all(&old).unwrap();
    by_id("gpt2", cache.path()).fails(3, &["the model gpt2", cached, "models--gpt2/snapshots/6f7a"]);
    by_id("typo", cache.path()).fails(3, &["hint: give the path of a .safetensors file"]);
    by_id("me/tiny", Path::new("/nowhere"))
        .fails(3, &["hint: if me/tiny is a model on the Hugging Face Hub, run `hf download me/tiny`"]);
}

#[test]
fn files_that_are_no_weights_are_named() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    for (content, what, hint) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"[..],
            "is a Git LFS pointer",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is an HTML page", "the download failed"),
        (b"{\"error\": \"you need a token\"}", "is a JSON document", "the download failed"),
        (
            b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0archive/data.pkl",
            "is a PyTorch file",
            "save_file",
        ),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "is a Python pickle", "save_file"),
        (b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", "is a GGUF file", "use the safetensors checkpoint"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "is an HDF5 file", "Keras"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is compressed by gzip", "gunzip"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\0", "is a PNG picture", "the download failed"),
        (b"", "is an empty file", "download or save it again"),
    ] {
        fs::write(&path, content).unwrap();
        for path in [path.as_path(), folder.path()] {
            for command in ["score", "inspect"] {
                let run = htsr([command, path.to_str().unwrap()]);
                run.fails(3, &["model.safetensors: ", what, "hint: ", hint]);
                assert!(!run.stderr.contains("header"), "{}", run.stderr);
            }
        }
    }
    let config = folder.path().join("config.json");
    fs::write(&config, "{}").unwrap();
    score(&config, &[])
        .fails(3, &["config.json: is a JSON file, and the weights are in other files", "hint: give the path"]);
    // Under its own extension: given directly, and as the only file of a folder.
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("model-Q4_K_M.gguf"), b"GGUF\x03\0\0\0").unwrap();
    for path in [folder.path().join("model-Q4_K_M.gguf"), folder.path().to_owned()] {
        score(&path, &[]).fails(3, &["is a GGUF file", "use the safetensors checkpoint that it was made from"]);
    }
    fs::create_dir(folder.path().join("unet")).unwrap();
    fs::rename(folder.path().join("model-Q4_K_M.gguf"), folder.path().join("unet/model.gguf")).unwrap();
    score(folder.path(), &[]).fails(3, &["contains no .safetensors file", "unet/model.gguf is a GGUF file"]);
}
