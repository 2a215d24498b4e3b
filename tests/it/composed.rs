//! Weights that are stored in several tensors, compared with the same weights stored as one.

use std::path::Path;

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Run, Tensor, folder, htsr, projection, random, save};

const ROWS: usize = 40;
const COLS: usize = 24;

fn score(path: &Path, arguments: &[&str]) -> Run {
    htsr(["score", path.to_str().unwrap(), "--format", "json"].iter().chain(arguments))
}

/// The rows of the results without what says how the weights are stored.
fn numbers(json: &Value) -> Vec<Value> {
    let mut rows = json["matrices"].as_array().unwrap().clone();
    rows.iter_mut().for_each(|row| {
        // The floor depends on the format in which the weights are stored.
        let stored = ["form", "dtype", "update", "floor", "below_floor", "rank_above_floor"];
        row.as_object_mut().unwrap().retain(|name, _| !stored.contains(&name.as_str()));
    });
    rows
}

fn as_f32(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x as f32)).collect()
}

fn named(layer: usize, suffix: &str) -> String {
    projection(layer, 'q').replace(".weight", suffix)
}

fn each_row(values: &[f64], cols: usize, number: impl Fn(usize, &[f64]) -> f64) -> Vec<f64> {
    values.chunks_exact(cols).enumerate().map(|(row, line)| number(row, line)).collect()
}

/// The stored tensors of a model with one kind of reparametrization for each layer, the weights that they stand for, and forms.
#[expect(clippy::type_complexity, reason = "two models, and the forms of one")]
fn reparametrized() -> (Vec<(String, Tensor)>, Vec<(String, Tensor)>, Vec<&'static str>) {
    let (mut stored, mut dense, mut forms) = (Vec::new(), Vec::new(), Vec::new());
    let shape = [ROWS, COLS];
    let mut add = |form: &'static str, parts: Vec<(&str, Tensor)>, weights: Tensor| {
        let layer = forms.len();
        stored.extend(parts.into_iter().map(|(suffix, tensor)| (named(layer, suffix), tensor)));
        dense.push((projection(layer, 'q'), weights));
        forms.push(form);
    };
    let w = |seed: u64| as_f32(&random(ROWS * COLS, seed));
    // Pruned, with a mask of the type of the weights, and of bytes.
    let mask: Vec<f64> = random(ROWS * COLS, 9).iter().map(|x| f64::from(u8::from(*x > -0.01))).collect();
    let masked = |w: &[f64]| w.iter().zip(&mask).map(|(x, mask)| x * mask).collect::<Vec<_>>();
    let bytes = Tensor { dtype: Dtype::U8, shape: shape.to_vec(), bytes: mask.iter().map(|&x| x as u8).collect() };
    let x = w(0);
    let parts = vec![(".weight_orig", Tensor::f32(&shape, &x)), (".weight_mask", Tensor::f32(&shape, &mask))];
    add("pruned", parts, Tensor::f32(&shape, &masked(&x)));
    let x = random(ROWS * COLS, 1);
    let parts = vec![(".weight_orig", Tensor::bf16(&shape, &x)), (".weight_mask", bytes)];
    add("pruned", parts, Tensor::bf16(&shape, &masked(&x)));
    // Weight norm by rows, columns, and of the whole, in both forms.
    let g = as_f32(&(0..ROWS).map(|row| 1.0 + row as f64 / 7.0).collect::<Vec<_>>());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    for (index, suffixes) in
        [[".weight_g", ".weight_v"], [".parametrizations.weight.original0", ".parametrizations.weight.original1"]]
            .into_iter()
            .enumerate()
    {
        let x = w(2 + index as u64);
        let of_rows = each_row(&x, COLS, |_, line| norm(&mut line.iter().copied()));
        let of_columns: Vec<f64> = (0..COLS).map(|col| norm(&mut x.iter().skip(col).step_by(COLS).copied())).collect();
        let whole = norm(&mut x.iter().copied());
        let weights = |factor: &dyn Fn(usize, usize) -> f64| {
            let at = |(at, x): (usize, &f64)| x * factor(at / COLS, at % COLS);
            Tensor::f32(&shape, &x.iter().enumerate().map(at).collect::<Vec<_>>())
        };
        let [first, second] = suffixes;
        let parts = |g: Tensor| vec![(first, g), (second, Tensor::f32(&shape, &x))];
        add("weight norm", parts(Tensor::f32(&[ROWS, 1], &g)), weights(&|row, _| g[row] / of_rows[row]));
        add("weight norm", parts(Tensor::f32(&[1, COLS], &g[..COLS])), weights(&|_, col| g[col] / of_columns[col]));
        add("weight norm", parts(Tensor::f32(&[], &[1.5])), weights(&|_, _| 1.5 / whole));
    }
    // Spectral norm in both forms, and along the other dimension.
    for (layer, suffixes) in [
        [".weight_orig", ".weight_u", ".weight_v"],
        [".parametrizations.weight.original", ".parametrizations.weight.0._u", ".parametrizations.weight.0._v"],
        [".weight_orig", ".weight_v", ".weight_u"],
    ]
    .into_iter()
    .enumerate()
    {
        let x = w(20 + layer as u64);
        let (u, mut v) = (as_f32(&random(ROWS, 30)), vec![0.0; COLS]);
        x.chunks_exact(COLS).zip(&u).for_each(|(line, u)| v.iter_mut().zip(line).for_each(|(v, x)| *v += u * x));
        let v = as_f32(&v);
        let sigma: f64 =
            each_row(&x, COLS, |row, line| u[row] * line.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>()).iter().sum();
        let [original, left, right] = suffixes;
        let parts = vec![
            (original, Tensor::f32(&shape, &x)),
            (left, Tensor::f32(&[ROWS], &u)),
            (right, Tensor::f32(&[COLS], &v)),
        ];
        add("spectral norm", parts, Tensor::f32(&shape, &x.iter().map(|x| x / sigma).collect::<Vec<_>>()));
    }
    (stored, dense, forms)
}

