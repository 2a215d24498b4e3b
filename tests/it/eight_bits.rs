//! 8-bit weights with scale factors, compared with the same weights in f32.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Run, Tensor, folder, htsr, projection, save};

/// The shape of all weights. It is not a multiple of the blocks of 128 x 128.
const SHAPE: [usize; 2] = [161, 137];
const COUNT: usize = SHAPE[0] * SHAPE[1];

/// Bits of random numbers that are finite in both types.
fn bits(count: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| rng.u8(..0x70) | if rng.bool() { 0x80 } else { 0 }).collect()
}

fn eight(dtype: Dtype, shape: &[usize], bits: &[u8]) -> Tensor {
    Tensor { dtype, shape: shape.to_vec(), bytes: bits.to_vec() }
}

/// Computes the value of the bits from sign, biased exponent and mantissa. NaN and infinity are not supported.
fn number(dtype: Dtype, bits: u8) -> f32 {
    let (width, bias) = if dtype == Dtype::F8_E4M3 { (3, 7) } else { (2, 15) };
    let (exponent, mantissa) = (i32::from((bits & 0x7f) >> width), f32::from(bits & ((1 << width) - 1)));
    let fraction = mantissa / 2.0_f32.powi(width);
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(1 - bias),
        _ => (1.0 + fraction) * 2.0_f32.powi(exponent - bias),
    };
    if bits < 128 { size } else { -size }
}

/// Random scale factors, not only powers of two.
fn factors(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| f64::from((0.5 + rng.f32()) * 2.0_f32.powi(rng.i32(-12..-8)))).collect()
}

/// Returns the scaled weights in f32. `factor` maps row and column to the index of the factor.
fn scaled(dtype: Dtype, bits: &[u8], factors: &[f64], factor: impl Fn(usize, usize) -> usize) -> Tensor {
    let element = |at: usize| number(dtype, bits[at]) * factors[factor(at / SHAPE[1], at % SHAPE[1])] as f32;
    Tensor::f32(&SHAPE, &(0..COUNT).map(|at| f64::from(element(at))).collect::<Vec<_>>())
}

fn score(path: &Path, arguments: &[&str]) -> Run {
    htsr(["score", path.to_str().unwrap(), "--format", "json"].iter().chain(arguments))
}

/// Returns the scored matrices without their dtypes.
fn untyped(scores: &Value) -> Vec<Value> {
    let mut matrices = scores["matrices"].as_array().unwrap().clone();
    for matrix in &mut matrices {
        matrix["dtype"] = Value::Null;
        matrix["update"] = Value::Null;
        without_floor(matrix);
    }
    matrices
}

/// Removes what depends on the format in which the weights are stored.
fn without_floor(row: &mut Value) {
    let row = row.as_object_mut().unwrap();
    row.retain(|name, _| !matches!(name.as_str(), "floor" | "below_floor" | "rank_above_floor"));
    if row.get("note").and_then(Value::as_str).is_some_and(|note| note.contains("below the floor")) {
        row.insert("note".into(), Value::Null);
    }
}

/// Returns an 8-bit model with one tensor for each kind of scaling, and the same model in f32.
fn models(seed: u64) -> [BTreeMap<String, Tensor>; 2] {
    let [mut eights, mut wide] = [BTreeMap::new(), BTreeMap::new()];
    let block = |row: usize, col: usize| row / 128 * 2 + col / 128;
    let row = |row: usize, _: usize| row;
    let mut add = |layer: usize, dtype: Dtype, scale: Option<(&str, Tensor)>, scaled: &dyn Fn(&[u8]) -> Tensor| {
        let name = projection(layer, 'q');
        let bits = bits(COUNT, seed + layer as u64);
        eights.insert(name.clone(), eight(dtype, &SHAPE, &bits));
        if let Some((suffix, scale)) = scale {
            eights.insert(name.replace(".weight", suffix), scale);
        }
        wide.insert(name, scaled(&bits));
    };
    let (e4m3, e5m2) = (Dtype::F8_E4M3, Dtype::F8_E5M2);
    let all = factors(4, seed);
    let scale = (".weight_scale_inv", Tensor::f32(&[2, 2], &all));
    add(0, e4m3, Some(scale), &|bits| scaled(e4m3, bits, &all, block));
    let rows = factors(SHAPE[0], seed);
    let scale = (".weight_scale", Tensor::f32(&[SHAPE[0], 1], &rows));
    add(1, e5m2, Some(scale), &|bits| scaled(e5m2, bits, &rows, row));
    let scale = (".weight_scale", Tensor::f32(&[SHAPE[0]], &rows));
    add(2, e4m3, Some(scale), &|bits| scaled(e4m3, bits, &rows, row));
    let one = [0.375];
    for (layer, shape) in [(3, &[][..]), (4, &[1]), (5, &[1, 1])] {
        let scale = (".weight_scale", Tensor::bf16(shape, &one));
        add(layer, e4m3, Some(scale), &|bits| scaled(e4m3, bits, &one, |_, _| 0));
    }
    let powers: Vec<f64> = [125, 127, 128, 126].map(|exponent| 2.0_f64.powi(exponent - 127)).to_vec();
    let scale = (".scale", eight(Dtype::F8_E8M0, &[2, 2], &[125, 127, 128, 126]));
    add(6, e4m3, Some(scale), &|bits| scaled(e4m3, bits, &powers, block));
    [eights, wide]
}

