//! Quantized models, whose weights are not read: what the messages say, and what becomes of a layer's leftovers.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Dtype;

use crate::support::{Run, Tensor, folder, htsr, projection, save};

const ROWS: usize = 32;
const COLS: usize = 64;

fn score(path: &Path, arguments: &[&str]) -> Run {
    htsr(["score", path.to_str().unwrap(), "--format", "json"].iter().chain(arguments))
}

/// What a scheme stores for the module of each of two layers.
fn model(parts: &[(&str, Dtype, &[usize])]) -> BTreeMap<String, Tensor> {
    let tensor = |layer: usize, (suffix, dtype, shape): &(&str, Dtype, &[usize])| {
        let mut tensor = Tensor::zeros(*dtype, shape);
        tensor.bytes.iter_mut().zip(0_u8..=255).for_each(|(byte, value)| *byte = value % 100);
        (projection(layer, 'q').replace(".weight", suffix), tensor)
    };
    (0..2).flat_map(|layer| parts.iter().map(move |part| tensor(layer, part))).collect()
}

#[test]
fn a_quantized_model_is_refused_with_the_scheme_and_what_to_do() {
    use Dtype::{BF16, F8_E4M3, F16, F32, I8, I32, I64, U8, U32};
    let folder = folder();
    for (scheme, parts) in [
        (
            "GPTQ",
            &[
                (".qweight", I32, &[COLS / 8, ROWS][..]),
                (".qzeros", I32, &[2, ROWS / 8]),
                (".scales", F16, &[2, ROWS]),
                (".g_idx", I32, &[COLS]),
            ][..],
        ),
        (
            "AWQ",
            &[(".qweight", I32, &[COLS, ROWS / 8]), (".qzeros", I32, &[2, ROWS / 8]), (".scales", F16, &[2, ROWS])],
        ),
        (
            "bitsandbytes, 4 bits",
            &[
                (".weight", U8, &[ROWS * COLS / 2, 1]),
                (".weight.absmax", U8, &[ROWS]),
                (".weight.quant_map", F32, &[16]),
                (".weight.quant_state.bitsandbytes__nf4", U8, &[90]),
            ],
        ),
        (
            "bitsandbytes, 8 bits",
            &[(".weight", I8, &[ROWS, COLS]), (".SCB", F32, &[ROWS]), (".weight_format", U8, &[])],
        ),
        (
            "pack-quantized",
            &[
                (".weight_packed", I32, &[ROWS, COLS / 8]),
                (".weight_scale", BF16, &[ROWS, 1]),
                (".weight_shape", I64, &[2]),
            ],
        ),
        (
            "NVFP4",
            &[
                (".weight", U8, &[ROWS, COLS / 2]),
                (".weight_scale", F8_E4M3, &[ROWS, COLS / 16]),
                (".weight_scale_2", F32, &[]),
                (".input_scale", F32, &[]),
            ],
        ),
        ("integers with scale factors", &[(".weight", I8, &[ROWS, COLS]), (".weight_scale", F32, &[ROWS, 1])]),
        ("MLX", &[(".weight", U32, &[ROWS, COLS / 8]), (".scales", BF16, &[ROWS, 1]), (".biases", BF16, &[ROWS, 1])]),
        // Zero points are a matrix of floats, as weights are.
        ("HQQ", &[(".W_q", U8, &[ROWS / 2, COLS]), (".scale", F16, &[ROWS, 16]), (".zero", F16, &[ROWS, 16])]),
        ("torchao", &[(".weight:_qdata", I8, &[ROWS, COLS]), (".weight:_scale", F32, &[ROWS, 1])]),
    ] {
        let path = save(folder.path(), "model.safetensors", model(parts));
        let words = format!(
            "the weights of its layers are not read: they are quantized ({scheme}, by the names of the tensors)"
        );
        let hint = "hint: score the model that it was quantized from, whose weights are BF16, F16 or F32";
        score(&path, &[]).fails(3, &[&words, &format!("2 quantized weights ({scheme})"), hint]);
        let inspected = htsr(["inspect", path.to_str().unwrap(), "--format", "json"]).succeeds().json();
        assert_eq!(inspected["unread"]["quantization"], scheme);
        assert_eq!(
            (&inspected["unread"]["weights"], &inspected["unread"]["layers"][1]["share"]),
            (&2.into(), &1.0.into())
        );
        assert_eq!(inspected["matrices"], serde_json::json!([]), "{scheme}");
    }
    // Experts of MXFP4 are one tensor for all.
    let experts = |suffix: &str, shape: &[usize]| {
        (format!("model.layers.0.mlp.experts.gate_up_proj_{suffix}"), Tensor::zeros(U8, shape))
    };
    let path =
        save(folder.path(), "model.safetensors", [experts("blocks", &[4, 64, 2, 16]), experts("scales", &[4, 64, 2])]);
    score(&path, &[]).fails(3, &["they are quantized (MXFP4, by the names of the tensors)"]);
    // The configuration names the method better than tensors can.
    let config = r#"{"quantization_config": {"quant_method": "awq", "bits": 4}}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    score(&path, &[]).fails(3, &["they are quantized (awq, 4 bits, by config.json)"]);
}