#[test]
fn reparametrized_weights_score_like_the_weights_that_the_module_uses() {
    let folder = folder();
    let (stored, dense, forms) = reparametrized();
    let stored = save(folder.path(), "stored.safetensors", stored);
    let dense = save(folder.path(), "dense.safetensors", dense);
    for options in [&[][..], &["--rule", "median", "--cast", "fp16"], &["--farms", "rows=20,windows=2"]] {
        let [one, other] = [&stored, &dense].map(|path| score(path, options).succeeds().json());
        assert_eq!(one["skipped"], serde_json::json!([]), "every tensor is read");
        for (one, other) in numbers(&one).iter().zip(&numbers(&other)) {
            assert_eq!(one["tensor"], other["tensor"]);
            // 1 / sigma and x / sigma round differently in f64, and so may their f32.
            let [one, other] = [one, other].map(|row| [&row["alpha"], &row["lambda_max"]].map(|x| x.as_f64().unwrap()));
            assert!((0..2).all(|at| (one[at] / other[at] - 1.0).abs() < 1e-5), "{one:?} {other:?}");
        }
        let rows = one["matrices"].as_array().unwrap();
        assert!(rows.iter().map(|row| row["form"].as_str().unwrap()).eq(forms.iter().copied()));
    }
    // Pruned weights are exact.
    let [one, other] = [&stored, &dense].map(|path| score(path, &["--layers", "0-1"]).succeeds().json());
    assert_eq!(numbers(&one), numbers(&other));
    assert!(
        one["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["reason"] == "a part of `model.layers.2.self_attn.q_proj.weight`")
    );
    let table = htsr(["inspect", stored.to_str().unwrap(), "--by", "tensor"]);
    assert!(table.succeeds().stdout.contains("spectral norm"), "{}", table.stdout);
    // As an update, on either side.
    for paths in [[&stored, &dense], [&dense, &stored]].map(|paths| paths.map(|path| path.to_str().unwrap())) {
        let run = htsr(["inspect", paths[0], "--base", paths[1], "--format", "json"]).succeeds().json();
        assert_eq!((run["matrices"].as_array().unwrap().len(), &run["skipped"]), (forms.len(), &serde_json::json!([])));
    }
    let zero = score(&stored, &["--base", dense.to_str().unwrap(), "--layers", "0-1"]);
    zero.fails(4, &["unchanged: all elements of W - W_base are zero"]);
}

#[test]
fn a_part_of_a_weight_is_never_scored_as_the_weight() {
    let folder = folder();
    let whole = || (projection(9, 'q'), Tensor::random(ROWS, COLS, 9));
    let matrix = || Tensor::random(ROWS, COLS, 1);
    let vector = |length: usize| Tensor::bf16(&[length], &vec![1.0; length]);
    let half = || Tensor::random(ROWS, COLS / 2, 2);
    let bits = |cols: usize| Tensor { dtype: Dtype::U8, shape: vec![ROWS, cols], bytes: vec![0x55; ROWS * cols] };
    let sides =
        |sides: [i64; 2]| Tensor { dtype: Dtype::I64, shape: vec![2], bytes: sides.map(i64::to_le_bytes).concat() };
    for (parts, reason) in [
        (vec![(".weight_orig", matrix())], "pruned weights without their mask"),
        (vec![(".weight_mask", matrix())], "pruning mask"),
        (
            vec![(".weight_orig", matrix()), (".weight_mask", half())],
            "a mask of shape [40, 12] for weights of shape [40, 24]",
        ),
        (vec![(".weight_orig", matrix()), (".weight_u", vector(ROWS))], "spectral norm without its vector v"),
        (
            vec![(".weight_orig", matrix()), (".weight_u", vector(3)), (".weight_v", vector(COLS))],
            "spectral norm: vectors of length 3 and 24 for [40, 24]",
        ),
        (
            vec![(".weight_orig", matrix()), (".weight_mask", matrix()), (".weight_u", vector(ROWS))],
            "reparametrized more than once",
        ),
        (
            vec![(".parametrizations.weight.original", matrix())],
            "parametrized in a way that the file does not describe",
        ),
        (
            vec![(".parametrizations.weight.original0", matrix()), (".parametrizations.weight.original1", matrix())],
            "parametrized in a way that the file does not describe",
        ),
        (vec![(".weight", matrix()), (".weight_orig", matrix())], "which is stored itself"),
        (vec![(".compressed", half())], "compressed weights without their bitmask"),
        (
            vec![(".compressed", half()), (".meta", bits(3))],
            "2:4 sparse, compressed for one kind of GPU (`meta`): not supported",
        ),
        (
            vec![(".compressed", half()), (".bitmask", bits(4)), (".shape", sides([40, 24]))],
            "[40, 12] kept elements and a bitmask of [40, 4] do not fit the shape [40, 24]",
        ),
        (
            vec![(".compressed", half()), (".bitmask", bits(3)), (".shape", sides([40, -24]))],
            "`model.layers.0.self_attn.q_proj.shape` is negative",
        ),
        (
            vec![(".weight.compressed", Tensor::zeros(Dtype::I8, &[40, 12])), (".weight.bitmask", bits(3))],
            "sparse weights of an unsupported type: integer tensor (I8)",
        ),
    ] {
        let own = parts.iter().any(|(suffix, _)| *suffix == ".weight");
        let tensors = parts.into_iter().map(|(suffix, tensor)| (named(0, suffix), tensor)).chain([whole()]);
        let path = save(folder.path(), "model.safetensors", tensors);
        // Nothing of layer 0 is left, unless the weight is not in these tensors.
        let is_lost = !own && reason != "pruning mask";
        let run = score(&path, &[]);
        let json = match is_lost {
            true => {
                run.fails(4, &["most of the weights of layer 0 of model are not read", "hint: `htsr inspect"]).json()
            }
            false => run.succeeds().json(),
        };
        assert_eq!(json["matrices"].as_array().unwrap().len(), 1 + usize::from(own), "{reason}");
        let mut reasons = json["skipped"].as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap());
        assert!(reasons.any(|found| found.contains(reason)), "{reason}: {}", json["skipped"]);
        assert!(json["skipped"].as_array().unwrap().iter().all(|row| !row["reason"].as_str().unwrap().is_empty()));
    }
    // Other weights have such names, too.
    let names = [".weight_q", ".weight_k", ".weight_v"].map(|suffix| (named(0, suffix), matrix()));
    let json = score(&save(folder.path(), "model.safetensors", names), &[]).succeeds().json();
    assert_eq!(json["matrices"].as_array().unwrap().len(), 3);
}

