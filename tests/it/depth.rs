//! Models that have fewer layers than their `config.json` states.

use std::path::Path;

use crate::support::{Run, Tensor, folder, htsr, projection, save};

fn with_layers(layers: &[usize], config: &str) -> tempfile::TempDir {
    let folder = folder();
    let tensors = layers.iter().map(|&layer| (projection(layer, 'q'), Tensor::random(16, 16, layer as u64)));
    save(folder.path(), "model.safetensors", tensors);
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

fn run(command: &str, path: &Path) -> Run {
    htsr([command, path.to_str().unwrap()])
}

#[track_caller]
fn warned(layers: &[usize], config: &str, cause: &str) {
    let folder = with_layers(layers, config);
    for command in ["score", "inspect"] {
        let run = run(command, folder.path());
        run.fails(4, &["warning: ", &format!("config.json: {cause}"), "\nhint: the checkpoint is incomplete"]);
        assert!(!run.stdout.is_empty(), "the other layers are in the results");
    }
}

#[test]
fn missing_layers_are_a_warning() {
    let four = r#"{"model_type": "llama", "num_hidden_layers": 4}"#;
    let has_three = "states 4 layers (num_hidden_layers), but model.layers has only 3";
    warned(&[0, 1, 2], four, &format!("{has_three}: layer 3 missing"));
    warned(&[0, 2, 3], four, &format!("{has_three}: layer 1 missing"));
    warned(&[1, 2, 3], four, &format!("{has_three}: layer 0 missing"));
    let n_layer = r#"{"model_type": "gpt2", "n_layer": 9}"#;
    warned(
        &[0, 1],
        n_layer,
        "states 9 layers (n_layer), but model.layers has only 2: layers 2, 3, 4, 5, 6 and 2 more missing",
    );
    let nested = r#"{"model_type": "some_vl", "text_config": {"num_hidden_layers": 3}}"#;
    warned(&[0, 1], nested, "states 3 layers (num_hidden_layers), but model.layers has only 2: layer 2 missing");
}

#[test]
fn other_numbers_of_layers_are_not() {
    for (layers, config) in [
        (&[0, 1, 2][..], r#"{"model_type": "llama", "num_hidden_layers": 3}"#),
        (&[0, 1, 2], r#"{"model_type": "deepseek_v3", "num_hidden_layers": 2}"#),
        (&[0], r#"{"model_type": "albert", "num_hidden_layers": 12}"#),
        (&[0, 1], r#"{"model_type": "longcat_flash", "num_hidden_layers": 4, "num_layers": 2}"#),
        (&[0, 1], r#"{"_class_name": "SomeTransformer2DModel", "num_layers": 4}"#),
        (&[0, 1], r#"{"num_hidden_layers": {"language": 9}}"#),
        (&[0, 1], r#"{"num_hidden_layers": 0}"#),
        (&[0, 1], "not JSON"),
    ] {
        let folder = with_layers(layers, config);
        for command in ["score", "inspect"] {
            assert!(!run(command, folder.path()).succeeds().stderr.contains("states"), "{config}");
        }
    }
    let folder = with_layers(&[0, 1], r#"{"num_hidden_layers": 4}"#);
    run("score", folder.path()).fails(4, &["config.json: states 4 layers"]);
    run("score", &folder.path().join("model.safetensors")).succeeds();
}

#[test]
fn an_incomplete_base_is_a_warning() {
    let (model, base) = (with_layers(&[0, 1], "{}"), with_layers(&[0, 1], r#"{"num_hidden_layers": 3}"#));
    let extra = Tensor::random(16, 16, 9);
    save(model.path(), "model.safetensors", [(projection(0, 'q'), extra.clone()), (projection(1, 'q'), extra)]);
    let paths = [model.path().to_str().unwrap(), "--base", base.path().to_str().unwrap()];
    htsr(["score"].into_iter().chain(paths)).fails(4, &["config.json: states 3 layers", base.path().to_str().unwrap()]);
}