#[test]
fn weights_of_8_bits_score_like_the_same_weights_in_f32() {
    let folder = folder();
    let [eights, wide] = models(0);
    let eights = save(folder.path(), "eights.safetensors", eights);
    let wide = save(folder.path(), "wide.safetensors", wide);
    for options in [
        &["--metrics", "all"][..],
        &["--rule", "median", "--precision", "f32"],
        &["--rule", "ks", "--cast", "bf16"],
        &["--farms", "rows=50,windows=2"],
        &["--randomize", "7"],
    ] {
        let [one, other] = [&eights, &wide].map(|path| score(path, options).succeeds().json());
        assert_eq!(untyped(&one), untyped(&other), "{options:?}");
        assert_eq!(one["matrices"].as_array().unwrap().len(), 7);
        let types: Vec<&str> =
            one["matrices"].as_array().unwrap().iter().map(|row| row["dtype"].as_str().unwrap()).collect();
        assert_eq!(types, ["F8_E4M3", "F8_E5M2", "F8_E4M3", "F8_E4M3", "F8_E4M3", "F8_E4M3", "F8_E4M3"]);
        assert_eq!(one["skipped"], serde_json::json!([]));
    }
    // The factors of a matrix that is not selected are skipped, too.
    let some = score(&eights, &["--layers", "0-5"]).succeeds().json();
    let skipped = some["skipped"].as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap());
    assert!(skipped.eq(["scale factor", "layer not selected"]));
    // Saved scores can be read again, and the memory plan includes the weights in f32.
    let saved = folder.path().join("scores.json");
    score(&eights, &["-o", saved.to_str().unwrap()]).succeeds();
    htsr(["allocate", saved.to_str().unwrap(), "--experts", "20"]).succeeds();
    let [one, other] = [&eights, &wide]
        .map(|path| htsr(["inspect", path.to_str().unwrap(), "--format", "json", "--threads", "1"]).succeeds().json());
    let memory = |json: &Value| json["peak_memory_bytes"].as_u64().unwrap();
    assert_eq!(memory(&one), memory(&other) + 4 * COUNT as u64);
}

#[test]
fn differences_of_weights_of_8_bits_score_like_those_in_f32() {
    let folder = folder();
    let ([tuned, wide_tuned], [base, wide_base]) = (models(0), models(1000));
    let path = |name: &str, tensors| save(folder.path(), name, tensors);
    let (tuned, base) = (path("tuned.safetensors", tuned), path("base.safetensors", base));
    let (wide_tuned, wide_base) = (path("wide.safetensors", wide_tuned), path("wide-base.safetensors", wide_base));
    let one = score(&tuned, &["--floor", "none", "--base", base.to_str().unwrap()]).succeeds().json();
    let other = score(&wide_tuned, &["--floor", "none", "--base", wide_base.to_str().unwrap()]).succeeds().json();
    assert_eq!(untyped(&one), untyped(&other));
    assert_eq!(one["matrices"][1]["update"]["base_dtype"], "F8_E5M2");
}