#[test]
fn the_vectors_tell_along_which_dimension_a_square_spectral_norm_is_taken() {
    let folder = folder();
    let side = COLS;
    let x = as_f32(&random(side * side, 40));
    let u = as_f32(&random(side, 41));
    // v = W^T u, so that u^T W v is |v|^2.
    let mut v = vec![0.0; side];
    x.chunks_exact(side).zip(&u).for_each(|(line, u)| v.iter_mut().zip(line).for_each(|(v, x)| *v += u * x));
    let v = as_f32(&v);
    let sigma: f64 =
        each_row(&x, side, |row, line| u[row] * line.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>()).iter().sum();
    let model = |x: &[f64], [left, right]: [&Vec<f64>; 2]| {
        let vector = |values: &[f64]| Tensor::f32(&[side], values);
        let parts = [
            (".weight_orig", Tensor::f32(&[side, side], x)),
            (".weight_u", vector(left)),
            (".weight_v", vector(right)),
        ];
        save(folder.path(), "model.safetensors", parts.map(|(suffix, tensor)| (named(0, suffix), tensor)))
    };
    let largest = |path: &Path| score(path, &[]).succeeds().json()["matrices"][0]["lambda_max"].as_f64().unwrap();
    let [one, other] = [[&u, &v], [&v, &u]].map(|vectors| largest(&model(&x, vectors)));
    assert_eq!(one, other);
    let plain = save(folder.path(), "plain.safetensors", [(projection(0, 'q'), Tensor::f32(&[side, side], &x))]);
    assert!((one / (largest(&plain) / sigma / sigma) - 1.0).abs() < 1e-5);
    // u and v are the first two unit vectors, so that the two candidates are elements of W.
    let unit = |index: usize| (0..side).map(|at| f64::from(u8::from(at == index))).collect::<Vec<_>>();
    for (sigma, swapped, reason) in [
        (1.0, 0.8, "its vectors do not tell along which dimension it is taken"),
        (1.0, -0.8, "its vectors do not tell along which dimension it is taken"),
        (-1.0, 0.1, "u^T W v is -1e0, not positive"),
        (0.0, 0.0, "u^T W v is 0e0, not positive"),
    ] {
        let mut x = x.clone();
        (x[1], x[side]) = (sigma, swapped);
        let path = model(&x, [&unit(0), &unit(1)]);
        score(&path, &[]).fails(4, &["spectral norm of `model.layers.0.self_attn.q_proj.weight_orig`", reason]);
    }
    let mut symmetric = x.clone();
    (symmetric[1], symmetric[side]) = (0.5, 0.5);
    score(&model(&symmetric, [&unit(0), &unit(1)]), &[]).succeeds();
}

