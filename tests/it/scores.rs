//! Files of scores made without a checkpoint.

use htsr::score::MatrixScore;
use serde_json::{Value, json};

/// A scored matrix: layer, role, shape and alpha.
pub struct Scored {
    pub layer: u32,
    pub role: &'static str,
    pub shape: [usize; 2],
    pub alpha: Option<f64>,
}

impl Scored {
    fn json(&self) -> Value {
        let Scored { layer, role, shape: [rows, cols], alpha } = self;
        json!({
            "tensor": format!("model.layers.{layer}.{role}.weight"), "stack": "model", "layer": layer, "role": role,
            "rows": rows, "cols": cols, "dtype": "BF16", "rule": "peak", "alpha": alpha, "ks_distance": 0.05, "xmin": 1.0,
            "tail": 100, "eigenvalues": rows.min(cols), "lambda_min": 0.1, "lambda_max": 9.0, "trace": 100.0,
            "precision": "f64", "status": if alpha.is_some() { "ok" } else { "failed" }, "reason": null, "note": null,
        })
    }

    /// The row that `htsr score` would write.
    pub fn row(&self) -> MatrixScore {
        serde_json::from_value(self.json()).unwrap()
    }
}

/// Returns the report that `htsr score -o scores.json` would write for these matrices, sorted by layer. It has no allocation,
/// as in an older version that supported only experts.
pub fn report(matrices: &[Scored]) -> Value {
    let layers = matrices.chunk_by(|a, b| a.layer == b.layer).map(|layer| {
        let alphas: Vec<f64> = layer.iter().filter_map(|matrix| matrix.alpha).collect();
        let mean = (!alphas.is_empty()).then(|| alphas.iter().sum::<f64>() / alphas.len() as f64);
        json!({ "stack": "model", "layer": layer[0].layer, "alpha": mean, "matrices": alphas.len(), "experts": null, "top_k": null })
    });
    json!({
        "schema": 1,
        "provenance": {
            "version": "0.1.0", "commit": "unknown", "device": null, "solver": null, "precision": null, "rule": "peak",
            "options": {
                "cast": "none", "include": [], "exclude": [], "layers": null, "experts": 160, "beta": 2.5,
                "rounding": "reference", "min_experts": null, "max_experts": null,
            },
            "input": { "path": "model", "bytes": 0, "headers_sha256": null, "files": [] },
        },
        "matrices": matrices.iter().map(Scored::json).collect::<Vec<_>>(),
        "layers": layers.collect::<Vec<_>>(),
        "allocation": null,
        "skipped": [],
    })
}

/// Roles and shapes of a Llama, in the order of AlphaPruning's files. `key` is the number of rows of k and v.
pub fn llama_roles(hidden: usize, forward: usize, key: usize) -> [(&'static str, [usize; 2]); 7] {
    [
        ("self_attn.q_proj", [hidden, hidden]),
        ("self_attn.k_proj", [key, hidden]),
        ("self_attn.v_proj", [key, hidden]),
        ("self_attn.o_proj", [hidden, hidden]),
        ("mlp.gate_proj", [forward, hidden]),
        ("mlp.up_proj", [forward, hidden]),
        ("mlp.down_proj", [hidden, forward]),
    ]
}

/// A model of four layers with grouped-query attention. Alphas rise from layer to layer and differ by role.
pub fn small_llama() -> Vec<Scored> {
    let roles = || llama_roles(64, 160, 16).into_iter().enumerate();
    let layer = |layer: u32| {
        roles().map(move |(place, (role, shape))| {
            let alpha = Some(1.5 + 0.5 * f64::from(layer) + 0.1 * place as f64);
            Scored { layer, role, shape, alpha }
        })
    };
    (0..4).flat_map(layer).collect()
}
