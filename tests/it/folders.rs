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
        (&[1, 2, 3][..], "1 of 4 shards are missing: model-00004-of-00004.safetensors"),
        (&[2, 3, 4], "1 of 4 shards are missing: model-00001-of-00004.safetensors"),
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
    score(&repository, &[]).fails(3, &["has 2 snapshots, and no refs/main", "snapshots/0a1b"]);
    fs::create_dir(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "2c3d\n").unwrap();
    scored(&score(&repository, &[]), &[0, 1], &["snapshots/2c3d is the snapshot of"]);
    for gone in ["4e5f", "../..", ""] {
        fs::write(repository.join("refs/main"), gone).unwrap();
        score(&repository, &[])
            .fails(3, &["refs/main names the snapshot", "which is missing", "hint: the download is incomplete"]);
    }
    let by_id = |cache: &Path| run(command().args(["score", "me/tiny"]).env("HF_HUB_CACHE", cache));
    by_id(cache.path()).fails(
        3,
        &["me/tiny: cannot be opened", "is in the cache of the Hugging Face Hub: give the path", "models--me--tiny"],
    );
    by_id(Path::new("/nowhere"))
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
    // Under its own extension: given directly, and as the only file of a folder.
    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("model-Q4_K_M.gguf"), b"GGUF\x03\0\0\0").unwrap();
    for path in [folder.path().join("model-Q4_K_M.gguf"), folder.path().to_owned()] {
        score(&path, &[]).fails(3, &["is a GGUF file", "use the safetensors checkpoint that it was made from"]);
    }
}