/// Keeps the elements of `values` that `keeps` accepts: their list, and a bitmask.
fn compress(values: &[f64], cols: usize, keeps: impl Fn(usize, f64) -> bool) -> (Vec<f64>, Vec<u8>) {
    let (mut kept, mut mask) = (Vec::new(), vec![0_u8; values.len() / cols * cols.div_ceil(8)]);
    for (at, &x) in values.iter().enumerate() {
        if keeps(at, x) {
            kept.push(x);
            mask[at / cols * cols.div_ceil(8) + at % cols / 8] |= 1 << (at % cols % 8);
        }
    }
    (kept, mask)
}

#[test]
fn sparse_weights_score_like_dense_ones() {
    let folder = folder();
    let cols = 20;
    let sides = |cols: usize| {
        let bytes = [ROWS as i64, cols as i64].map(i64::to_le_bytes).concat();
        Tensor { dtype: Dtype::I64, shape: vec![2], bytes }
    };
    let bits = |bytes: Vec<u8>| Tensor { dtype: Dtype::U8, shape: vec![ROWS, bytes.len() / ROWS], bytes };
    let (x, y) = (random(ROWS * cols, 1), random(ROWS * cols, 2));
    // Two of four in columns that differ from row to row; and any number in a list.
    let two_of_four = |at: usize, _: f64| (at % 4 + at / cols) % 4 < 2;
    let any = |_: usize, x: f64| x > 0.005;
    let ((halves, half_mask), (list, list_mask)) = (compress(&x, cols, two_of_four), compress(&y, cols, any));
    let dense = |values: &[f64], keeps: &dyn Fn(usize, f64) -> bool| {
        values.iter().enumerate().map(|(at, &x)| if keeps(at, x) { x } else { 0.0 }).collect::<Vec<_>>()
    };
    let offsets = Tensor { dtype: Dtype::I64, shape: vec![ROWS], bytes: vec![0; 8 * ROWS] };
    let stored = [
        (named(0, ".weight.compressed"), Tensor::bf16(&[ROWS, cols / 2], &halves)),
        (named(0, ".weight.bitmask"), bits(half_mask.clone())),
        (named(0, ".weight.shape"), sides(cols)),
        (named(1, ".compressed"), Tensor::f32(&[list.len()], &list)),
        (named(1, ".bitmask"), bits(list_mask.clone())),
        (named(1, ".shape"), sides(cols)),
        (named(1, ".row_offsets"), offsets),
        // Without a shape, half of the elements are kept.
        (named(2, ".compressed"), Tensor::f32(&[ROWS, cols / 2], &halves)),
        (named(2, ".bitmask"), bits(half_mask.clone())),
    ];
    let whole = [
        (projection(0, 'q'), Tensor::bf16(&[ROWS, cols], &dense(&x, &two_of_four))),
        (projection(1, 'q'), Tensor::f32(&[ROWS, cols], &dense(&y, &any))),
        (projection(2, 'q'), Tensor::f32(&[ROWS, cols], &dense(&x, &two_of_four))),
    ];
    let stored = save(folder.path(), "stored.safetensors", stored);
    let whole = save(folder.path(), "whole.safetensors", whole);
    for rule in ["peak", "ks"] {
        let [one, other] = [&stored, &whole].map(|path| score(path, &["--rule", rule]).succeeds().json());
        assert_eq!(numbers(&one), numbers(&other));
        assert_eq!(one["skipped"], serde_json::json!([]));
        assert_eq!(one["matrices"][1]["form"], "sparse bitmask");
    }
    // A bitmask that keeps more or fewer elements than there are.
    for (kept, reason) in [
        (Tensor::f32(&[ROWS, cols / 2], &halves), "row 0 of the bitmask keeps 11 elements, but 10 are stored"),
        (Tensor::f32(&[halves.len()], &halves), "the bitmask keeps more elements than are stored"),
        (
            Tensor::f32(&[halves.len() + 3], &[&halves[..], &[1.0; 3]].concat()),
            "the bitmask keeps 2 elements fewer than are stored",
        ),
    ] {
        let mut mask = half_mask.clone();
        mask[0] |= if mask[0] & 1 == 0 { 1 } else { 4 };
        let parts =
            [(named(0, ".compressed"), kept), (named(0, ".bitmask"), bits(mask)), (named(0, ".shape"), sides(cols))];
        let path = save(folder.path(), "damaged.safetensors", parts);
        score(&path, &[]).fails(4, &[reason, "`model.layers.0.self_attn.q_proj.bitmask`", "hint: the file is damaged"]);
    }
}