#[test]
fn stacked_experts_of_8_bits_score_like_separate_experts_in_f32() {
    let folder = folder();
    let bits: Vec<Vec<u8>> = (0..3).map(|expert| bits(COUNT, expert)).collect();
    let factors = factors(12, 5);
    let name = |role: &str| format!("model.layers.0.mlp.experts.{role}_proj");
    let shape = [3, SHAPE[0], SHAPE[1]];
    let stacked = [
        (name("up"), eight(Dtype::F8_E4M3, &shape, &bits.concat())),
        (name("up") + "_scale_inv", Tensor::f32(&[3, 2, 2], &factors)),
        (name("down"), eight(Dtype::F8_E4M3, &shape, &bits.concat())),
        (name("down") + "_scale", Tensor::f32(&[3], &factors[..3])),
    ];
    let path = save(folder.path(), "stacked.safetensors", stacked);
    let scores = score(&path, &[]).succeeds().json();
    let apart = (0..3).flat_map(|expert| {
        let up = scaled(Dtype::F8_E4M3, &bits[expert], &factors, |row, col| 4 * expert + row / 128 * 2 + col / 128);
        let down = scaled(Dtype::F8_E4M3, &bits[expert], &factors, |_, _| expert);
        [(projection(expert, 'q'), up), (projection(expert, 'o'), down)]
    });
    let apart = score(&save(folder.path(), "apart.safetensors", apart), &[]).succeeds().json();
    let alpha = |scores: &Value, name: &str| {
        let found = scores["matrices"].as_array().unwrap().iter().find(|row| row["tensor"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["alpha"].clone()
    };
    for expert in 0..3 {
        assert_eq!(alpha(&scores, &format!("{}[{expert}]", name("up"))), alpha(&apart, &projection(expert, 'q')));
        assert_eq!(alpha(&scores, &format!("{}[{expert}]", name("down"))), alpha(&apart, &projection(expert, 'o')));
    }
}

#[test]
fn weights_are_not_scaled_if_the_checkpoint_has_no_factors() {
    let folder = folder();
    let bits = bits(COUNT, 1);
    let q = projection(0, 'q');
    let raw = save(folder.path(), "raw.safetensors", [(q.clone(), eight(Dtype::F8_E5M2, &SHAPE, &bits))]);
    let wide = scaled(Dtype::F8_E5M2, &bits, &[1.0], |_, _| 0);
    let wide = save(folder.path(), "wide.safetensors", [(q, wide)]);
    let [one, other] = [&raw, &wide].map(|path| score(path, &[]).succeeds().json());
    assert_eq!(untyped(&one), untyped(&other));
}

#[test]
fn weights_with_unusable_factors_are_skipped_with_a_reason() {
    let folder = folder();
    let q = |layer| (projection(layer, 'q'), eight(Dtype::F8_E4M3, &SHAPE, &bits(COUNT, layer as u64)));
    let scale = |layer, tensor: Tensor| (projection(layer, 'q') + "_scale_inv", tensor);
    let fits = || scale(0, Tensor::f32(&[2, 2], &[0.5, 1.0, 2.0, 4.0]));
    for (extra, reason) in [
        (None, "8-bit weights without scale factors"),
        (
            Some(Tensor::f32(&[7, 2], &[1.0; 14])),
            "scale factors of shape [7, 2] for weights of shape [161, 137]: they do not fit",
        ),
        (Some(Tensor::f32(&[137], &[1.0; 137])), "scale factors of shape [137] do not fit [161, 137]"),
        (Some(Tensor::f32(&[2, 2, 1], &[1.0; 4])), "scale factors of shape [2, 2, 1] do not fit [161, 137]"),
        (
            Some(Tensor::f32(&[0, 2], &[])),
            "scale factors of shape [0, 2] for weights of shape [161, 137]: they do not fit",
        ),
        (Some(eight(Dtype::U8, &[2, 2], &[127; 4])), "scale factors of type U8 are not supported"),
    ] {
        let tensors = [q(0), fits(), q(1)].into_iter().chain(extra.map(|tensor| scale(1, tensor)));
        let path = save(folder.path(), "model.safetensors", tensors);
        let run = score(&path, &[]);
        let scores = run.fails(4, &["most of the weights of layer 1 of model are not read"]).json();
        assert_eq!(run.stderr.contains("1 tensor has no counterpart"), reason.contains("without"), "{}", run.stderr);
        assert_eq!(scores["matrices"].as_array().unwrap().len(), 1);
        let skipped = scores["skipped"].as_array().unwrap().iter().find(|row| row["tensor"] == projection(1, 'q'));
        assert_eq!(skipped.unwrap()["reason"], reason);
    }
    let powers = eight(Dtype::F8_E8M0, &SHAPE, &bits(COUNT, 0));
    let path = save(folder.path(), "powers.safetensors", [(projection(0, 'q'), powers)]);
    score(&path, &[]).fails(3, &["dtype F8_E8M0 is not supported", "hint: "]);
}

#[test]
fn nan_and_infinite_factors_are_found() {
    let folder = folder();
    let mut with_nan = bits(COUNT, 0);
    with_nan[3 * SHAPE[1] + 5] = 0x7f;
    let weights = |bits: &[u8]| eight(Dtype::F8_E4M3, &SHAPE, bits);
    let infinite = Tensor::f32(&[2, 2], &[1.0, f64::INFINITY, 1.0, 1.0]);
    let tensors = [
        (projection(0, 'q'), weights(&with_nan)),
        (projection(0, 'q') + "_scale", Tensor::f32(&[1], &[1.0])),
        (projection(1, 'q'), weights(&bits(COUNT, 1))),
        (projection(1, 'q') + "_scale", infinite),
        (projection(2, 'q'), weights(&bits(COUNT, 2))),
        (projection(2, 'q') + "_scale", Tensor::f32(&[1], &[1.0])),
    ];
    let path = save(folder.path(), "model.safetensors", tensors);
    let run = score(&path, &[]);
    run.fails(4, &["layers.0.self_attn.q_proj", "first at row 3, column 5", "F8_E4M3", "first at row 0, column 128"]);
    let alphas: Vec<bool> =
        run.json()["layers"].as_array().unwrap().iter().map(|row| row["alpha"].is_number()).collect();
    assert_eq!(alphas, [false, false, true]);
}

#[test]
fn the_blocks_of_the_configuration_decide() {
    let shape = [192, 192];
    let bits = bits(192 * 192, 3);
    let factors = [1.0, 64.0, 0.125, 8.0];
    let scaled = |side: usize| {
        let factor = |at: usize| factors[at / 192 / side * 2 + at % 192 / side];
        let values: Vec<f64> =
            (0..192 * 192).map(|at| f64::from(number(Dtype::F8_E4M3, bits[at])) * factor(at)).collect();
        Tensor::f32(&shape, &values)
    };
    let (folder, elsewhere) = (folder(), folder());
    let eight = || {
        let scales = projection(0, 'q') + "_scale_inv";
        [(projection(0, 'q'), eight(Dtype::F8_E4M3, &shape, &bits)), (scales, Tensor::f32(&[2, 2], &factors))]
    };
    let path = save(folder.path(), "model.safetensors", eight());
    // 2 blocks of 128 or of 96: a guess would be wrong without a word.
    score(&path, &[]).fails(3, &["a side of 128 or 96; weight_block_size in a config.json beside the file decides"]);
    for (side, config) in [
        (96, r#"{"quantization_config": {"quant_method": "fp8", "weight_block_size": [96, 96]}}"#),
        (128, r#"{"text_config": {"quantization_config": {"weight_block_size": [128, 128]}}}"#),
        (96, r#"{"quantization_config": {"config_groups": {"group_0": {"weights": {"block_structure": [96, 96]}}}}}"#),
    ] {
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let wide = save(elsewhere.path(), "wide.safetensors", [(projection(0, 'q'), scaled(side))]);
        let [one, other] = [&path, &wide].map(|path| score(path, &[]).succeeds().json());
        assert_eq!(untyped(&one), untyped(&other), "{side}");
    }
    for (block, reason) in [
        ("[64, 64]", "they are not one for each block of 64 x 64, which config.json states"),
        ("[128]", "weight_block_size in config.json is [128], not two numbers"),
    ] {
        let config = format!(r#"{{"quantization_config": {{"weight_block_size": {block}}}}}"#);
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        score(&path, &[]).fails(3, &[reason]);
    }
}
