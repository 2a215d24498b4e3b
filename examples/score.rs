//! Scores a checkpoint: `cargo run --release --example score -- MODEL`, a `.safetensors` file or a folder.

use htsr::{Checkpoint, Rule, Scorer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: score MODEL")?;
    let checkpoint = Checkpoint::open(path)?;
    let scored = Scorer::new().with_rule(Rule::Peak).score(&checkpoint)?;
    for layer in &scored.report.layers {
        println!("layer {}: alpha {:?}, experts {:?}", layer.score.layer, layer.score.alpha, layer.experts);
    }
    for problem in &scored.problems {
        eprintln!("{problem}");
    }
    Ok(())
}