#[test]
fn a_layer_judged_by_its_leftovers_is_a_partial_result() {
    let folder = folder();
    let integers = [(".weight", Dtype::I8, &[ROWS, COLS][..]), (".weight_scale", Dtype::F32, &[ROWS, 1])];
    let with = |plain: &[(char, usize)]| {
        let mut tensors = model(&integers);
        for layer in 0..2 {
            for &(letter, rows) in plain {
                tensors.insert(projection(layer, letter), Tensor::random(rows, COLS, layer as u64));
            }
        }
        save(folder.path(), "model.safetensors", tensors)
    };
    let path = with(&[('o', ROWS - 8)]);
    let run = score(&path, &[]);
    run.fails(
        4,
        &[
            "warning: ",
            "most of the weights of layer 0 of model, layer 1 of model are not read",
            "they are quantized (integers with scale factors, by the names of the tensors)",
            "hint: score the model that it was quantized from",
        ],
    );
    let json = run.json();
    let share = json["unread"]["layers"][0]["share"].as_f64().unwrap();
    assert!((share - ROWS as f64 / (2 * ROWS - 8) as f64).abs() < 1e-12, "{share}");
    assert_eq!(json["matrices"].as_array().unwrap().len(), 2);
    // Saved scores keep it.
    let saved = folder.path().join("scores.json");
    score(&path, &["-o", saved.to_str().unwrap()]).fails(4, &["most of the weights"]);
    let allocated = htsr(["allocate", saved.to_str().unwrap(), "--format", "json"]).succeeds().json();
    assert_eq!(allocated["unread"], json["unread"]);
    // The user left the quantized weights out.
    score(&path, &["--include", "o_proj"]).succeeds();
    // Less than half of each layer: a warning.
    let run = score(&with(&[('o', ROWS), ('k', ROWS)]), &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("2 tensors with weights of 2 layers are not read: they are quantized"),
        "{}",
        run.stderr
    );
    // Integers that are no weights.
    let mut tensors = BTreeMap::new();
    for (layer, dtype) in [Dtype::I64, Dtype::BOOL, Dtype::U8, Dtype::I32].into_iter().enumerate() {
        tensors.insert(projection(layer, 'q'), Tensor::random(ROWS, COLS, layer as u64));
        tensors.insert(format!("model.layers.{layer}.self_attn.table"), Tensor::zeros(dtype, &[64, 64]));
    }
    let run = score(&save(folder.path(), "model.safetensors", tensors), &[]);
    assert_eq!(run.succeeds().json().get("unread"), None);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}
