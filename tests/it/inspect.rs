//! `htsr inspect`: it reads only headers, for checkpoints of any size.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::support::{command, folder, htsr, save, small_model};

/// Writes an 80-layer model with the shapes of LLaMA-70B as sparse files: 140 GB that take no disk space.
fn write_sparse_70b(folder: &Path) {
    let (hidden, wide, kv) = (8192_u64, 28672_u64, 1024_u64);
    let layer = [
        ("self_attn.q_proj", hidden, hidden),
        ("self_attn.k_proj", kv, hidden),
        ("self_attn.v_proj", kv, hidden),
        ("self_attn.o_proj", hidden, hidden),
        ("mlp.gate_proj", wide, hidden),
        ("mlp.up_proj", wide, hidden),
        ("mlp.down_proj", hidden, wide),
    ];
    let mut weight_map = serde_json::Map::new();
    for shard in 0..16 {
        let name = format!("model-{:05}-of-00016.safetensors", shard + 1);
        let mut header = serde_json::Map::new();
        let mut end = 0;
        let mut add = |tensor: String, shape: Vec<u64>| {
            let begin = end;
            end += 2 * shape.iter().product::<u64>();
            weight_map.insert(tensor.clone(), name.clone().into());
            header.insert(tensor, serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": [begin, end] }));
        };
        for number in shard * 5..shard * 5 + 5 {
            for (role, rows, cols) in layer {
                add(format!("model.layers.{number}.{role}.weight"), vec![rows, cols]);
            }
            add(format!("model.layers.{number}.input_layernorm.weight"), vec![hidden]);
        }
        if shard == 0 {
            add("model.embed_tokens.weight".into(), vec![32000, hidden]);
        }
        let header = serde_json::to_vec(&header).unwrap();
        let mut file = File::create(folder.join(&name)).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(&header).unwrap();
        file.set_len(8 + header.len() as u64 + end).unwrap();
    }
    let index = serde_json::json!({ "weight_map": weight_map });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn a_70b_checkpoint_is_described_from_its_headers() {
    let folder = folder();
    write_sparse_70b(folder.path());
    let path = folder.path().to_str().unwrap();
    let run = htsr(["inspect", path, "--threads", "1"]);
    run.succeeds();
    let row = |start: &str| {
        let line =
            run.stdout.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("{start}: {}", run.stdout));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("mlp.down_proj"), ["model", "mlp.down_proj", "8192", "28672", "BF16", "80", "0-79"]);
    assert_eq!(row("checkpoint ")[1..], ["137.428", "GB", "in", "16", "files"]);
    assert_eq!(row("matrices    560")[1..], ["560,", "136.902", "GB"]);
    assert_eq!(row("skipped")[1..], ["81:", "80", "normalization,", "1", "embedding"]);
    assert_eq!(row("memory")[2], "GB");

    let json = htsr(["inspect", path, "--threads", "1", "--format", "json"]).succeeds().json();
    assert_eq!(json["matrices"].as_array().unwrap().len(), 560);
    assert_eq!(json["layers"], 80);
    let gram = 8192_u64 * 8192 * 8;
    let memory = json["peak_memory_bytes"].as_u64().unwrap();
    assert!((gram..5 * gram).contains(&memory), "{memory}");
    assert_eq!(json["matrices"][0]["shard"], "model-00001-of-00016.safetensors");
}

/// `inspect` reads headers only, so its memory must not grow with the data.
#[cfg(target_os = "linux")]
#[test]
fn a_70b_checkpoint_needs_little_memory() {
    let folder = folder();
    write_sparse_70b(folder.path());
    // The address space is limited to 400 MB, including code and threads. None of the 16 files, 140 GB in all, fits.
    let script =
        format!("ulimit -v 400000; exec {} inspect {}", command().get_program().display(), folder.path().display());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_tensor_is_listed_with_its_shard_or_its_reason() {
    let folder = folder();
    let path = save(folder.path(), "model.safetensors", small_model());
    let run = htsr(["inspect", path.to_str().unwrap(), "--by", "tensor", "--format", "csv"]);
    let lines: Vec<&str> = run.succeeds().stdout.lines().collect();
    assert_eq!(lines.len(), 7);
    assert_eq!(
        lines[1],
        "model.layers.0.self_attn.o_proj.weight,model,0,self_attn.o_proj,24,24,BF16,model.safetensors,,,"
    );
    assert_eq!(lines[5], "model.embed_tokens.weight,,,,,,,,embedding,,");
}
